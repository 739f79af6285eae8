# Real worker processes against a fake server: what plugins can do, and cannot do to others.

import asyncio
import json
import os
import signal
import subprocess
import sys

import msgspec
import pyarrow as pa
import uvloop

from engine.errors import InvalidNameError, QueryError, WriteError
from engine.plugins.channel import RequestRun, ScheduleRun, WritesRun
from tests.unit.plugins.processes import wait_until, wait_until_gone
from tests.unit.plugins.seed_plugins import SEED_REQUEST, SEED_SCHEDULE, SEED_WAL

TICK = ScheduleRun(time_ns=1_700_000_000_999_999_999)


def inline(*tables, **settings):
    return WritesRun(database="db", inline=list(tables), **settings)


def ipc_stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_seed_write_plugin_counts_rows_for_each_table(with_bench):
    async def body(bench):
        worker = bench.worker(
            bench.plugin(SEED_WAL), kind="wal", arguments={"double_count_table": "b"}
        )
        rows = [{"v": 1, "time": 1}]
        outcome = await worker.run(inline(("a", rows), ("b", rows * 2), ("write_reports", rows)))
        assert outcome.ok, outcome
        lines = b"write_reports,table_name=a row_count=1i\nwrite_reports,table_name=b row_count=4i"
        assert outcome.writes == [("db", lines)]
        assert outcome.rows == 4
        assert bench.services.logs == [("INFO", "wal_plugin.py done")]

    with_bench(body)


def test_seed_schedule_plugin_queries_and_logs(with_bench):
    async def body(bench):
        queries = []

        async def answer(sql, params, database):
            queries.append((sql, params, database))
            return ipc_stream(pa.table({"time": pa.array([], pa.timestamp("ns"))}))

        bench.services.answer_query = answer
        worker = bench.worker(bench.plugin(SEED_SCHEDULE), arguments={"table_name": "cpu"})
        assert (await worker.run(TICK)).ok
        assert bench.services.logs == [("ERROR", "No data in cpu in the last 5 minutes")]
        sql = "SELECT * FROM cpu WHERE time > now() - 'interval 5m'"
        assert queries == [(sql, None, "db")]

    with_bench(body)


def test_seed_request_plugin_answers_json_and_writes(with_bench):
    async def body(bench):
        worker = bench.worker(bench.plugin(SEED_REQUEST), kind="request")
        job = RequestRun(
            query={"q": "1"}, headers={"X-Some": "v", "Authorization": "secret"}, body=b'{"a": 1}'
        )
        outcome = await worker.run(job)
        assert outcome.response.status == 200
        assert outcome.response.headers == [("content-type", "application/json")]
        line = "request_data,tag1=tag1_value field1=1i"
        assert json.loads(outcome.response.body) == {"status": "ok", "line": line}
        assert outcome.writes == [("db", line.encode())]
        assert bench.services.logs == [
            ("INFO", "query_parameters: q=1"),
            ("INFO", "request_headers: x-some=v"),
            ("INFO", "parsed JSON request body: {'a': 1}"),
        ]

    with_bench(body)


def test_a_write_run_without_rows_does_not_call_the_plugin(with_bench):
    async def body(bench):
        worker = bench.worker(
            bench.plugin("def process_writes(api, batches, args): api.info('x')"), kind="wal"
        )
        outcome = await worker.run(inline())
        assert outcome.ok
        assert not outcome.called
        assert bench.services.logs == []

    with_bench(body)


def test_schedule_time_is_naive_utc_in_whole_seconds(with_bench):
    async def body(bench):
        source = """
        import time
        def process_scheduled_call(api, call_time, args):
            api.info(call_time.isoformat(), call_time.tzinfo, args, int(call_time.timestamp()))
        """
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        assert bench.services.logs == [("INFO", "2023-11-14T22:13:20 None None 1700000000")]

    with_bench(body)


def test_endless_loop_is_killed_by_time_out_while_another_worker_runs(with_bench):
    async def body(bench):
        stuck = bench.worker(
            bench.plugin("def process_scheduled_call(a, t, g):\n while True: pass", "stuck.py"),
            name="stuck",
        )
        other = bench.worker(
            bench.plugin("def process_scheduled_call(a, t, g): a.info('alive')", "other.py"),
            name="other",
        )
        hanging = asyncio.create_task(stuck.run(TICK, timeout_s=1.0))
        for _ in range(5):
            assert (await other.run(TICK)).ok
        assert not hanging.done()
        outcome = await hanging
        assert (outcome.ok, outcome.failure) == (False, "timeout")
        assert outcome.error_type == "PluginTimeoutError"
        assert "longer than 1 s" in outcome.error_message
        assert 1.0 <= outcome.duration_s < 5.0
        assert stuck.pid is None

    with_bench(body)


def test_a_worker_that_exits_is_reported_and_replaced(with_bench):
    async def body(bench):
        source = """
        import os, pathlib
        def process_scheduled_call(api, t, args):
            marker = pathlib.Path(os.environ["INFLUXDB3_PLUGIN_DIR"]) / "marker"
            if not marker.exists():
                marker.touch()
                os._exit(7)
        """
        worker = bench.worker(bench.plugin(source))
        outcome = await worker.run(TICK)
        assert outcome.failure == "crash"
        assert outcome.error_type == "PluginCrashedError"
        assert "exit status 7" in outcome.error_message
        assert (await worker.run(TICK)).ok

    with_bench(body)


def test_a_segmentation_fault_names_the_signal(with_bench):
    async def body(bench):
        source = "import ctypes\ndef process_scheduled_call(api, t, args): ctypes.string_at(1)"
        outcome = await bench.worker(bench.plugin(source)).run(TICK)
        assert outcome.failure == "crash"
        assert "SIGSEGV" in outcome.error_message

    with_bench(body)


def test_a_memory_hog_gets_a_memory_error_and_its_worker_lives_on(with_bench):
    async def body(bench):
        source = """
        def process_scheduled_call(api, t, args):
            hoard = []
            while True:
                hoard.append(bytearray(1_000_000))
        """
        worker = bench.worker(bench.plugin(source), memory_bytes_max=256 * 1024 * 1024)
        outcome = await worker.run(TICK)
        assert (outcome.failure, outcome.error_type) == ("exception", "MemoryError")
        pid = worker.pid
        assert (await worker.run(TICK)).error_type == "MemoryError"
        assert worker.pid == pid

    with_bench(body)


def test_closing_every_descriptor_is_reported_as_a_crash(with_bench):
    async def body(bench):
        source = "import os\ndef process_scheduled_call(api, t, args): os.closerange(0, 256)"
        worker = bench.worker(bench.plugin(source))
        outcome = await worker.run(TICK)
        assert outcome.failure == "crash"
        assert "exit status 70" in outcome.error_message

    with_bench(body)


def test_what_a_plugin_prints_goes_to_the_servers_log(with_bench, caplog):
    async def body(bench):
        source = """
        import os, sys
        def process_scheduled_call(api, t, args):
            print("line", 1, "\\ud800")
            print("line 2" + "x" * 10_000)
            sys.stderr.write("to stderr\\n")
            os.write(1, b"past Python \\xff")
        """
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        await bench.host.stop(0)

    with caplog.at_level("INFO", "engine.plugins.output"):
        with_bench(body)
    printed = [record for record in caplog.records if record.name == "engine.plugins.output"]
    texts = [record.getMessage() for record in printed if record.levelname == "INFO"]
    assert texts == [
        "printed: line 1 \\ud800",
        "printed: " + ("line 2" + "x" * 10_000)[:4096],
        "printed: to stderr",
        "printed: past Python \\xff",
    ]
    assert sum(record.args[0] for record in printed if record.levelname == "WARNING") == 5910
    assert printed[0].keys == {"database": "db", "trigger": "trigger"}


def test_a_plugin_that_prints_without_end_is_cut_short(with_bench, caplog):
    async def body(bench):
        source = """
        def process_scheduled_call(api, t, args):
            for number in range(300_000):
                print("abcdefg")
            api.info("done")
        """
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        await bench.host.stop(0)

    with caplog.at_level("INFO", "engine.plugins.output"):
        with_bench(body)
    texts = [record.getMessage() for record in caplog.records]
    assert 7_000 < texts.count("printed: abcdefg") < 100_000
    assert any("bytes of what a plugin printed are dropped" in text for text in texts)


def test_threads_and_event_loops_of_a_plugin_can_use_the_api(with_bench):
    async def body(bench):
        source = """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        async def work(api):
            await asyncio.gather(*(asyncio.to_thread(api.info, "loop", n) for n in range(4)))

        def process_scheduled_call(api, t, args):
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda n: api.cache.get(str(n), n, True), range(8)))
            assert found == list(range(8))
            asyncio.run(work(api))
        """
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        assert sorted(bench.services.logs) == [("INFO", f"loop {number}") for number in range(4)]

    with_bench(body)


def test_dataclasses_with_deferred_annotations_work_in_a_single_file(with_bench):
    async def body(bench):
        source = """
        from __future__ import annotations
        from dataclasses import dataclass, field
        from typing import ClassVar

        @dataclass
        class Config:
            lines: list[LineBuilder] = field(default_factory=list)
            limit: ClassVar[int] = 3

        def process_scheduled_call(api, t, args):
            api.info(Config(), __name__ == "__main__")
        """
        outcome = await bench.worker(bench.plugin(source, "import.py")).run(TICK)
        assert outcome.ok, outcome
        assert bench.services.logs == [("INFO", "Config(lines=[]) False")]

    with_bench(body)


def test_arguments_are_a_fresh_mutable_copy_for_each_call(with_bench):
    async def body(bench):
        source = """
        seen = []
        def process_scheduled_call(api, t, args):
            seen.append(1)
            api.info(sorted(args.items()), len(seen))
            args["parsed"] = True
        """
        worker = bench.worker(bench.plugin(source), arguments={"a": "1"})
        await worker.run(TICK)
        await worker.run(TICK)
        assert bench.services.logs == [("INFO", "[('a', '1')] 1")] * 2

    with_bench(body)


def test_a_traceback_starts_at_the_plugins_own_line(with_bench):
    async def body(bench):
        path = bench.plugin(
            "\ndef process_scheduled_call(api, t, args):\n    raise KeyError('k')\n"
        )
        outcome = await bench.worker(path).run(TICK)
        assert (outcome.failure, outcome.error_type) == ("exception", "KeyError")
        assert outcome.error_message == "'k'"
        lines = outcome.traceback.splitlines()
        assert lines[1] == f'  File "{path}", line 3, in process_scheduled_call'
        assert lines[2].strip() == "raise KeyError('k')"
        assert lines[-1] == "KeyError: 'k'"

    with_bench(body)


def test_a_failed_run_writes_nothing_but_keeps_its_log(with_bench):
    async def body(bench):
        source = """
        def process_scheduled_call(api, t, args):
            api.write(LineBuilder("t").int64_field("f", 1))
            api.info("before")
            raise SystemExit(3)
        """
        outcome = await bench.worker(bench.plugin(source)).run(TICK)
        assert (outcome.error_type, outcome.error_message) == ("SystemExit", "3")
        assert outcome.writes == []
        assert bench.services.logs == [("INFO", "before")]

    with_bench(body)


def test_an_edited_file_is_used_by_the_next_call(with_bench):
    async def body(bench):
        worker = bench.worker(bench.plugin("def process_scheduled_call(a, t, g): a.info('one')"))
        await worker.run(TICK)
        pid = worker.pid
        bench.plugin("def process_scheduled_call(a, t, g): a.info('two')")
        await worker.run(TICK)
        bench.plugin("def process_scheduled_call(a, t, g) a.info('broken')")
        outcome = await worker.run(TICK)
        assert (outcome.failure, outcome.error_type) == ("load", "SyntaxError")
        assert "plugin.py, line 1" in outcome.error_message
        assert [text for _, text in bench.services.logs] == ["one", "two"]
        assert worker.pid == pid

    with_bench(body)


def test_a_missing_entry_point_is_explained(with_bench):
    async def body(bench):
        outcome = await bench.worker(bench.plugin("x = 1")).run(TICK)
        assert outcome.failure == "load"
        assert outcome.error_message == (
            "the process_scheduled_call function is not present in the plugin. Should be defined "
            "as: process_scheduled_call(influxdb3_local, call_time, args=None)"
        )

    with_bench(body)


def test_logs_arrive_while_the_plugin_runs(with_bench):
    async def body(bench):
        source = """
        def process_scheduled_call(api, t, args):
            api.warn("early", 1, None)
            while api.cache.get("go", use_global=True) is None: pass
        """
        worker = bench.worker(bench.plugin(source))
        running = asyncio.create_task(worker.run(TICK))
        await asyncio.wait_for(bench.services.log_seen.wait(), 10)
        assert bench.services.logs == [("WARN", "early 1 None")]
        assert not running.done()
        releaser = bench.plugin(
            "def process_scheduled_call(a, t, g): a.cache.put('go', [1], 60, True)", "go.py"
        )
        assert (await bench.worker(releaser, name="releaser").run(TICK)).ok
        assert (await running).ok

    with_bench(body)


def test_the_cache_keeps_live_objects_of_one_trigger(with_bench):
    async def body(bench):
        source = """
        import threading
        def process_scheduled_call(api, t, args):
            lock = api.cache.get("lock")
            if lock is None:
                lock = threading.Lock()
                lock.acquire()
                api.cache.put("lock", lock)
            api.info(lock.locked(), api.cache.delete("other"))
            try:
                api.cache.put("lock", lock, use_global=True)
            except TypeError as error:
                api.info("cannot go to the global cache" in str(error))
        """
        path = bench.plugin(source)
        for name in ("one", "one", "two"):
            assert (await bench.worker(path, name=name).run(TICK)).ok
        assert [text for _, text in bench.services.logs] == ["True False", "True"] * 3
        assert await bench.host.reap_idle(0) == 0

    with_bench(body)


def test_query_errors_have_a_class_that_plugins_can_name(with_bench):
    async def body(bench):
        async def refuse(sql, params, database):
            assert params == {"n": 1, "s": "x"}
            assert database == "other"
            raise QueryError("table 'nope' not found")

        bench.services.answer_query = refuse
        source = """
        def process_scheduled_call(api, t, args):
            try:
                api.query(query="SELECT $n", args={"n": 1, "s": "x"}, database="other")
            except QueryError as error:
                api.info(type(error).__name__, error)
        """
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        assert bench.services.logs == [("INFO", "QueryError table 'nope' not found")]

    with_bench(body)


def test_synchronous_writes_have_the_hops_of_their_own_run(with_bench):
    async def body(bench):
        source = """
        class One:
            def __init__(self, f):
                self.f = f

            def build(self):
                return f"a f={self.f}"

        def process_writes(api, batches, args):
            api.write_sync(One(api.batch_id))
        """
        worker = bench.worker(bench.plugin(source), kind="wal")
        rows = [("m", [{"f": 1}])]
        for hops in (5, 0):
            job = WritesRun(database="db", inline=rows, batch_id=str(hops), hops=hops)
            assert (await worker.run(job)).ok
        assert [lines for _, lines, _ in bench.services.writes] == [b"a f=5", b"a f=0"]
        assert bench.services.hops == [5, 0]

    with_bench(body)


def test_synchronous_writes_reach_the_server_at_once_and_raise_when_refused(with_bench):
    async def body(bench):
        source = """
        class Two:
            def build(self):
                return "a f=1\\nb f=2"

        def process_scheduled_call(api, t, args):
            api.write_sync(Two(), True)
            api.write_sync_to_db("other", Two(), no_sync=False)
            api.info("written")
        """
        worker = bench.worker(bench.plugin(source))
        assert (await worker.run(TICK)).ok
        lines = b"a f=1\nb f=2"
        assert bench.services.writes == [("db", lines, True), ("other", lines, False)]
        bench.services.write_error = WriteError("no room")
        outcome = await worker.run(TICK)
        assert outcome.error_message == "error writing line protocol to db: Cannot write: no room"
        bench.services.write_error = InvalidNameError("bad!")
        outcome = await worker.run(TICK)
        assert outcome.error_message.endswith("to db: invalid database name: bad!")

    with_bench(body)


def test_buffered_writes_are_grouped_by_database_in_order(with_bench):
    async def body(bench):
        source = """
        def line(number):
            return LineBuilder("t").int64_field("f", number)

        def process_scheduled_call(api, t, args):
            api.write(line(1))
            api.write_to_db("other", line(2))
            api.write(line(3))
            try:
                api.write("t f=1")
            except AttributeError:
                api.info("refused")
        """
        outcome = await bench.worker(bench.plugin(source)).run(TICK)
        assert outcome.writes == [("db", b"t f=1i\nt f=3i"), ("other", b"t f=2i")]
        assert bench.services.logs == [("INFO", "refused")]

    with_bench(body)


def test_calls_of_a_trigger_run_one_after_the_other(with_bench):
    async def body(bench):
        source = """
        running = 0
        def process_scheduled_call(api, t, args):
            count = api.cache.get("running", 0)
            assert count == 0
            api.cache.put("running", 1)
            sum(range(200_000))
            api.cache.put("running", 0)
        """
        worker = bench.worker(bench.plugin(source))
        outcomes = await asyncio.gather(*(worker.run(TICK) for _ in range(5)))
        assert all(outcome.ok for outcome in outcomes)

    with_bench(body)


def test_asynchronous_triggers_overlap_up_to_their_limit(with_bench):
    async def body(bench):
        source = """
        import threading
        import builtins
        if not hasattr(builtins, "shared_barrier"):
            builtins.shared_barrier = threading.Barrier(3)

        def process_scheduled_call(api, t, args):
            shared_barrier.wait(20)
        """
        worker = bench.worker(bench.plugin(source), run_async=True, async_limit=3)
        outcomes = await asyncio.gather(*(worker.run(TICK) for _ in range(6)))
        assert all(outcome.ok for outcome in outcomes), outcomes

    with_bench(body)


def test_children_of_a_worker_die_with_it(with_bench):
    async def body(bench):
        source = """
        import subprocess
        def process_scheduled_call(api, t, args):
            child = subprocess.Popen(["sleep", "600"])
            api.info(child.pid)
            while True: pass
        """
        worker = bench.worker(bench.plugin(source))
        outcome = await worker.run(TICK, timeout_s=1.0)
        assert outcome.failure == "timeout"
        await wait_until_gone(int(bench.services.logs[0][1]))

    with_bench(body)


def test_what_cut_itself_off_from_a_worker_dies_with_it(with_bench):
    async def body(bench):
        source = """
        import os, subprocess, sys
        def process_scheduled_call(api, t, args):
            sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
            own_session = subprocess.Popen(sleep, start_new_session=True)
            if os.fork() == 0:
                daemon = subprocess.Popen(sleep, start_new_session=True)
                open(args["file"], "w").write(str(daemon.pid))
                os._exit(0)
            os.wait()
            api.info(own_session.pid)
            os._exit(1)
        """
        file = bench.directory / "pid"
        worker = bench.worker(bench.plugin(source), arguments={"file": str(file)})
        assert (await worker.run(TICK)).failure == "crash"
        for text in (bench.services.logs[0][1], file.read_text()):
            await wait_until_gone(int(text))

    with_bench(body)


def test_a_fork_bomb_ends_with_its_worker(with_bench):
    async def body(bench):
        source = """
        import os, time
        def process_scheduled_call(api, t, args):
            for _ in range(200):
                if os.fork() == 0:
                    time.sleep(600)
            time.sleep(600)
        """
        quiet = bench.worker(bench.plugin("def process_scheduled_call(a, t, g): pass", "q.py"))
        bomb = bench.worker(bench.plugin(source), name="bomb")
        outcome = await bomb.run(TICK)
        assert outcome.failure == "crash"
        assert outcome.error_message == (
            "the plugin worker was killed because it had more than 40 processes"
        )
        assert (await quiet.run(TICK)).ok

    with_bench(body, processes_max=40)


def test_plugins_give_way_to_the_server(with_bench):
    async def body(bench):
        source = """
        import os
        def process_scheduled_call(api, t, args):
            api.info(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))
        """
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert bench.services.logs == [("INFO", f"{min(own + 7, 19)} {os.SCHED_BATCH}")]

    with_bench(body, nice=7)


def test_a_huge_log_line_is_cut_before_it_reaches_the_server(with_bench):
    async def body(bench):
        source = "def process_scheduled_call(a, t, g): a.info('x' * 50_000_000)"
        assert (await bench.worker(bench.plugin(source)).run(TICK)).ok
        ((_, text),) = bench.services.logs
        assert len(text) < 100_000
        assert text.endswith("50000000 characters]")

    with_bench(body)


def test_a_dead_zygote_is_replaced(with_bench):
    async def body(bench):
        worker = bench.worker(bench.plugin("def process_scheduled_call(a, t, g): pass"))
        assert (await worker.run(TICK)).ok
        zygote_pid, worker_pid = bench.host._zygote.pid, worker.pid
        os.kill(zygote_pid, signal.SIGKILL)
        await wait_until_gone(worker_pid)
        await wait_until(lambda: worker.pid is None)
        assert (await worker.run(TICK)).ok
        assert bench.host._zygote.pid != zygote_pid

    with_bench(body)


def test_runs_that_end_through_no_fault_of_theirs_are_lost_not_crashed(with_bench):
    async def body(bench):
        source = "def process_scheduled_call(a, t, g):\n a.info('in')\n while True: pass"
        path = bench.plugin(source)

        async def begun(**settings):
            before = len(bench.services.logs)
            running = asyncio.create_task(bench.worker(path, **settings).run(TICK))
            await wait_until(lambda: len(bench.services.logs) > before)
            return running

        running = await begun(name="bystander")
        os.kill(bench.host._zygote.pid, signal.SIGKILL)
        assert (await running).failure == "lost"

        settings = {"name": "both", "run_async": True, "async_limit": 2}
        running = await begun(**settings)
        timed_out = await bench.worker(path, **settings).run(TICK, timeout_s=0.3)
        assert timed_out.failure == "timeout"
        assert (await running).failure == "lost"

    with_bench(body)


def test_a_package_plugin_imports_its_modules_and_is_reloaded_when_one_changes(with_bench):
    async def body(bench):
        bench.plugin(
            """
            from . import counting
            from .counting import count
            import my_plugin.counting as by_own_name

            def process_scheduled_call(api, t, args):
                api.info(count(), counting is by_own_name, __name__ != "my_plugin")
            """,
            "my_plugin/__init__.py",
        )
        counting = (
            "number = 0\ndef count():\n    global number\n    number += {}\n    return number\n"
        )
        bench.plugin(counting.format(1), "my_plugin/counting.py")
        worker = bench.worker(bench.directory / "my_plugin")
        await worker.run(TICK)
        await worker.run(TICK)
        bench.plugin(counting.format(5), "my_plugin/counting.py")
        outcome = await worker.run(TICK)
        assert outcome.ok, outcome
        texts = [text for _, text in bench.services.logs]
        assert texts == ["1 True True", "2 True True", "5 True True"]

    with_bench(body)


def test_a_plugin_sees_its_environment(with_bench, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "passes")

    async def body(bench):
        source = """
        import os, time
        def process_scheduled_call(api, t, args):
            try:
                import installed_later
                api.info(installed_later.answer)
            except ImportError:
                api.info("absent", os.environ["TZ"], time.tzname[0], os.environ["SOME_TOKEN"])
            api.info(os.environ["INFLUXDB3_PLUGIN_DIR"], os.environ.get("VIRTUAL_ENV"))
        """
        worker = bench.worker(bench.plugin(source))
        await worker.run(TICK)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = bench.directory / ".venv/lib" / version / "site-packages"
        packages.mkdir(parents=True)
        (packages / "installed_later.py").write_text("answer = 42")
        await worker.run(TICK)
        texts = [text for _, text in bench.services.logs]
        assert texts[0] == "absent UTC UTC passes"
        assert texts[1].startswith(f"{bench.directory} ")
        assert texts[2:] == ["42", f"{bench.directory} {bench.directory}/.venv"]

    with_bench(body)


def test_an_idle_worker_without_cached_objects_is_reaped(with_bench):
    async def body(bench):
        worker = bench.worker(bench.plugin("def process_scheduled_call(a, t, g): pass"))
        await worker.run(TICK)
        pid = worker.pid
        assert await bench.host.reap_idle(3600) == 0
        assert await bench.host.reap_idle(0) == 1
        await wait_until_gone(pid)
        assert (await worker.run(TICK)).ok

    with_bench(body)


def test_stopping_the_host_gives_running_plugins_their_grace(with_bench):
    async def body(bench):
        source = """
        import time
        def process_scheduled_call(api, t, args):
            api.info("in")
            deadline = time.monotonic() + float(args["seconds"])
            while time.monotonic() < deadline: pass
        """
        path = bench.plugin(source)
        quick = bench.worker(path, name="quick", arguments={"seconds": "0.2"})
        slow = bench.worker(path, name="slow", arguments={"seconds": "60"})
        runs = [asyncio.create_task(worker.run(TICK)) for worker in (quick, slow)]
        while len(bench.services.logs) < 2:
            await bench.services.log_seen.wait()
            bench.services.log_seen.clear()
        await bench.host.stop(2)
        outcomes = await asyncio.gather(*runs)
        assert [outcome.failure for outcome in outcomes] == ["", "stopped"]
        assert (await quick.run(TICK)).failure == "stopped"

    with_bench(body)


def test_garbage_on_the_channel_kills_the_worker(with_bench):
    async def body(bench):
        source = (
            "import os\ndef process_scheduled_call(a, t, g):\n os.write(3, b'\\x01\\0\\0\\0\\xff')"
        )
        outcome = await bench.worker(bench.plugin(source)).run(TICK)
        assert outcome.failure == "crash"
        assert "malformed" in outcome.error_message

    with_bench(body)


def test_the_host_works_on_uvloop(with_bench):
    async def body(bench):
        worker = bench.worker(bench.plugin(SEED_REQUEST), kind="request")
        assert (await worker.run(RequestRun(body=b"1"))).ok
        crashing = bench.plugin(
            "import os\ndef process_scheduled_call(a, t, g): os.abort()", "c.py"
        )
        outcome = await bench.worker(crashing, name="c").run(TICK)
        assert "SIGABRT" in outcome.error_message
        looping = bench.plugin("def process_scheduled_call(a, t, g):\n while True: pass", "l.py")
        assert (await bench.worker(looping, name="l").run(TICK, 0.3)).failure == "timeout"

    with_bench(body, runner=uvloop.run)


def test_a_plugin_may_call_the_servers_process_over_a_socket_while_it_runs(with_bench):
    async def body(bench):
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            # The request is served by the very loop that waits for the plugin, and by a plugin.
            inner = await bench.worker(inner_path, kind="request", name="inner").run(RequestRun())
            body = inner.response.body
            writer.write(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            writer.close()

        inner_path = bench.plugin("def process_request(a, q, h, b, g): return 'inner'", "inner.py")
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        source = """
        from urllib.request import urlopen
        def process_scheduled_call(api, t, args):
            api.info(urlopen("http://127.0.0.1:" + args["port"], timeout=60).read().decode())
        """
        outer = bench.worker(bench.plugin(source), arguments={"port": str(port)})
        outcome = await outer.run(TICK)
        assert outcome.ok, outcome
        assert bench.services.logs == [("INFO", "inner")]
        server.close()
        await server.wait_closed()

    with_bench(body)


def test_a_forked_child_of_a_plugin_cannot_answer_in_its_place(with_bench):
    async def body(bench):
        source = """
        import os
        def process_scheduled_call(api, t, args):
            child = os.fork()
            if child == 0:
                api.info("never")
            os.waitpid(child, 0)
            api.info("parent")
        """
        worker = bench.worker(bench.plugin(source))
        assert (await worker.run(TICK)).ok
        assert (await worker.run(TICK)).ok
        assert bench.services.logs == [("INFO", "parent")] * 2

    with_bench(body)


def test_a_changed_trigger_gets_a_new_worker(with_bench):
    async def body(bench):
        path = bench.plugin("def process_scheduled_call(a, t, args): a.info(args['k'])")
        old = bench.worker(path, arguments={"k": "1"})
        assert bench.worker(path, arguments={"k": "1"}) is old
        await old.run(TICK)
        new = bench.worker(path, arguments={"k": "2"})
        await new.run(TICK)
        assert (await old.run(TICK)).failure == "stopped"
        await new.close()
        reopened = bench.worker(path, arguments={"k": "2"})
        await reopened.run(TICK)
        assert bench.services.logs == [("INFO", "1"), ("INFO", "2"), ("INFO", "2")]

    with_bench(body)


SERVER = """
import asyncio, sys
from pathlib import Path
from engine.plugins.channel import ScheduleRun
from tests.unit.plugins.conftest import open_bench

async def main():
    async with open_bench(Path(sys.argv[1])) as bench:
        worker = bench.worker(bench.plugin(
            "def process_scheduled_call(a, t, g):\\n a.info('in')\\n while True: pass"
        ))
        run = asyncio.create_task(worker.run(ScheduleRun(time_ns=0)))
        await bench.services.log_seen.wait()
        print(bench.host._zygote.pid, worker.pid, flush=True)
        await run

asyncio.run(main())
"""


def test_plugin_processes_end_with_a_server_that_is_killed(tmp_path):
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        pids = [int(word) for word in server.stdout.readline().split()]
        server.kill()
    assert len(pids) == 2
    for pid in pids:
        asyncio.run(wait_until_gone(pid))


def test_the_api_has_exactly_the_public_names_that_plugins_know(with_bench):
    async def body(bench):
        source = """
        def process_scheduled_call(api, t, args):
            api.info(*(name for name in dir(api) if not name.startswith("_")))
            api.info(api.batch_id)
        """
        await bench.worker(bench.plugin(source)).run(msgspec.structs.replace(TICK, batch_id="b-1"))
        names = (
            "batch_id cache error info query state warn "
            "write write_sync write_sync_to_db write_table write_to_db"
        )
        assert bench.services.logs == [("INFO", names), ("INFO", "b-1")]

    with_bench(body)
