"""The unit, the image and the dashboard name what there is, and their commands run."""

import configparser
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.serve_options import OPTIONS
from tests.support.server import ROOT, ServerProcess, free_port

UNIT = ROOT / "deploy" / "systemd" / "headrace.service"
SETTINGS = ROOT / "deploy" / "systemd" / "headrace.toml"
DASHBOARD = ROOT / "examples" / "grafana" / "dashboards" / "headrace.json"
DATASOURCES = ROOT / "examples" / "grafana" / "provisioning" / "datasources" / "headrace.yaml"

MakeServer = Callable[..., ServerProcess]


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.e2e
def test_the_command_of_the_unit_runs_and_tells_systemd(tmp_path: Path) -> None:
    unit = service()
    assert unit["Type"] == "notify"
    words = shlex.split(unit["ExecStart"])
    assert words[:2] == ["/opt/headrace/bin/headrace", "serve"]
    places = {"%S": str(tmp_path), "/etc/headrace/headrace.toml": str(SETTINGS)}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    server = ServerProcess(tmp_path)
    command = [
        sys.executable,
        "-m",
        "engine",
        *words[1:],
        "--http-bind",
        f"127.0.0.1:{server.port}",
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        environment = {**server.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with server.log_file.open("wb") as log:
            server.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            assert systemd.recv(100) == b"READY=1"
            assert server.request("GET", "/health").status == 200
            assert server.stop(timeout_s=float(unit["TimeoutStopSec"])) == 0
            assert systemd.recv(100) == b"STOPPING=1"
        finally:
            server.kill()
    assert (tmp_path / unit["StateDirectory"]).is_dir()


def test_the_unit_gives_few_rights() -> None:
    unit = service()
    for key, value in {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
        "UMask": "0077",
        "StateDirectoryMode": "0700",
    }.items():
        assert unit[key] == value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "headrace.service"
    # It checks that the program is there.
    copy.write_text(UNIT.read_text().replace("/opt/headrace/bin/headrace", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "headrace.service" not in checked.stderr
    assert checked.returncode == 0, checked.stderr


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines]


def last_stage() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in instructions():
        if name == "FROM":
            found = {}
        found[name] = value
    return found


def test_the_image_runs_as_nobody_special_and_keeps_its_data() -> None:
    stages = [value for name, value in instructions() if name == "FROM"]
    assert len(stages) == 2
    assert {stage.split()[0] for stage in stages} == {stages[1]}, "both stages need one Python"
    last = last_stage()
    assert int(last["USER"]) > 0
    # The shell of the last stage runs nothing that fetches.
    assert "apt-get" not in last["RUN"]
    assert json.loads(last["ENTRYPOINT"]) + json.loads(last["CMD"]) == ["headrace", "serve"]
    known = {name for option in OPTIONS for name in option.environment}
    variables = dict(part.split("=", 1) for part in shlex.split(last["ENV"]))
    assert {name for name in variables if name.startswith("HEADRACE_")} <= known
    for name in ("HEADRACE_DATA_DIR", "HEADRACE_PLUGIN_DIR"):
        assert Path(last["VOLUME"]) in Path(variables[name]).parents
    assert variables["HEADRACE_HTTP_BIND"].endswith(f":{last['EXPOSE']}")


def test_the_image_is_built_of_what_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        word
        for name, value in instructions()
        if name == "COPY" and "--from" not in value
        for word in value.split()[:-1]
    ]
    assert {"pyproject.toml", "setup.py", "src", "README.md", "LICENSE"} == {
        word.removeprefix("./") for word in copied
    }
    for word in copied:
        assert (ROOT / word).exists()
        assert f"!{word}" in ignored


@pytest.mark.e2e
def test_the_health_check_of_the_image_tells_life_from_death(
    shared_server: ServerProcess,
) -> None:
    command = json.loads(last_stage()["HEALTHCHECK"].split("CMD", 1)[1])
    code = command[-1].replace(":8181/", f":{shared_server.port}/")
    assert code != command[-1]

    def check(code: str) -> int:
        return subprocess.run(
            [sys.executable, *command[1:-1], code], capture_output=True, check=False, timeout=60
        ).returncode

    assert check(code) == 0
    assert check(command[-1].replace(":8181/", f":{free_port()}/")) != 0


@pytest.mark.e2e
def test_the_image_opens_nothing_to_strangers(make_server: MakeServer) -> None:
    server = make_server("--http-bind", f"0.0.0.0:{free_port()}").start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) == 1
    assert "there is no admin token" in server.log_text


def targets(panels: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels:
        for target in panel.get("targets", []):
            yield panel["title"], target


@pytest.mark.e2e
def test_the_dashboard_names_metrics_that_exist(shared_server: ServerProcess) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    text = shared_server.request("GET", "/metrics").body.decode()
    known: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        suffixes = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        known |= {f"{name}{suffix}" for suffix in suffixes}
    shown: set[str] = set()
    for title, target in targets(dashboard["panels"]):
        names = set(re.findall(r"\b(?:headrace|process)_\w+", target["expr"]))
        assert names, title
        assert names <= known, title
        # A rate of something that does not only grow, or a growing number as such, says nothing.
        for name in names:
            grows = name.endswith(("_total", "_bucket", "_count", "_cpu_seconds"))
            assert f"rate({name}" in target["expr"] if grows else "rate(" not in target["expr"]
        shown |= names
    # What there is and nobody sees: only numbers that belong to others, or tell of themselves.
    rest = {name for name in known - shown if not name.endswith(("_sum", "_count", "_bucket"))}
    assert rest == {
        "headrace_build_info",  # the list of jobs
        "headrace_databases",
        "headrace_parquet_files",
        "headrace_persisted_position",
        "headrace_tables",
        "headrace_trigger_retries_total",
        "headrace_trigger_state_conflicts_total",
        "headrace_triggers",
        "headrace_wal_position",
        "headrace_wal_written_bytes_total",
        "process_start_time_seconds",
    }


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    identities = [panel["id"] for panel in panels]
    assert len(set(identities)) == len(identities)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    provisioned = set(re.findall(r"^ +uid: (\S+)$", DATASOURCES.read_text(), re.MULTILINE))
    for title, target in targets(panels):
        assert target["datasource"]["uid"] in provisioned, title
    path = ROOT / "examples" / "grafana" / "README.md"
    variables = set(re.findall(r"\$(\w+)", DATASOURCES.read_text())) - {"NAMES"}
    for name in variables:
        assert f"{name}=" in path.read_text()
