# LineBuilder remembers how lines looked, and takes builders that somebody is done with: neither may show.
import gc
import random
import sys
import weakref

import pytest

from lp_core import errors
from lp_core._build import LineBuilder

# More ways through a line than are remembered, so that they are forgotten and learnt again.
KEYS = [sys.intern(f"key_{number}") for number in range(40)]
LONG_KEY = sys.intern("k" * 70)


def wanted_line(items, time):
    """The line of tags and fields, given as (is_tag, key, number): the last value, at the first place."""
    tags = dict(item[1:] for item in items if item[0])
    fields = dict(item[1:] for item in items if not item[0])
    series = "".join(f",{key}={value}" for key, value in tags.items())
    return f"m{series} {','.join(f'{key}={value}i' for key, value in fields.items())} {time}"


def test_lines_with_keys_in_any_order_are_built():
    choice = random.Random(5)
    for number in range(3_000):
        # Mostly like others; some keys are left out, come late, or come twice.
        keys = [key for key in KEYS[: 5 + number % 9] if choice.random() < 0.9]
        if choice.random() < 0.2:
            keys += choice.choices(KEYS, k=3)
        kinds = {key: KEYS.index(key) % 3 == 0 for key in keys}
        items = [(kinds[key], key, choice.randrange(10_000)) for key in keys]
        items.append((False, "last", number))
        line = LineBuilder("m")
        for is_tag, key, value in items:
            if is_tag:
                line.tag(key, str(value))
            else:
                line.int64_field(key, value)
        assert line.time_ns(number).build() == wanted_line(items, number)


def test_more_ways_than_are_remembered_are_built():
    choice = random.Random(6)
    for number in range(6_000):
        keys = choice.sample(KEYS, 4)
        line = LineBuilder("m")
        for key in keys:
            line.int64_field(key, number)
        assert line.build() == "m " + ",".join(f"{key}={number}i" for key in keys)


def test_key_that_comes_again_on_a_known_way_is_found():
    for _ in range(3):
        line = LineBuilder("again").int64_field("a", 1).int64_field("b", 2).int64_field("c", 3)
        assert line.int64_field("a", 4).build() == "again a=4i,b=2i,c=3i"
        line = LineBuilder("again").int64_field("a", 1).int64_field("b", 2).int64_field("b", 5)
        assert line.int64_field("c", 3).build() == "again a=1i,b=5i,c=3i"


def test_tag_after_a_field_on_a_known_way_stands_before_it():
    for _ in range(3):
        line = LineBuilder("late").int64_field("a", 1).tag("t", "x").int64_field("b", 2)
        assert line.tag("u", "y").build() == "late,t=x,u=y a=1i,b=2i"


def test_equal_keys_that_are_other_objects_are_the_same_key():
    for _ in range(3):
        line = LineBuilder("m").int64_field("same", 1)
        line.int64_field("".join(["sa", "me"]), 2)
        assert line.build() == "m same=2i"


def test_values_that_take_a_closer_look_do_so_on_a_known_way():
    for value, wanted in [
        ("plain", "plain"),
        ("two words", "two\\ words"),
        ("é", "é"),
        ("x" * 3_000, "x" * 3_000),
        (7, "7"),
        ("plain", "plain"),
    ]:
        line = LineBuilder("m").tag("t", value).int64_field("after", 1)
        assert line.build() == f"m,t={wanted} after=1i"
    for value in (0, 9, 99, 100, 9_999, 99_999_999, 100_000_000, -1, 1 << 62, True.__index__()):
        line = LineBuilder("m").int64_field("i", value).int64_field("after", 1)
        assert line.build() == f"m i={value}i,after=1i"
    for value in (0, 99_999_999, 1 << 30, (1 << 64) - 1):
        line = LineBuilder("m").uint64_field("u", value).float64_field("f", 0.5)
        assert line.build() == f"m u={value}u,f=0.5"


def test_refused_value_on_a_known_way_leaves_the_line_as_it_was():
    for _ in range(3):
        line = LineBuilder("m").int64_field("f", 1)
        for call in (
            lambda line=line: line.int64_field("g", 1.5),
            lambda line=line: line.uint64_field("g", -1),
            lambda line=line: line.float64_field("g", float("nan")),
            lambda line=line: line.tag("g", "a\nb"),
        ):
            with pytest.raises((TypeError, ValueError, errors.InfluxDBError)):
                call()
        assert line.int64_field("g", 2).build() == "m f=1i,g=2i"


def test_keys_and_tables_with_long_names_are_built():
    table = sys.intern("t" * 80)
    for number in range(3):
        line = LineBuilder(table).int64_field(LONG_KEY, number).int64_field("b", 1)
        assert line.build() == f"{table} {LONG_KEY}={number}i,b=1i"


def test_lines_under_way_at_once_do_not_mix():
    for _ in range(3):
        lines = [LineBuilder("m") for _ in range(20)]
        for number, line in enumerate(lines):
            line.tag("t", f"v{number}")
        for number, line in enumerate(lines):
            line.int64_field("f", number)
        assert [line.build() for line in lines] == [f"m,t=v{n} f={n}i" for n in range(20)]


def test_lines_set_in_turns_do_not_mix():
    for length in (1, 8, 9, 16, 17, 32, 33):
        one, other = LineBuilder("one"), LineBuilder("other")
        one.tag("t", "x" * length)
        other.tag("t", "y" * length)
        one.int64_field("f", 1)
        other.uint64_field("f", 2).time_ns(1_700_000_000_000_000_002)
        one.time_ns(1_700_000_000_000_000_001).float64_field("g", 0.5)
        assert other.build() == f"other,t={'y' * length} f=2u 1700000000000000002"
        assert one.build() == f"one,t={'x' * length} f=1i,g=0.5 1700000000000000001"


def test_lines_of_tables_in_turns_begin_with_their_own_name():
    tables = [sys.intern(name) for name in ("a", "key_1", "t" * 31, "t" * 32, "t" * 33)]
    for number in range(10):
        for table in tables:
            assert LineBuilder(table).int64_field("f", number).build() == f"{table} f={number}i"


def test_table_named_like_a_key_begins_its_lines_after_all_ways_were_forgotten():
    class Reading(LineBuilder):
        pass

    name = KEYS[7]
    tables = [sys.intern(f"table_{number}") for number in range(600)]
    for number in range(40_000):
        # These forget all ways now and then without LineBuilder being asked; half of the new ones are the key.
        Reading(tables[number % 600]).int64_field(name, number)
        if number % 37 == 0:
            assert LineBuilder(name).int64_field("f", number).build() == f"{name} f={number}i"


def test_times_of_every_length_that_share_digits_or_do_not_are_written():
    times = [
        sign * 10**digits + step
        for digits in range(19)
        for sign in (1, -1)
        for step in range(-2, 3)
    ]
    times += [1_700_000_000_000_000_000 + step for step in (0, 1, 99_999_999, 100_000_000, -1)]
    times += [(1 << 63) - 1, -(1 << 63), None]
    random.Random(9).shuffle(times)
    for time in times * 2:
        line = LineBuilder("m").int64_field("f", 1).time_ns(time)
        wanted = "m f=1i" if time is None else f"m f=1i {time}"
        assert line.build() == line.build() == wanted
    for time in (1 << 63, 1.5, True):
        with pytest.raises((TypeError, ValueError)):
            LineBuilder("m").int64_field("f", 1).time_ns(time)


def test_integers_of_every_length_are_written_on_a_known_way():
    for number in [
        *range(1_002),
        *(10**digits + step for digits in range(4, 19) for step in (-1, 0)),
    ]:
        line = LineBuilder("m").int64_field("i", number).uint64_field("u", number)
        assert line.build() == f"m i={number}i,u={number}u"


@pytest.mark.parametrize("length", [*range(1, 20), 33])
def test_bytes_that_take_a_closer_look_are_found_at_every_place_on_a_known_way(length):
    for place in range(length):
        for byte, wanted in [
            (" ", "\\ "),
            (",", "\\,"),
            ("=", "\\="),
            ("\0", "\0"),
            ("\x7f", "\x7f"),
        ]:
            before, after = "a" * place, "b" * (length - place - 1)
            line = LineBuilder("m").tag("t", before + byte + after).int64_field("f", 1)
            assert line.build() == f"m,t={before}{wanted}{after} f=1i"
        line = LineBuilder("m").int64_field("f", 1)
        with pytest.raises(errors.InvalidLineError):
            line.tag("t", before + "\n" + after)
        assert line.tag("t", before + "!" + after).build() == f"m,t={before}!{after} f=1i"


def test_builder_that_was_never_initialised_sets_and_builds_nothing():
    line = LineBuilder.__new__(LineBuilder)
    for call in (line.build, lambda: line.tag("t", "x"), lambda: line.int64_field("f", 1)):
        with pytest.raises((TypeError, AttributeError, errors.InvalidLineError)):
            call()


@pytest.mark.parametrize("method", ["tag", "int64_field", "uint64_field", "float64_field"])
def test_wrong_numbers_of_arguments_are_type_errors(method):
    line = LineBuilder("m").int64_field("f", 1)
    call = getattr(line, method)
    for arguments, names in [((), {}), (("k",), {}), (("k", 1, 2), {}), (("k",), {"key": "k"})]:
        with pytest.raises(TypeError):
            call(*arguments, **names)
    with pytest.raises(TypeError):
        getattr(LineBuilder, method)("no builder", "k", 1)
    for arguments in [(), ("m", "n")]:
        with pytest.raises(TypeError):
            LineBuilder(*arguments)
    assert line.build() == "m f=1i"


def test_builder_starts_with_nothing_of_another_one():
    for _ in range(20):
        line = LineBuilder("m").tag("t", "ü").int64_field("f", 1).time_ns(5)
        line.note = "mine"
        line.build()
        del line
        line = LineBuilder("m")
        assert not hasattr(line, "note")
        assert line._timestamp_ns is None
        assert (line.tags, line.fields) == ({}, {})
        del line
        assert LineBuilder("m").int64_field("f", 2).build() == "m f=2i"


def test_weak_reference_ends_with_its_builder():
    for _ in range(20):
        line = LineBuilder("m").int64_field("f", 1)
        gone = weakref.ref(line)
        del line
        assert gone() is None


def test_what_was_hung_on_a_builder_goes_with_it():
    class Mark:
        pass

    for hang in (
        lambda line, mark: setattr(line, "mark", mark),
        lambda line, mark: setattr(line, "_timestamp_ns", mark),
        lambda line, mark: vars(line).update(mark=mark),
    ):
        for _ in range(20):
            line, mark = LineBuilder("m"), Mark()
            hang(line, mark)
            gone = weakref.ref(mark)
            del line, mark
            assert gone() is None


def test_attributes_that_outlive_their_builder_are_nobody_elses():
    for _ in range(20):
        kept = vars(LineBuilder("m"))
        kept["note"] = 1
        assert not hasattr(LineBuilder("m"), "note")


def test_builder_that_is_done_with_is_found_by_nobody():
    LineBuilder("m").int64_field("f", 1)
    found = [thing for thing in gc.get_objects() if type(thing) is LineBuilder]
    lines = [LineBuilder("m").int64_field("f", number) for number in range(20)]
    assert not {id(line) for line in lines} & {id(line) for line in found}


def test_builder_of_a_subclass_is_not_one_of_the_class():
    class Reading(LineBuilder):
        pass

    for _ in range(20):
        assert type(Reading("m").int64_field("f", 1)) is Reading
        assert type(LineBuilder("m").int64_field("f", 1)) is LineBuilder
        assert LineBuilder("m").int64_field("f", 1).build() == "m f=1i"


def test_builders_that_end_within_the_end_of_another_are_whole():
    class Last:
        def __del__(self):
            built.append(LineBuilder("m").int64_field("f", 7).build())

    built = []
    for number in range(20):
        line = LineBuilder("m").int64_field("f", number)
        line._timestamp_ns = Last()
        del line
        assert LineBuilder("m").int64_field("f", number).build() == f"m f={number}i"
    assert built == ["m f=7i"] * 20
