# The checksum: known values, and both ways of computing it agree at every length where they branch.
import random

import pytest

from lp_core._frame import crc32c

# RFC 3720, section B.4, and the customary check value.
KNOWN = [
    (b"", 0),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(("data", "wanted"), KNOWN)
def test_known_values(data, wanted, portable):
    assert crc32c(data, portable=portable) == wanted


@pytest.mark.parametrize(
    "size", [1, 7, 8, 9, 63, 64, 767, 768, 769, 1543, 12287, 12288, 12289, 13057, 24577, 40000]
)
def test_instruction_and_tables_agree_and_can_be_continued(size):
    data = random.Random(size).randbytes(size)
    whole = crc32c(data)
    assert crc32c(data, portable=True) == whole
    for cut in (0, 1, size // 3, size):
        assert crc32c(data[cut:], crc32c(data[:cut])) == whole
        assert crc32c(data[cut:], crc32c(data[:cut], portable=True), portable=True) == whole
