"""Secrets of trigger arguments: there for the plugin, and nowhere to be seen."""

import json
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

VALUE = "hunter2-hunter2"
PLUGIN = """
def process_request(api, query, headers, body, args):
    if "fail" in query:
        api.info("the word is", args["word"], [args["word"]])
        raise ValueError("cannot use " + args["word"])
    return str(len(args["word"])) + args["plain"]
"""


def prepared(make_server: Callable[..., ServerProcess], **settings: object) -> ServerProcess:
    server = make_server().start()
    server.plugin("p.py", PLUGIN)
    server.cli("create", "database", "db")
    stored = server.cli("create", "secret", "word", stdin=f"{VALUE}\n")
    assert (stored.returncode, stored.stdout) == (0, "Secret word stored\n"), stored.stderr
    arguments = {"word": "secret:word", "plain": "!"}
    created = server.create_trigger("db", "t", "request:p", "p.py", arguments=arguments, **settings)
    assert created.status == 200, created.body
    return server


def test_the_plugin_gets_the_value_and_nobody_else(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = prepared(make_server, error_behavior="disable")
    assert server.request("GET", "/api/v3/engine/p").body == b"15!"
    server.kill()
    server.start()
    assert server.request("GET", "/api/v3/engine/p").body == b"15!"

    seen = [server.request("GET", "/api/v3/engine/p?fail=1").body.decode()]
    assert "cannot use ***" in seen[0]
    wait_for(
        lambda: server.query("db", "SELECT * FROM system.processing_engine_triggers")[0][
            "disabled"
        ],
        "the trigger is disabled",
    )
    seen += [
        json.dumps(server.query("db", f"SELECT * FROM system.processing_engine_{table}"))
        for table in ("logs", "triggers", "trigger_arguments")
    ]
    assert "the word is *** ['***']" in seen[1]
    assert "secret:word" in seen[-1]
    seen += [server.cli(*words).stdout for words in (("show", "triggers"), ("show", "secrets"))]
    seen.append(server.log_text)
    logs = (server.data_dir / "node0" / "plugin-logs").glob("*")
    seen += [path.read_text() for path in logs]
    assert not [text for text in seen if VALUE in text]


def test_a_changed_secret_counts_from_the_next_run_on(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = prepared(make_server)
    assert server.request("GET", "/api/v3/engine/p").body == b"15!"
    assert server.cli("create", "secret", "word", stdin="four").returncode == 0
    assert server.request("GET", "/api/v3/engine/p").body == b"4!"
    assert server.cli("delete", "secret", "word").returncode == 0
    gone = server.request("GET", "/api/v3/engine/p")
    assert (gone.status, "no secret 'word'" in gone.json()["error"]) == (500, True)


def test_a_trigger_that_names_no_secret_is_refused(server: ServerProcess) -> None:
    server.plugin("p.py", PLUGIN)
    server.cli("create", "database", "db")
    refused = server.create_trigger(
        "db", "t", "request:p", "p.py", arguments={"word": "secret:nix"}
    )
    assert (refused.status, refused.json()["code"]) == (400, "secret_not_found")
    assert server.cli("delete", "secret", "nix").returncode == 1
    assert server.cli("create", "secret", "../x", stdin="value").returncode == 1
    assert server.cli("create", "secret", "empty", stdin="").returncode == 1


def test_a_dry_run_hides_them_too(make_server: Callable[..., ServerProcess]) -> None:
    server = prepared(make_server)
    tried = server.cli(
        *("test", "request_plugin", "-d", "db", "--query", "fail=1"),
        *("--input-arguments", "word=secret:word,plain=x", "p.py"),
    )
    assert tried.returncode == 0, tried.stderr
    assert "cannot use ***" in tried.stdout
    assert VALUE not in tried.stdout
