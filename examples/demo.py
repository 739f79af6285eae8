"""The main job of Headrace on real input, in one terminal.

Starts a server of its own on this machine, writes a file of line protocol, lets three plugins work
on it and on the machine's own figures, and prints what happens. Ends with Ctrl-C, or after
DEMO_SECONDS seconds; the exit status is 0 only if every step was seen to work.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEMO_DIR = Path(os.environ.get("DEMO_DIR") or HERE.parent / ".demo")
DATABASE = "demo"
WEATHER_FILE = HERE / "data" / "weather.lp"
START_SECONDS_MAX = 30
STEP_SECONDS_MAX = 15
ROWS_SHOWN_EVERY_S = 5

BOLD, DIM, GREEN, RED, RESET = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m")
    if sys.stdout.isatty()
    else ("", "", "", "", "")
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Demo:
    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.headrace = str(Path(sys.executable).with_name("headrace"))
        self.environment = {**os.environ, "HEADRACE_HOST_URL": self.url}
        self.server = None
        self.steps = {}

    # What the demo does

    def run(self, seconds):
        self.start_server()
        self.create_database()
        self.create_triggers()
        self.write_file()
        self.query_file()
        self.see_plugins_work()
        self.print_commands()
        self.watch(seconds)

    def start_server(self):
        shutil.rmtree(DEMO_DIR, ignore_errors=True)
        DEMO_DIR.mkdir()
        self.headline("Starting a server with a data directory of its own")
        command = [
            self.headrace,
            "serve",
            "--data-dir",
            str(DEMO_DIR / "data"),
            "--node-id",
            "demo",
        ]
        command += ["--plugin-dir", str(HERE / "plugins"), "--http-bind", f"127.0.0.1:{self.port}"]
        self.say("$ headrace " + " ".join(self.short(part) for part in command[1:]))
        with (DEMO_DIR / "server.log").open("wb") as log:
            self.server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        self.step("the server answers", self.poll(self.is_up, START_SECONDS_MAX))

    def is_up(self):
        if self.server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def create_database(self):
        self.headline("A database")
        self.step("the database exists", self.command("create", "database", DATABASE))

    def create_triggers(self):
        self.headline(
            "Three triggers: on a schedule, on every flush of the log, on an HTTP request"
        )
        for name, spec, plugin in [
            ("machine", "every:1s", "system_metrics.py"),
            ("aggregate", "all_tables", "aggregate_writes.py"),
            ("summary", "request:summary", "summary.py"),
        ]:
            arguments = ["create", "trigger", "--trigger-spec", spec, "--plugin-filename", plugin]
            done = self.command(*arguments, "--database", DATABASE, name)
            self.step(f"trigger {name} exists", done)

    def write_file(self):
        self.headline("A file of line protocol: daily weather")
        with WEATHER_FILE.open() as lines:
            self.say(f"first line: {next(lines).strip()}")
        done = self.command(
            "write", "--database", DATABASE, "--file", self.short(str(WEATHER_FILE))
        )
        self.step("the file is written and durable", done)

    def query_file(self):
        self.headline("SQL over it")
        sql = (
            "SELECT location, date_trunc('year', time) AS year, count(*) AS days, "
            "avg(temp_avg) AS temp, max(temp_max) AS warmest FROM weather "
            "GROUP BY location, year ORDER BY location, year LIMIT 6"
        )
        rows = self.query(sql)
        self.show_table(sql)
        count = self.query("SELECT count(*) AS n FROM weather")
        expected = sum(1 for line in WEATHER_FILE.open() if line.strip())
        self.step(
            f"all {expected} rows of the file come back", bool(rows) and count == [{"n": expected}]
        )

    def see_plugins_work(self):
        self.headline("The plugins at work")
        machine = self.poll(
            lambda: self.query("SELECT count(*) AS n FROM cpu HAVING count(*) >= 2")
        )
        self.step("the schedule trigger writes this machine's figures", machine)
        self.show_table("SELECT time, host, percent, load_1m FROM cpu ORDER BY time DESC LIMIT 2")
        weather = (
            "SELECT sum(row_count) AS n FROM write_summary "
            "WHERE table_name = 'weather' AND field_name = 'temp_avg'"
        )
        expected = [{"n": sum(1 for line in WEATHER_FILE.open() if line.strip())}]
        aggregated = self.poll(lambda: self.query(weather) == expected)
        self.step("the WAL trigger has aggregated every row of the file, once", aggregated)
        self.show_table(
            "SELECT table_name, field_name, row_count, minimum, mean, maximum FROM write_summary "
            "WHERE table_name = 'weather' ORDER BY field_name"
        )
        answer = self.get("/api/v3/engine/summary?table=weather")
        self.say(f"$ curl '{self.url}/api/v3/engine/summary?table=weather'")
        self.say(json.dumps(answer)[:200] + " …")
        self.step(
            "the request trigger answers with a summary", bool(answer and answer.get("columns"))
        )
        logs = self.query("SELECT trigger_name FROM system.processing_engine_logs")
        self.show_table(
            "SELECT event_time, trigger_name, log_level, log_text FROM system.processing_engine_logs "
            "WHERE log_text LIKE '%aggregated%' OR log_text LIKE '%sent%' ORDER BY event_time DESC LIMIT 3"
        )
        names = {row["trigger_name"] for row in logs or []}
        self.step(
            "the log lines of all three can be queried",
            names == {"machine", "aggregate", "summary"},
        )

    def print_commands(self):
        self.headline("Try it from another terminal")
        quoted = urllib.parse.quote_plus("SELECT * FROM cpu ORDER BY time DESC LIMIT 3")
        for line in [
            f"export HEADRACE_HOST_URL={self.url}",
            f"{self.short(self.headrace)} query --database {DATABASE} 'SHOW TABLES'",
            f"{self.short(self.headrace)} write --database {DATABASE} 'room,name=lab temp=21.5'",
            f"{self.short(self.headrace)} show triggers",
            f"curl '{self.url}/api/v3/query_sql?db={DATABASE}&format=pretty&q={quoted}'",
            f"curl '{self.url}/api/v3/write_lp?db={DATABASE}' --data-binary 'room,name=lab temp=21.5'",
            f"curl '{self.url}/api/v3/engine/summary'",
            f"curl '{self.url}/metrics'",
        ]:
            print(f"  {line}")

    def watch(self, seconds):
        until = "until Ctrl-C" if seconds is None else "until the time is over"
        self.headline(f"What arrives, every {ROWS_SHOWN_EVERY_S} seconds, {until}")
        end = None if seconds is None else self.started + seconds
        while end is None or time.monotonic() < end:
            pause = (
                ROWS_SHOWN_EVERY_S
                if end is None
                else min(ROWS_SHOWN_EVERY_S, end - time.monotonic())
            )
            time.sleep(max(pause, 0))
            if self.server.poll() is not None:
                self.step("the server keeps running", False)
                return
            rows = self.query(
                "SELECT c.time AS time, c.percent AS cpu, m.percent AS memory, n.received_bytes AS received "
                "FROM cpu c JOIN memory m ON c.time = m.time JOIN network n ON c.time = n.time "
                "ORDER BY c.time DESC LIMIT 1"
            )
            summary = self.query("SELECT count(*) AS n, sum(row_count) AS rows FROM write_summary")
            if rows and summary:
                row, total = rows[0], summary[0]
                print(
                    f"  {row['time']}  cpu {row['cpu']:5.1f} %  memory {row['memory']:5.1f} %  "
                    f"received {row['received'] / 1e6:9.1f} MB   {DIM}{total['rows']} values aggregated in "
                    f"{total['n']} rows{RESET}"
                )

    def finish(self):
        if self.server is not None and self.server.poll() is None:
            self.headline("Stopping the server")
            self.server.send_signal(signal.SIGTERM)
            try:
                self.step("the server stops in order", self.server.wait(15) == 0)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.step("the server stops in order", False)
        failed = [name for name, worked in self.steps.items() if not worked]
        if failed or len(self.steps) < 12:
            print(
                f"\n{RED}Not everything worked:{RESET} {', '.join(failed) or 'steps are missing'}"
            )
            print(f"The server's log: {self.short(str(DEMO_DIR / 'server.log'))}")
            return 1
        print(f"\n{GREEN}All {len(self.steps)} steps worked.{RESET}")
        return 0

    # How it does it

    @staticmethod
    def poll(probe, seconds=STEP_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        while not (found := probe()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return bool(found)

    def command(self, *arguments):
        self.say("$ headrace " + " ".join(arguments))
        done = subprocess.run(
            [self.headrace, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            cwd=HERE.parent,
            stdin=subprocess.DEVNULL,
        )
        for line in (done.stdout + done.stderr).splitlines():
            self.say(line)
        return done.returncode == 0

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def query(self, sql):
        return self.get("/api/v3/query_sql?" + urllib.parse.urlencode({"db": DATABASE, "q": sql}))

    def show_table(self, sql):
        self.say(sql)
        parameters = urllib.parse.urlencode({"db": DATABASE, "q": sql, "format": "pretty"})
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v3/query_sql?{parameters}", timeout=10
            ) as answer:
                print(
                    "".join(f"  {line}\n" for line in answer.read().decode().splitlines()), end=""
                )
        except urllib.error.HTTPError as error:
            print(f"  {error.read().decode()}")

    def headline(self, text):
        print(f"\n{BOLD}{text}{RESET}", flush=True)

    def say(self, text):
        print(f"  {DIM}{text}{RESET}", flush=True)

    def step(self, name, worked):
        self.steps[name] = bool(worked)
        mark = f"{GREEN}ok{RESET}" if worked else f"{RED}FAILED{RESET}"
        print(f"  [{mark}] {name}", flush=True)
        if not worked and self.server is not None and self.server.poll() is not None:
            raise SystemExit(self.finish())

    @staticmethod
    def short(path):
        try:
            return str(Path(path).relative_to(HERE.parent))
        except ValueError:
            return path


def main():
    demo = Demo()
    demo.started = time.monotonic()
    text = os.environ.get("DEMO_SECONDS")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo.run(float(text) if text else None)
    except KeyboardInterrupt:
        print()
    return demo.finish()


if __name__ == "__main__":
    sys.exit(main())
