/* CRC-32C (Castagnoli): the instruction of x86-64 (SSE4.2) or AArch64 where the machine has it, chosen at run time, and
 * eight tables elsewhere. Call lp_crc32c_init once, with the GIL, before the first checksum. The tables belong to the
 * module that includes this file. No Python API. */
#ifndef LP_CRC32C_H
#define LP_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LP_CRC32C_POLYNOMIAL 0x82F63B78u /* reflected */

static uint32_t lp_crc32c_tables[8][256];
static int lp_crc32c_has_instruction;

/* What is named "by" takes and returns the raw register, without the inversions of lp_crc32c. */
static uint32_t lp_crc32c_by_tables(uint32_t state, const uint8_t *bytes, size_t count)
{
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
    while (count-- > 0) {
        state = (state >> 8) ^ lp_crc32c_tables[0][(state ^ *bytes++) & 0xFF];
    }
    return state;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define LP_CRC32C_TARGET __attribute__((target("sse4.2")))
#define LP_CRC32C_WORD(state, word) ((uint32_t)__builtin_ia32_crc32di((state), (word)))
#define LP_CRC32C_BYTE(state, byte) __builtin_ia32_crc32qi((state), (byte))

static int lp_crc32c_find_instruction(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") != 0;
}

#elif defined(__aarch64__) && defined(__GNUC__) && (defined(__linux__) || defined(__APPLE__))
#if defined(__linux__)
#include <sys/auxv.h>
#endif
/* Spelt as assembly, since the compilers offer the builtin only to code that is compiled for machines that have it. */
#define LP_CRC32C_TARGET
#define LP_CRC32C_WORD(state, word) lp_crc32c_word(state, word)
#define LP_CRC32C_BYTE(state, byte) lp_crc32c_byte(state, byte)

static inline uint32_t lp_crc32c_word(uint32_t state, uint64_t word)
{
    uint32_t next;
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w1, %x2" : "=r"(next) : "r"(state), "r"(word));
    return next;
}

static inline uint32_t lp_crc32c_byte(uint32_t state, uint8_t byte)
{
    uint32_t next;
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w1, %w2" : "=r"(next) : "r"(state), "r"((uint32_t)byte));
    return next;
}

static int lp_crc32c_find_instruction(void)
{
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & (1 << 7 /* HWCAP_CRC32 */)) != 0;
#else
    return 1; /* every 64-bit machine of Apple has it */
#endif
}
#endif

#if defined(LP_CRC32C_WORD)
/* The instruction takes three cycles but one can start each cycle, so three stripes run side by side: long ones, and
 * short ones for what the long ones leave. */
#define LP_CRC32C_LONG_STRIPE 4096
#define LP_CRC32C_SHORT_STRIPE 256

/* [k][b]: the register (b << 8k) after as many zero bytes as a stripe has. */
typedef uint32_t lp_crc32c_shift[4][256];
static lp_crc32c_shift lp_crc32c_long_shift;
static lp_crc32c_shift lp_crc32c_short_shift;

static inline uint32_t lp_crc32c_shifted(lp_crc32c_shift shift, uint32_t state)
{
    return shift[0][state & 0xFF] ^ shift[1][(state >> 8) & 0xFF] ^ shift[2][(state >> 16) & 0xFF] ^
           shift[3][state >> 24];
}

/* Copies on the way where `out` is not NULL: the stores hide behind the checksum. */
LP_CRC32C_TARGET static inline uint32_t lp_crc32c_three_stripes(
    uint32_t state, uint8_t *out, const uint8_t *bytes, size_t stripe, lp_crc32c_shift shift)
{
    uint32_t first = state, second = 0, third = 0;
    for (size_t offset = 0; offset < stripe; offset += 8) {
        uint64_t words[3];
        memcpy(&words[0], bytes + offset, 8);
        memcpy(&words[1], bytes + offset + stripe, 8);
        memcpy(&words[2], bytes + offset + 2 * stripe, 8);
        if (out != NULL) {
            memcpy(out + offset, &words[0], 8);
            memcpy(out + offset + stripe, &words[1], 8);
            memcpy(out + offset + 2 * stripe, &words[2], 8);
        }
        first = LP_CRC32C_WORD(first, words[0]);
        second = LP_CRC32C_WORD(second, words[1]);
        third = LP_CRC32C_WORD(third, words[2]);
    }
    return lp_crc32c_shifted(shift, lp_crc32c_shifted(shift, first) ^ second) ^ third;
}

LP_CRC32C_TARGET static inline uint32_t lp_crc32c_stripes(
    uint32_t state, uint8_t **out, const uint8_t **bytes, size_t *count, size_t stripe, lp_crc32c_shift shift)
{
    while (*count >= 3 * stripe) {
        state = lp_crc32c_three_stripes(state, *out, *bytes, stripe, shift);
        *out = *out != NULL ? *out + 3 * stripe : NULL;
        *bytes += 3 * stripe;
        *count -= 3 * stripe;
    }
    return state;
}

LP_CRC32C_TARGET static inline uint32_t
lp_crc32c_through(uint32_t state, uint8_t *out, const uint8_t *bytes, size_t count)
{
    state = lp_crc32c_stripes(state, &out, &bytes, &count, LP_CRC32C_LONG_STRIPE, lp_crc32c_long_shift);
    state = lp_crc32c_stripes(state, &out, &bytes, &count, LP_CRC32C_SHORT_STRIPE, lp_crc32c_short_shift);
    if (out != NULL && count > 0) {
        memcpy(out, bytes, count);
    }
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        state = LP_CRC32C_WORD(state, word);
    }
    for (; count > 0; --count) {
        state = LP_CRC32C_BYTE(state, *bytes++);
    }
    return state;
}

LP_CRC32C_TARGET static uint32_t lp_crc32c_by_instruction(uint32_t state, const uint8_t *bytes, size_t count)
{
    return lp_crc32c_through(state, NULL, bytes, count);
}

LP_CRC32C_TARGET static uint32_t
lp_crc32c_copy_by_instruction(uint32_t state, uint8_t *out, const uint8_t *bytes, size_t count)
{
    return lp_crc32c_through(state, out, bytes, count);
}

static void lp_crc32c_init_shift(lp_crc32c_shift shift, size_t stripe)
{
    static const uint8_t zeros[LP_CRC32C_LONG_STRIPE];
    for (uint32_t lane = 0; lane < 4; ++lane) {
        for (uint32_t byte = 0; byte < 256; ++byte) {
            shift[lane][byte] = lp_crc32c_by_tables(byte << (8 * lane), zeros, stripe);
        }
    }
}

static void lp_crc32c_init_instruction(void)
{
    lp_crc32c_has_instruction = lp_crc32c_find_instruction();
    lp_crc32c_init_shift(lp_crc32c_long_shift, LP_CRC32C_LONG_STRIPE);
    lp_crc32c_init_shift(lp_crc32c_short_shift, LP_CRC32C_SHORT_STRIPE);
}
#else
static uint32_t lp_crc32c_by_instruction(uint32_t state, const uint8_t *bytes, size_t count)
{
    return lp_crc32c_by_tables(state, bytes, count);
}

static uint32_t
lp_crc32c_copy_by_instruction(uint32_t state, uint8_t *out, const uint8_t *bytes, size_t count)
{
    memcpy(out, bytes, count);
    return lp_crc32c_by_tables(state, out, count);
}

static void lp_crc32c_init_instruction(void) { lp_crc32c_has_instruction = 0; }
#endif

static void lp_crc32c_init(void)
{
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; ++bit) {
            state = (state >> 1) ^ ((state & 1) ? LP_CRC32C_POLYNOMIAL : 0);
        }
        lp_crc32c_tables[0][byte] = state;
    }
    for (int table = 1; table < 8; ++table) {
        for (int byte = 0; byte < 256; ++byte) {
            uint32_t state = lp_crc32c_tables[table - 1][byte];
            lp_crc32c_tables[table][byte] = (state >> 8) ^ lp_crc32c_tables[0][state & 0xFF];
        }
    }
    lp_crc32c_init_instruction();
}

/* Continues `crc` (0 to start) over the bytes: lp_crc32c(lp_crc32c(0, a), b) is the CRC of a followed by b. */
static inline uint32_t lp_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    if (lp_crc32c_has_instruction) {
        return ~lp_crc32c_by_instruction(~crc, (const uint8_t *)bytes, count);
    }
    return ~lp_crc32c_by_tables(~crc, (const uint8_t *)bytes, count);
}

static inline uint32_t lp_crc32c_portable(uint32_t crc, const void *bytes, size_t count)
{
    return ~lp_crc32c_by_tables(~crc, (const uint8_t *)bytes, count);
}

/* Copies the bytes and continues `crc` over them; neither pointer may be NULL. */
static inline uint32_t lp_crc32c_copy(uint32_t crc, void *target, const void *source, size_t count)
{
    if (lp_crc32c_has_instruction) {
        return ~lp_crc32c_copy_by_instruction(~crc, (uint8_t *)target, (const uint8_t *)source, count);
    }
    memcpy(target, source, count);
    return ~lp_crc32c_by_tables(~crc, (const uint8_t *)target, count);
}

#endif
