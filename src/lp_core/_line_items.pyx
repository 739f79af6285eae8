# Owns the way between the text of a line under construction and the dicts that LineBuilder shows:
# taking the text apart, and joining dicts. Taken when somebody looks, never on the fast path.

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

from lp_core._escape cimport LP_IN_NAME, LP_IN_TABLE_NAME, lp_write_unescaped
from lp_core._line_text cimport lp_line_key_end, lp_line_text, lp_line_value_end
from lp_core._spelling cimport escaped

from lp_core.errors import InvalidKeyError, InvalidLineError


cdef str spelled(const lp_line_text* line, int64_t start, int64_t end):
    """Return a part of the line as it stands there."""
    return PyUnicode_DecodeUTF8(<const char*>line.bytes + start, end - start, NULL)


cdef str plain(const lp_line_text* line, int64_t start, int64_t end):
    cdef uint8_t* text = <uint8_t*>malloc(end - start + 1)
    if text is NULL:
        raise MemoryError
    cdef uint8_t* text_end = lp_write_unescaped(text, line.bytes + start, end - start, LP_IN_NAME)
    try:
        return PyUnicode_DecodeUTF8(<const char*>text, text_end - text, NULL)
    finally:
        free(text)


cdef dict items_of(const lp_line_text* line, bint of_tags):
    """Return the tags, as plain texts, or the fields, as they stand in the line."""
    cdef int64_t start = line.tags_at if of_tags else line.fields_at
    cdef int64_t end = line.fields_at if of_tags else line.used
    cdef int64_t key_end, value_end
    cdef dict items = {}
    while start < end:
        key_end = lp_line_key_end(line, start)
        value_end = lp_line_value_end(line, key_end + 1, end)
        key = plain(line, start + 1, key_end)
        if of_tags:
            items[key] = plain(line, key_end + 1, value_end)
        else:
            items[key] = spelled(line, key_end + 1, value_end)
        start = value_end
    return items


cdef str respelled(str text):
    return escaped(text, LP_IN_NAME).decode("utf-8")


cdef object no_field(str series):
    return InvalidLineError(f"At least one field is required: {series}")


cdef str line_of(str table_name, dict tags, dict fields):
    """Join what `items_of` gives, or what has become of it, to a line without a time."""
    cdef list series = [escaped(table_name, LP_IN_TABLE_NAME).decode("utf-8")]
    for key, value in tags.items():
        if key in fields:
            raise InvalidKeyError(f"key '{key}' cannot be both a tag and a field")
        series.append(f"{respelled(key)}={respelled(value)}")
    if not fields:
        raise no_field(",".join(series))
    items = ",".join([f"{respelled(key)}={value}" for key, value in fields.items()])
    return f"{','.join(series)} {items}"
