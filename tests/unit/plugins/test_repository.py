"""Where plugin code comes from."""

import hashlib
import urllib.error
import urllib.request
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


def test_local_code_is_found_where_it_is_now(tmp_path):
    code = make(tmp_path)
    plugins = tmp_path / "plugins"
    one, other, outside = plugins / "one.py", plugins / "other.py", tmp_path / "outside.py"
    for path in (one, other, outside):
        path.write_bytes(REQUEST)
    name = plugins / "p.py"

    def lead_to(path):
        name.unlink(missing_ok=True)
        name.symlink_to(path)

    for _ in range(2):
        for path in (one, other):
            lead_to(path)
            assert [code.locate("p.py", "") for _ in range(2)] == [path, path]
    lead_to(outside)
    with pytest.raises(PluginPathError):
        code.locate("p.py", "")
    name.unlink()
    with pytest.raises(PluginNotFoundError):
        code.locate("p.py", "")
    name.write_bytes(REQUEST)
    assert code.locate("p.py", "") == name


def test_a_package_that_is_none_any_more_is_not_found(tmp_path):
    code = make(tmp_path)
    package = tmp_path / "plugins" / "p"
    package.mkdir()
    (package / "__init__.py").write_bytes(REQUEST)
    assert [code.locate("p", "") for _ in range(2)] == [package, package]
    (package / "__init__.py").unlink()
    with pytest.raises(PluginNotFoundError, match="__init__"):
        code.locate("p", "")


def test_a_redirect_is_followed_on_the_web_only(tmp_path, web):
    web.files["/moved.py"] = REQUEST
    web.redirects["/p.py"] = "/moved.py"
    assert make(tmp_path, web.url).obtain("gh:p.py", "request").path.read_bytes() == REQUEST
    for target in ("ftp://127.0.0.1:9/p.py", "file:///etc/passwd", "gopher://x/"):
        web.redirects["/p.py"] = target
        with pytest.raises(PluginFetchError, match=r"(?i)redirect"):
            make(tmp_path, web.url).obtain("gh:p.py", "request")


def test_a_redirect_does_not_leave_the_encrypted_connection():
    handler = repository.SafeRedirects()
    request = urllib.request.Request("https://host/p.py")
    with pytest.raises(urllib.error.URLError, match="redirect"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://host/p.py")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://other/p.py")


def test_an_answer_that_breaks_off_is_not_taken_for_the_file(tmp_path, web):
    web.files["/p.py"] = REQUEST
    web.missing_bytes["/p.py"] = 10
    with pytest.raises(PluginFetchError, match="error fetching"):
        make(tmp_path, web.url).obtain("gh:p.py", "request")
    assert not (tmp_path / "fetched").exists()


def test_a_server_that_trickles_is_given_up(tmp_path, web, monkeypatch):
    monkeypatch.setattr(repository, "FETCH_TIMEOUT_S", 0.3)
    web.files["/p.py"] = REQUEST + b"#" * 10_000
    web.trickling.add("/p.py")
    with pytest.raises(PluginFetchError, match="longer than"):
        make(tmp_path, web.url).obtain("gh:p.py", "request")


@pytest.mark.parametrize("name", ["gh:\udc80.py", "gh:a\nb.py", "gh:p.py?x=1", "gh:p.py#x"])
def test_odd_names_are_sent_escaped_or_refused(tmp_path, web, name):
    with pytest.raises((PluginFetchError, PluginPathError)):
        make(tmp_path, web.url).obtain(name, "request")
    assert all("?" not in path and "\n" not in path for path in web.requests)


def test_a_password_in_the_address_is_not_shown(tmp_path):
    code = make(tmp_path, "http://user:pass-word@127.0.0.1:9/")
    with pytest.raises(PluginFetchError) as caught:
        code.obtain("gh:p.py", "request")
    assert "pass-word" not in str(caught.value)


def test_stored_code_that_was_changed_is_neither_run_nor_kept(tmp_path, web):
    web.files["/p.py"] = REQUEST
    code = make(tmp_path, web.url)
    found = code.obtain("gh:p.py", "request")
    assert code.locate("gh:p.py", found.digest) == found.path
    found.path.write_bytes(REQUEST.replace(b"one", b"two"))
    with pytest.raises(PluginNotFoundError, match="was changed"):
        code.locate("gh:p.py", found.digest)
    again = code.obtain("gh:p.py", "request")
    assert again == found
    assert code.locate("gh:p.py", found.digest).read_bytes() == REQUEST
