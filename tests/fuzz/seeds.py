# Owns the inputs that fuzzing starts from. They are made when it starts, from the shared vectors
# where there are any and from the tests' own examples, so none lie in the repository.
"""Seeds and tokens for the fuzzers."""

import struct

from tests.fuzz.targets import SEGMENT
from tests.support.segments import BODY
from tests.support.shared import shared_dir
from tests.support.vectors import body_of, load_vectors

EXAMPLES = [
    BODY.encode(),
    b"cpu,host=a,region=eu usage=1.5,count=3i,big=18446744073709551615u 1700000000000000000\n",
    b"cpu,host=a,region=eu usage=1.5,count=4i,big=1u 1700000000000000001\n",
    b'log,host=a message="a \\"quoted\\" line, with \\\\ and = in it",level="x"\n',
    b"wide " + b",".join(b"f%d=%d.25" % (number, number) for number in range(40)) + b" 1\n",
    b"m f=1e308,g=-0.0,h=4.9e-324,i=0.30000000000000004,j=123456789012345678901234.5e-10\n",
    b"# comment\r\n\n m f=t,g=FALSE \r\n,bad\nm\\ n,t\\,k=v\\=w f\\ k=1\n",
    "m,stadt=Zürich,日=本 wert=1i\n".encode(),
]
TOKENS = [
    b"\n", b"\r\n", b" ", b",", b"=", b'"', b"\\", b'\\"', b"\\\\", b"#", b"i", b"u", b"t", b"false",
    b",f=1i", b' s="', b",k=v", b" 1700000000000000000", b"-9223372036854775808i", b"1e-320", b"inf",
    b"18446744073709551615u", b"0.1", b"-0", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf4\x8f\xbf\xbf", b"\0",
    b"aaaaaaaaaaaaaaaa", b"HFRM", b"\x40\0\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff",
]  # fmt: skip


def bodies() -> list[bytes]:
    """Bodies of line protocol, good and bad."""
    found = list(EXAMPLES)
    if shared_dir() is not None:
        found += [body_of(vector) for vector in load_vectors("line_protocol.jsonl")]
    return [body for body in found if len(body) <= 4000]


def seeds(target: str) -> list[bytes]:
    """Inputs for a target, with the choices that it reads from their front."""
    if target == "parse":
        return [
            bytes([number % 256, (number >> 3) % 256, (number >> 5) % 256]) + body
            for number, body in enumerate(bodies())
        ]
    if target == "build":
        return [b"\0" + body for body in bodies()] + built_seeds()
    return frame_seeds()


def built_seeds() -> list[bytes]:
    """Calls of LineBuilder: method, key, value, as the target reads them."""
    text = bytes([3]) + b"a\\ "
    calls = b"".join(
        bytes([method]) + text + (text if method in (0, 4) else struct.pack("<q", -number))
        for number, method in enumerate((0, 1, 2, 3, 4, 5))
    )
    return [b"\1" + text + calls, b"\1" + text + calls * 2, b"\1" + text + b"\4" + text * 2]


def frame_seeds() -> list[bytes]:
    """Whole segments, frames behind a good header, and edits of a segment."""
    whole = [bytes([mode]) + SEGMENT for mode in (2, 0x80)]
    behind = [bytes([mode]) + SEGMENT[64:] for mode in (0, 0x81)]
    edits = [
        bytes([mode, 2])
        + struct.pack("<HBB", place, 3, 1)
        + bytes(8)
        + bytes([place % 256, 1, 2, 0, 7])
        for mode in (1, 0x82)
        for place in range(64, len(SEGMENT) - 8, 232)
    ]
    return whole + behind + edits
