# How runs are ended before their time, and what comes after workers that ended badly.

import asyncio

from engine.plugins.channel import ScheduleRun
from tests.unit.plugins.processes import wait_until_gone

TICK = ScheduleRun(time_ns=1_700_000_000_999_999_999)


def test_cancelling_a_run_kills_its_worker(with_bench):
    async def body(bench):
        source = "def process_scheduled_call(a, t, g):\n a.info('in')\n while True: pass"
        worker = bench.worker(bench.plugin(source))
        running = asyncio.create_task(worker.run(TICK))
        await asyncio.wait_for(bench.services.log_seen.wait(), 10)
        pid = worker.pid
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await wait_until_gone(pid)

    with_bench(body)


def test_a_cancelled_run_ends_at_its_next_use_of_the_api(with_bench, tmp_path):
    async def body(bench):
        source = """
        import pathlib
        def process_scheduled_call(api, t, args):
            api.info("in")
            try:
                while True:
                    try:
                        getattr(api, args["use"])
                        if args["use"] == "write":
                            api.write(LineBuilder("m").int64_field("f", 1))
                        elif args["use"] == "query":
                            api.query("SELECT 1")
                    except Exception:
                        continue
            finally:
                pathlib.Path(args["cleaned"]).touch()
        """

        async def never(sql, params, database):
            await asyncio.Event().wait()

        bench.services.answer_query = never
        path = bench.plugin(source)
        for use in ("cache", "state", "write", "query"):
            bench.services.log_seen.clear()
            cleaned = tmp_path / f"{use}.cleaned"
            worker = bench.worker(path, name=use, arguments={"use": use, "cleaned": str(cleaned)})
            running = asyncio.create_task(worker.run(TICK))
            await asyncio.wait_for(bench.services.log_seen.wait(), 10)
            pid = worker.pid
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            await wait_until_gone(pid)
            assert cleaned.exists(), use

    with_bench(body, cancel_grace_s=30.0)


def test_closing_a_worker_stops_its_runs(with_bench):
    async def body(bench):
        source = """
        def process_scheduled_call(api, t, args):
            while True:
                api.info("in")
        """
        worker = bench.worker(bench.plugin(source))
        running = asyncio.create_task(worker.run(TICK))
        await asyncio.wait_for(bench.services.log_seen.wait(), 10)
        await worker.close(30.0)
        outcome = await running
        assert (outcome.ok, outcome.failure) == (False, "stopped")
        assert outcome.error_message == "the trigger is being stopped"

    with_bench(body)


def test_a_worker_that_crashes_time_and_again_is_started_with_pauses(with_bench):
    async def body(bench):
        worker = bench.worker(bench.plugin("def process_scheduled_call(a, t, g): 1 / 0", "a.py"))
        assert (await worker.run(TICK)).failure == "exception"
        crashing = bench.worker(
            bench.plugin("import os\ndef process_scheduled_call(a, t, g): os._exit(1)"), name="b"
        )
        started = asyncio.get_running_loop().time()
        for _ in range(5):
            assert (await crashing.run(TICK)).failure == "crash"
        assert asyncio.get_running_loop().time() - started >= 0.1 + 0.2 + 0.4
        bench.plugin("def process_scheduled_call(a, t, g): pass")
        assert (await crashing.run(TICK)).ok
        assert crashing._restart_wait_s() == 0.0

    with_bench(body)
