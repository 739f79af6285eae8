# build_lines: which column becomes what, every type of Arrow it takes, and what it refuses.
import subprocess
import sys
import threading

import pyarrow
import pytest

from lp_core import LineBuilder, TableBatch, WriteBatch, build_lines, errors, parse
from tests.support.segments import BODY, batch_of


def lines(*, time=(1,), **columns):
    """A table with one row per time."""
    arrays = {
        name: array if isinstance(array, pyarrow.Array) else pyarrow.array(array)
        for name, array in columns.items()
    }
    return pyarrow.table({**arrays, "time": pyarrow.array(time, pyarrow.timestamp("ns"))})


def built(table, **options):
    return build_lines(table, measurement="m", **options).decode()


def test_batch_is_written_with_tags_first_and_parses_back():
    batch = batch_of()
    written = build_lines(batch)
    assert written.startswith(
        b'm,site=north,unit=7 f=1.5,i=-3i,u=18446744073709551615u,s="\xc3\xa9\\"x",b=t 5\n'
    )
    again = parse(written, precision="ns", now_ns=0).batch
    assert {name: table.rows() for name, table in again.items()} == {
        name: table.rows() for name, table in batch.items()
    }
    assert build_lines(batch["other"]) == b"other v=1i 1\n"
    assert build_lines(batch["other"], measurement="a b") == b"a\\ b v=1i 1\n"


def test_empty_sources_give_no_lines():
    assert build_lines(WriteBatch()) == b""
    assert build_lines(TableBatch()) == b""
    assert built(lines(f=pyarrow.array([], pyarrow.int64()), time=[])) == ""
    assert (
        built(pyarrow.table({"f": [1], "time": pyarrow.array([1], pyarrow.int64())}).slice(1)) == ""
    )


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_integers_of_every_width(width):
    greatest = (1 << (width - 1)) - 1
    signed = pyarrow.array([greatest, -greatest - 1, None], f"int{width}")
    unsigned = pyarrow.array([2 * greatest + 1, 0, 7], f"uint{width}")
    assert built(lines(i=signed, u=unsigned, time=[1, 2, 3])) == (
        f"m i={greatest}i,u={2 * greatest + 1}u 1\nm i={-greatest - 1}i,u=0u 2\nm u=7u 3\n"
    )


def test_floats_of_both_widths():
    table = lines(
        d=[82.5, 1e22, -0.0], f=pyarrow.array([0.1, 2.0, None], "float32"), time=[1, 2, 3]
    )
    single = LineBuilder("m").float64_field("f", table["f"][0].as_py()).fields["f"]
    assert single == "0.10000000149011612"
    assert built(table) == (
        f"m d=82.5,f={single} 1\nm d=10000000000000000000000.0,f=2.0 2\nm d=-0.0 3\n"
    )


@pytest.mark.parametrize("kind", [pyarrow.utf8(), pyarrow.large_utf8(), pyarrow.string_view()])
def test_texts_of_every_kind_as_field_and_as_tag(kind):
    texts = [
        'a "b"',
        None,
        "",
        "é" * 20,
        "x\\y" * 10,
        "plain text that is longer than a view",
        "a=b, c",
    ]
    table = lines(s=pyarrow.array(texts, kind), i=range(len(texts)), time=range(len(texts)))
    wanted = []
    for number, text in enumerate(texts):
        line = LineBuilder("m").time_ns(number)
        if text is not None:
            line.string_field("s", text)
        wanted.append(line.int64_field("i", number).build() + "\n")
    assert built(table) == "".join(wanted)
    assert built(table.slice(3), tags=["s"]) == "".join(
        LineBuilder("m").tag("s", texts[n]).int64_field("i", n).time_ns(n).build() + "\n"
        for n in range(3, len(texts))
    )


@pytest.mark.parametrize(
    "code", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
@pytest.mark.parametrize("kind", [pyarrow.utf8(), pyarrow.large_utf8()])
def test_dictionaries_are_tags_by_default_and_fields_on_demand(code, kind):
    column = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, 1, None, 2], code), pyarrow.array(["x y", "é", None], kind)
    )
    table = lines(d=column, i=[1, 2, 3, 4], time=[1, 2, 3, 4])
    assert built(table) == "m,d=x\\ y i=1i 1\nm,d=é i=2i 2\nm i=3i 3\nm i=4i 4\n"
    assert built(table, tags=[]) == 'm d="x y",i=1i 1\nm d="é",i=2i 2\nm i=3i 3\nm i=4i 4\n'
    assert built(table.slice(1, 2)) == "m,d=é i=2i 2\nm i=3i 3\n"


def test_dictionary_that_is_greater_than_the_batch_is_spelled_row_by_row():
    column = pyarrow.array([f"v {n}" for n in range(100)]).dictionary_encode()
    table = lines(d=column, i=range(100), time=range(100))
    whole = built(table).splitlines()
    assert [built(table.slice(n, 2)).splitlines() for n in (0, 50, 98)] == [
        whole[n : n + 2] for n in (0, 50, 98)
    ]


def test_truth_values_and_integers_may_be_tags():
    table = lines(
        b=[True, False, None], n=pyarrow.array([1, -2, 3], "int16"), i=[1, 2, 3], time=[1, 2, 3]
    )
    assert built(table, tags={"b", "n"}) == (
        "m,b=True,n=1 i=1i 1\nm,b=False,n=-2 i=2i 2\nm,n=3 i=3i 3\n"
    )
    assert built(table) == "m b=t,n=1i,i=1i 1\nm b=f,n=-2i,i=2i 2\nm n=3i,i=3i 3\n"


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (pyarrow.timestamp("s"), -5, -5_000_000_000),
        (pyarrow.timestamp("ms", "Asia/Tokyo"), 5, 5_000_000),
        (pyarrow.timestamp("us", "UTC"), 5, 5_000),
        (pyarrow.timestamp("ns"), -(1 << 63), -(1 << 63)),
        (pyarrow.int64(), 5, 5),
        (pyarrow.date32(), 2, 172_800_000_000_000),
        (pyarrow.date64(), 86_400_000, 86_400_000_000_000),
    ],
)
def test_times_of_every_unit(kind, value, wanted):
    raw = pyarrow.array([value], pyarrow.int32() if kind == pyarrow.date32() else pyarrow.int64())
    table = pyarrow.table({"at": raw.cast(kind), "f": [1]})
    assert built(table, time="at") == f"m f=1i {wanted}\n"
    assert built(table.select(["f"]), time=None) == "m f=1i\n"


def test_stream_of_batches_and_slices_are_written_in_order():
    table = lines(f=range(1000), s=[f"t{n}" for n in range(1000)], time=range(1000))
    wanted = "".join(f'm f={n}i,s="t{n}" {n}\n' for n in range(1000))
    chunked = pyarrow.Table.from_batches(table.to_batches(max_chunksize=7))
    assert built(table) == built(chunked) == wanted
    assert (
        built(
            pyarrow.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=9))
        )
        == wanted
    )
    (batch,) = table.to_batches()
    assert built(batch.slice(13, 20)) == "".join(wanted.splitlines(keepends=True)[13:33])
    struct = pyarrow.StructArray.from_arrays(batch.columns, names=batch.schema.names)
    assert built(struct.slice(13, 20)) == "".join(wanted.splitlines(keepends=True)[13:33])


def test_columns_of_nothing_but_nulls_are_left_out():
    assert built(lines(n=pyarrow.nulls(1), f=[1])) == "m f=1i 1\n"
    assert built(lines(n=pyarrow.nulls(1), f=[1]), tags=["n"]) == "m f=1i 1\n"


def test_names_that_line_builder_refuses_but_a_line_can_carry_are_escaped():
    table = pyarrow.table(
        {"a b": ["x"], "c,d=": [1], "e\\f": [2], "time": pyarrow.array([3], "int64")}
    )
    written = build_lines(table, measurement="m n,o=p", tags=["a b"])
    assert written == b"m\\ n\\,o=p,a\\ b=x c\\,d\\==1i,e\\f=2i 3\n"
    (row,) = parse(written, precision="ns", now_ns=0).batch["m n,o=p"].rows()
    assert row == {"a b": "x", "c,d=": 1, "e\\f": 2, "time": 3}


@pytest.mark.parametrize("name", ["", "a\tb", "a\n", "\0", "a\\", "#a"])
def test_names_of_tables_that_no_line_can_carry_are_refused(name):
    with pytest.raises(errors.InvalidMeasurementError):
        build_lines(lines(f=[1]), measurement=name)


@pytest.mark.parametrize("name", ["", "a\tb", "a\n", "a\\", "__chunk_order"])
def test_names_of_columns_that_no_line_can_carry_are_refused(name):
    with pytest.raises(errors.InvalidKeyError):
        built(lines(**{name: [1]}))


def test_names_that_do_not_fit_together_are_refused():
    with pytest.raises(errors.InvalidKeyError, match="reserved"):
        built(lines(f=[1], at=pyarrow.array([1], "int64")), time="at")
    twice = pyarrow.Table.from_arrays([pyarrow.array([1])] * 2, names=["f", "f"])
    with pytest.raises(errors.InvalidKeyError, match="two columns are named 'f'"):
        built(twice, time=None)
    with pytest.raises(ValueError, match="no column 'nope'"):
        built(lines(f=[1]), tags=["nope"])
    with pytest.raises(ValueError, match="no column 'at'"):
        built(lines(f=[1]), time="at")
    with pytest.raises(ValueError, match="both a tag and the time"):
        built(lines(f=[1]), tags=["time"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_floats_that_no_line_can_carry_are_named(value):
    for kind in ("float32", "float64"):
        table = lines(f=pyarrow.array([1.0, None, value], kind), g=[1, 2, 3], time=[1, 2, 3])
        with pytest.raises(ValueError, match=r"^row 2 of table 'm': field 'f' must be finite$"):
            built(pyarrow.Table.from_batches(table.to_batches(max_chunksize=1)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("a\nb", "newlines"), ("a\t", "tabs"), ("a\\", "backslash"),
     ("x" * ((1 << 20) + 1), "longer")],
)  # fmt: skip
@pytest.mark.parametrize("is_dictionary", [True, False])
def test_tag_values_that_no_line_can_carry_are_named(text, reason, is_dictionary):
    column = pyarrow.array(["ok", text])
    table = lines(t=column.dictionary_encode() if is_dictionary else column, f=[1, 2], time=[1, 2])
    with pytest.raises(
        errors.InvalidLineError, match=f"row 1 of table 'm': value of tag 't' .*{reason}"
    ):
        built(table, tags=["t"])


def test_entry_of_a_dictionary_that_no_row_uses_does_no_harm():
    column = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, 0]), pyarrow.array(["ok", "bad\n"])
    )
    assert built(lines(t=column, f=[1, 2], time=[1, 2])) == "m,t=ok f=1i 1\nm,t=ok f=2i 2\n"


def test_long_string_is_refused_and_the_longest_is_not():
    longest = '"' * (1 << 20)
    assert len(built(lines(s=[longest] * 3, time=[1, 2, 3]))) == 3 * (
        len('m s="" 1\n') + 2 * len(longest)
    )
    with pytest.raises(errors.InvalidLineError, match="longer"):
        built(lines(s=[longest + "x"]))


def test_rows_without_a_field_or_a_time_are_refused():
    with pytest.raises(
        errors.InvalidLineError, match=r"^row 1 of table 'm': at least one field is"
    ):
        built(lines(t=["a", "b"], f=[1, None], time=[1, 2]), tags=["t"])
    with pytest.raises(errors.InvalidLineError, match="at least one field"):
        built(lines(t=["a"]), tags=["t"])
    with pytest.raises(ValueError, match=r"^row 1 of table 'm': the time is null$"):
        built(lines(f=[1, 2], time=[1, None]))
    with pytest.raises(ValueError, match="range"):
        built(pyarrow.table({"f": [1], "time": pyarrow.array([1 << 40], pyarrow.timestamp("s"))}))


@pytest.mark.parametrize(
    "column",
    [
        pyarrow.array([[1]]),
        pyarrow.array([1], pyarrow.timestamp("ns")),
        pyarrow.array([b"x"]),
        pyarrow.array([1], pyarrow.decimal128(5)),
        pyarrow.array([1]).dictionary_encode(),
    ],
)
def test_types_that_no_line_carries_are_refused(column):
    with pytest.raises(TypeError, match="'x'"):
        built(lines(x=column, f=[1]))


def test_floats_cannot_be_tags_and_texts_cannot_be_times():
    with pytest.raises(TypeError, match="tag 'f' is of floats"):
        built(lines(f=[1.5], g=[1]), tags=["f"])
    with pytest.raises(TypeError, match="cannot be the time"):
        built(lines(s=["x"], g=[1]), time="s")


def test_sources_that_are_no_tables_are_refused():
    for source in (None, [1], "m f=1", pyarrow.array([1])):
        with pytest.raises(TypeError):
            built(source)
    with pytest.raises(TypeError, match="measurement"):
        build_lines(lines(f=[1]))
    with pytest.raises(TypeError, match="own names"):
        build_lines(batch_of(), measurement="x")
    with pytest.raises(TypeError, match="tags"):
        built(lines(f=[1]), tags="f")
    null_row = pyarrow.StructArray.from_arrays(
        [pyarrow.array([1])], names=["f"], mask=pyarrow.array([True])
    )
    with pytest.raises(ValueError, match="cannot be null"):
        built(null_row, time=None)


def test_buffers_that_lie_are_refused():
    offsets = pyarrow.array([0, 4, 2, 4], "int32").buffers()[1]
    bad = pyarrow.Array.from_buffers(pyarrow.utf8(), 3, [None, offsets, pyarrow.py_buffer(b"abcd")])
    with pytest.raises(ValueError, match="row 1 of table 'm': field 's' lies outside its buffer"):
        built(lines(s=bad, time=[1, 2, 3]))
    not_utf8 = pyarrow.Array.from_buffers(
        pyarrow.utf8(),
        1,
        [None, pyarrow.array([0, 2], "int32").buffers()[1], pyarrow.py_buffer(b"a\xff")],
    )
    with pytest.raises(ValueError, match="not valid UTF-8"):
        built(lines(s=not_utf8))
    codes = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, 1]), pyarrow.array(["a"]), safe=False
    )
    with pytest.raises(ValueError, match="outside its dictionary"):
        built(lines(t=codes, f=[1, 2], time=[1, 2]))
    with pytest.raises(ValueError, match="outside its dictionary"):
        built(lines(t=codes, f=[1, 2], time=[1, 2]).slice(1))


def test_failing_stream_is_reported():
    def batches():
        yield lines(f=[1]).to_batches()[0]
        message = "the disk is gone"
        raise OSError(message)

    reader = pyarrow.RecordBatchReader.from_batches(lines(f=[1]).schema, batches())
    with pytest.raises(OSError, match="the disk is gone"):
        built(reader)


def test_great_output_grows_and_threads_write_side_by_side():
    table = lines(s=["x" * (n % 5000) for n in range(5000)], time=range(5000))
    wanted = "".join(f'm s="{"x" * (n % 5000)}" {n}\n' for n in range(5000))
    results = []
    threads = [threading.Thread(target=lambda: results.append(built(table))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [wanted] * 4


def test_rows_of_very_different_lengths_fit():
    table = lines(
        s=["y" * 100_000 if n == 70 else "" for n in range(80)], f=[1.5e300] * 80, time=range(80)
    )
    assert (
        parse(build_lines(table, measurement="m"), precision="ns", now_ns=0).batch["m"].num_rows
        == 80
    )


def test_body_in_normal_form_comes_back_byte_by_byte():
    body = build_lines(batch_of(BODY))
    for _ in range(2):
        assert build_lines(parse(body, precision="ns", now_ns=0).batch) == body


def test_module_imports_neither_pyarrow_nor_numpy():
    script = "import sys, lp_core; sys.exit('numpy' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
