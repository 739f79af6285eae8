"""Words of the command lines of InfluxDB 1 and 2 are answered with those of today."""

import pytest

from engine.cli import older_words
from engine.cli.main import build_parser, main


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (["bucket", "list"], "headrace show databases"),
        (["ping"], "headrace doctor"),
        (["create", "measurement"], "headrace show tables"),
        (["-execute", "SHOW DATABASES"], "--language influxql"),
        (["write", "--bucket", "b", "cpu f=1"], "--database"),
        (["query", "--org=o", "SELECT 1"], "no organizations"),
    ],
)
def test_they_are_translated(
    words: list[str], instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert instead in capsys.readouterr().err


def test_none_of_them_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    for word in older_words.COMMANDS:
        with pytest.raises(SystemExit):
            parser.parse_args([word])
        assert "here that is" in capsys.readouterr().err
