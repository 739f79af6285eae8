# Owns the Hypothesis strategies for bodies of line protocol: well-formed, nearly so, and hostile.
"""Strategies for request bodies."""

from hypothesis import strategies as st

PRECISIONS = ("auto", "ns", "us", "ms", "s")

# Few names, so that lines meet in tables and columns and their types disagree now and then.
names = st.sampled_from(
    ["a", "b", "c", "m", "é", "日本", "a b", "a,b", "a=b", 'q"', "x\\y", "time"]
)
hostile_names = st.text(st.sampled_from('ab ,=\\"\n\r\t\0#é🙂'), max_size=5)
plain_times = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, -1, 4_999_999_999, 5_000_000_000, 5 * 10**12, 5 * 10**15, 10**18]),
    st.integers(0, 10**10),
)


def escaped(text: str, characters: str) -> str:
    """Put a backslash before each of the characters."""
    return "".join("\\" + c if c in characters else c for c in text)


def quoted(text: str) -> str:
    """Write a text as a string value."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


strings = st.text(st.sampled_from('xyz ,=\\"\n\r\t#é🙂1'), max_size=8)
good_values = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1).map(lambda number: f"{number}i"),
    st.integers(0, (1 << 64) - 1).map(lambda number: f"{number}u"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=30).map(lambda d: format(d, "f")),
    st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"]),
    strings.map(quoted),
)
bad_values = st.sampled_from(
    [
        "", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "nan", "inf", "-inf", "0x1", "1_0",
        "tRUE", "truex", "\\", "00.5", "-i", "u", '"a\\"',
        "9223372036854775808i", "-9223372036854775809i", "18446744073709551616u", "-1u",
        "1I", "1e400", '"open', '"x"y', "'x'", "1i2", "--1", "1 2", "007i", "-0", "1e-400",
    ]
)  # fmt: skip
separators = st.sampled_from([" "] * 12 + ["  ", "\t", "", " \t", "\\ ", "\r"])
line_ends = st.sampled_from(
    ["\n"] * 8 + ["\r\n", " \r\n", "\n\n", "\\\n", " \n", "\r\r\n", "\n\t\n", "\n# x\n"]
)


@st.composite
def lines(draw: st.DrawFn, *, hostility: int) -> str:
    """Return one line; of ten choices, about ``hostility`` go against the rules."""

    def choose(good: st.SearchStrategy[str], bad: st.SearchStrategy[str]) -> str:
        return draw(bad if draw(st.integers(0, 9)) < hostility else good)

    def name_or_hostile(characters: str) -> str:
        return choose(names.map(lambda name: escaped(name, characters)), hostile_names)

    series = [name_or_hostile(", ")]
    series += [
        f"{name_or_hostile(',= ')}={name_or_hostile(',= ')}" for _ in range(draw(st.integers(0, 3)))
    ]
    fields = [
        f"{name_or_hostile(',= ')}={choose(good_values, bad_values)}"
        for _ in range(draw(st.integers(1, 3)))
    ]
    line = ",".join(series) + choose(st.just(" "), separators) + ",".join(fields)
    if draw(st.booleans()):
        line += choose(st.just(" "), separators) + choose(plain_times.map(str), bad_values)
    return line


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return a body of several lines, from clean to thoroughly broken."""
    hostility = draw(st.sampled_from([0, 0, 1, 3]))
    pieces: list[str] = []
    for line in draw(st.lists(lines(hostility=hostility), max_size=6)):
        pieces += [line, draw(line_ends) if hostility else "\n"]
    text = "".join(pieces)
    if text and draw(st.booleans()):
        text = text.rstrip("\n")
    return text.encode()


soups = st.lists(
    st.sampled_from(
        ["m", "a", "b", " ", "  ", ",", "=", '"', "\\", "\n", "\r", "\t", "\0", "#", "1", "2i",
         "3u", "t", "-", ".", "e", "é", "\ufeff", "time", "m f=1", "m,a=b f=2i",
         "\nm f=", ' s="x', '" 5\n']
    ),
    max_size=30,
).map(lambda tokens: "".join(tokens).encode())  # fmt: skip


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """Return a body with a few bytes changed; it may not be UTF-8 any more."""
    body = bytearray(draw(bodies()))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 2))] = draw(
            st.sampled_from(
                [b"", b" ", b",", b"=", b'"', b"\\", b"\n", b"\r", b"\xff", b"\xc3", b"#"]
            )
        )
    return bytes(body)


kinds = st.sampled_from(["int", "uint", "float", "bool", "string"])
short_floats = st.builds(
    lambda whole, fraction: f"{whole}.{fraction}",
    st.integers(-(10**9), 10**19),
    st.from_regex(r"[0-9]{1,20}", fullmatch=True),
)
values_of_kind = {
    "int": st.one_of(
        st.integers(-200, 200), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 10**19)
    ).map(lambda number: f"{number}i"),
    "uint": st.one_of(st.integers(0, 200), st.integers(0, 10**20)).map(lambda number: f"{number}u"),
    "float": st.one_of(
        short_floats,
        st.floats(0, 1).map(repr),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.integers(-(10**25), 10**25).map(str),
    ),
    "bool": st.sampled_from(["t", "f", "true", "false", "True", "F", "truE", "tr"]),
    "string": st.one_of(
        st.text(st.sampled_from('xyz ,=\\"\né🙂'), max_size=90).map(quoted),
        st.sampled_from(['"a\\b"', '"' + "y" * 31 + '\\""', '"' + "z" * 30 + '\\\\"', '"']),
    ),
}
keys = st.sampled_from(["a", "bb", "k" * 27, "k" * 31, "long_" * 9, "é", "a,b", 'q"'])


@st.composite
def repetitive_bodies(draw: st.DrawFn) -> bytes:
    """Return a body of many lines of few series and field orders, with a mishap now and then."""
    series = draw(
        st.lists(
            st.sampled_from(
                ["m,host=a", "m,host=b", "m,host=c,rack=1", "m", "n,host=a", "n" * 40 + ",t=v",
                 "m,host=a\\ b", "é,host=日本", "m,host=", "m,host=a,host=b", "#m,host=a"]
            ),
            min_size=1,
            max_size=4,
        )
    )  # fmt: skip
    shapes = draw(
        st.lists(st.lists(st.tuples(keys, kinds), min_size=1, max_size=4), min_size=1, max_size=3)
    )
    pieces = []
    for _ in range(draw(st.integers(2, 25))):
        shape = draw(st.sampled_from(shapes))
        fields = ",".join(f"{key}={draw(values_of_kind[kind])}" for key, kind in shape)
        time = draw(st.sampled_from([" 1451606400000000000", " 7", " 99999999999999999999", ""]))
        end = draw(st.sampled_from(["\n"] * 9 + ["\r\n", " \n", "x\n", ",\n", "\r"]))
        pieces.append(f"{draw(st.sampled_from(series))} {fields}{time}{end}")
    return "".join(pieces).encode()
