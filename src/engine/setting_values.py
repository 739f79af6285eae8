# Owns the forms in which people write sizes, durations, addresses and the like, in flags, variables
# and files. Imports nothing heavy.
"""Values of settings."""

import re

_BYTE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1 << 10,
    "mb": 1 << 20,
    "gb": 1 << 30,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
}
# Longer than anybody waits, and short enough for every timer of the system.
_SECONDS_MAX = 366 * 86_400
_LONG_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_SECOND_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DEFAULT_BIND = "127.0.0.1:8181"


def parse_bytes(text: str) -> int:
    """A size such as ``64MB``, ``512kb`` or ``1048576`` (bytes; units count in 1024).

    Raises:
        ValueError: It is not a size.
    """
    match = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", text.strip())
    if match is None or match[2].lower() not in _BYTE_UNITS:
        raise ValueError(f"'{text}' is not a size: write for example 64MB or 1048576")
    return int(match[1]) * _BYTE_UNITS[match[2].lower()]


def render_bytes(size: int) -> str:
    """`size` as `parse_bytes` reads it, in the largest unit that divides it."""
    for unit in ("gb", "mb", "kb"):
        if size and size % _BYTE_UNITS[unit] == 0:
            return f"{size // _BYTE_UNITS[unit]}{unit.upper()}"
    return str(size)


def parse_seconds(text: str) -> float:
    """A duration such as ``1s``, ``500ms`` or ``5m``.

    Raises:
        ValueError: It is not a duration between a millisecond and a year.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration: write for example 500ms, 1s or 5m")
    seconds = float(match[1]) * _SECOND_UNITS[match[2] or "s"]
    if not 0.001 <= seconds <= _SECONDS_MAX:
        raise ValueError(f"'{text}' is not between 1ms and {_SECONDS_MAX // 3600}h")
    return seconds


def parse_lifetime(text: str) -> int:
    """Whole seconds of a long duration such as ``30d``, ``12h``, ``2w`` or ``1y``.

    Raises:
        ValueError: It is not a duration between a second and a hundred years.
    """
    match = re.fullmatch(r"(\d+)\s*(s|m|h|d|w|y)?", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration: write for example 12h, 30d or 1y")
    seconds = int(match[1]) * _LONG_UNITS[match[2] or "s"]
    if not 1 <= seconds <= 100 * _LONG_UNITS["y"]:
        raise ValueError(f"'{text}' is not between 1s and 100y")
    return seconds


def parse_bind(text: str) -> tuple[str, int]:
    """Host and port of an address such as ``127.0.0.1:8181`` or ``[::1]:8181``.

    Raises:
        ValueError: It is not an address.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"'{text}' is not an address: write HOST:PORT, for example {DEFAULT_BIND}")
    return host or "127.0.0.1", int(port)


def parse_url(text: str) -> str:
    """The address of a web server's directory.

    Raises:
        ValueError: It is none.
    """
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"'{text}' is not a URL: write for example https://example.org/plugins/")
    return text


def parse_package_manager(text: str) -> str:
    """The name of what installs packages.

    Raises:
        ValueError: It is none.
    """
    if text.lower() not in ("discover", "pip", "uv", "disabled"):
        raise ValueError(f"'{text}' is no package manager: use discover, pip, uv or disabled")
    return text.lower()


def parse_trigger_rights(text: str) -> str:
    """What triggers may do that are given no rights.

    Raises:
        ValueError: It is neither ``all`` nor ``own``.
    """
    if text.lower() not in ("all", "own"):
        raise ValueError(f"'{text}' says nothing of rights: use all or own")
    return text.lower()


def parse_tls_version(text: str) -> str:
    """The name of a version of TLS.

    Raises:
        ValueError: It is none.
    """
    if text.lower() not in ("tls-1.2", "tls-1.3"):
        raise ValueError(f"'{text}' is no version of TLS: use tls-1.2 or tls-1.3")
    return text.lower()


def parse_nice(text: str) -> int:
    """A whole number from 0 to 19.

    Raises:
        ValueError: It is none.
    """
    if not text.isdecimal() or int(text) > 19:
        raise ValueError(f"'{text}' is not a whole number from 0 to 19")
    return int(text)


def parse_mode(text: str) -> int:
    """Permissions of a file, in octal.

    Raises:
        ValueError: They are none, or its owner could not use it.
    """
    if not re.fullmatch(r"0?o?[0-7]{3}", text) or int(text[-3:], 8) & 0o600 != 0o600:
        raise ValueError(f"'{text}' is not a mode of a file, such as 600, 660 or 666")
    return int(text[-3:], 8)


def parse_level(text: str) -> str:
    """A log level.

    Raises:
        ValueError: It is none.
    """
    if text.lower() not in ("debug", "info", "warn", "error"):
        raise ValueError(f"'{text}' is not a log level: use debug, info, warn or error")
    return text.lower()


def parse_number(text: str) -> int:
    """A whole number of at least 0.

    Raises:
        ValueError: It is none.
    """
    if not text.isdecimal():
        raise ValueError(f"'{text}' is not a whole number")
    return int(text)


def parse_count(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        ValueError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"'{text}' is not a whole number above 0")
    return int(text)


def parse_switch(text: str) -> bool:
    """Yes or no.

    Raises:
        ValueError: It is neither.
    """
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"'{text}' is neither true nor false")


def parse_exemptions(text: str) -> frozenset[str]:
    """Names of resources that need no token, separated by commas.

    Raises:
        ValueError: One is not known.
    """
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names - {"health", "ping", "metrics"})
    if unknown:
        raise ValueError(f"'{unknown[0]}' is none of health, ping and metrics")
    return names
