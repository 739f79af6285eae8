# The process that workers are forked from, and what is said when it ends.

import os
import signal

from engine.plugins import zygote_client
from engine.plugins.channel import ScheduleRun
from tests.unit.plugins.processes import wait_until

TICK = ScheduleRun(time_ns=0)


def test_who_had_a_worker_at_each_end_of_the_zygote_is_named(with_bench, caplog, monkeypatch):
    monkeypatch.setattr(zygote_client, "_HEALTHY_AFTER_S", float("inf"))

    async def body(bench):
        path = bench.plugin("def process_scheduled_call(a, t, g): pass")
        for names in (["bystander", "suspect"], ["late", "suspect"]):
            workers = [bench.worker(path, name=name) for name in names]
            for worker in workers:
                assert (await worker.run(TICK)).ok
            os.kill(bench.host._zygote.pid, signal.SIGKILL)
            for worker in workers:
                await wait_until(lambda worker=worker: worker.pid is None)
        ends = [record for record in caplog.records if "zygote ended" in record.msg]
        assert [record.keys["workers_each_time"] for record in ends] == [
            "db/bystander, db/suspect",
            "db/suspect",
        ]
        assert all(record.levelname == "WARNING" for record in ends)

    with_bench(body)
