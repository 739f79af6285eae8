# cython: auto_pickle=False
# Owns SeriesIndex, the cheap proof that a row is new: a time greater than any seen before in its
# series cannot be a duplicate. Used by SchemaIndex only. A series is known by a hash of its tags
# alone; two series with one hash are taken as one: the proof gets more cautious, never wrong.

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from lp_core._batch cimport LP_TAG, LP_TIME, TableBatch, lp_column, lp_table
from lp_core._hash_index cimport lp_fold_multiply, lp_hash_bytes
from lp_core._status cimport LP_NO_MEMORY, LP_OK, lp_status

import os

from lp_core.errors import SeriesCorruptError

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t* lock, const void* attributes)
    int pthread_mutex_lock(pthread_mutex_t* lock)
    int pthread_mutex_unlock(pthread_mutex_t* lock)
    int pthread_mutex_destroy(pthread_mutex_t* lock)

cdef enum:
    SLOTS_MIN = 16
    DUMP_VERSION = 1

# What a dump was hashed with must hash this text to what it says, or its hashes mean nothing here.
cdef bytes PROBE = b"a series is known by the hash of its tags"

cdef struct lp_dump_head:
    uint64_t version
    uint64_t seed
    uint64_t probe_hash
    int64_t floor_ns
    int64_t greatest_ns
    int64_t count


cdef struct lp_dump_entry:
    uint64_t key_hash
    int64_t greatest_time_ns


cdef struct lp_time_range:
    int64_t least
    int64_t greatest


cdef class SeriesIndex:
    def __cinit__(self):
        pthread_mutex_init(&self.lock, NULL)
        self.seed = int.from_bytes(os.urandom(8), "little")
        self.floor_ns = INT64_MIN

    def __dealloc__(self):
        free(self.slots)
        pthread_mutex_destroy(&self.lock)

    cdef object observe(self, TableBatch batch):
        """Note the times of all rows; return the range of those that may be duplicates, or None."""
        cdef lp_time_range suspects
        cdef lp_status status
        suspects.least = INT64_MAX
        suspects.greatest = INT64_MIN
        with nogil:
            pthread_mutex_lock(&self.lock)
            status = observe_table(self, batch.table, &suspects)
            pthread_mutex_unlock(&self.lock)
        if status != LP_OK:
            raise MemoryError
        if suspects.least > suspects.greatest:
            return None
        return suspects.least, suspects.greatest

    cdef object find(self, dict tags):
        """Return (number, greatest time) of the series with exactly these tags, or None."""
        cdef uint64_t key_hash = 0
        cdef lp_series* series
        cdef bytes key_bytes
        cdef bytes value_bytes
        for key, value in tags.items():
            key_bytes = key.encode("utf-8")
            value_bytes = value.encode("utf-8")
            key_hash += pair_hash(
                lp_hash_bytes(key_bytes, len(key_bytes), self.seed),
                value_bytes,
                len(value_bytes),
                self.seed,
            )
        with nogil:
            pthread_mutex_lock(&self.lock)
        try:
            if self.slot_count == 0:
                return None
            series = find_slot(self.slots, self.slot_count, key_hash)
            if series.number == 0:
                return None
            return series.number, series.greatest_time_ns
        finally:
            pthread_mutex_unlock(&self.lock)

    cdef bytes dump(self):
        """Return what is known of all series, for `load`; the numbers are left out."""
        cdef lp_dump_head head
        cdef int64_t count = self.count
        cdef lp_dump_entry* entries = <lp_dump_entry*> malloc((count + 1) * sizeof(lp_dump_entry))
        if entries is NULL:
            raise MemoryError
        head.version = DUMP_VERSION
        head.seed = self.seed
        head.probe_hash = lp_hash_bytes(PROBE, len(PROBE), self.seed)
        head.floor_ns = self.floor_ns
        with nogil:
            pthread_mutex_lock(&self.lock)
            head.count = copy_entries(self, entries, count, &head.greatest_ns)
            pthread_mutex_unlock(&self.lock)
        content = (
            (<char*> &head)[:sizeof(head)] + (<char*> entries)[:head.count * sizeof(lp_dump_entry)]
        )
        free(entries)
        return content

    cdef object load(self, bytes content):
        """Take over a dump; one hashed in another way leaves only its greatest time."""
        cdef lp_dump_head head
        cdef const char* start = content
        if len(content) < <Py_ssize_t> sizeof(head):
            raise SeriesCorruptError("the dump of the series is too short")
        memcpy(&head, start, sizeof(head))
        if head.version != DUMP_VERSION or head.count < 0 or (
            len(content) - <Py_ssize_t> sizeof(head)
            != head.count * <int64_t> sizeof(lp_dump_entry)
        ):
            raise SeriesCorruptError("the dump of the series is not of its length or version")
        self.floor_ns = head.floor_ns
        if head.probe_hash != lp_hash_bytes(PROBE, len(PROBE), head.seed):
            self.floor_ns = max(head.floor_ns, head.greatest_ns)
            return
        self.seed = head.seed
        cdef lp_status status
        with nogil:
            pthread_mutex_lock(&self.lock)
            status = take_entries(self, start + sizeof(head), head.count)
            pthread_mutex_unlock(&self.lock)
        if status != LP_OK:
            raise MemoryError


cdef inline uint64_t pair_hash(
    uint64_t key_hash, const uint8_t* value, int64_t value_bytes, uint64_t seed
) noexcept nogil:
    return lp_fold_multiply(key_hash ^ lp_hash_bytes(value, value_bytes, ~seed), seed | 1)


cdef lp_series* find_slot(
    lp_series* slots, int64_t slot_count, uint64_t key_hash
) noexcept nogil:
    """Return the slot of that series, or the free one where it belongs."""
    cdef int64_t mask = slot_count - 1
    cdef int64_t slot = <int64_t> (lp_fold_multiply(key_hash, 0x9e3779b97f4a7c15) & <uint64_t> mask)
    while slots[slot].number != 0 and slots[slot].key_hash != key_hash:
        slot = (slot + 1) & mask
    return &slots[slot]


cdef lp_status grow(SeriesIndex index) noexcept nogil:
    cdef int64_t slot_count = index.slot_count * 2 if index.slot_count > 0 else SLOTS_MIN
    cdef lp_series* slots = <lp_series*> calloc(slot_count, sizeof(lp_series))
    cdef int64_t i
    if slots is NULL:
        return LP_NO_MEMORY
    for i in range(index.slot_count):
        if index.slots[i].number != 0:
            find_slot(slots, slot_count, index.slots[i].key_hash)[0] = index.slots[i]
    free(index.slots)
    index.slots = slots
    index.slot_count = slot_count
    return LP_OK


cdef int64_t copy_entries(
    SeriesIndex index, lp_dump_entry* entries, int64_t count_max, int64_t* greatest_ns
) noexcept nogil:
    """Copy the series, and find their greatest time; return how many were copied."""
    cdef int64_t copied = 0
    cdef int64_t i
    greatest_ns[0] = INT64_MIN
    for i in range(index.slot_count):
        if index.slots[i].number == 0 or copied == count_max:
            continue
        entries[copied].key_hash = index.slots[i].key_hash
        entries[copied].greatest_time_ns = index.slots[i].greatest_time_ns
        greatest_ns[0] = max(greatest_ns[0], index.slots[i].greatest_time_ns)
        copied += 1
    return copied


cdef lp_status take_entries(SeriesIndex index, const char* start, int64_t count) noexcept nogil:
    cdef lp_dump_entry entry
    cdef lp_series* series
    cdef int64_t i
    for i in range(count):
        # Copied out, since the bytes need not lie at a multiple of eight.
        memcpy(&entry, start + i * <int64_t> sizeof(entry), sizeof(entry))
        if (index.count + 1) * 4 > index.slot_count * 3 and grow(index) != LP_OK:
            return LP_NO_MEMORY
        series = find_slot(index.slots, index.slot_count, entry.key_hash)
        if series.number == 0:
            index.count += 1
            series.key_hash = entry.key_hash
            series.number = index.count
        series.greatest_time_ns = entry.greatest_time_ns
    return LP_OK


cdef lp_status add_tag_hashes(
    const lp_column* column, uint64_t* row_hashes, int64_t num_rows, uint64_t seed
) noexcept nogil:
    """Add the hash of each row's value of one tag; each dictionary entry is hashed once."""
    cdef const int32_t* codes = <const int32_t*> column.values
    cdef uint64_t key_hash = lp_hash_bytes(<const uint8_t*> column.name, column.name_bytes, seed)
    cdef uint64_t* hashes = <uint64_t*> malloc((column.dict_count + 1) * sizeof(uint64_t))
    cdef int64_t i
    if hashes is NULL:
        return LP_NO_MEMORY
    for i in range(column.dict_count):
        hashes[i] = pair_hash(
            key_hash,
            column.dict_bytes + column.offsets[i],
            column.offsets[i + 1] - column.offsets[i],
            seed,
        )
    for i in range(num_rows):
        if column.validity is NULL or column.validity[i // 8] >> (i % 8) & 1:
            row_hashes[i] += hashes[codes[i]]
    free(hashes)
    return LP_OK


cdef lp_status observe_rows(
    SeriesIndex index, const uint64_t* row_hashes, const int64_t* times, int64_t num_rows,
    lp_time_range* suspects
) noexcept nogil:
    cdef lp_series* series
    cdef int64_t time
    cdef int64_t i
    for i in range(num_rows):
        if (index.count + 1) * 4 > index.slot_count * 3 and grow(index) != LP_OK:
            return LP_NO_MEMORY
        series = find_slot(index.slots, index.slot_count, row_hashes[i])
        time = times[i]
        if series.number == 0:
            index.count += 1
            series.key_hash = row_hashes[i]
            series.number = index.count
            series.greatest_time_ns = time
            if time <= index.floor_ns:
                suspects.least = min(suspects.least, time)
                suspects.greatest = max(suspects.greatest, time)
        elif time > series.greatest_time_ns:
            series.greatest_time_ns = time
        else:
            suspects.least = min(suspects.least, time)
            suspects.greatest = max(suspects.greatest, time)
    return LP_OK


cdef lp_status observe_table(
    SeriesIndex index, const lp_table* table, lp_time_range* suspects
) noexcept nogil:
    cdef uint64_t* row_hashes
    cdef const lp_column* column
    cdef const int64_t* times = NULL
    cdef lp_status status = LP_OK
    cdef int32_t i
    row_hashes = <uint64_t*> calloc(table.num_rows + 1, sizeof(uint64_t))
    if row_hashes is NULL:
        return LP_NO_MEMORY
    for i in range(table.num_columns):
        column = &table.columns[i]
        if column.type == LP_TIME:
            times = <const int64_t*> column.values
        elif column.type == LP_TAG and status == LP_OK:
            status = add_tag_hashes(column, row_hashes, table.num_rows, index.seed)
    if status == LP_OK and times is not NULL:
        status = observe_rows(index, row_hashes, times, table.num_rows, suspects)
    free(row_hashes)
    return status
