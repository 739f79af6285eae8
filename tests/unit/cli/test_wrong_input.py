"""What commands say of input that they cannot use; they get no further, so there is no server."""

import io
import sys
from pathlib import Path

import pytest

from engine.cli.main import main


@pytest.fixture(autouse=True)
def no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says that fails."""
    assert main(words) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "token", ["sesame\nX-Evil: 1", "s\u00e9same", "sesame sesame", "ses\x1bame"]
)
def test_a_token_that_cannot_be_sent_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HEADRACE_AUTH_TOKEN", token)
    text = said(capsys, "show", "databases")
    assert "the token has letters that no token has" in text
    assert "same" not in text


def test_a_token_may_have_the_line_break_of_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("show", "databases", "--host", "http://127.0.0.1:1", "--token", "sesame\n")
    assert "no server answers" in said(capsys, *words)


def test_a_question_in_bytes_that_are_no_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "question.sql"
    file.write_bytes(b"SELECT '\xff'")
    assert f"{file}: not UTF-8" in said(capsys, "query", "-d", "db", "--file", str(file))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT '\xff'")))
    assert "standard input: not UTF-8" in said(capsys, "query", "-d", "db")


def test_any_other_input_in_bytes_that_are_no_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"sesame\xff")
    for words in (
        ("test", "wal_plugin", "-d", "db", "p.py", "--file", str(file)),
        ("install", "package", "-r", str(file)),
        ("create", "secret", "door"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"sesame\xff")))
        text = said(capsys, *words)
        assert "not UTF-8" in text
        assert "sesame" not in text


@pytest.mark.parametrize("part", ["/prefix", "?x=1", "#x"])
def test_a_host_is_no_more_than_that(capsys: pytest.CaptureFixture[str], part: str) -> None:
    text = said(capsys, "show", "databases", "--host", f"http://127.0.0.1:1{part}")
    assert "scheme, host and port" in text


def test_a_password_in_a_host_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "databases", "--host", "http://user:sesame@127.0.0.1:1")
    assert "sesame" not in text
    assert "HEADRACE_AUTH_TOKEN" in text


def test_requests_of_any_size_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("write", "-d", "db", "m f=1", "--host", "http://127.0.0.1:1", "--max-request-size")
    assert "no server answers" in said(capsys, *words, f"{10**30}GB")
