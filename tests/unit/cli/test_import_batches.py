# Bodies are cut where a line ends, whatever stands in strings, and every refused line is found again.
import io

from hypothesis import given
from hypothesis import strategies as st

from engine.cli import import_batches
from engine.cli.import_batches import Batch, halves, line_batches, lines_of, origin, without
from engine.cli.import_lines import Columns, Row, line_of, of_json
from lp_core import parse

TEXT = st.text(st.sampled_from('a"\\\n =,#é'), max_size=12)
TABLE = st.sampled_from(("a", 'a"b', "a=b", "a b", "a,b", "a\\\nb"))
NAME = st.sampled_from(("a", 'a"b', "a=b", "a b", "a,b", 'a="b', "a\\\nb"))


def made(table: str, tag: str, key: str, value: str, number: int) -> str:
    columns = Columns(table, ["t", "time", key, "n"], ["tag", "dateTime", "string", "long"])
    row = Row(1, 0, 1, b"", {"t": tag, "time": number, key: value, "n": number})
    return line_of(row, columns, 1, of_json).removesuffix("\n")


LINE = st.tuples(TABLE, st.one_of(NAME, st.just("")), NAME, TEXT)


@given(st.lists(LINE, max_size=8), st.integers(1, 200), st.booleans())
def test_every_batch_stands_for_itself_and_together_they_are_the_file(
    rows: list[tuple[str, str, str, str]], size: int, ends: bool
) -> None:
    lines = [made(*row, index) for index, row in enumerate(rows)]
    body = ('# comment "\n' + "\n\n".join(lines) + "\n" * ends).encode()
    batches = list(line_batches(io.BytesIO(body), size, place=0, line=0))
    assert b"".join(batch.body for batch in batches) == body
    results = [parse(batch.body, precision="ns", now_ns=0) for batch in batches]
    assert sum(result.batch.num_rows for result in results) == len(lines)
    assert not any(result.errors for result in results)
    found = {
        row["n"]: (table.name, row.get("t", ""), key, row[key])
        for result in results
        for table in result.batch.values()
        for row in table.rows()
        for key in set(row) - {"n", "t", "time"}
    }
    assert [found[index] for index in range(len(rows))] == rows
    for batch in batches:
        assert body[: batch.place].count(b"\n") == batch.line
        assert body[: batch.place].endswith(batch.body)
        # It goes on from any of these places.
        rest = line_batches(
            io.BytesIO(body[batch.place :]), size, place=batch.place, line=batch.line
        )
        assert b"".join(one.body for one in rest) == body[batch.place :]


def test_a_string_without_end_takes_nothing_along() -> None:
    body = b'm f=1 1\nm f="open 2\nm f=3 3\nm f=4 4\n'
    batches = list(line_batches(io.BytesIO(body), 10, place=0, line=0))
    assert [batch.body for batch in batches] == [
        b"m f=1 1\n",
        b'm f="open 2\n',
        b"m f=3 3\nm f=4 4\n",
    ]


def test_a_line_is_never_waited_for_without_end(monkeypatch) -> None:
    monkeypatch.setattr(import_batches, "LINE_BYTES_MAX", 100)
    body = b'm f="' + b"x" * 30 + b"\n" + b"m f=1 1\n" * 1000
    batches = list(line_batches(io.BytesIO(body), 50, place=0, line=0))
    assert batches[0].body == body[:36]
    assert b"".join(batch.body for batch in batches) == body


def test_the_origin_of_a_line() -> None:
    body = b'm f="a\nb" 1\nbad\n'
    batch = Batch(body, 100, 13, None)
    assert [origin(batch, number) for number in (1, 2, 3)] == [
        (11, b'm f="a\nb" 1\n'),
        (11, b'm f="a\nb" 1\n'),
        (13, b"bad\n"),
    ]
    first, second = halves(batch)
    assert (first.body, second.body) == (body[:12], b"bad\n")
    assert origin(second, 1) == (13, b"bad\n")
    kept = without(batch, [False, True])
    assert kept.body == b"bad\n"
    assert origin(kept, 1) == (13, b"bad\n")
    assert list(lines_of(body)) == [body[:12], b"bad\n"]
