# Owns LineBuilder, the writer of line protocol that plugins use. Every text it returns is one line
# that parses back to exactly the values given; what no line can carry is refused when it is set.
# Imports no numpy: its scalars are recognised by the protocols that they implement.
"""Building lines of line protocol."""

from cpython.number cimport PyNumber_Index
from libc.math cimport floor, isfinite, signbit
from libc.stdint cimport int64_t, uint64_t

from lp_core.errors import InvalidKeyError, InvalidLineError, InvalidMeasurementError

cdef object INT64_MIN = -(1 << 63)
cdef object INT64_MAX = (1 << 63) - 1
cdef object UINT64_MAX = (1 << 64) - 1

# The parser's limit for one unescaped name or string, and the most UTF-8 bytes of one code point.
cdef Py_ssize_t TEXT_BYTES_MAX = 1 << 20
cdef Py_ssize_t CODE_POINT_BYTES_MAX = 4

cdef frozenset RESERVED_KEYS = frozenset(("time", "__chunk_order"))
cdef frozenset BOOLEAN_TYPE_NAMES = frozenset(("bool", "bool_"))


cdef bint is_encodable_within_limit(str text) except -1:
    """Tell whether the text fits one name or string; raise UnicodeEncodeError for surrogates."""
    if text.isascii():
        return len(text) <= TEXT_BYTES_MAX
    if len(text) * CODE_POINT_BYTES_MAX <= TEXT_BYTES_MAX:
        text.encode("utf-8")
        return True
    return len(text.encode("utf-8")) <= TEXT_BYTES_MAX


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
        raise InvalidMeasurementError(f"Measurement name is longer than {TEXT_BYTES_MAX} bytes")
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
        raise InvalidKeyError(f"{kind} key is longer than {TEXT_BYTES_MAX} bytes")
    return text


cdef int check_tag_value(str key, str value) except -1:
    if not value:
        raise InvalidLineError(f"tag '{key}' cannot have an empty value; leave the tag out instead")
    if "\t" in value or "\n" in value:
        raise InvalidLineError(f"value of tag '{key}' cannot contain tabs or newlines: {value!r}")
    if value[len(value) - 1] == "\\":
        raise InvalidLineError(f"value of tag '{key}' cannot end with a backslash: {value!r}")
    if not is_encodable_within_limit(value):
        raise InvalidLineError(f"value of tag '{key}' is longer than {TEXT_BYTES_MAX} bytes")
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


cdef str float_text(double number):
    # Integral values get digits without exponent, as plugins know it; repr() is short and exact.
    if number == floor(number):
        return "-0.0" if number == 0.0 and signbit(number) else f"{int(number)}.0"
    return repr(number)


cdef str escape_name(str text, bint is_tag_value):
    """Escape a measurement, key (none of its bytes needs it but backslashes) or tag value.

    A backslash is doubled only where a single one would be read as an escape: before another
    backslash and before a character that is escaped itself.
    """
    if "\\" not in text and "," not in text:
        if not is_tag_value or (" " not in text and "=" not in text):
            return text
    cdef list pieces = []
    cdef Py_ssize_t index, length = len(text)
    cdef Py_UCS4 character, following
    cdef bint is_read_as_escape
    for index in range(length):
        character = text[index]
        if character == u"\\":
            following = text[index + 1] if index + 1 < length else u"\\"
            is_read_as_escape = following == u"\\" or needs_escape(following, is_tag_value)
            pieces.append("\\\\" if is_read_as_escape else "\\")
        elif needs_escape(character, is_tag_value):
            pieces.append("\\" + character)
        else:
            pieces.append(character)
    return "".join(pieces)


cdef inline bint needs_escape(Py_UCS4 character, bint is_tag_value) noexcept:
    return character == u"," or (is_tag_value and (character == u" " or character == u"="))


cdef class LineBuilder:
    """Builds one line of line protocol, step by step; every setter returns the builder.

    Attributes:
        measurement: Name of the table.
        tags: Tag values as plain text, in order of first setting.
        fields: Field values as they stand in the line, in order of first setting.
    """

    cdef public str measurement
    cdef public dict tags
    cdef public dict fields
    cdef public object _timestamp_ns
    # Plugins may hang attributes of their own on a builder, as on the pure Python class they know.
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, measurement):
        """Start a line.

        Args:
            measurement: Name of the table.

        Raises:
            InvalidMeasurementError: No line can carry the name.
        """
        if not isinstance(measurement, str):
            raise TypeError(f"measurement must be str, not {type(measurement).__name__}")
        cdef str name = str.__str__(measurement)
        check_measurement(name)
        self.measurement = name
        self.tags = {}
        self.fields = {}
        self._timestamp_ns = None

    def tag(self, key, value):
        """Set a tag; the value is stored as ``str(value)``.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: No line can carry the value.
        """
        cdef str name = plain_key(key, "tag")
        cdef str text = str.__str__(str(value))
        check_tag_value(name, text)
        self.tags[name] = text
        return self

    def uint64_field(self, key, value):
        """Set an unsigned integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value is negative or needs more than 64 bits.
        """
        cdef str name = plain_key(key, "field")
        number = index_of(value, f"uint64 field '{name}'")
        if number < 0:
            raise ValueError(f"uint64 field '{name}' cannot be negative")
        if number > UINT64_MAX:
            raise ValueError(f"uint64 field '{name}' is out of the range of 64 bits: {number}")
        self.fields[name] = f"{<uint64_t>number}u"
        return self

    def int64_field(self, key, value):
        """Set a signed integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value needs more than 64 bits.
        """
        cdef str name = plain_key(key, "field")
        self.fields[name] = f"{int64_of(value, f"int64 field '{name}'")}i"
        return self

    def float64_field(self, key, value):
        """Set a float field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not a number.
            ValueError: The value is not finite.
            OverflowError: The value is an integer beyond the range of a float.
        """
        cdef str name = plain_key(key, "field")
        if isinstance(value, (str, bytes, bytearray)):
            raise TypeError(f"float64 field '{name}' must be a number, not {type(value).__name__}")
        cdef double number = float(value)
        if not isfinite(number):
            raise ValueError(f"float64 field '{name}' must be finite, not {number}")
        self.fields[name] = float_text(number)
        return self

    def string_field(self, key, value):
        """Set a string field.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: The value is longer than a line can carry.
            TypeError: The value is not a str.
        """
        cdef str name = plain_key(key, "field")
        if not isinstance(value, str):
            raise TypeError(f"string field '{name}' must be str, not {type(value).__name__}")
        cdef str text = str.__str__(value)
        if not is_encodable_within_limit(text):
            raise InvalidLineError(f"string field '{name}' is longer than {TEXT_BYTES_MAX} bytes")
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        self.fields[name] = f'"{text}"'
        return self

    def bool_field(self, key, value):
        """Set a boolean field to the truth value of ``value``.

        Raises:
            InvalidKeyError: No line can carry the key.
        """
        cdef str name = plain_key(key, "field")
        self.fields[name] = "t" if value else "f"
        return self

    def time_ns(self, timestamp_ns):
        """Set the timestamp in nanoseconds since the epoch; None leaves it to the server.

        Raises:
            TypeError: The timestamp is not an integer.
            ValueError: The timestamp needs more than 64 bits.
        """
        self._timestamp_ns = None if timestamp_ns is None else int64_of(timestamp_ns, "timestamp")
        return self

    def build(self):
        """Return the line. May be called any number of times and changes nothing.

        Raises:
            InvalidKeyError: A key is a tag and a field.
            InvalidLineError: The line has no field.
        """
        cdef list pieces = [escape_name(self.measurement, False)]
        cdef list fields = []
        for key, value in self.tags.items():
            if key in self.fields:
                raise InvalidKeyError(f"key '{key}' cannot be both a tag and a field")
            pieces.append(f"{escape_name(key, False)}={escape_name(value, True)}")
        series = ",".join(pieces)
        if not self.fields:
            raise InvalidLineError(f"At least one field is required: {series}")
        for key, value in self.fields.items():
            fields.append(f"{escape_name(key, False)}={value}")
        line = f"{series} {','.join(fields)}"
        return line if self._timestamp_ns is None else f"{line} {self._timestamp_ns}"

    def __repr__(self):
        counts = f"{len(self.tags)} tags, {len(self.fields)} fields"
        return f"<{type(self).__name__} {self.measurement!r}: {counts}>"
