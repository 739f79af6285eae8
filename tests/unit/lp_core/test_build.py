# LineBuilder: the shared vectors, what plugins know from the plain Python class, and its promises.
import concurrent.futures
import copy
import enum
import gc
import pickle
import subprocess
import sys
import weakref

import pytest

from lp_core import errors
from lp_core._build import LineBuilder
from tests.support import reference_parser
from tests.support.vectors import Vector, load_vectors, rendered_value

BUILTIN_ERRORS = {
    error.__name__: error for error in (TypeError, ValueError, OverflowError, AttributeError)
}


def argument_of(spelled):
    if not isinstance(spelled, dict):
        return spelled
    kind, text = spelled["$"], spelled["v"]
    if kind.startswith("np."):
        numpy = pytest.importorskip("numpy")
        value = text == "True" if kind == "np.bool_" else text
        return getattr(numpy, kind.removeprefix("np."))(value)
    return {"int": int, "float": float, "bytes": str.encode}[kind](text)


def build_twice(vector: Vector) -> str:
    builder = LineBuilder(argument_of(vector["measurement"]))
    for method, *arguments in vector["calls"]:
        returned = getattr(builder, method)(*map(argument_of, arguments))
        assert returned is builder
    line = builder.build()
    assert builder.build() == line
    return line


def accepted_errors(vector: Vector) -> tuple[type[Exception], ...]:
    return tuple(BUILTIN_ERRORS.get(n) or getattr(errors, n) for n in vector["raises"])


def test_vectors_give_the_expected_line_or_error():
    for vector in load_vectors("line_builder.jsonl"):
        if "raises" in vector:
            with pytest.raises(accepted_errors(vector)):
                build_twice(vector)
        else:
            accepted = [vector["output"], *vector.get("also_ok", [])]
            assert build_twice(vector) in accepted, vector["id"]


def test_vector_lines_parse_back_to_the_point():
    for vector in load_vectors("line_builder.jsonl"):
        if "raises" in vector:
            continue
        result = reference_parser.parse(build_twice(vector).encode())
        assert not result.errors, vector["id"]
        (point,) = result.points
        wanted = vector["parsed"]
        assert point.measurement == wanted["measurement"]
        assert [list(tag) for tag in point.tags] == wanted["tags"]
        fields = [[key, kind, rendered_value(kind, value)] for key, kind, value in point.fields]
        assert fields == wanted["fields"]
        assert point.time == (None if wanted["time"] is None else int(wanted["time"]))


def test_seed_example_line_is_built():
    line = LineBuilder("weather")
    line.tag("location", "us-midwest")
    line.float64_field("temperature", 82.5)
    line.time_ns(1627680000000000000)
    assert line.build() == "weather,location=us-midwest temperature=82.5 1627680000000000000"


def test_attributes_read_like_dicts_in_insertion_order():
    line = LineBuilder("m").tag("b", 2).tag("a", "x y").int64_field("i", 1).string_field("s", "q")
    assert line.measurement == "m"
    assert list(line.tags.items()) == [("b", "2"), ("a", "x y")]
    assert list(line.fields.items()) == [("i", "1i"), ("s", '"q"')]


def test_subclass_with_its_own_constructor_and_attributes_works():
    class Reading(LineBuilder):
        def __init__(self, site: str) -> None:
            super().__init__("reading")
            self.tag("site", site)
            self.note = "mine"

    reading = Reading("north").bool_field("ok", True)
    assert isinstance(reading, Reading)
    assert reading.note == "mine"
    assert reading.build() == "reading,site=north ok=t"


def test_class_works_in_annotations():
    def lines() -> list[LineBuilder] | None:
        return [LineBuilder("m")]

    assert lines.__annotations__["return"] == list[LineBuilder] | None


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))]
)
def test_copies_build_the_same_line(copied):
    line = LineBuilder("m").tag("t", "v").int64_field("f", 1).time_ns(5)
    assert copied(line).build() == "m,t=v f=1i 5"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "field key cannot be empty"),
        ("a b", "field key 'a b' cannot contain spaces"),
        ("a,b", "field key 'a,b' cannot contain commas"),
        ("a=b", "field key 'a=b' cannot contain equals signs"),
    ],
)
def test_key_errors_keep_the_known_texts(key, text):
    with pytest.raises(errors.InvalidKeyError, match=f"^{text}$"):
        LineBuilder("m").float64_field(key, 1.0)


def test_key_that_is_not_text_is_a_type_error():
    with pytest.raises(TypeError, match="tag key must be str, not int"):
        LineBuilder("m").tag(5, "v")


def test_reserved_chunk_order_key_is_refused():
    with pytest.raises(errors.InvalidKeyError, match="reserved"):
        LineBuilder("m").tag("__chunk_order", "v")


def test_line_without_field_names_the_series():
    with pytest.raises(errors.InvalidLineError, match=r"^At least one field is required: m,a=b$"):
        LineBuilder("m").tag("a", "b").build()


def test_failed_setter_leaves_the_builder_as_it_was():
    line = LineBuilder("m").int64_field("f", 1)
    for call in (lambda: line.int64_field("f", 1.5), lambda: line.float64_field("g", "1")):
        with pytest.raises(TypeError):
            call()
    assert line.build() == "m f=1i"


def test_text_enum_is_written_as_its_text_in_a_string_field():
    class Colour(str, enum.Enum):  # noqa: UP042 -- plugins write it this way
        RED = "red"

    assert LineBuilder("m").string_field("f", Colour.RED).build() == 'm f="red"'


@pytest.mark.parametrize("unit", ["x", "é"])
def test_texts_beyond_the_parser_limit_are_refused(unit):
    fitting = unit * ((1 << 20) // len(unit.encode()))
    assert LineBuilder(fitting).int64_field("f", 1).build().startswith(fitting)
    with pytest.raises(errors.InvalidMeasurementError):
        LineBuilder(fitting + unit)
    with pytest.raises(errors.InvalidKeyError):
        LineBuilder("m").tag(fitting + unit, "v")
    with pytest.raises(errors.InvalidLineError):
        LineBuilder("m").tag("k", fitting + unit)
    with pytest.raises(errors.InvalidLineError):
        LineBuilder("m").string_field("f", fitting + unit)


def test_builder_module_does_not_import_numpy():
    script = "import sys, lp_core._build; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_key_set_twice_keeps_its_place_with_the_last_value():
    line = LineBuilder("m").tag("a", 1).tag("b", 2).int64_field("f", 1).float64_field("g", 1.5)
    line.tag("a", 3).bool_field("f", True)
    assert line.build() == "m,a=3,b=2 f=t,g=1.5"


def test_tag_set_after_a_field_stands_before_it():
    line = LineBuilder("m").int64_field("f", 1).tag("a", "x").int64_field("g", 2).tag("b", "y z")
    assert line.build() == "m,a=x,b=y\\ z f=1i,g=2i"
    assert line.tags == {"a": "x", "b": "y z"}


def test_key_used_for_tag_and_field_is_refused_when_built():
    for line in (LineBuilder("m").tag("k", 1).int64_field("k", 1),
                 LineBuilder("m").int64_field("k", 1).tag("k", 1)):  # fmt: skip
        with pytest.raises(
            errors.InvalidKeyError, match="key 'k' cannot be both a tag and a field"
        ):
            line.build()


def test_lines_of_many_and_long_items_are_built():
    keys = [f"key_{number}" + "x" * (number % 150) for number in range(3_000)]
    for _ in range(2):
        line = LineBuilder("m")
        for number, key in enumerate(keys):
            line.int64_field(key, number)
        wanted = ",".join(f"{key}={number}i" for number, key in enumerate(keys))
        assert line.build() == f"m {wanted}"
        assert len(line.fields) == len(keys)


def test_line_of_very_many_keys_is_built_as_one_of_few():
    builder = LineBuilder("m")
    tags, fields = {}, {}
    for number in range(1_500):
        fields[f"f{number % 1_000}"] = number
        builder.int64_field(f"f{number % 1_000}", number)
        if number % 2:
            tags[f"t{number % 800}"] = str(number)
            builder.tag(f"t{number % 800}", number)
    series = "".join(f",{key}={value}" for key, value in tags.items())
    wanted = f"m{series} " + ",".join(f"{key}={value}i" for key, value in fields.items())
    assert builder.build() == wanted


def test_integers_of_every_length_are_written():
    for digits in range(1, 20):
        for number in (10**digits - 1, 10 ** (digits - 1), -(10**digits) + 1):
            if abs(number) < 1 << 63:
                line = LineBuilder("m").int64_field("f", number).time_ns(number)
                assert line.build() == f"m f={number}i {number}"
    line = LineBuilder("m").int64_field("f", -(1 << 63)).uint64_field("u", (1 << 64) - 1)
    assert line.build() == "m f=-9223372036854775808i,u=18446744073709551615u"


@pytest.mark.parametrize("length", range(40))
@pytest.mark.parametrize("special", [" ", ",", "=", '"', "\\", "é", "\r"])
def test_special_characters_are_found_at_every_place(length, special):
    for place in range(length):
        text = "v" * place + special + "w" * (length - place)
        line = LineBuilder("m").tag("t", text).string_field("s", text)
        (point,) = reference_parser.parse(line.build().encode()).points
        assert list(point.tags) == [("t", text)]
        assert point.fields[0][2] == text


@pytest.mark.parametrize("length", [1, 5, 12, 16, 17, 40])
@pytest.mark.parametrize("control", ["\n", "\t"])
def test_control_characters_are_found_at_every_place(length, control):
    for place in range(length):
        text = "v" * place + control + "w" * (length - place - 1)
        with pytest.raises(errors.InvalidLineError):
            LineBuilder("m").tag("t", text)


def test_dicts_that_a_plugin_changes_are_what_is_built():
    line = LineBuilder("m").tag("a", "x").int64_field("f", 1)
    line.tags["b"] = "p q"
    line.fields["g"] = "2i"
    line.measurement = "n,o"
    line.int64_field("h", 3)
    assert line.build() == "n\\,o,a=x,b=p\\ q f=1i,g=2i,h=3i"
    line.tags = {}
    line.fields = {"z": "t"}
    assert line.build() == "n\\,o z=t"


def test_initialising_again_starts_anew():
    line = LineBuilder("m").tag("a", "x").int64_field("f", 1).time_ns(4)
    line.__init__("n")
    assert line.int64_field("f", 2).build() == "n f=2i"


def test_methods_take_their_arguments_by_name():
    line = LineBuilder(measurement="m").tag(key="a", value="x").int64_field(value=1, key="f")
    assert line.time_ns(timestamp_ns=5).build() == "m,a=x f=1i 5"


def test_copies_are_independent():
    line = LineBuilder("m").tag("t", "v").int64_field("f", 1)
    line.note = [1]
    other = copy.copy(line).int64_field("g", 2)
    assert (line.build(), other.build(), other.note) == ("m,t=v f=1i", "m,t=v f=1i,g=2i", [1])
    assert copy.deepcopy(line).note is not line.note


def test_builder_that_holds_itself_is_collected():
    line = LineBuilder("m")
    line.own = line
    gone = weakref.ref(line)
    del line
    gc.collect()
    assert gone() is None


def test_threads_build_their_own_lines():
    def build(number: int) -> set[str]:
        return {
            LineBuilder("m").tag("t", f"v{number}").int64_field("f", number).build()
            for _ in range(2_000)
        }

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(build, range(8))) == [{f"m,t=v{n} f={n}i"} for n in range(8)]


class Watcher:
    """Looks at a line when the collector ends it: it is in a cycle."""

    def __init__(self, line, look):
        self.line = line
        self.look = look
        self.me = self

    def __del__(self):
        self.look(self.line)


@pytest.mark.parametrize("is_tags", [True, False])
@pytest.mark.parametrize(
    "look",
    [
        lambda line: line.tags,
        lambda line: line.fields,
        lambda line: line.build(),
        lambda line: line.__init__("other"),
    ],
)
def test_the_collector_may_run_code_that_looks_at_the_line(look, is_tags):
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        for _ in range(100):
            line = LineBuilder("m").tag("t", "x").int64_field("f", 1).int64_field("g", 2)
            Watcher(line, look)
            # Else the next dict is one that was kept for that, and the collector does not run.
            held = [{} for _ in range(200)]
            gc.set_threshold(1)
            gc.enable()
            found = line.tags if is_tags else line.fields
            gc.disable()
            assert found in ({"t": "x"}, {"f": "1i", "g": "2i"}, {}, None)
            del held
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
