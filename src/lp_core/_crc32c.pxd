# CRC-32C; the tables are per module that includes the header, and lp_crc32c_init fills them.

from libc.stdint cimport uint32_t


cdef extern from "_crc32c.h" nogil:
    void lp_crc32c_init()
    uint32_t lp_crc32c(uint32_t crc, const void* bytes, size_t count)
    uint32_t lp_crc32c_portable(uint32_t crc, const void* bytes, size_t count)
    uint32_t lp_crc32c_copy(uint32_t crc, void* target, const void* source, size_t count)
