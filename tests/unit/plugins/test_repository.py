"""Where plugin code comes from."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import (
    PluginFetchError,
    PluginLoadError,
    PluginNotFoundError,
    PluginPathError,
)
from engine.filesystem import FileSystem
from engine.plugins import repository
from engine.plugins.repository import PluginRepository
from tests.support.file_server import FileServer

REQUEST = b"def process_request(api, query, headers, body, args):\n    return 'one'\n"


@pytest.fixture
def web() -> Iterator[FileServer]:
    with FileServer().running() as server:
        yield server


def make(tmp_path: Path, url: str = "http://127.0.0.1:9/") -> PluginRepository:
    (tmp_path / "plugins").mkdir(exist_ok=True)
    return PluginRepository(tmp_path / "plugins", tmp_path / "fetched", FileSystem(), url)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_file_is_fetched_checked_and_stored_under_its_hash(tmp_path, web, slash):
    web.files["/main/a%20b/plugin.py"] = REQUEST
    code = make(tmp_path, f"{web.url}/main{slash}")
    found = code.obtain("gh:a b/plugin.py", "request")
    assert found.digest == hashlib.sha256(REQUEST).hexdigest()
    assert found.path == tmp_path / "fetched" / found.digest / "plugin.py"
    assert found.path.read_bytes() == REQUEST
    web.files.clear()
    assert code.locate("gh:a b/plugin.py", found.digest) == found.path
    assert web.requests == ["/main/a%20b/plugin.py"]


def test_code_that_would_not_run_is_not_stored(tmp_path, web):
    code = make(tmp_path, web.url)
    web.files["/p.py"] = b"def process_request(:\n"
    with pytest.raises(PluginLoadError, match="SyntaxError"):
        code.obtain("gh:p.py", "request")
    web.files["/p.py"] = REQUEST
    with pytest.raises(PluginLoadError, match="process_writes"):
        code.obtain("gh:p.py", "wal")
    assert not (tmp_path / "fetched").exists()


def test_what_the_repository_does_not_give_names_status_and_address(tmp_path, web):
    with pytest.raises(PluginFetchError, match=f"404 Not Found {web.url}/none.py"):
        make(tmp_path, web.url).obtain("gh:none.py", "request")
    with pytest.raises(PluginFetchError, match="refused"):
        make(tmp_path).obtain("gh:none.py", "request")


def test_a_file_beyond_the_limit_is_refused(tmp_path, web, monkeypatch):
    monkeypatch.setattr(repository, "FETCH_BYTES_MAX", 100)
    web.files["/p.py"] = b"#" * 101
    with pytest.raises(PluginFetchError, match="more than 100 bytes"):
        make(tmp_path, web.url).obtain("gh:p.py", "request")


@pytest.mark.parametrize("name", ["gh:", "gh:../p.py", "gh:a/../p.py", "gh:a//p.py", "gh:a/"])
def test_names_that_lead_elsewhere_are_not_asked_for(tmp_path, web, name):
    with pytest.raises(PluginPathError):
        make(tmp_path, web.url).obtain(name, "request")
    assert web.requests == []


def test_fetched_code_that_is_gone_is_explained_and_not_fetched(tmp_path, web):
    code = make(tmp_path, web.url)
    with pytest.raises(PluginNotFoundError, match="is gone"):
        code.locate("gh:p.py", "0" * 64)
    with pytest.raises(PluginNotFoundError, match="never fetched"):
        code.locate("gh:p.py", "../../etc")
    assert web.requests == []


def test_local_code_is_found_in_the_plugin_directory(tmp_path):
    code = make(tmp_path)
    (tmp_path / "plugins" / "p.py").write_bytes(REQUEST)
    found = code.obtain("p.py", "request")
    assert found == (tmp_path / "plugins" / "p.py", "")
    assert code.locate("p.py", "") == found.path
