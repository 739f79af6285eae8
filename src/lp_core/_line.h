/* One logical line, taken apart into slices: the scratch area between text and columns. No Python
 * API; filled by _line.pyx. */
#ifndef LP_LINE_H
#define LP_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "_memory.h"
#include "_status.h"

#define LP_TEXT_BYTES_MAX (1 << 20) /* of one unescaped name or string */

typedef struct lp_text {
    const uint8_t *bytes; /* into the body, or into lp_line.unescaped */
    int64_t count;
} lp_text;

typedef struct lp_tag {
    lp_text key;
    lp_text value;
} lp_tag;

typedef struct lp_field {
    lp_text key;
    int32_t type; /* ColumnType */
    int32_t column; /* set by the assembler when it knows the column */
    uint64_t bits; /* the value of a number or bool */
    lp_text text; /* the value of a STRING */
} lp_field;

typedef struct lp_line {
    const uint8_t *start; /* first byte that is neither blank nor comment */
    const uint8_t *cursor; /* first byte that is not taken yet */
    const uint8_t *end;
    bool has_backslash;
    lp_text measurement;
    lp_tag *tags;
    lp_field *fields;
    int64_t tag_count;
    int64_t field_count;
    bool has_time;
    int64_t time; /* as written, in the unit of the body */
    lp_failure failure; /* filled with LP_LINE_REFUSED */
    lp_buffer tag_buffer; /* behind `tags` */
    lp_buffer field_buffer; /* behind `fields` */
    lp_buffer unescaped; /* room for the whole line before a slice points into it */
} lp_line;

#endif
