# Owns which values LineBuilder accepts for fields, with the texts of the errors as plugins know
# them, and how a line spells them. Called for new keys, and for values that are not plain.

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport uint8_t, uint64_t

from lp_core._escape cimport LP_TEXT_BYTES_MAX
from lp_core._float_powers cimport float_powers
from lp_core._float_text cimport LP_FLOAT_BYTES_MAX, lp_float_power, lp_write_double
from lp_core._spelling cimport index_of, int64_of, is_encodable_within_limit

from lp_core.errors import InvalidLineError

cdef object UINT64_MAX = (1 << 64) - 1
cdef const lp_float_power* POWERS = float_powers()


cdef str uint64_text(str name, object value):
    number = index_of(value, f"uint64 field '{name}'")
    if number < 0:
        raise ValueError(f"uint64 field '{name}' cannot be negative")
    if number > UINT64_MAX:
        raise ValueError(f"uint64 field '{name}' is out of the range of 64 bits: {number}")
    return f"{<uint64_t>number}u"


cdef str int64_text(str name, object value):
    return f"{int64_of(value, f"int64 field '{name}'")}i"


cdef str float64_text(str name, object value):
    cdef uint8_t text[LP_FLOAT_BYTES_MAX]
    cdef uint8_t* end
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"float64 field '{name}' must be a number, not {type(value).__name__}")
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"float64 field '{name}' must be finite, not {number}")
    end = lp_write_double(text, number, POWERS)
    return PyUnicode_DecodeUTF8(<const char*>text, end - text, NULL)


cdef str string_text(str name, object value):
    if not isinstance(value, str):
        raise TypeError(f"string field '{name}' must be str, not {type(value).__name__}")
    cdef str text = str.__str__(value)
    if not is_encodable_within_limit(text):
        raise InvalidLineError(f"string field '{name}' is longer than {LP_TEXT_BYTES_MAX} bytes")
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


cdef str bool_text(str name, object value):
    return "t" if value else "f"
