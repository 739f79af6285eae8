# parse(): what the vectors do not say. Body types, tolerance, errors, limits, threads, memory.
import array
import mmap
import os
import threading

import psutil
import pyarrow
import pytest

from lp_core import (
    BATCH_BYTES_MAX,
    BODY_BYTES_MAX,
    LINE_ERRORS_MAX,
    BatchLimitError,
    ColumnType,
    LineProtocolError,
    Precision,
    SchemaIndex,
    TableBatch,
    parse,
)
from tests.support.shared import require_shared
from tests.support.simd import SIMD_PATHS, simd_path

MIB = 1 << 20


def arrow(table: TableBatch) -> pyarrow.RecordBatch:
    batch = pyarrow.record_batch(table)
    batch.validate(full=True)
    return batch


def column(body: bytes, name: str, table: str = "m") -> list:
    return arrow(parse(body, precision="ns", now_ns=0).batch[table]).column(name).to_pylist()


@pytest.mark.parametrize(
    "body",
    [
        b"m f=1 1\nm f=2 2",
        bytearray(b"m f=1 1\nm f=2 2"),
        memoryview(b"xm f=1 1\nm f=2 2y")[1:-1],
        array.array("B", b"m f=1 1\nm f=2 2"),
        pyarrow.py_buffer(b"m f=1 1\nm f=2 2"),
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "arrow buffer"],
)
def test_any_contiguous_buffer_is_a_body(body):
    assert parse(body, precision="ns", now_ns=0).batch.num_rows == 2


def test_text_and_strided_buffers_are_no_body():
    with pytest.raises(TypeError):
        parse("m f=1", now_ns=0)
    with pytest.raises(BufferError):
        parse(memoryview(b"m f=1 1")[::2], now_ns=0)


def test_body_is_released_after_parsing():
    body = bytearray(b"m f=1 1")
    result = parse(body, precision="ns", now_ns=0)
    body.extend(b"more")
    assert arrow(result.batch["m"]).column("f").to_pylist() == [1.0]


def test_body_is_released_after_an_error():
    body = bytearray(b"m f=1 1\nbad")
    with pytest.raises(LineProtocolError):
        parse(body, now_ns=0, accept_partial=False)
    body.extend(b"more")


def test_now_ns_must_be_given():
    with pytest.raises(TypeError):
        parse(b"m f=1")


def test_unknown_precision_is_named():
    with pytest.raises(ValueError, match="fortnight"):
        parse(b"m f=1", precision="fortnight", now_ns=0)


def test_precision_may_be_the_enumeration():
    batch = parse(b"m f=1 2", precision=Precision.SECOND, now_ns=0).batch
    assert batch["m"].min_time_ns == 2_000_000_000


@pytest.mark.parametrize(
    ("precision", "time_ns"),
    [("auto", 1_999_999_999), ("ns", 1_999_999_999), ("us", 1_999_999_000), ("s", 1_000_000_000)],
)
def test_missing_time_is_now_truncated_to_the_unit(precision, time_ns):
    batch = parse(b"m f=1", precision=precision, now_ns=1_999_999_999).batch
    assert batch["m"].max_time_ns == time_ns


def test_tables_and_columns_come_in_order_of_first_appearance():
    batch = parse(b"b,y=1 q=1i\na z=t\nb,x=1,y=2 p=2u,q=3i", now_ns=0).batch
    assert list(batch) == ["b", "a"]
    assert batch["b"].schema == (
        ("y", ColumnType.TAG),
        ("q", ColumnType.INT64),
        ("x", ColumnType.TAG),
        ("p", ColumnType.UINT64),
        ("time", ColumnType.TIME),
    )


def test_refused_line_leaves_no_table_column_or_tag_value():
    body = b"m,a=1 f=1 1\nm,b=2,a=new f=2,g=3,f=4 2\nn,c=1 f=1,f=2 3\nm,a=1 f=5 4"
    result = parse(body, precision="ns", now_ns=0)
    assert [error.code for error in result.errors] == ["duplicate-field"] * 2
    assert list(result.batch) == ["m"]
    table = arrow(result.batch["m"])
    assert table.schema.names == ["a", "f", "time"]
    assert table.column("a").dictionary.to_pylist() == ["1"]
    assert table.column("f").to_pylist() == [1.0, 5.0]


def test_column_of_a_refused_line_may_come_back_with_another_type():
    body = b"m f=1 1\nm g=1i,f=1i 2\nm h=1,g=t 3\nm h=2,g=f 4"
    result = parse(body, precision="ns", now_ns=0)
    assert [error.line_number for error in result.errors] == [2]
    assert arrow(result.batch["m"]).column("g").to_pylist() == [None, True, False]


def test_nulls_are_where_lines_lack_a_column():
    lines = [f'm,t=a f{i % 3}={i},b{i % 5}=t,s{i % 7}="x{i}",g{i % 2}={i}i {i}' for i in range(50)]
    table = arrow(parse("\n".join(lines).encode(), precision="ns", now_ns=0).batch["m"])
    for i in range(50):
        row = {name: table.column(name)[i].as_py() for name in table.schema.names[:-1]}
        assert {name: value for name, value in row.items() if value is not None} == {
            "t": "a",
            f"f{i % 3}": float(i),
            f"b{i % 5}": True,
            f"s{i % 7}": f"x{i}",
            f"g{i % 2}": i,
        }


def test_fields_in_changing_order_reach_their_columns():
    body = b"m a=1,b=2,c=3 1\nm c=3,a=1,b=2 2\nm b=2 3\nm a=1,c=3 4"
    table = arrow(parse(body, precision="ns", now_ns=0).batch["m"])
    assert table.column("a").to_pylist() == [1.0, 1.0, None, 1.0]
    assert table.column("b").to_pylist() == [2.0, 2.0, 2.0, None]
    assert table.column("c").to_pylist() == [3.0, 3.0, None, 3.0]


def test_series_in_other_tag_order_is_the_same_row_shape():
    table = arrow(parse(b"m,a=1,b=2 f=1 1\nm,b=2,a=1 f=2 2", precision="ns", now_ns=0).batch["m"])
    assert table.column("a").to_pylist() == ["1", "1"]
    assert table.column("b").to_pylist() == ["2", "2"]


def test_line_that_equals_a_known_series_is_still_no_line():
    result = parse(b"m,a=1 f=1 1\nm,a=1", precision="ns", now_ns=0)
    assert [(error.line_number, error.code) for error in result.errors] == [(2, "missing-space")]


@pytest.mark.parametrize("end", [b"\r\n", b" \r\n", b"  \n", b"\r", b"  "])
def test_carriage_return_and_spaces_may_end_a_line(end):
    for line in (b"m f=1 5", b"m f=1", b'm f="x"'):
        result = parse(line + end, precision="ns", now_ns=0)
        assert (result.batch.num_rows, result.errors) == (1, [])


def test_carriage_return_inside_a_line_is_trailing_content():
    result = parse(b"m f=1 5\r\r\n", precision="ns", now_ns=0)
    assert [error.code for error in result.errors] == ["trailing"]


def test_line_error_tells_where_and_what():
    body = b'# c\n\n  m f="two\nlines" oops\r\nm f="x" 1\n'
    result = parse(body, precision="ns", now_ns=0)
    (error,) = result.errors
    assert (error.line_number, error.nth, error.byte_offset) == (3, 1, 7)
    assert error.line == 'm f="two\nlines" oops'
    assert error.code == "trailing"
    assert "line 3" in repr(error)
    assert result.num_errors == 1


def test_first_refused_line_is_raised_with_its_data():
    with pytest.raises(LineProtocolError) as caught:
        parse(b"m f=1\n\nm f=bad\nworse", now_ns=0, accept_partial=False)
    error = caught.value
    assert (error.line_number, error.byte_offset, error.code) == (3, 7, "no-fields")
    assert error.line == "m f=bad"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("m f=1 1 abcdefghij", "`abcdefghij`"),
        ("m f=1 1 abcdefghijk", "`abcdefghij...`"),
        ("m f=1 1 ééééééééééé", "`éééééééééé...`"),
        ("m f=1 1 🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊", "`🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊...`"),
    ],
)
def test_message_shows_the_first_ten_characters(line, shown):
    (error,) = parse(line.encode(), precision="ns", now_ns=0).errors
    assert error.message.endswith(f"trailing content: {shown}")


def test_errors_keep_unescaped_names():
    body = b"m a\\ b=1,a\\ b=2\nm c\\ d=1,c\\ d=2"
    messages = [error.message for error in parse(body, now_ns=0).errors]
    assert messages == [
        "invalid line protocol - multiple instances of 'a b' field found",
        "invalid line protocol - multiple instances of 'c d' field found",
    ]


def test_duplicate_tag_is_refused():
    (error,) = parse(b"m,a=1,b=2,a=1 f=1", now_ns=0).errors
    assert error.code == "duplicate-tag"
    assert "'a'" in error.message


def test_list_of_errors_ends_but_their_number_does_not():
    result = parse(b"x\n" * (LINE_ERRORS_MAX + 5), now_ns=0)
    assert len(result.errors) == LINE_ERRORS_MAX
    assert result.num_errors == LINE_ERRORS_MAX + 5


@pytest.mark.parametrize("accept_partial", [True, False])
def test_utf8_is_checked_before_anything_else(accept_partial):
    with pytest.raises(LineProtocolError) as caught:
        parse(b"bad\nm f=1\n" + b"m " * 40 + b"\xff", now_ns=0, accept_partial=accept_partial)
    error = caught.value
    assert (error.line_number, error.byte_offset, error.code) == (0, 90, "utf8")


@pytest.mark.parametrize("accept_partial", [True, False])
@pytest.mark.parametrize("path", SIMD_PATHS)
def test_place_of_what_is_no_utf8_is_told(path, accept_partial):
    line = 'm,tag=Zürich s="déjà vu, 東京",i=1i 1627680000000000000\n'.encode()
    body = b"m f=1,f=2 1\n" + line * 30 + b"plain f=1 1\n" * 60
    for offset in range(20, len(body) - 1, 37):
        while body[offset] & 0xC0 == 0x80:
            offset += 1
        for broken in (b"\xff", b"\xc3", b"\xe6\x9d"):
            with simd_path(path), pytest.raises(LineProtocolError) as caught:
                parse(
                    body[:offset] + broken + body[offset:], now_ns=0, accept_partial=accept_partial
                )
            error = caught.value
            assert (error.line_number, error.byte_offset, error.code) == (0, offset, "utf8")


@pytest.mark.parametrize(
    "template", ["%s f=1", "m,%s=1 f=1", "m,a=%s f=1", "m %s=1", 'm f="%s"', "m\\ %s f=1"]
)
def test_names_and_strings_end_at_one_mebibyte(template):
    extra = 2 if "\\" in template else 0
    fits = template % ("x" * (MIB - extra))
    assert parse(fits.encode(), now_ns=0).errors == []
    too_long = template % ("x" * (MIB - extra + 1))
    assert [error.code for error in parse(too_long.encode(), now_ns=0).errors] == ["too-long"]


def test_body_beyond_int32_offsets_is_refused_unread():
    with mmap.mmap(-1, BODY_BYTES_MAX + 1) as body, pytest.raises(BatchLimitError):
        parse(body, now_ns=0)


def test_sparse_body_that_would_explode_as_columns_is_refused():
    body = b"\n".join(b"m f%d=1" % i for i in range(20_000))
    with pytest.raises(BatchLimitError, match=str(BATCH_BYTES_MAX)):
        parse(body, now_ns=0)


def test_many_columns_tables_and_tag_values_are_fine():
    wide = b"\n".join(b"w " + b",".join(b"f%d=%di" % (j, i) for j in range(2_000)) for i in (1, 2))
    many = b"\n".join(b"t%d,a=b v=%di 5" % (i, i) for i in range(10_000))
    tags = b"\n".join(b"h,host=host%d v=%di 5" % (i % 99_999, i) for i in range(100_000))
    batch = parse(b"\n".join([wide, many, tags]), precision="ns", now_ns=0).batch
    assert len(batch) == 10_002
    assert arrow(batch["w"]).column("f1999").to_pylist() == [1, 2]
    assert arrow(batch["t9999"]).column("v").to_pylist() == [9999]
    hosts = arrow(batch["h"]).column("host")
    assert len(hosts.dictionary) == 99_999
    assert hosts[99_999].as_py() == "host0"


def test_known_columns_decide_types_but_stay_unchanged():
    schema = SchemaIndex()
    schema.apply(parse(b"m,tag=1 f=1i", now_ns=0).batch)
    body = b"m f=1 1\nm tag=2i 2\nm,f=x g=1 3\nm f=4i,new=1 4\nn f=1 5\nm time=1 6"
    result = parse(body, precision="ns", now_ns=0, schema=schema)
    assert [(error.line_number, error.code) for error in result.errors] == [
        (1, "type-conflict"),
        (2, "type-conflict"),
        (3, "type-conflict"),
        (6, "reserved-column"),
    ]
    assert result.errors[0].message == (
        "invalid column type for column 'f', expected iox::column_type::field::integer, "
        "got iox::column_type::field::float"
    )
    assert result.batch["m"].num_rows == 1
    assert schema.tables() == ["m"]
    assert schema.columns("m") == (("tag", ColumnType.TAG), ("f", ColumnType.INT64))


def test_reserved_name_in_a_known_table_reads_as_a_conflict():
    schema = SchemaIndex()
    schema.add_column("m", "f", ColumnType.INT64)
    (error,) = parse(b"m time=1i", now_ns=0, schema=schema).errors
    assert error.code == "reserved-column"
    assert "expected iox::column_type::timestamp" in error.message


def test_seed_data_parses_completely():
    for name, precision, rows in (
        ("bay-area-weather.lp", "ns", 3288),
        ("bitcoin.lp", "ns", 3750),
        ("eu-wind-data.lp", "s", 3096),
    ):
        body = (require_shared() / "data" / name).read_bytes()
        result = parse(body, precision=precision, now_ns=0)
        assert (result.batch.num_rows, result.errors) == (rows, []), name
        for table in result.batch.values():
            arrow(table)


def test_threads_parse_at_once_against_a_changing_schema():
    body = b"\n".join(
        b'm%d,host=h%d f=%d,g%d=%di,s="x" %d' % (i % 50, i % 97, i, i % 7, i, i)
        for i in range(20_000)
    )
    schema = SchemaIndex()
    wanted = {name: arrow(t) for name, t in parse(body, precision="ns", now_ns=0).batch.items()}
    results: list = []

    def work() -> None:
        results.extend(parse(body, precision="ns", now_ns=0, schema=schema) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(2_000):
        schema.add_column(f"other{i % 300}", f"c{i}", ColumnType.INT64)
        if i % 10 == 9:
            schema.drop_table(f"other{i % 300}")
    for thread in threads:
        thread.join()
    assert len(results) == 12
    for result in results:
        assert {name: arrow(table) for name, table in result.batch.items()} == wanted


def test_memory_goes_back_when_results_are_dropped():
    body = b"\n".join(
        b'm%d,h=%d f=1,g="text" %d\nbad line\nm%d,h=x f=t' % (i % 20, i, i, i % 20)
        for i in range(2_000)
    )
    process = psutil.Process(os.getpid())

    def churn(times: int) -> int:
        for _ in range(times):
            result = parse(body, precision="ns", now_ns=0)
            for table in result.batch.values():
                arrow(table)
        return process.memory_info().rss

    settled = churn(30)
    assert churn(200) - settled < 16 * MIB


@pytest.mark.parametrize(("precision", "unit_ns"), [("m", 60 * 10**9), ("h", 3_600 * 10**9)])
def test_minutes_and_hours(precision, unit_ns):
    batch = parse(b"m f=1 -3\nm f=2", precision=precision, now_ns=2 * unit_ns + 5).batch
    assert arrow(batch["m"]).column("time").cast("int64").to_pylist() == [-3 * unit_ns, 2 * unit_ns]
    (error,) = parse(f"m f=1 {2**62}".encode(), precision=precision, now_ns=0).errors
    assert "out of range for precision: " in error.message
