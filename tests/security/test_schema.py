"""schemathesis on /openapi.json: whatever the description allows or forbids, no request is an error of the server.

HEADRACE_SCHEMA_EXAMPLES=n tries more requests of each kind; the seed is fixed, so that a failure can be repeated.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import ROOT, ServerProcess

pytestmark = pytest.mark.e2e

EXAMPLES = int(os.environ.get("HEADRACE_SCHEMA_EXAMPLES", "1"))

# What a description cannot promise, or what the API does otherwise on purpose.
NOT_CHECKED = {
    "positive_data_acceptance": "names and statements of the right form may be of nothing that exists",
    "unsupported_method": "a wrong method is 404 like a wrong path, as clients of the reference expect",
    "ignored_auth": "test_rights_of_routes.py has each route; wrong tokens are slowed, which takes minutes here",
}

PLUGIN = """
def process_writes(api, batches, args=None):
    api.info("written")
def process_scheduled_call(api, time, args=None):
    api.info("called")
def process_request(api, query, headers, body, args=None):
    return {"bytes": len(body or b"")}
"""


def ready(server: ServerProcess, token: str | None = None) -> None:
    """Give the server what the requests are about."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    server.plugin("p.py", PLUGIN)
    lines = b'cpu,host=a usage=1.5,n=3i,s="x",b=true 1700000000000000000\n'
    parameters = {"db": "db"}
    answer = server.request(
        "POST", "/api/v3/write_lp", lines, headers=headers, parameters=parameters
    )
    assert answer.status == 204
    made = server.cli(
        *("create", "trigger", "-d", "db", "--trigger-spec", "request:r"), *("--path", "p.py", "t")
    )
    assert made.returncode == 0, made.stderr


def run(server: ServerProcess, phases: str, *flags: str, directory: Path) -> None:
    """Run schemathesis; its report is the failure's message."""
    finished = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("st")), "run", f"{server.url}/openapi.json"),
            *("--phases", phases, "--max-examples", str(EXAMPLES), "--seed", "20"),
            "--generation-deterministic",
            *("--continue-on-failure", "--exclude-checks", ",".join(NOT_CHECKED), "--no-color"),
            *("--request-timeout", "60", "--suppress-health-check", "all", *flags),
        ],
        capture_output=True,
        text=True,
        cwd=directory,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.support.schema_hooks",
            "PYTHONPATH": str(ROOT),
        },
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Tested: " in finished.stdout


def errors_of(server: ServerProcess, token: str | None = None) -> list[str]:
    """Answers of 500 and above that the server has counted."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    text = server.request("GET", "/metrics", headers=headers).body.decode()
    return [line for line in text.splitlines() if 'status="5' in line]


@pytest.mark.timeout(60 * 60)
def test_no_request_is_an_error_of_an_open_server(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server("--without-auth", "--disable-package-management").start()
    ready(server)
    run(server, "examples,coverage,fuzzing,stateful", directory=tmp_path)
    assert errors_of(server) == []
    assert "request failed" not in server.log_text
    assert server.stop() == 0


@pytest.mark.timeout(60 * 60)
def test_no_request_is_an_error_of_a_server_with_tokens(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server("--disable-package-management").start()
    made = server.cli("create", "token", "--admin", "--format", "json")
    token = json.loads(made.stdout)["token"]
    server.environment["HEADRACE_AUTH_TOKEN"] = token
    ready(server, token)
    # A regenerated token is a wrong one from then on.
    flags = ("--exclude-path", "/api/v3/configure/token/admin/regenerate")
    header = ("--header", f"Authorization: Bearer {token}")
    run(server, "fuzzing", *flags, *header, directory=tmp_path)
    assert errors_of(server, token) == []
    assert "request failed" not in server.log_text
    assert token not in server.log_text
    assert server.stop() == 0
