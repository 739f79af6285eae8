# Owns what LineBuilder accepts and refuses: names, tag values, integers, with the texts of the
# errors as plugins know them, and the escaped form of a text. Called once per text not known yet.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

from lp_core._escape cimport LP_TEXT_BYTES_MAX, lp_text_place, lp_write_escaped

from lp_core.errors import InvalidKeyError, InvalidLineError, InvalidMeasurementError

cdef object INT64_MIN = -(1 << 63)
cdef object INT64_MAX = (1 << 63) - 1

# The most UTF-8 bytes of one code point.
cdef Py_ssize_t CODE_POINT_BYTES_MAX = 4

cdef frozenset RESERVED_KEYS = frozenset(("time", "__chunk_order"))
cdef frozenset BOOLEAN_TYPE_NAMES = frozenset(("bool", "bool_"))


cdef bint is_encodable_within_limit(str text) except -1:
    """Tell whether the text fits one name or string; raise UnicodeEncodeError for surrogates."""
    if text.isascii():
        return len(text) <= LP_TEXT_BYTES_MAX
    if len(text) * CODE_POINT_BYTES_MAX <= LP_TEXT_BYTES_MAX:
        text.encode("utf-8")
        return True
    return len(text.encode("utf-8")) <= LP_TEXT_BYTES_MAX


cdef int check_measurement(str measurement) except -1:
    if not measurement:
        raise InvalidMeasurementError("Measurement name cannot be empty")
    if " " in measurement:
        raise InvalidMeasurementError("Measurement name cannot contain spaces")
    if "\t" in measurement or "\n" in measurement or "\0" in measurement:
        raise InvalidMeasurementError("Measurement name cannot contain tabs, newlines or NUL")
    if measurement[0] == "#":
        raise InvalidMeasurementError("Measurement name cannot start with '#', as comments do")
    if measurement[len(measurement) - 1] == "\\":
        raise InvalidMeasurementError("Measurement name cannot end with a backslash")
    if not is_encodable_within_limit(measurement):
        raise InvalidMeasurementError(f"Measurement name is longer than {LP_TEXT_BYTES_MAX} bytes")
    return 0


cdef str plain_key(object key, str kind):
    """Return the key as an exact str, or raise what the seed's LineBuilder raises."""
    if not isinstance(key, str):
        raise TypeError(f"{kind} key must be str, not {type(key).__name__}")
    cdef str text = str.__str__(key)
    if not text:
        raise InvalidKeyError(f"{kind} key cannot be empty")
    if " " in text:
        raise InvalidKeyError(f"{kind} key '{text}' cannot contain spaces")
    if "," in text:
        raise InvalidKeyError(f"{kind} key '{text}' cannot contain commas")
    if "=" in text:
        raise InvalidKeyError(f"{kind} key '{text}' cannot contain equals signs")
    if "\t" in text or "\n" in text:
        raise InvalidKeyError(f"{kind} key {text!r} cannot contain tabs or newlines")
    if text[len(text) - 1] == "\\":
        raise InvalidKeyError(f"{kind} key '{text}' cannot end with a backslash")
    if text in RESERVED_KEYS:
        raise InvalidKeyError(f"{kind} key '{text}' is a reserved column")
    if not is_encodable_within_limit(text):
        raise InvalidKeyError(f"{kind} key is longer than {LP_TEXT_BYTES_MAX} bytes")
    return text


cdef int check_tag_value(str key, str value) except -1:
    if not value:
        raise InvalidLineError(f"tag '{key}' cannot have an empty value; leave the tag out instead")
    if "\t" in value or "\n" in value:
        raise InvalidLineError(f"value of tag '{key}' cannot contain tabs or newlines: {value!r}")
    if value[len(value) - 1] == "\\":
        raise InvalidLineError(f"value of tag '{key}' cannot end with a backslash: {value!r}")
    if not is_encodable_within_limit(value):
        raise InvalidLineError(f"value of tag '{key}' is longer than {LP_TEXT_BYTES_MAX} bytes")
    return 0


cdef object index_of(object value, str what):
    """Return an int for anything that counts as an integer; booleans do not, numpy's included."""
    if isinstance(value, bool) or type(value).__name__ in BOOLEAN_TYPE_NAMES:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}")
    try:
        return PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}") from None


cdef int64_t int64_of(object value, str what) except? -1:
    number = index_of(value, what)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError(f"{what} is out of the range of a signed 64-bit integer: {number}")
    return number


cdef bytes escaped(str text, lp_text_place place):
    """Return the text in UTF-8 as a line spells it there."""
    cdef bytes plain = text.encode("utf-8")
    cdef int64_t count = PyBytes_GET_SIZE(plain)
    cdef uint8_t* spelled = <uint8_t*>malloc(2 * count + 1)
    if spelled is NULL:
        raise MemoryError
    cdef uint8_t* end = lp_write_escaped(spelled, <uint8_t*>PyBytes_AS_STRING(plain), count, place)
    try:
        return (<char*>spelled)[:end - spelled]
    finally:
        free(spelled)
