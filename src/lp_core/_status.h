/* What C code of lp_core reports instead of raising: one status, and for a refused line the reason.
 * No Python API here; the caller that holds the GIL turns a status into an exception, once. */
#ifndef LP_STATUS_H
#define LP_STATUS_H

#include <stdint.h>

typedef enum lp_status {
    LP_OK = 0,
    LP_NO_MATCH,     /* the text at hand is not of the wanted form; another form may fit */
    LP_LINE_REFUSED, /* this line is not acceptable; an lp_failure tells why */
    LP_NO_MEMORY,
    LP_BATCH_LIMIT,
    LP_NOT_UTF8
} lp_status;

typedef enum lp_fault {
    LP_FAULT_NONE = 0,
    LP_FAULT_MEASUREMENT,
    LP_FAULT_MISSING_SPACE,
    LP_FAULT_NO_FIELDS,
    LP_FAULT_TRAILING,
    LP_FAULT_TRAILING_BACKSLASH,
    LP_FAULT_TAG_KEY,
    LP_FAULT_TAG_VALUE,
    LP_FAULT_TAG_MALFORMED,
    LP_FAULT_INT_RANGE,
    LP_FAULT_UINT_RANGE,
    LP_FAULT_TIME_RANGE,
    LP_FAULT_TOO_LONG,
    LP_FAULT_TIME_SCALE,
    LP_FAULT_DUPLICATE_FIELD,
    LP_FAULT_DUPLICATE_TAG,
    LP_FAULT_RESERVED_COLUMN,
    LP_FAULT_TYPE_CONFLICT
} lp_fault;

typedef struct lp_failure {
    lp_fault fault;
    const uint8_t *text; /* the text or the column that the message names; borrowed */
    int64_t text_bytes;
    int32_t expected; /* column types, where the fault is about one; 0 where there is none */
    int32_t got;
} lp_failure;

static inline lp_status lp_refuse(
    lp_failure *failure, lp_fault fault, const uint8_t *text, int64_t text_bytes)
{
    failure->fault = fault;
    failure->text = text;
    failure->text_bytes = text_bytes;
    failure->expected = 0;
    failure->got = 0;
    return LP_LINE_REFUSED;
}

#endif
