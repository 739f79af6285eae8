"""Secrets: kept for the server's user alone, and never shown."""

import json
import stat
import urllib.parse

import pytest

from engine.errors import SecretError, SecretNotFoundError
from engine.filesystem import FileSystem
from engine.redaction import LOG_CHARACTERS_MAX, shortened
from engine.store.secrets import SecretStore


@pytest.fixture
def store(tmp_path):
    return SecretStore(tmp_path / "secrets", FileSystem())


def again(tmp_path):
    store = SecretStore(tmp_path / "secrets", FileSystem())
    store.load()
    return store


def test_secrets_survive_a_restart_and_others_may_not_read_them(store, tmp_path):
    store.put("smtp", "pass-word\n")
    store.put("smtp", "other-word")
    store.put("a.b-c_1", "abcd")
    found = again(tmp_path)
    assert found.names() == ["a.b-c_1", "smtp"]
    assert found.resolved({"p": "secret:smtp", "q": "plain"}) == {"p": "other-word", "q": "plain"}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}
    assert modes == {0o600}
    found.delete("smtp")
    assert again(tmp_path).names() == ["a.b-c_1"]


def test_what_is_not_there_is_said(store):
    assert store.resolved(None) is None
    with pytest.raises(SecretNotFoundError, match="no secret 'x'"):
        store.resolved({"p": "secret:x"})
    with pytest.raises(SecretNotFoundError):
        store.delete("x")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", ".hidden", "x.tmp", "a\nb", "é", "a" * 65]
)
def test_names_are_file_names_of_their_own(store, tmp_path, name):
    with pytest.raises(SecretError, match="cannot be the name"):
        store.put(name, "value")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("value", ["", "abc", "x" * 70_000])
def test_a_refused_value_is_not_in_the_message(store, value):
    with pytest.raises(SecretError) as caught:
        store.put("x", value)
    assert not value or value not in str(caught.value)


def test_a_secret_that_others_may_read_stops_the_start(store, tmp_path):
    store.put("smtp", "pass-word")
    (tmp_path / "secrets" / "smtp").chmod(0o644)
    with pytest.raises(SecretError, match="others may read"):
        again(tmp_path)


def test_a_left_over_of_a_crash_is_no_secret_and_no_way_to_wider_rights(store, tmp_path):
    (tmp_path / "secrets").mkdir(mode=0o700)
    left = tmp_path / "secrets" / "smtp.tmp"
    left.write_text("half")
    left.chmod(0o644)
    assert again(tmp_path).names() == []
    store.put("smtp", "pass-word")
    assert stat.S_IMODE((tmp_path / "secrets" / "smtp").stat().st_mode) == 0o600


def test_values_are_hidden_also_where_one_is_part_of_another(store):
    store.put("short", "abcd")
    store.put("long", "xabcdx")
    store.put("odd", "a'\\b\n")
    arguments = {"1": "secret:short", "2": "secret:long", "3": "secret:odd", "4": "secret:gone"}
    assert store.redacted("xabcdx abcd", arguments) == "*** ***"
    assert store.redacted(
        f"raw a'\\b\n repr {['a' + chr(39) + chr(92) + 'b' + chr(10)]!r}", arguments
    ) == ('raw *** repr ["***"]')
    assert store.redacted("abcd", {"1": "plain"}) == "abcd"
    assert store.redacted("abcd", None) == "abcd"


@pytest.mark.parametrize("value", ['pa"ss\\wörd', "it's+a/b=&c d", "töken"])
@pytest.mark.parametrize(
    "shown",
    [
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: urllib.parse.urlencode({"token": value}),
        lambda value: f"https://host/{urllib.parse.quote(value)}",
        lambda value: f"https://u:{urllib.parse.quote(value, safe='')}@host/",
    ],
)
def test_values_are_hidden_in_json_and_in_addresses(store, shown, value):
    store.put("p", value)
    hidden = store.redacted(shown(value), {"p": "secret:p"})
    assert hidden == shown("XXXX").replace("XXXX", "***")


@pytest.mark.parametrize("kept", range(1, 12))
def test_a_value_that_the_cut_of_a_long_line_goes_through_is_hidden(store, kept):
    store.put("p", "open-sesame!")
    line = shortened("x" * 2 * LOG_CHARACTERS_MAX)
    note = line.lstrip("x")
    cut = line[: -len(note) - kept] + "open-sesame!"[:kept] + note
    assert store.redacted(cut, {"p": "secret:p"}) == line[: -len(note) - kept] + "***" + note
    assert store.redacted(line, {"p": "secret:p"}) == line


def test_a_value_that_a_run_may_still_have_is_hidden(store):
    arguments = {"p": "secret:p"}
    store.put("p", "first-word")
    store.put("p", "second-word")
    assert store.redacted("first-word second-word", arguments) == "*** ***"
    store.delete("p")
    assert store.redacted("first-word second-word", arguments) == "*** ***"
    with pytest.raises(SecretNotFoundError):
        store.resolved(arguments)
