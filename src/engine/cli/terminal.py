# Owns what is done for people at a terminal: colour, and tables that fit its width. What goes into
# a file or a pipe stays as the server sent it.
"""Output to a terminal."""

import os
import sys
import unicodedata
from typing import TextIO

RED = "31;1"
BOLD = "1"
# Narrower columns say nothing.
_COLUMN_LEAST = 6
_ELLIPSIS = "…"
# What would command the terminal, or turn the order of letters around, and what stands for it: of
# one column, too.
_SHOWN = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(
        (*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)),
        0xFFFD,
    ),
}
_TAB = {ord("\t"): 0x2409}


def is_styled(stream: TextIO) -> bool:
    """Whether colours may go to `stream`: a terminal that shows them, whose user wants them."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO) -> str:
    """`text` for `stream`, in `style` if that is shown there."""
    return f"\033[{style}m{text}\033[0m" if is_styled(stream) else text


def harmless(text: str, stream: TextIO) -> str:
    """`text`, which may come from anybody who writes, such that it does nothing to a terminal."""
    return text.translate(_SHOWN) if stream.isatty() else text


def show_table(text: str, stream: TextIO = sys.stdout) -> str:
    """A table as the server draws it, made fit for the terminal `stream`.

    It is narrowed to the terminal's width by cutting long values; where that does not suffice, each
    row is shown on lines of its own.
    """
    text = harmless(text, stream).translate(_TAB)
    lines = text.split("\n")
    border = lines[0] if lines else ""
    if not border.startswith("+-") or set(border) != {"+", "-"}:
        return text
    import shutil  # late, for speed: most commands draw no table

    width = shutil.get_terminal_size().columns
    spans = [len(part) - 2 for part in border[1:-1].split("+")]
    rows = [_cells(line, spans) for line in lines if line.startswith("|")]
    fitting = _fitting(spans, width - 3 * len(spans) - 1)
    header_end = lines.index(border, 1)
    names, values = rows[: header_end - 1], rows[header_end - 1 :]
    if fitting is None:
        return _as_records([" ".join(part).strip() for part in zip(*names, strict=True)], values)
    frame = "+" + "+".join("-" * (size + 2) for size in fitting) + "+"
    drawn = [frame]
    for row in names:
        cells = [
            styled(_cut(cell, size), BOLD, stream) for cell, size in zip(row, fitting, strict=True)
        ]
        drawn.append("| " + " | ".join(cells) + " |")
    drawn.append(frame)
    for row in values:
        cells = [_cut(cell, size) for cell, size in zip(row, fitting, strict=True)]
        drawn.append("| " + " | ".join(cells) + " |")
    return "\n".join([*drawn, frame])


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _cells(line: str, spans: list[int]) -> list[str]:
    """The cells of a line, of which every one takes as many columns as its border says."""
    cells = []
    place = 2
    for span in spans:
        begin, seen = place, 0
        while seen < span and place < len(line):
            seen += _letter_width(line[place])
            place += 1
        while place < len(line) and _letter_width(line[place]) == 0:
            place += 1
        cells.append(line[begin:place])
        place += 3
    return cells


def _fitting(spans: list[int], room: int) -> list[int] | None:
    """Widths that take `room` together, the widest columns narrowed first; None if none do."""
    if sum(spans) <= room:
        return spans
    if sum(min(span, _COLUMN_LEAST) for span in spans) > room:
        return None
    least, most = _COLUMN_LEAST, max(spans)
    while least < most:
        middle = (least + most + 1) // 2
        if sum(min(span, middle) for span in spans) <= room:
            least = middle
        else:
            most = middle - 1
    return [min(span, least) for span in spans]


def _cut(cell: str, size: int) -> str:
    """`cell` in exactly `size` columns."""
    text = cell.rstrip()
    widths = [_letter_width(letter) for letter in text]
    if sum(widths) <= size:
        return text + " " * (size - sum(widths))
    kept, used = "", 0
    for letter, letter_width in zip(text, widths, strict=True):
        if used + letter_width > size - 1:
            break
        kept += letter
        used += letter_width
    return kept + _ELLIPSIS + " " * (size - 1 - used)


def _as_records(names: list[str], rows: list[list[str]]) -> str:
    widest = max(len(name) for name in names)
    return "\n\n".join(
        "\n".join(
            f"{name:>{widest}}: {cell.rstrip()}" for name, cell in zip(names, row, strict=True)
        )
        for row in rows
    )
