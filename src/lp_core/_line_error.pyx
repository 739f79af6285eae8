# cython: auto_pickle=False
# Owns LineError and the wording of refusals: the only place that turns an lp_failure into text. The
# wording is the reference system's, which its users know and search for. Refused lines are noted as
# they are, and put into words only when somebody asks.

from libc.stdint cimport int64_t, uint8_t

from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._memory cimport lp_arena_copy, lp_arena_free, lp_buffer_append, lp_buffer_free
from lp_core._schema cimport column_type_name
from lp_core._status cimport (
    LP_FAULT_DUPLICATE_FIELD,
    LP_FAULT_DUPLICATE_TAG,
    LP_FAULT_INT_RANGE,
    LP_FAULT_MEASUREMENT,
    LP_FAULT_MISSING_SPACE,
    LP_FAULT_NO_FIELDS,
    LP_FAULT_RESERVED_COLUMN,
    LP_FAULT_TAG_KEY,
    LP_FAULT_TAG_MALFORMED,
    LP_FAULT_TAG_VALUE,
    LP_FAULT_TIME_RANGE,
    LP_FAULT_TIME_SCALE,
    LP_FAULT_TOO_LONG,
    LP_FAULT_TRAILING,
    LP_FAULT_TRAILING_BACKSLASH,
    LP_FAULT_TYPE_CONFLICT,
    LP_FAULT_UINT_RANGE,
    LP_NO_MEMORY,
    LP_OK,
    lp_failure,
    lp_status,
)

lp_pool_connect(lp_pool_shared())

cdef enum:
    ERRORS_LISTED_MAX = 10_000

LINE_ERRORS_MAX = ERRORS_LISTED_MAX

# Characters of the line that a message shows, and what a character may take in UTF-8.
cdef enum:
    SHOWN_CHARACTERS_MAX = 10
    CHARACTER_BYTES_MAX = 4

cdef dict CODES = {
    LP_FAULT_MEASUREMENT: "measurement",
    LP_FAULT_MISSING_SPACE: "missing-space",
    LP_FAULT_NO_FIELDS: "no-fields",
    LP_FAULT_TRAILING: "trailing",
    LP_FAULT_TRAILING_BACKSLASH: "trailing-backslash",
    LP_FAULT_TAG_KEY: "tag-key",
    LP_FAULT_TAG_VALUE: "tag-value",
    LP_FAULT_TAG_MALFORMED: "tag-malformed",
    LP_FAULT_INT_RANGE: "int-range",
    LP_FAULT_UINT_RANGE: "uint-range",
    LP_FAULT_TIME_RANGE: "time-range",
    LP_FAULT_TOO_LONG: "too-long",
    LP_FAULT_TIME_SCALE: "time-scale",
    LP_FAULT_DUPLICATE_FIELD: "duplicate-field",
    LP_FAULT_DUPLICATE_TAG: "duplicate-tag",
    LP_FAULT_RESERVED_COLUMN: "reserved-column",
    LP_FAULT_TYPE_CONFLICT: "type-conflict",
}

# {shown}: start of the text at fault, quoted; {text}: all of it.
cdef dict MESSAGES = {
    LP_FAULT_MEASUREMENT: "Invalid measurement was provided",
    LP_FAULT_MISSING_SPACE: "Expected at least one space character, got {shown}",
    LP_FAULT_NO_FIELDS: "No fields were provided",
    LP_FAULT_TRAILING: "Could not parse entire line. Found trailing content: {shown}",
    LP_FAULT_TRAILING_BACKSLASH: (
        "Measurements, tag keys and values, and field keys may not end with a backslash"
    ),
    LP_FAULT_TAG_KEY: "Expected tag key, got {shown}",
    LP_FAULT_TAG_VALUE: "Expected tag value, got {shown}",
    LP_FAULT_TAG_MALFORMED: "Tag set malformed: could not find equals sign in {shown}",
    LP_FAULT_INT_RANGE: "Unable to parse integer value `{text}`",
    LP_FAULT_UINT_RANGE: "Unable to parse unsigned integer value `{text}`",
    LP_FAULT_TIME_RANGE: "Unable to parse timestamp value `{text}`",
    LP_FAULT_TOO_LONG: "String is greater than 1MB",
    LP_FAULT_TIME_SCALE: "timestamp, {time}, out of range for precision: {precision}",
    LP_FAULT_DUPLICATE_FIELD: "invalid line protocol - multiple instances of '{text}' field found",
    LP_FAULT_DUPLICATE_TAG: "invalid line protocol - multiple instances of '{text}' tag found",
    LP_FAULT_RESERVED_COLUMN: "'{text}' is a reserved column",
    LP_FAULT_TYPE_CONFLICT: (
        "invalid column type for column '{text}', expected {expected}, got {got}"
    ),
}

cdef dict PRECISION_NAMES = {
    "auto": "Auto",
    "ns": "Nanosecond",
    "us": "Microsecond",
    "ms": "Millisecond",
    "s": "Second",
    "m": "Minute",
    "h": "Hour",
}


cdef class LineError:
    def __repr__(self):
        return f"<LineError line {self.line_number}: {self.code}: {self.message}>"


cdef str decoded(const uint8_t* text, int64_t text_bytes):
    return text[:text_bytes].decode("utf-8")


cdef str shown(const uint8_t* text, int64_t text_bytes):
    """Return the start of a text between backticks, with dots for the rest."""
    cdef int64_t end = min(text_bytes, SHOWN_CHARACTERS_MAX * CHARACTER_BYTES_MAX)
    if text_bytes == 0:
        return "end of input"
    while end < text_bytes and text[end] & 0xC0 == 0x80:
        end -= 1
    cdef str start = decoded(text, end)
    if len(start) <= SHOWN_CHARACTERS_MAX and end == text_bytes:
        return f"`{start}`"
    return f"`{start[:SHOWN_CHARACTERS_MAX]}...`"


cdef str message_of(const lp_refused_line* refused, str precision):
    cdef const lp_failure* failure = &refused.failure
    if failure.fault == LP_FAULT_NO_FIELDS or failure.fault == LP_FAULT_TOO_LONG:
        return MESSAGES[failure.fault]
    # A reserved column of a table that has its time column already reads as a conflict of types.
    cdef object fault = LP_FAULT_TYPE_CONFLICT if failure.expected else failure.fault
    cdef str template = MESSAGES[fault]
    return template.format(
        shown=shown(failure.text, failure.text_bytes) if "{shown}" in template else "",
        text=decoded(failure.text, failure.text_bytes) if "{text}" in template else "",
        time=refused.time,
        precision=PRECISION_NAMES[precision],
        expected=column_type_name(failure.expected) if failure.expected else "",
        got=column_type_name(failure.got) if failure.expected else "",
    )


cdef LineError line_error_from(const lp_refused_line* refused, str precision):
    """Turn a noted refusal into a LineError."""
    cdef LineError error = LineError.__new__(LineError)
    error.line_number = refused.line_number
    error.nth = refused.nth
    error.byte_offset = refused.byte_offset
    error.code = CODES[refused.failure.fault]
    error.message = message_of(refused, precision)
    error.line = decoded(refused.text, refused.text_bytes)
    return error


cdef class RefusedLines:
    def __dealloc__(self):
        lp_arena_free(&self.arena)
        lp_buffer_free(&self.lines)

    cdef lp_status note(self, const lp_refused_line* refused) noexcept nogil:
        """Copy what the error of a refused line needs; the body and the line may go afterwards."""
        cdef lp_refused_line noted = refused[0]
        cdef const uint8_t* at_fault = refused.failure.text
        self.count += 1
        if self.count > ERRORS_LISTED_MAX:
            return LP_OK
        noted.text = lp_arena_copy(&self.arena, refused.text, refused.text_bytes)
        if noted.text is NULL:
            return LP_NO_MEMORY
        if refused.text <= at_fault <= refused.text + refused.text_bytes:
            noted.failure.text = noted.text + (at_fault - refused.text)
        elif refused.failure.text_bytes > 0:
            # An unescaped name, which stands elsewhere.
            noted.failure.text = lp_arena_copy(
                &self.arena, at_fault, refused.failure.text_bytes
            )
            if noted.failure.text is NULL:
                return LP_NO_MEMORY
        return lp_buffer_append(&self.lines, &noted, sizeof(noted))

    cdef list errors(self, str precision):
        """Return the LineErrors, made anew."""
        cdef const lp_refused_line* refused = <const lp_refused_line*> self.lines.bytes
        cdef int64_t i
        return [
            line_error_from(&refused[i], precision)
            for i in range(min(self.count, ERRORS_LISTED_MAX))
        ]
