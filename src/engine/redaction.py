# Owns how text that came from outside is made fit to be shown or logged: credentials in addresses
# are left out.
"""Text without credentials."""

import re

# user:password@ or token@ of an address. What follows it is kept.
_CREDENTIALS = re.compile(r"(?<=://)[^\s/'\"]+@")


def without_credentials(text: str) -> str:
    """`text` with the user and password of every address in it replaced by ``***``."""
    return _CREDENTIALS.sub("***@", text)
