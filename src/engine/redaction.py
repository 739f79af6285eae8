# Owns how text that came from outside is made fit to be shown or logged: credentials are left out,
# also where a cut went through one, and what is too long is cut.
"""Text without credentials."""

import re
from collections.abc import Iterable

# Stands for what is left out.
HIDDEN = "***"
# Longest text of a log line; longer ones are cut before they leave a worker.
LOG_CHARACTERS_MAX = 64 * 1024

# user:password@ or token@ of an address. What follows it is kept.
_CREDENTIALS = re.compile(r"(?<=://)[^\s/'\"]+@")


def without_credentials(text: str) -> str:
    """`text` with the user and password of every address in it replaced by ``***``."""
    return _CREDENTIALS.sub(f"{HIDDEN}@", text)


def shortened(text: str) -> str:
    """`text`, cut to the length that a log line may have; the end then says how long it was."""
    if len(text) <= LOG_CHARACTERS_MAX:
        return text
    note = f"… [cut, {len(text)} characters]"
    return text[: LOG_CHARACTERS_MAX - len(note)] + note


# What `shortened` puts at the end.
_CUT_NOTE = re.compile(r"… \[cut, \d+ characters\]\Z")


def without(text: str, forms: Iterable[str]) -> str:
    """`text` without `forms`, and without the beginning of one that a cut has left at the end."""
    longest_first = sorted(forms, key=len, reverse=True)
    for form in longest_first:
        text = text.replace(form, HIDDEN)
    note = _CUT_NOTE.search(text)
    if note is None:
        return text
    kept = text[: note.start()]
    rest = max((_cut_through(kept, form) for form in longest_first), default=0)
    return text if rest == 0 else kept[:-rest] + HIDDEN + note.group()


def _cut_through(text: str, form: str) -> int:
    """How many characters at the end of `text` are the beginning of `form`."""
    return next((n for n in range(len(form) - 1, 0, -1) if text.endswith(form[:n])), 0)
