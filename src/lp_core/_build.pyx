# cython: auto_pickle=False, embedsignature.format=clinic
# Owns LineBuilder, the writer of line protocol that plugins use. Every text it returns is one line
# that parses back to exactly the values given; what no line can carry is refused when it is set.
# Setters append to one buffer; dicts take over when a key comes again or somebody looks at them.
# Imports no numpy: its scalars are recognised by the protocols that they implement.
"""Building lines of line protocol."""

from copyreg import __newobj__ as new_object

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.limits cimport LLONG_MIN
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from lp_core._escape cimport (
    LP_COPY_STEP,
    LP_IN_NAME,
    LP_IN_STRING,
    LP_IN_TABLE_NAME,
    LP_TEXT_BYTES_MAX,
    lp_copy_if_plain,
    lp_write_spaced,
)
from lp_core._exact_objects cimport (
    PyFloat_AS_DOUBLE,
    PyFloat_CheckExact,
    PyUnicode_1BYTE_DATA,
    PyUnicode_CheckExact,
    PyUnicode_GET_LENGTH,
    PyUnicode_IS_COMPACT_ASCII,
    PyUnicode_New,
    int_value,
    suit_dict,
)
from lp_core._float_powers cimport float_powers
from lp_core._float_text cimport LP_FLOAT_BYTES_MAX, lp_float_power, lp_write_double
from lp_core._known_texts cimport (
    LP_KNOWN_FRAGMENT_BYTES,
    lp_find_known,
    lp_known_texts,
    lp_remember_known,
)
from lp_core._line_items cimport items_of, line_of, no_field, spelled
from lp_core._line_text cimport (
    LP_INTEGER_BYTES_MAX,
    LP_LINE_BYTES_MIN,
    lp_line_begin,
    lp_line_end_field,
    lp_line_end_tag,
    lp_line_key,
    lp_line_text,
    lp_write_int64,
)
from lp_core._spelling cimport (
    check_measurement,
    check_tag_value,
    escaped,
    index_of,
    int64_of,
    is_encodable_within_limit,
    plain_key,
)

from lp_core.errors import InvalidLineError

cdef object UINT64_MAX = (1 << 64) - 1

# A buffer that grew beyond this is not kept for the next line.
cdef int64_t SPARE_BYTES_MAX = 1 << 16

cdef const lp_float_power* POWERS = float_powers()
cdef lp_known_texts known_keys
cdef lp_known_texts known_tables
cdef uint8_t* spare_bytes = NULL
cdef int64_t spare_capacity = 0


cdef str float_text(double number):
    cdef uint8_t text[LP_FLOAT_BYTES_MAX]
    cdef uint8_t* end = lp_write_double(text, number, POWERS)
    return PyUnicode_DecodeUTF8(<const char*>text, end - text, NULL)


cdef int remember(lp_known_texts* known, str text, bytes fragment) except -1:
    """Note that the name is good and how a line spells it, if both are short and ASCII."""
    cdef const void* dropped
    if PyBytes_GET_SIZE(fragment) > LP_KNOWN_FRAGMENT_BYTES or not text.isascii():
        return 0
    dropped = lp_remember_known(
        known,
        <void*>text,
        <uint64_t>hash(text),
        <uint8_t*>PyBytes_AS_STRING(fragment),
        PyBytes_GET_SIZE(fragment),
    )
    Py_INCREF(text)
    if dropped is not NULL:
        Py_DECREF(<object>dropped)
    return 0


# The garbage collector breaks cycles at __dict__ alone, the only attribute that can close one.
@cython.binding(False)
@cython.freelist(8)
cdef class LineBuilder:
    """Builds one line of line protocol, step by step; every setter returns the builder.

    Attributes:
        measurement: Name of the table.
        tags: Tag values as plain text, in order of first setting.
        fields: Field values as they stand in the line, in order of first setting.
    """

    cdef lp_line_text text      # holds the line until `tag_texts` and `field_texts` do
    cdef str table_name
    cdef dict tag_texts
    cdef dict field_texts
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
        cdef const lp_line_key* known = lp_find_known(&known_tables, <void*>measurement)
        cdef bytes spelling
        self._timestamp_ns = None
        if known is not NULL:
            self.table_name = <str>measurement
            self.start(known.fragment, known.fragment_bytes, True)
            return
        if not isinstance(measurement, str):
            raise TypeError(f"measurement must be str, not {type(measurement).__name__}")
        cdef str name = str.__str__(measurement)
        check_measurement(name)
        spelling = escaped(name, LP_IN_TABLE_NAME)
        self.table_name = name
        self.start(
            <uint8_t*>PyBytes_AS_STRING(spelling), PyBytes_GET_SIZE(spelling), name.isascii()
        )
        if name is measurement:
            remember(&known_tables, name, spelling)

    def __cinit__(self):
        suit_dict(self)

    def __dealloc__(self):
        self.release()

    cdef int start(self, const uint8_t* name, int64_t count, bint is_ascii) except -1:
        """Empty the line but for the name of its table."""
        global spare_bytes, spare_capacity
        self.release()
        self.tag_texts = None
        self.field_texts = None
        self.text.key_count = 0
        memset(self.text.keys_seen, 0, sizeof(self.text.keys_seen))
        if spare_bytes is not NULL and spare_capacity >= count:
            self.text.bytes = spare_bytes
            self.text.capacity = spare_capacity
            spare_bytes = NULL
        else:
            self.text.bytes = <uint8_t*>malloc(count + LP_LINE_BYTES_MIN)
            if self.text.bytes is NULL:
                raise MemoryError
            self.text.capacity = count + LP_LINE_BYTES_MIN
        memcpy(self.text.bytes, name, count)
        self.text.used = self.text.tags_at = self.text.fields_at = count
        self.text.is_ascii = is_ascii
        return 0

    cdef void release(self) noexcept:
        """Give the buffer back; the next line takes it."""
        global spare_bytes, spare_capacity
        cdef uint8_t* text = self.text.bytes
        if spare_bytes is NULL and self.text.capacity <= SPARE_BYTES_MAX:
            spare_bytes = text
            spare_capacity = self.text.capacity
        else:
            free(text)
        self.text.bytes = NULL
        self.text.used = self.text.capacity = 0

    cdef int use_dicts(self) except -1:
        """Take the line apart into the dicts, which hold it from here on."""
        self.tag_texts, self.field_texts = self.texts()
        self.release()
        return 0

    cdef tuple texts(self):
        if self.text.bytes is NULL:
            return self.tag_texts, self.field_texts
        return items_of(&self.text, True), items_of(&self.text, False)

    cdef bint append(
        self, object key, str name, bytes value, bint is_tag
    ) except -1:
        """Append an item as a line spells it; False when the dicts must take it.

        ``name`` is the good key; ``key`` is what the caller gave for it.
        """
        cdef const lp_line_key* known = lp_find_known(&known_keys, <void*>name)
        cdef lp_line_key own
        cdef bytes fragment
        cdef uint8_t* out
        cdef int64_t count = PyBytes_GET_SIZE(value)
        if self.text.bytes is NULL:
            return False
        if known is NULL:
            fragment = b",%b=" % escaped(name, LP_IN_NAME)
            own.fragment_bytes = PyBytes_GET_SIZE(fragment)
            if name is key:
                remember(&known_keys, name, fragment)
            fragment = fragment + bytes(LP_COPY_STEP)
            own.hash = <uint64_t>hash(name)
            own.fragment = <uint8_t*>PyBytes_AS_STRING(fragment)
            known = &own
        out = lp_line_begin(&self.text, known, count)
        if out is NULL:
            return False
        memcpy(out, PyBytes_AS_STRING(value), count)
        if is_tag:
            if not lp_line_end_tag(&self.text, known, out + count):
                return False
        else:
            lp_line_end_field(&self.text, known, out + count)
        if not (value.isascii() and name.isascii()):
            self.text.is_ascii = False
        return True

    cdef int put_tag(self, object key, object value) except -1:
        cdef str name = plain_key(key, "tag")
        cdef str text = str.__str__(str(value))
        check_tag_value(name, text)
        if not self.append(key, name, escaped(text, LP_IN_NAME), True):
            self.use_dicts()
            self.tag_texts[name] = text
        return 0

    cdef int put_field(self, object key, str name, str text) except -1:
        if not self.append(key, name, text.encode("utf-8"), False):
            self.use_dicts()
            self.field_texts[name] = text
        return 0

    @property
    def measurement(self):
        return self.table_name

    @measurement.setter
    def measurement(self, str name):
        self.use_dicts()
        self.table_name = name

    @property
    def tags(self):
        self.use_dicts()
        return self.tag_texts

    @tags.setter
    def tags(self, dict texts):
        self.use_dicts()
        self.tag_texts = texts

    @property
    def fields(self):
        self.use_dicts()
        return self.field_texts

    @fields.setter
    def fields(self, dict texts):
        self.use_dicts()
        self.field_texts = texts

    def tag(self, key, value):
        """Set a tag; the value is stored as ``str(value)``.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: No line can carry the value.
        """
        cdef const lp_line_key* known = lp_find_known(&known_keys, <void*>key)
        cdef int64_t count
        cdef uint8_t* out
        cdef uint8_t* end
        if known is not NULL and PyUnicode_CheckExact(value) and PyUnicode_IS_COMPACT_ASCII(value):
            count = PyUnicode_GET_LENGTH(value)
            if 0 < count <= LP_TEXT_BYTES_MAX:
                out = lp_line_begin(&self.text, known, 2 * count)
                if out is not NULL:
                    end = out + count
                    if not lp_copy_if_plain(out, PyUnicode_1BYTE_DATA(value), count, LP_IN_NAME):
                        end = lp_write_spaced(out, PyUnicode_1BYTE_DATA(value), count)
                    if end is not NULL and lp_line_end_tag(&self.text, known, end):
                        return self
        self.put_tag(key, value)
        return self

    def uint64_field(self, key, value):
        """Set an unsigned integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value is negative or needs more than 64 bits.
        """
        if self.append_integer(<PyObject*>key, <PyObject*>value, 0, b"u"):
            return self
        cdef str name = plain_key(key, "field")
        number = index_of(value, f"uint64 field '{name}'")
        if number < 0:
            raise ValueError(f"uint64 field '{name}' cannot be negative")
        if number > UINT64_MAX:
            raise ValueError(f"uint64 field '{name}' is out of the range of 64 bits: {number}")
        self.put_field(key, name, f"{<uint64_t>number}u")
        return self

    def int64_field(self, key, value):
        """Set a signed integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value needs more than 64 bits.
        """
        if self.append_integer(<PyObject*>key, <PyObject*>value, LLONG_MIN, b"i"):
            return self
        cdef str name = plain_key(key, "field")
        self.put_field(key, name, f"{int64_of(value, f"int64 field '{name}'")}i")
        return self

    cdef inline bint append_integer(
        self, PyObject* key, PyObject* value, long long least, char suffix
    ) noexcept:
        """Append an int of a known key; False when that takes a closer look."""
        cdef const lp_line_key* known = lp_find_known(&known_keys, key)
        cdef int overflow = 0
        cdef long long number
        cdef uint8_t* out
        if known is NULL or not PyLong_CheckExact(<object>value):
            return False
        number = int_value(value, &overflow)
        if overflow != 0 or number < least:
            return False
        out = lp_line_begin(&self.text, known, LP_INTEGER_BYTES_MAX + 1)
        if out is NULL:
            return False
        out = lp_write_int64(out, number)
        out[0] = suffix
        lp_line_end_field(&self.text, known, out + 1)
        return True

    def float64_field(self, key, value):
        """Set a float field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not a number.
            ValueError: The value is not finite.
            OverflowError: The value is an integer beyond the range of a float.
        """
        cdef const lp_line_key* known = lp_find_known(&known_keys, <void*>key)
        cdef double number
        cdef uint8_t* out
        if known is not NULL and PyFloat_CheckExact(value):
            number = PyFloat_AS_DOUBLE(value)
            if isfinite(number):
                out = lp_line_begin(&self.text, known, LP_FLOAT_BYTES_MAX)
                if out is not NULL:
                    lp_line_end_field(&self.text, known, lp_write_double(out, number, POWERS))
                    return self
        cdef str name = plain_key(key, "field")
        if isinstance(value, (str, bytes, bytearray)):
            raise TypeError(f"float64 field '{name}' must be a number, not {type(value).__name__}")
        number = float(value)
        if not isfinite(number):
            raise ValueError(f"float64 field '{name}' must be finite, not {number}")
        self.put_field(key, name, float_text(number))
        return self

    def string_field(self, key, value):
        """Set a string field.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: The value is longer than a line can carry.
            TypeError: The value is not a str.
        """
        cdef const lp_line_key* known = lp_find_known(&known_keys, <void*>key)
        cdef int64_t count
        cdef uint8_t* out
        if known is not NULL and PyUnicode_CheckExact(value) and PyUnicode_IS_COMPACT_ASCII(value):
            count = PyUnicode_GET_LENGTH(value)
            if count <= LP_TEXT_BYTES_MAX:
                out = lp_line_begin(&self.text, known, count + 2)
                if out is not NULL and lp_copy_if_plain(
                    out + 1, PyUnicode_1BYTE_DATA(value), count, LP_IN_STRING
                ):
                    out[0] = out[count + 1] = b'"'
                    lp_line_end_field(&self.text, known, out + count + 2)
                    return self
        cdef str name = plain_key(key, "field")
        if not isinstance(value, str):
            raise TypeError(f"string field '{name}' must be str, not {type(value).__name__}")
        cdef str text = str.__str__(value)
        if not is_encodable_within_limit(text):
            raise InvalidLineError(
                f"string field '{name}' is longer than {LP_TEXT_BYTES_MAX} bytes"
            )
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        self.put_field(key, name, f'"{text}"')
        return self

    def bool_field(self, key, value):
        """Set a boolean field to the truth value of ``value``.

        Raises:
            InvalidKeyError: No line can carry the key.
        """
        cdef const lp_line_key* known
        cdef uint8_t* out
        if value is True or value is False:
            known = lp_find_known(&known_keys, <void*>key)
            out = NULL if known is NULL else lp_line_begin(&self.text, known, 1)
            if out is not NULL:
                out[0] = b"t" if value is True else b"f"
                lp_line_end_field(&self.text, known, out + 1)
                return self
        cdef str name = plain_key(key, "field")
        self.put_field(key, name, "t" if value else "f")
        return self

    def time_ns(self, timestamp_ns):
        """Set the timestamp in nanoseconds since the epoch; None leaves it to the server.

        Raises:
            TypeError: The timestamp is not an integer.
            ValueError: The timestamp needs more than 64 bits.
        """
        cdef int overflow = 0
        if PyLong_CheckExact(timestamp_ns):
            int_value(<PyObject*>timestamp_ns, &overflow)
            if overflow == 0:
                self._timestamp_ns = timestamp_ns
                return self
        self._timestamp_ns = None if timestamp_ns is None else int64_of(timestamp_ns, "timestamp")
        return self

    def build(self):
        """Return the line. May be called any number of times and changes nothing.

        Raises:
            InvalidKeyError: A key is a tag and a field.
            InvalidLineError: The line has no field.
        """
        cdef uint8_t time_text[LP_INTEGER_BYTES_MAX + 1]
        cdef int64_t time_bytes = 0
        cdef int overflow = 0
        cdef long long number
        time_ns = self._timestamp_ns
        if self.text.bytes is NULL:
            line = line_of(self.table_name, self.tag_texts, self.field_texts)
        elif self.text.used == self.text.fields_at:
            raise no_field(spelled(&self.text, 0, self.text.used))
        else:
            if PyLong_CheckExact(time_ns):
                number = int_value(<PyObject*>time_ns, &overflow)
                if overflow == 0:
                    time_text[0] = b" "
                    time_bytes = lp_write_int64(time_text + 1, number) - time_text
                    time_ns = None
            line = self.joined(time_text, time_bytes)
        return line if time_ns is None else f"{line} {time_ns}"

    cdef str joined(self, const uint8_t* time_text, int64_t time_bytes):
        cdef int64_t used = self.text.used
        cdef uint8_t* out
        if self.text.is_ascii:
            line = PyUnicode_New(used + time_bytes, 127)
            out = PyUnicode_1BYTE_DATA(line)
            memcpy(out, self.text.bytes, used)
            memcpy(out + used, time_text, time_bytes)
            out[self.text.fields_at] = b" "
            return <str>line
        series = spelled(&self.text, 0, self.text.fields_at)
        fields = spelled(&self.text, self.text.fields_at + 1, used)
        return f"{series} {fields}{(<const char*>time_text)[:time_bytes].decode('ascii')}"

    def __reduce__(self):
        tags, fields = self.texts()
        state = (self.table_name, tags, fields, self._timestamp_ns, vars(self))
        return new_object, (type(self),), state

    def __setstate__(self, state):
        self.release()
        self.table_name, self.tag_texts, self.field_texts, self._timestamp_ns, attributes = state
        vars(self).update(attributes)

    def __repr__(self):
        tags, fields = self.texts()
        counts = f"{len(tags)} tags, {len(fields)} fields"
        return f"<{type(self).__name__} {self.table_name!r}: {counts}>"
