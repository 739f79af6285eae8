# Owns what is learnt from an accepted line about the lines after it: the order of its fields, and
# what stood between their values. Called by the assembler after each line that took the long way;
# read by _fast_lines.h. Touches no Python object.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from lp_core._batch cimport LP_INT64, LP_STRING, LP_UINT64
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._columns cimport (
    LP_SHAPE_NONE,
    LP_SHAPES_MAX,
    lp_lane,
    lp_shape,
    lp_table_builder,
)
from lp_core._line cimport lp_field, lp_line, lp_text
from lp_core._memory cimport lp_arena, lp_arena_take, lp_buffer_resize
from lp_core._scan cimport lp_find_byte
from lp_core._status cimport LP_NO_MEMORY, LP_OK, lp_status

lp_pool_connect(lp_pool_shared())

cdef enum:
    # The end of a value, the comma, "=" and the opening quote.
    SEPARATOR_BYTES_MAX = 4


cdef bint is_plain_key(const lp_line* line, const lp_text* key) noexcept nogil:
    """Whether the key stands in the line as it is, and can be told from what is around it."""
    return (
        line.start <= key.bytes < line.end
        and lp_find_byte(key.bytes, key.bytes + key.count, c",") == key.bytes + key.count
        and lp_find_byte(key.bytes, key.bytes + key.count, c"\"") == key.bytes + key.count
    )


cdef bint is_shape_of(const lp_shape* shape, const lp_line* line) noexcept nogil:
    cdef const lp_lane* lanes = <const lp_lane*> shape.lane_buffer.bytes
    cdef int64_t i
    if shape.lane_count != line.field_count:
        return False
    for i in range(line.field_count):
        if lanes[i].column != line.fields[i].column:
            return False
    return True


cdef int64_t spell_lane(
    uint8_t* text, const lp_field* field, int32_t type_before, bint is_first
) noexcept nogil:
    """Spell out what stands between the value before the field and its own; returns its bytes."""
    cdef int64_t used = 0
    if not is_first:
        if type_before == LP_INT64:
            text[used] = c"i"
            used += 1
        elif type_before == LP_UINT64:
            text[used] = c"u"
            used += 1
        elif type_before == LP_STRING:
            text[used] = c"\""
            used += 1
        text[used] = c","
        used += 1
    memcpy(text + used, field.key.bytes, field.key.count)
    used += field.key.count
    text[used] = c"="
    used += 1
    if field.type == LP_STRING:
        text[used] = c"\""
        used += 1
    return used


cdef lp_status set_lane(
    lp_arena* arena, lp_lane* lane, const lp_field* field, int32_t type_before, bint is_first
) noexcept nogil:
    cdef uint8_t* text
    cdef int64_t text_bytes
    memset(lane, 0, sizeof(lp_lane))
    if field.key.count + SEPARATOR_BYTES_MAX <= <int64_t> sizeof(lane.text):
        text_bytes = spell_lane(lane.text, field, type_before, is_first)
    else:
        text = <uint8_t*> lp_arena_take(arena, field.key.count + SEPARATOR_BYTES_MAX)
        if text is NULL:
            return LP_NO_MEMORY
        text_bytes = spell_lane(text, field, type_before, is_first)
        memcpy(lane.text, text, min(text_bytes, <int64_t> sizeof(lane.text)))
        lane.rest = text + sizeof(lane.text)
    lane.mask = 0xFFFFFFFF if text_bytes >= 32 else (<uint32_t> 1 << text_bytes) - 1
    lane.text_bytes = <int32_t> text_bytes
    lane.column = field.column
    lane.type = field.type
    return LP_OK


cdef lp_status set_shape(lp_arena* arena, lp_shape* shape, const lp_line* line) noexcept nogil:
    cdef lp_status status = lp_buffer_resize(
        &shape.lane_buffer, line.field_count * sizeof(lp_lane)
    )
    cdef lp_lane* lanes = <lp_lane*> shape.lane_buffer.bytes
    cdef int32_t type_before = 0
    cdef int64_t i
    shape.lane_count = 0
    shape.bytes_min = 0
    for i in range(line.field_count):
        if status == LP_OK:
            status = set_lane(arena, &lanes[i], &line.fields[i], type_before, i == 0)
            shape.bytes_min += lanes[i].text_bytes
        type_before = line.fields[i].type
    shape.last_type = type_before
    if status == LP_OK:
        shape.lane_count = <int32_t> line.field_count
    return status


cdef lp_status note_shape(
    lp_arena* arena, lp_table_builder* table, const lp_line* line, int32_t* shape_number
) noexcept nogil:
    """Remember how the fields of the accepted line follow each other, for lines like it."""
    cdef int32_t i
    cdef lp_status status
    for i in range(table.shape_count):
        if is_shape_of(&table.shapes[i], line):
            shape_number[0] = table.last_shape = i
            return LP_OK
    shape_number[0] = LP_SHAPE_NONE
    for i in range(<int32_t> line.field_count):
        if not is_plain_key(line, &line.fields[i].key):
            return LP_OK
    if table.shape_count < LP_SHAPES_MAX:
        i = table.shape_count
        table.shape_count += 1
    else:
        i = table.shape_replaced
        table.shape_replaced = (i + 1) % LP_SHAPES_MAX
    status = set_shape(arena, &table.shapes[i], line)
    if status == LP_OK:
        shape_number[0] = table.last_shape = i
    return status
