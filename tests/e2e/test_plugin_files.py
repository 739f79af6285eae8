"""Plugin code: fetched, uploaded, replaced, listed; over HTTP and by the command."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.file_server import FileServer
from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e


def request_plugin(text: str) -> str:
    return f"def process_request(api, query, headers, body, args):\n    return {text!r}\n"


def sent(server: ServerProcess, method: str, path: str, content: object) -> Answer:
    body = json.dumps(content).encode()
    return server.request(method, path, body, headers={"Content-Type": "application/json"})


def called(server: ServerProcess, path: str) -> str:
    answer = server.request("GET", f"/api/v3/engine/{path}")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def listed(server: ServerProcess) -> list[dict[str, object]]:
    shown = server.cli("show", "plugins", "--format", "json")
    assert shown.returncode == 0, shown.stderr
    rows: list[dict[str, object]] = json.loads(shown.stdout)
    return rows


def test_fetched_code_is_pinned_until_it_is_updated(
    make_server: Callable[..., ServerProcess],
) -> None:
    with FileServer().running() as web:
        web.files["/main/examples/p.py"] = request_plugin("one").encode()
        server = make_server("--plugin-repo", f"{web.url}/main").start()
        server.cli("create", "database", "db")
        created = server.cli(
            *("create", "trigger", "-d", "db", "--trigger-spec", "request:p"),
            *("--plugin-filename", "gh:examples/p.py", "fetched"),
        )
        assert created.returncode == 0, created.stderr
        assert called(server, "p") == "one"
        web.files["/main/examples/p.py"] = request_plugin("two").encode()
        assert called(server, "p") == "one"
        server.kill()
        server.start()
        assert called(server, "p") == "one"
        assert web.requests == ["/main/examples/p.py"]

        updated = server.cli("update", "trigger", "-d", "db", "fetched")
        assert updated.stdout == "Trigger 'fetched' updated successfully\n", updated.stderr
        assert called(server, "p") == "two"
        (row,) = listed(server)
        assert (row["plugin_name"], row["file_name"]) == ("fetched", "p.py")

        web.files["/main/examples/p.py"] = b"def process_request(:\n"
        refused = server.cli("update", "trigger", "-d", "db", "-t", "fetched")
        assert refused.returncode == 1
        assert "SyntaxError" in refused.stderr
        web.files.clear()
        missing = server.create_trigger("db", "x", "request:x", "gh:none.py")
        assert missing.status == 502
        assert "404 Not Found" in missing.json()["error"]
    server.kill()
    server.start()  # without the repository
    assert called(server, "p") == "two"


def test_upload_creates_what_the_trigger_runs(server: ServerProcess, tmp_path: Path) -> None:
    local = tmp_path / "local"
    (local / "pack").mkdir(parents=True)
    (local / "pack" / "__init__.py").write_text(
        "from .inner import answer\n"
        "from pack.inner import answer as same\n"
        "assert answer is same\n"
        "def process_request(api, query, headers, body, args):\n    return answer\n"
    )
    (local / "pack" / "inner.py").write_text("answer = 'from the package'\n")
    (local / "pack" / "notes.txt").write_text("not uploaded")
    (local / "single.py").write_text(request_plugin("single"))
    server.cli("create", "database", "db")
    for name in ("single.py", "pack"):
        created = server.cli(
            *("create", "trigger", "-d", "db", "--trigger-spec", f"request:{name}", "--upload"),
            *("--path", str(local / name), f"t-{name}"),
        )
        assert created.returncode == 0, created.stderr
    assert called(server, "single.py") == "single"
    assert called(server, "pack") == "from the package"
    assert not (server.plugin_dir / "pack" / "notes.txt").exists()
    rows = listed(server)
    assert [(row["plugin_name"], row["file_name"]) for row in rows] == [
        ("t-pack", "__init__.py"),
        ("t-pack", "inner.py"),
        ("t-single.py", "single.py"),
    ]
    assert rows[2]["size_bytes"] == (local / "single.py").stat().st_size

    (local / "pack" / "inner.py").write_text("answer = 'replaced'\n")
    (local / "single.py").write_text(request_plugin("changed"))
    for name in ("single.py", "pack"):
        updated = server.cli(
            "update", "trigger", "-d", "db", "-t", f"t-{name}", "-p", str(local / name)
        )
        assert updated.returncode == 0, updated.stderr
    assert called(server, "single.py") == "changed"
    assert called(server, "pack") == "replaced"


def test_files_and_packages_over_http(server: ServerProcess) -> None:
    files, directory = "/api/v3/plugins/files", "/api/v3/plugins/directory"
    server.cli("create", "database", "db")
    body = {"plugin_name": "deep/p.py", "content": request_plugin("one")}
    assert sent(server, "POST", files, body).status == 200
    assert server.create_trigger("db", "t", "request:p", "deep/p.py").status == 200
    assert called(server, "p") == "one"

    replaced = {"plugin_name": "t", "content": request_plugin("two")}
    assert sent(server, "PUT", f"{files}?db=db", replaced).status == 200
    assert called(server, "p") == "two"
    without_entry = {"plugin_name": "t", "content": "x = 1\n"}
    refused = sent(server, "PUT", files, without_entry)
    assert refused.status == 400
    assert "process_request function is not present" in refused.json()["error"]
    assert called(server, "p") == "two"

    raw = server.request("PUT", f"{files}?path=deep/p.py", request_plugin("three").encode())
    assert raw.status == 200
    assert called(server, "p") == "three"

    package = {
        "plugin_name": "t",
        "files": [{"relative_path": "__init__.py", "content": request_plugin("x")}],
    }
    single = sent(server, "PUT", directory, package)
    assert (single.status, single.json()["code"]) == (400, "plugin_error")
    assert sent(server, "PUT", files, {**replaced, "plugin_name": "none"}).status == 404
    assert sent(server, "PUT", f"{files}?db=none", replaced).status == 404
    server.cli("create", "database", "other")
    assert server.create_trigger("other", "t", "request:other", "deep/p.py").status == 200
    ambiguous = sent(server, "PUT", files, replaced)
    assert ambiguous.status == 400
    assert "db, other" in ambiguous.json()["error"]


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "link/x.py", ".venv/x.py"])
def test_uploads_stay_in_the_plugin_directory(
    server: ServerProcess, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (server.plugin_dir / "link").symlink_to(outside)
    body = {"plugin_name": name, "content": "x = 1"}
    answer = sent(server, "POST", "/api/v3/plugins/files", body)
    assert (answer.status, answer.json()["code"]) == (400, "plugin_path")
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "x.py").exists()


def test_a_trigger_may_not_run_code_outside_of_the_plugin_directory(
    server: ServerProcess, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "pack").mkdir(parents=True)
    (outside / "p.py").write_text(request_plugin("x"))
    (outside / "pack" / "__init__.py").write_text(request_plugin("x"))
    (server.plugin_dir / "p.py").symlink_to(outside / "p.py")
    (server.plugin_dir / "link").symlink_to(outside)
    (server.plugin_dir / "own").mkdir()
    (server.plugin_dir / "own" / "__init__.py").write_text(request_plugin("x"))
    (server.plugin_dir / "own" / "inner.py").symlink_to(outside / "p.py")
    server.cli("create", "database", "db")
    for name in ("p.py", "link/p.py", "link/pack", "own", "../outside/p.py", str(outside / "p.py")):
        answer = server.create_trigger("db", "t", "request:t", name)
        assert (answer.status, answer.json()["code"]) == (400, "plugin_path"), name


def test_the_plugin_directory_is_created_when_absent(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server()
    server.plugin_dir = tmp_path / "not" / "yet"
    server.start()
    assert server.plugin_dir.is_dir()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def process_request(:\n", "SyntaxError"),
        ("return 5\n", "SyntaxError"),
        ("x = 1\n", "process_request function is not present"),
        ("async def process_request(a, b, c, d, e):\n    pass\n", "async def"),
    ],
)
def test_code_that_cannot_run_is_refused_when_the_trigger_is_created(
    server: ServerProcess, source: str, reason: str
) -> None:
    server.plugin("p.py", source)
    server.cli("create", "database", "db")
    answer = server.create_trigger("db", "t", "request:t", "p.py")
    assert answer.status == 400
    assert reason in answer.json()["error"]
    assert server.cli("show", "triggers", "--format", "json").stdout.strip() == "[]"


def test_an_edit_takes_effect_at_the_next_run_also_with_an_older_time(
    server: ServerProcess,
) -> None:
    """A copy that keeps the time of an older original must not go unnoticed."""
    import os

    server.plugin("p.py", request_plugin("one"))
    server.plugin("pack/__init__.py", "from .m import process_request\n")
    server.plugin("pack/m.py", request_plugin("one"))
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "t", "request:p", "p.py").status == 200
    assert server.create_trigger("db", "u", "request:pack", "pack").status == 200
    for text in ("one", "two"):
        for name in ("p.py", "pack/m.py"):
            path = server.plugin_dir / server.plugin(name, request_plugin(text))
            os.utime(path, (1, 1))
        assert called(server, "p") == text
        assert called(server, "pack") == text


def test_an_update_does_not_reach_another_trigger_of_the_same_name(
    make_server: Callable[..., ServerProcess],
) -> None:
    """The code is fetched for some time; meanwhile the trigger may be another one."""
    with FileServer().running() as web:
        web.files["/p.py"] = request_plugin("p").encode()
        web.files["/q.py"] = request_plugin("q").encode()
        server = make_server("--plugin-repo", web.url).start()
        server.cli("create", "database", "db")
        assert server.create_trigger("db", "t", "request:p", "gh:p.py").status == 200
        web.trickling.add("/p.py")
        with ThreadPoolExecutor(1) as pool:
            updating = pool.submit(server.cli, "update", "trigger", "-d", "db", "t")
            wait_for(lambda: web.requests.count("/p.py") == 2, "the update fetches")
            assert server.cli("delete", "trigger", "-d", "db", "t", "--force").returncode == 0
            assert server.create_trigger("db", "t", "request:q", "gh:q.py").status == 200
            result = updating.result()
        assert result.returncode == 1
        assert "not found" in result.stderr
        assert called(server, "q") == "q"
