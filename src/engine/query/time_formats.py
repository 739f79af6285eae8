# Owns the reference's formats of time text (those of Rust's chrono) in DuckDB's terms. Pure
# functions on constant formats; what DuckDB cannot do is refused by name.
"""Formats of time text."""

import re
from typing import NamedTuple

from engine.errors import QueryNotSupportedError

_SPECIFIER = re.compile(r"%(-|_|0)?(\.?[369]?f|.)", re.DOTALL)

_COMPOSED = {
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "x": "%m/%d/%y",
    "c": "%a %b %e %H:%M:%S %Y",
    "v": "%e-%b-%Y",
    "h": "%b",
    "n": "\n",
    "t": "\t",
}
_SAME = frozenset("YymdHIMSpaAbBjUWGVu%w")
_WITHOUT_ZEROS = frozenset("dmHIMSyj")
# Hours, days and the like, filled with a space instead of a zero.
_SPACED = {"e": "d", "k": "H", "l": "I"}
_FRACTIONS = {"3f": "%g", "6f": "%f", "9f": "%n", "f": "%n"}
_FRACTION_OF_ANY_LENGTH = ".f"
# ISO 8601 with its offset, which is read without strptime.
ISO = "%+"


class Piece(NamedTuple):
    """A part of a format; a padded one is filled with a space up to two characters."""

    text: str
    is_padded: bool = False


def output_pieces(chrono: str) -> list[Piece]:
    """A format as parts that DuckDB's ``strftime`` writes.

    Raises:
        QueryNotSupportedError: It holds something that DuckDB cannot write.
    """
    pieces = [Piece("")]
    for flag, specifier, text in _parts(_composed(chrono)):
        padded = _SPACED.get(specifier) or (specifier if flag == "_" else None)
        if padded in _WITHOUT_ZEROS:
            pieces += [Piece(f"%-{padded}", is_padded=True), Piece("")]
            continue
        written = text if not specifier else _written(flag, specifier)
        pieces[-1] = Piece(pieces[-1].text + written)
    return [piece for piece in pieces if piece.text]


def input_formats(chrono: str) -> list[str]:
    """The formats that DuckDB's ``strptime`` tries for one format of the reference.

    Raises:
        QueryNotSupportedError: It holds something that DuckDB cannot read.
    """
    formats = [""]
    for flag, specifier, text in _parts(_composed(chrono)):
        if specifier == _FRACTION_OF_ANY_LENGTH:
            formats = [made + fraction for made in formats for fraction in (".%n", "")]
            continue
        read = text
        if specifier:
            read = "%" + _SPACED[specifier] if specifier in _SPACED else _written(flag, specifier)
        formats = [made + read for made in formats]
    return formats


def _composed(chrono: str) -> str:
    return _SPECIFIER.sub(lambda match: _COMPOSED.get(match.group(2), match.group(0)), chrono)


def _parts(chrono: str) -> list[tuple[str, str, str]]:
    """Flag and specifier of each part, or its plain text."""
    parts: list[tuple[str, str, str]] = []
    end = 0
    for match in _SPECIFIER.finditer(chrono):
        parts.append(("", "", chrono[end : match.start()]))
        parts.append((match.group(1) or "", match.group(2), ""))
        end = match.end()
    rest = chrono[end:]
    if "%" in rest:
        raise QueryNotSupportedError(f"the format of time {chrono!r} ends in the middle")
    return [*parts, ("", "", rest)]


def _written(flag: str, specifier: str) -> str:
    if specifier in _FRACTIONS:
        return _FRACTIONS[specifier]
    if specifier[0] == "." and specifier[1:] in ("3f", "6f", "9f"):
        return "." + _FRACTIONS[specifier[1:]]
    if specifier in ("z", "Z"):
        return "%z"
    if flag == "-" and specifier in _WITHOUT_ZEROS:
        return f"%-{specifier}"
    if specifier in _SAME and flag in ("", "0"):
        return f"%{specifier}"
    raise QueryNotSupportedError(f"%{flag}{specifier} in a format of time is not supported")
