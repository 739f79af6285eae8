# cython: auto_pickle=False, embedsignature.format=clinic
# Owns LineBuilder, the writer of line protocol that plugins use. Every text it returns is one line
# that parses back to exactly the values given; what no line can carry is refused when it is set.
# Setters append to one buffer; dicts take over when a key comes again or somebody looks at them.
# The usual calls go to _quick_builder.pyx instead.
# Imports no numpy: its scalars are recognised by the protocols that they implement.
"""Building lines of line protocol."""

from copyreg import __newobj__ as new_object

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.limits cimport LLONG_MIN
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from lp_core._escape cimport LP_COPY_STEP, LP_IN_NAME, LP_IN_TABLE_NAME
from lp_core._exact_objects cimport suit_dict
from lp_core._field_text cimport bool_text, float64_text, int64_text, string_text, uint64_text
from lp_core._line_items cimport items_of, line_of, no_field, spelled
from lp_core._line_names cimport (
    known_key,
    known_table,
    line_steps,
    remember_key,
    remember_table,
    root_of,
    step_of,
)
from lp_core._line_steps cimport lp_line_key, lp_line_step, lp_line_steps, lp_loose_step
from lp_core._line_text cimport (
    LP_LINE_BYTES_MIN,
    lp_line_begin,
    lp_line_end_field,
    lp_line_end_tag,
    lp_line_is_new,
    lp_line_leave_steps,
    lp_line_start,
)
from lp_core._plain_items cimport (
    put_plain_bool,
    put_plain_float,
    put_plain_int,
    put_plain_string,
    put_plain_tag,
)
from lp_core._spelling cimport check_measurement, check_tag_value, escaped, int64_of, plain_key

cdef lp_line_steps* STEPS = line_steps()
cdef uint8_t* spare_bytes = NULL
cdef int64_t spare_capacity = 0


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

    def __init__(self, measurement):
        """Start a line.

        Args:
            measurement: Name of the table.

        Raises:
            InvalidMeasurementError: No line can carry the name.
        """
        cdef lp_line_key* known
        cdef lp_line_key own
        cdef bytes spelling
        # What a line before had goes first: its end may run code that has `known` forgotten.
        self.release()
        self._timestamp_ns = None
        self.tag_texts = None
        self.field_texts = None
        known = known_table(<PyObject*>measurement)
        if known is not NULL:
            self.table_name = <str>measurement
            self.start(known, root_of(known, <PyObject*>measurement), True)
            return
        if not isinstance(measurement, str):
            raise TypeError(f"measurement must be str, not {type(measurement).__name__}")
        cdef str name = str.__str__(measurement)
        check_measurement(name)
        spelling = escaped(name, LP_IN_TABLE_NAME)
        own.fragment = <uint8_t*>PyBytes_AS_STRING(spelling)
        own.fragment_bytes = PyBytes_GET_SIZE(spelling)
        self.table_name = name
        self.start(&own, NULL, name.isascii())
        if name is measurement:
            remember_table(name, spelling)

    def __cinit__(self):
        suit_dict(self)

    def __dealloc__(self):
        self.release()

    cdef int start(self, const lp_line_key* name, lp_line_step* root, bint is_ascii) except -1:
        """Begin the line, of which there is nothing yet, with the name of its table."""
        global spare_bytes
        self.release()
        if spare_bytes is not NULL and spare_capacity >= name.fragment_bytes:
            self.text.bytes = spare_bytes
            self.text.capacity = spare_capacity
            spare_bytes = NULL
        else:
            self.text.bytes = <uint8_t*>malloc(name.fragment_bytes + LP_LINE_BYTES_MIN)
            if self.text.bytes is NULL:
                raise MemoryError
            self.text.capacity = name.fragment_bytes + LP_LINE_BYTES_MIN
        self.text.is_ascii = is_ascii
        lp_line_start(&self.text, STEPS, name, root)
        return 0

    cdef void release(self) noexcept:
        """Give the buffer back; the next line takes it."""
        global spare_bytes, spare_capacity
        cdef uint8_t* text = self.text.bytes
        lp_line_leave_steps(&self.text, STEPS)
        if spare_bytes is NULL and self.text.capacity <= SPARE_BYTES_MAX:
            spare_bytes = text
            spare_capacity = self.text.capacity
        else:
            free(text)
        self.text.bytes = NULL
        self.text.used = self.text.capacity = 0

    cdef int use_dicts(self) except -1:
        """Take the line apart into the dicts, which hold it from here on."""
        cdef tuple found = self.texts()
        if self.text.bytes is not NULL:
            self.release()
            self.tag_texts, self.field_texts = found
        return 0

    cdef tuple texts(self):
        cdef lp_line_text line = self.text
        cdef bytes copy
        if line.bytes is NULL:
            return self.tag_texts, self.field_texts
        # A dict that is made may have the garbage collector run, and that code which has this line
        # taken apart as well.
        copy = PyBytes_FromStringAndSize(<char*>line.bytes, line.used)
        line.bytes = <uint8_t*>PyBytes_AS_STRING(copy)
        return items_of(&line, True), items_of(&line, False)

    cdef bint append(
        self, object key, str name, bytes value, bint is_tag
    ) except -1:
        """Append an item as a line spells it; False when the dicts must take it.

        ``name`` is the good key; ``key`` is what the caller gave for it.
        """
        cdef lp_line_step* step = step_of(&self.text, <PyObject*>name)
        cdef lp_line_key own
        cdef bytes fragment
        cdef uint8_t* out
        cdef int64_t count = PyBytes_GET_SIZE(value)
        if self.text.bytes is NULL:
            return False
        if step is NULL and known_key(<PyObject*>name) is NULL:
            fragment = b",%b=" % escaped(name, LP_IN_NAME)
            own.fragment_bytes = PyBytes_GET_SIZE(fragment)
            if name is key:
                remember_key(name, fragment)
                step = step_of(&self.text, <PyObject*>name)
            if step is NULL:
                fragment = fragment + bytes(LP_COPY_STEP)
                own.root = NULL
                own.hash = <uint64_t>hash(name)
                own.fragment = <uint8_t*>PyBytes_AS_STRING(fragment)
                if lp_line_is_new(&self.text, &own):
                    step = lp_loose_step(STEPS, &own)
        # The garbage collector may have run code that has this line taken apart.
        if step is NULL or self.text.bytes is NULL:
            return False
        out = lp_line_begin(&self.text, step, count)
        if out is NULL:
            return False
        memcpy(out, PyBytes_AS_STRING(value), count)
        if is_tag:
            if not lp_line_end_tag(&self.text, STEPS, step, out + count):
                return False
        else:
            lp_line_end_field(&self.text, STEPS, step, out + count)
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

    cdef int put_field(self, object key, field_text text_of, object value) except -1:
        cdef str name = plain_key(key, "field")
        cdef str text = text_of(name, value)
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
        if not put_plain_tag(&self.text, <PyObject*>key, <PyObject*>value):
            self.put_tag(key, value)
        return self

    def uint64_field(self, key, value):
        """Set an unsigned integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value is negative or needs more than 64 bits.
        """
        if not put_plain_int(&self.text, <PyObject*>key, <PyObject*>value, 0, b"u"):
            self.put_field(key, uint64_text, value)
        return self

    def int64_field(self, key, value):
        """Set a signed integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value needs more than 64 bits.
        """
        if not put_plain_int(&self.text, <PyObject*>key, <PyObject*>value, LLONG_MIN, b"i"):
            self.put_field(key, int64_text, value)
        return self

    def float64_field(self, key, value):
        """Set a float field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not a number.
            ValueError: The value is not finite.
            OverflowError: The value is an integer beyond the range of a float.
        """
        if not put_plain_float(&self.text, <PyObject*>key, <PyObject*>value):
            self.put_field(key, float64_text, value)
        return self

    def string_field(self, key, value):
        """Set a string field.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: The value is longer than a line can carry.
            TypeError: The value is not a str.
        """
        if not put_plain_string(&self.text, <PyObject*>key, <PyObject*>value):
            self.put_field(key, string_text, value)
        return self

    def bool_field(self, key, value):
        """Set a boolean field to the truth value of ``value``.

        Raises:
            InvalidKeyError: No line can carry the key.
        """
        if not put_plain_bool(&self.text, <PyObject*>key, <PyObject*>value):
            self.put_field(key, bool_text, value)
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
        time_ns = self._timestamp_ns
        if self.text.bytes is NULL:
            line = line_of(self.table_name, self.tag_texts, self.field_texts)
        elif self.text.used == self.text.fields_at:
            raise no_field(spelled(&self.text, 0, self.text.used))
        else:
            series = spelled(&self.text, 0, self.text.fields_at)
            line = f"{series} {spelled(&self.text, self.text.fields_at + 1, self.text.used)}"
        return line if time_ns is None else f"{line} {time_ns}"

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
