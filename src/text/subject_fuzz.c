// subject_fuzz.c: any bytes as a subject and a pattern: what parses is matched by itself, by its
// tokens as `*`, and by `>`; nothing with a wildcard is a subject.
// SPDX-License-Identifier: Apache-2.0
#include "text/subject.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

// Up to the first LF the subject, the pattern after it.
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes pattern = {(const char *)p, n};
    struct bytes text = bytes_cut(&pattern, '\n');
    struct subject s;
    struct err e = {0};
    int rc = subject_parse(&s, text, &e);
    if (rc != e.code)
        abort();
    struct err pe = {0};
    int prc = subject_pattern_check(pattern, &pe);
    if (prc != pe.code)
        abort();
    if (!rc && !prc && subject_match(pattern, text) && subject_is_exact(pattern) &&
        !bytes_eq(pattern, text))
        abort();
    if (rc)
        return 0;
    struct buf b;
    buf_init(&b, 1024);
    (void)buf_fmt(&b, "%.*s.*.%.*s.>", BYTES_FMT(s.environment), BYTES_FMT(s.service));
    if (!subject_match(buf_bytes(&b), text) || subject_pattern_check(buf_bytes(&b), NULL) ||
        !subject_match(text, text) || !subject_is_exact(text) || s.tokens < 4)
        abort();
    buf_clear(&b);
    (void)subject_put_token(&b, pattern);
    if (bytes_chr(buf_bytes(&b), '.') >= 0 || !b.n)
        abort();
    buf_fini(&b);
    return 0;
}
