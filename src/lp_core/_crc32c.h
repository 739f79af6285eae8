/* CRC-32C (Castagnoli): the SSE4.2 instruction where the machine has it, chosen at run time, and eight
   tables elsewhere. Call lp_crc32c_init once, with the GIL, before the first checksum. */
#ifndef LP_CRC32C_H
#define LP_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LP_CRC32C_POLYNOMIAL 0x82F63B78u /* reflected */

static uint32_t lp_crc32c_tables[8][256];
static int lp_crc32c_has_instruction;

/* Both steps below take and return the raw register, without the inversions of lp_crc32c. */
static uint32_t lp_crc32c_by_tables(uint32_t state, const uint8_t* bytes, size_t count) {
    while (count >= 8) {
        uint32_t low, high;
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + 4, 4);
        low ^= state;
        state = lp_crc32c_tables[7][low & 0xFF] ^ lp_crc32c_tables[6][(low >> 8) & 0xFF] ^
                lp_crc32c_tables[5][(low >> 16) & 0xFF] ^ lp_crc32c_tables[4][low >> 24] ^
                lp_crc32c_tables[3][high & 0xFF] ^ lp_crc32c_tables[2][(high >> 8) & 0xFF] ^
                lp_crc32c_tables[1][(high >> 16) & 0xFF] ^ lp_crc32c_tables[0][high >> 24];
        bytes += 8;
        count -= 8;
    }
    while (count-- > 0)
        state = (state >> 8) ^ lp_crc32c_tables[0][(state ^ *bytes++) & 0xFF];
    return state;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define LP_CRC32C_STRIPE 4096

/* lp_crc32c_stripe_shift[k][b]: the register (b << 8k) after LP_CRC32C_STRIPE zero bytes. */
static uint32_t lp_crc32c_stripe_shift[4][256];

static uint32_t lp_crc32c_shift_stripe(uint32_t state) {
    return lp_crc32c_stripe_shift[0][state & 0xFF] ^ lp_crc32c_stripe_shift[1][(state >> 8) & 0xFF] ^
           lp_crc32c_stripe_shift[2][(state >> 16) & 0xFF] ^ lp_crc32c_stripe_shift[3][state >> 24];
}

/* The instruction takes three cycles but one can start each cycle, so three stripes run side by side. */
__attribute__((target("sse4.2"))) static uint32_t lp_crc32c_by_instruction(uint32_t state,
                                                                           const uint8_t* bytes,
                                                                           size_t count) {
    while (count >= 3 * LP_CRC32C_STRIPE) {
        uint64_t first = state, second = 0, third = 0;
        for (size_t offset = 0; offset < LP_CRC32C_STRIPE; offset += 8) {
            uint64_t words[3];
            memcpy(&words[0], bytes + offset, 8);
            memcpy(&words[1], bytes + offset + LP_CRC32C_STRIPE, 8);
            memcpy(&words[2], bytes + offset + 2 * LP_CRC32C_STRIPE, 8);
            first = __builtin_ia32_crc32di(first, words[0]);
            second = __builtin_ia32_crc32di(second, words[1]);
            third = __builtin_ia32_crc32di(third, words[2]);
        }
        state = lp_crc32c_shift_stripe((uint32_t)first) ^ (uint32_t)second;
        state = lp_crc32c_shift_stripe(state) ^ (uint32_t)third;
        bytes += 3 * LP_CRC32C_STRIPE;
        count -= 3 * LP_CRC32C_STRIPE;
    }
    uint64_t wide = state;
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    state = (uint32_t)wide;
    for (; count > 0; --count)
        state = __builtin_ia32_crc32qi(state, *bytes++);
    return state;
}

static void lp_crc32c_init_instruction(void) {
    static const uint8_t zeros[LP_CRC32C_STRIPE];
    __builtin_cpu_init();
    lp_crc32c_has_instruction = __builtin_cpu_supports("sse4.2") != 0;
    for (uint32_t lane = 0; lane < 4; ++lane)
        for (uint32_t byte = 0; byte < 256; ++byte)
            lp_crc32c_stripe_shift[lane][byte] =
                lp_crc32c_by_tables(byte << (8 * lane), zeros, LP_CRC32C_STRIPE);
}
#else
static uint32_t lp_crc32c_by_instruction(uint32_t state, const uint8_t* bytes, size_t count) {
    return lp_crc32c_by_tables(state, bytes, count);
}

static void lp_crc32c_init_instruction(void) { lp_crc32c_has_instruction = 0; }
#endif

static void lp_crc32c_init(void) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) ? LP_CRC32C_POLYNOMIAL : 0);
        lp_crc32c_tables[0][byte] = state;
    }
    for (int table = 1; table < 8; ++table)
        for (int byte = 0; byte < 256; ++byte) {
            uint32_t state = lp_crc32c_tables[table - 1][byte];
            lp_crc32c_tables[table][byte] = (state >> 8) ^ lp_crc32c_tables[0][state & 0xFF];
        }
    lp_crc32c_init_instruction();
}

/* Continues `crc` (0 to start) over the bytes: lp_crc32c(lp_crc32c(0, a), b) is the CRC of a followed by b. */
static inline uint32_t lp_crc32c(uint32_t crc, const void* bytes, size_t count) {
    if (lp_crc32c_has_instruction)
        return ~lp_crc32c_by_instruction(~crc, (const uint8_t*)bytes, count);
    return ~lp_crc32c_by_tables(~crc, (const uint8_t*)bytes, count);
}

static inline uint32_t lp_crc32c_portable(uint32_t crc, const void* bytes, size_t count) {
    return ~lp_crc32c_by_tables(~crc, (const uint8_t*)bytes, count);
}

#endif
