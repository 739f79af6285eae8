# LineBuilder: the shared vectors, what plugins know from the plain Python class, and its promises.
import copy
import enum
import pickle
import subprocess
import sys

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
