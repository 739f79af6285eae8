# Owns the syntax of one logical line: text in, slices and numbers out (lp_line). Called by the
# assembler with the line already cut and trimmed. Knows no table, no column and no other line, and
# changes nothing outside its lp_line. No Python object is touched here.

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, memcpy

from lp_core._batch cimport LP_BOOL, LP_FLOAT64, LP_INT64, LP_STRING, LP_UINT64
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._memory cimport lp_buffer, lp_buffer_free, lp_buffer_reserve
from lp_core._number cimport (
    lp_decimal,
    lp_double,
    lp_int64,
    lp_magnitude,
    lp_match_float_rest,
    lp_match_integer,
)
from lp_core._scan cimport (
    LP_BACKSLASH,
    LP_ENDS_KEY,
    LP_ENDS_MEASUREMENT,
    LP_ENDS_TAG_VALUE,
    LP_ESCAPABLE_IN_MEASUREMENT,
    LP_ESCAPABLE_IN_NAME,
    LP_ESCAPABLE_IN_STRING,
    LP_QUOTE,
    LP_SPACE,
    lp_byte_class,
    lp_find_byte,
    lp_scan_until,
    lp_scan_while,
)
from lp_core._status cimport (
    LP_FAULT_INT_RANGE,
    LP_FAULT_MEASUREMENT,
    LP_FAULT_MISSING_SPACE,
    LP_FAULT_NO_FIELDS,
    LP_FAULT_TAG_KEY,
    LP_FAULT_TAG_MALFORMED,
    LP_FAULT_TAG_VALUE,
    LP_FAULT_TIME_RANGE,
    LP_FAULT_TOO_LONG,
    LP_FAULT_TRAILING,
    LP_FAULT_TRAILING_BACKSLASH,
    LP_FAULT_UINT_RANGE,
    LP_NO_MATCH,
    LP_OK,
    lp_fault,
    lp_refuse,
    lp_status,
)

lp_pool_connect(lp_pool_shared())


cdef lp_status line_begin(lp_line* line, const uint8_t* start, const uint8_t* end) noexcept nogil:
    line.start = start
    line.cursor = start
    line.end = end
    line.tag_count = 0
    line.field_count = 0
    line.has_time = False
    line.has_backslash = lp_find_byte(start, end, b"\\") != end
    line.unescaped.used = 0
    if line.has_backslash:
        return lp_buffer_reserve(&line.unescaped, end - start)
    return LP_OK


cdef void line_free(lp_line* line) noexcept nogil:
    lp_buffer_free(&line.tag_buffer)
    lp_buffer_free(&line.field_buffer)
    lp_buffer_free(&line.unescaped)


cdef inline lp_status refuse_at(lp_line* line, lp_fault fault, const uint8_t* at) noexcept nogil:
    return lp_refuse(&line.failure, fault, at, line.end - at)


cdef const uint8_t* unescape(
    lp_line* line, const uint8_t* start, uint8_t ends, uint8_t escapable, lp_text* text
) noexcept nogil:
    """Copy the text up to a byte of `ends` without its escapes; returns that byte."""
    cdef uint8_t* output = line.unescaped.bytes + line.unescaped.used
    text.bytes = output
    while start < line.end and not lp_byte_class[start[0]] & ends:
        if start[0] == c"\\":
            start += 1
            if start == line.end or not lp_byte_class[start[0]] & escapable:
                output[0] = c"\\"
                output += 1
                if start == line.end:
                    break
        output[0] = start[0]
        output += 1
        start += 1
    text.count = output - text.bytes
    line.unescaped.used += text.count
    return start


cdef inline lp_status take_name(
    lp_line* line, uint8_t ends, uint8_t escapable, lp_text* name
) noexcept nogil:
    """Take an unescaped name; LP_NO_MATCH when there is none."""
    cdef const uint8_t* start = line.cursor
    cdef const uint8_t* stop = lp_scan_until(start, line.end, ends | LP_BACKSLASH)
    if stop < line.end and stop[0] == c"\\":
        stop = unescape(line, start, ends, escapable, name)
    else:
        name.bytes = start
        name.count = stop - start
    line.cursor = stop
    if name.count == 0:
        return LP_NO_MATCH
    if name.count > LP_TEXT_BYTES_MAX:
        return lp_refuse(&line.failure, LP_FAULT_TOO_LONG, start, 0)
    if name.bytes[name.count - 1] == c"\\":
        return lp_refuse(&line.failure, LP_FAULT_TRAILING_BACKSLASH, start, 0)
    return LP_OK


cdef inline lp_status reserve_item(
    lp_buffer* buffer, int64_t count, int64_t item_bytes
) noexcept nogil:
    buffer.used = count * item_bytes
    return lp_buffer_reserve(buffer, item_bytes)


cdef lp_status take_tag(lp_line* line, const uint8_t* tag_set) noexcept nogil:
    """Take key=value after the comma."""
    cdef lp_status status = reserve_item(&line.tag_buffer, line.tag_count, sizeof(lp_tag))
    if status != LP_OK:
        return status
    line.tags = <lp_tag*> line.tag_buffer.bytes
    cdef lp_tag* tag = &line.tags[line.tag_count]
    status = take_name(line, LP_ENDS_KEY, LP_ESCAPABLE_IN_NAME, &tag.key)
    if status == LP_NO_MATCH:
        return refuse_at(line, LP_FAULT_TAG_KEY, line.cursor)
    if status != LP_OK:
        return status
    if line.cursor == line.end or line.cursor[0] != c"=":
        return refuse_at(line, LP_FAULT_TAG_MALFORMED, tag_set)
    line.cursor += 1
    status = take_name(line, LP_ENDS_TAG_VALUE, LP_ESCAPABLE_IN_NAME, &tag.value)
    if status == LP_NO_MATCH:
        return refuse_at(line, LP_FAULT_TAG_VALUE, line.cursor)
    line.tag_count += status == LP_OK
    return status


cdef lp_status line_take_series(lp_line* line) noexcept nogil:
    """Take measurement and tags; the cursor stays at the space after them."""
    cdef lp_status status = take_name(
        line, LP_ENDS_MEASUREMENT, LP_ESCAPABLE_IN_MEASUREMENT, &line.measurement
    )
    if status == LP_NO_MATCH:
        return refuse_at(line, LP_FAULT_MEASUREMENT, line.cursor)
    if status != LP_OK:
        return status
    cdef const uint8_t* tag_set = line.cursor + 1
    while line.cursor < line.end and line.cursor[0] == c",":
        line.cursor += 1
        status = take_tag(line, tag_set)
        if status != LP_OK:
            return status
    if line.cursor == line.end or line.cursor[0] != c" ":
        return refuse_at(line, LP_FAULT_MISSING_SPACE, line.cursor)
    return LP_OK


cdef lp_status take_number(lp_line* line, lp_field* field) noexcept nogil:
    cdef lp_decimal number
    cdef double value
    cdef const uint8_t* start = line.cursor
    cdef const uint8_t* stop = lp_match_integer(start, line.end, &number)
    if stop is NULL:
        return LP_NO_MATCH
    if stop < line.end and stop[0] == c"i":
        field.type = LP_INT64
        line.cursor = stop + 1
        if not lp_int64(&number, <int64_t*> &field.bits):
            return lp_refuse(&line.failure, LP_FAULT_INT_RANGE, start, stop - start)
    elif stop < line.end and stop[0] == c"u" and not number.is_negative:
        field.type = LP_UINT64
        line.cursor = stop + 1
        if not lp_magnitude(&number, &field.bits):
            return lp_refuse(&line.failure, LP_FAULT_UINT_RANGE, start, stop - start)
    else:
        field.type = LP_FLOAT64
        line.cursor = lp_match_float_rest(stop, line.end, &number)
        value = lp_double(&number)
        memcpy(&field.bits, &value, sizeof(value))
    return LP_OK


cdef lp_status take_string(lp_line* line, lp_field* field) noexcept nogil:
    """Take what is between the quotes; the cursor stands at the first one."""
    cdef const uint8_t* start = line.cursor + 1
    cdef const uint8_t* stop
    field.type = LP_STRING
    if line.has_backslash:
        stop = unescape(line, start, LP_QUOTE, LP_ESCAPABLE_IN_STRING, &field.text)
    else:
        stop = lp_find_byte(start, line.end, c"\"")
        field.text.bytes = start
        field.text.count = stop - start
    if stop == line.end:
        return LP_NO_MATCH
    line.cursor = stop + 1
    if field.text.count > LP_TEXT_BYTES_MAX:
        return lp_refuse(&line.failure, LP_FAULT_TOO_LONG, start, 0)
    return LP_OK


cdef inline bint take_word(lp_line* line, const char* word, int64_t word_bytes) noexcept nogil:
    if line.end - line.cursor < word_bytes or memcmp(line.cursor, word, word_bytes) != 0:
        return False
    line.cursor += word_bytes
    return True


cdef lp_status take_bool(lp_line* line, lp_field* field) noexcept nogil:
    field.type = LP_BOOL
    if (
        take_word(line, b"true", 4)
        or take_word(line, b"True", 4)
        or take_word(line, b"TRUE", 4)
        or take_word(line, b"t", 1)
        or take_word(line, b"T", 1)
    ):
        field.bits = 1
        return LP_OK
    if (
        take_word(line, b"false", 5)
        or take_word(line, b"False", 5)
        or take_word(line, b"FALSE", 5)
        or take_word(line, b"f", 1)
        or take_word(line, b"F", 1)
    ):
        field.bits = 0
        return LP_OK
    return LP_NO_MATCH


cdef lp_status take_field(lp_line* line) noexcept nogil:
    """Take key=value; LP_NO_MATCH leaves the cursor anywhere."""
    cdef lp_status status = reserve_item(&line.field_buffer, line.field_count, sizeof(lp_field))
    if status != LP_OK:
        return status
    line.fields = <lp_field*> line.field_buffer.bytes
    cdef lp_field* field = &line.fields[line.field_count]
    status = take_name(line, LP_ENDS_KEY, LP_ESCAPABLE_IN_NAME, &field.key)
    if status != LP_OK:
        return status
    if line.cursor == line.end or line.cursor[0] != c"=":
        return LP_NO_MATCH
    line.cursor += 1
    if line.cursor == line.end:
        return LP_NO_MATCH
    if line.cursor[0] == c"\"":
        status = take_string(line, field)
    else:
        status = take_number(line, field)
        if status == LP_NO_MATCH:
            status = take_bool(line, field)
    line.field_count += status == LP_OK
    return status


cdef lp_status take_time(lp_line* line) noexcept nogil:
    """Take the timestamp and the spaces around it, if there is one."""
    cdef lp_decimal number
    cdef const uint8_t* start = lp_scan_while(line.cursor, line.end, LP_SPACE)
    if start == line.cursor:
        return LP_OK
    cdef const uint8_t* stop = lp_match_integer(start, line.end, &number)
    if stop is NULL:
        return LP_OK
    line.has_time = True
    line.cursor = lp_scan_while(stop, line.end, LP_SPACE)
    if not lp_int64(&number, &line.time):
        return lp_refuse(&line.failure, LP_FAULT_TIME_RANGE, start, stop - start)
    return LP_OK


cdef lp_status line_take_fields(lp_line* line) noexcept nogil:
    """Take fields and timestamp; the cursor stands at the space before the fields."""
    cdef const uint8_t* comma
    line.cursor = lp_scan_while(line.cursor, line.end, LP_SPACE)
    cdef lp_status status = take_field(line)
    if status == LP_NO_MATCH:
        return lp_refuse(&line.failure, LP_FAULT_NO_FIELDS, line.cursor, 0)
    while status == LP_OK and line.cursor < line.end and line.cursor[0] == c",":
        comma = line.cursor
        line.cursor += 1
        status = take_field(line)
        if status == LP_NO_MATCH:
            # The comma after the only field goes with it; any later one stays behind.
            line.cursor = comma + 1 if line.field_count == 1 else comma
            status = LP_OK
            break
    if status == LP_OK:
        status = take_time(line)
    if status == LP_OK and lp_scan_while(line.cursor, line.end, LP_SPACE) != line.end:
        status = refuse_at(line, LP_FAULT_TRAILING, line.cursor)
    return status
