# Owns the bytes of protobuf messages: fields by number, each a whole number or bytes. Knows no
# message; messages.py does. Written by hand because the server needs a dozen small messages, and
# the protobuf package would bring a generator and a version to agree on with every client library.
"""The wire format of protobuf."""

from collections.abc import Iterable

import msgspec

from engine.errors import RequestError

# Wire types: how the value of a field is written.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
_NUMBER_BITS = 64

Value = int | bytes | str | None


class Fields(msgspec.Struct, frozen=True):
    """The fields of one message, in the order in which they came."""

    values: dict[int, list[int | bytes]]

    def number(self, field: int) -> int:
        """The value of a numeric field, 0 without it.

        Raises:
            RequestError: It is no number.
        """
        value = self.values.get(field, [0])[-1]
        if not isinstance(value, int):
            raise _broken(f"field {field} is not a number")
        return value

    def content(self, field: int) -> bytes:
        """The value of a field of bytes, empty without it.

        Raises:
            RequestError: It is a number.
        """
        value = self.values.get(field, [b""])[-1]
        if isinstance(value, int):
            raise _broken(f"field {field} is a number")
        return value

    def text(self, field: int) -> str:
        """The value of a field of text, empty without it.

        Raises:
            RequestError: It is no text.
        """
        return _text(field, self.content(field))

    def optional_text(self, field: int) -> str | None:
        """The value of a field of text, or None without it.

        Raises:
            RequestError: It is no text.
        """
        return self.text(field) if field in self.values else None

    def texts(self, field: int) -> tuple[str, ...]:
        """All values of a repeated field of text.

        Raises:
            RequestError: One is no text.
        """
        found = self.values.get(field, [])
        return tuple(_text(field, value) for value in found)

    def numbers(self, field: int) -> tuple[int, ...]:
        """All values of a repeated numeric field, packed or not.

        Raises:
            RequestError: They are no numbers.
        """
        numbers: list[int] = []
        for value in self.values.get(field, []):
            if isinstance(value, int):
                numbers.append(value)
                continue
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                numbers.append(number)
        return tuple(numbers)


def read(message: bytes) -> Fields:
    """The fields of a message.

    Raises:
        RequestError: It is not one.
    """
    values: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire_type = key >> 3, key & 7
        value: int | bytes
        if wire_type == _VARINT:
            value, at = _varint(message, at)
        else:
            if wire_type == _BYTES:
                size, at = _varint(message, at)
            elif wire_type in (_FIXED64, _FIXED32):
                size = 8 if wire_type == _FIXED64 else 4
            else:
                raise _broken(f"unknown wire type {wire_type}")
            if at + size > len(message):
                raise _broken("it ends too early")
            value = message[at : at + size]
            at += size
        if not field:
            raise _broken("a field has number 0")
        values.setdefault(field, []).append(value)
    return Fields(values)


def write(fields: Iterable[tuple[int, Value]]) -> bytes:
    """A message of `fields`: number and value. None is a field that is not there."""
    parts: list[bytes] = []
    for field, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            parts += (_varint_of(field << 3 | _VARINT), _varint_of(value))
            continue
        content = value.encode() if isinstance(value, str) else value
        parts += (_varint_of(field << 3 | _BYTES), _varint_of(len(content)), content)
    return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise _broken("it ends too early")
        byte = data[at + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if number >> _NUMBER_BITS:
                break
            return number, at + index + 1
    raise _broken("a number is longer than 64 bits")


def _varint_of(number: int) -> bytes:
    # Negative numbers are written as 64 bits.
    number &= (1 << _NUMBER_BITS) - 1
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _text(field: int, value: int | bytes) -> str:
    if isinstance(value, int):
        raise _broken(f"field {field} is a number")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _broken(f"field {field} is not UTF-8") from None


def _broken(reason: str) -> RequestError:
    return RequestError(f"the Flight SQL message cannot be read: {reason}")
