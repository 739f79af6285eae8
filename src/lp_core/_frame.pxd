# Owns the layout of the log's bytes: file head, frame head, payload. No one else spells offsets;
# docs/formats/wal.md is the twin in prose. _frame.pyx writes, _segment and _section read.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from lp_core._batch cimport WriteBatch, lp_column


cdef extern from *:
    """
    #if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "the log is little-endian and is read in place"
    #endif
    #define LP_SEGMENT_MAGIC 0x0100004C41575248ULL /* "HRWAL", 0, 0, 1 */
    #define LP_FRAME_MAGIC 0x4D524648u             /* "HFRM" */
    """
    const uint64_t LP_SEGMENT_MAGIC
    const uint32_t LP_FRAME_MAGIC

cdef enum:
    SEGMENT_VERSION = 1
    PAYLOAD_VERSION = 1
    SEGMENT_HEAD_BYTES = 64
    FRAME_HEAD_BYTES = 64
    PAYLOAD_HEAD_BYTES = 8
    CHECKED_HEAD_BYTES = 24     # of the frame header, those that its checksum covers
    NODE_ID_BYTES_MAX = 32
    ALIGNMENT = 64

cdef enum:                      # ColumnType, for C
    TAG = 1
    INT64 = 2
    UINT64 = 3
    FLOAT64 = 4
    BOOL = 5
    STRING = 6
    TIME = 7

# The layout. Members are naturally aligned, so the structs have no holes; all is little-endian.

cdef struct segment_head:           # at byte 0 of the file
    uint64_t magic
    uint32_t version
    uint32_t crc32c                 # over the other 60 bytes
    uint64_t first_position
    int64_t created_ns
    char node_id[32]                # UTF-8, filled up with zeros

cdef struct frame_head:             # at a multiple of 64
    uint32_t magic
    uint16_t kind                   # FrameKind
    uint16_t flags                  # 0
    uint64_t length                 # of the payload, without the zeros that fill it up to 64
    uint64_t position
    uint32_t crc32c                 # over the payload, continued over the header up to here
    uint8_t reserved[36]            # 0

cdef struct payload_head:           # then the control bytes; sections follow at multiples of 64
    uint16_t version
    uint16_t section_count
    uint32_t control_bytes

cdef struct section_head:           # offsets below count from here
    uint64_t section_bytes          # a multiple of 64
    int64_t ingest_time_ns
    uint32_t table_count
    uint32_t head_bytes             # this header, both texts and the tables' heads; buffers follow
    uint32_t database_bytes         # the database's name stands right behind this header,
    uint32_t origin_bytes           # the origin behind the name, then zeros up to 8
    uint16_t hops
    uint8_t reserved[30]            # 0

cdef struct table_head:             # then the name, zeros up to 8, and the columns' heads
    int64_t num_rows
    int64_t min_time_ns
    int64_t max_time_ns
    uint32_t column_count
    uint32_t name_bytes

cdef struct column_head:            # then the name and zeros up to 8
    uint32_t type                   # ColumnType
    uint32_t name_bytes
    int64_t null_count
    uint64_t validity_offset        # of Arrow buffers, multiples of 64; 0 when there is none
    uint64_t values_offset
    uint64_t values_bytes
    uint64_t offsets_offset
    uint64_t dict_offset
    uint64_t dict_bytes
    uint64_t dict_count


cdef inline int64_t aligned(int64_t count, int64_t unit) noexcept nogil:
    return (count + unit - 1) & -unit


cdef inline int64_t values_size(const lp_column* column, int64_t rows) noexcept nogil:
    if column.type == TAG:
        return rows * 4
    if column.type == BOOL:
        return (rows + 7) / 8
    return column.values_bytes if column.type == STRING else rows * 8


cdef inline int64_t texts_of(const lp_column* column, int64_t rows) noexcept nogil:
    """Number of texts that the column's offsets delimit, -1 for a column without offsets."""
    if column.type == STRING:
        return rows
    return column.dict_count if column.type == TAG else -1


cdef class Section:
    cdef readonly str database
    cdef readonly WriteBatch batch
    cdef readonly str origin
    cdef readonly uint16_t hops
    cdef readonly int64_t ingest_time_ns
