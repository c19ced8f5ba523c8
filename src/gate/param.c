// param.c: where a request is wrong, in the words of the OpenAI API.
// SPDX-License-Identifier: Apache-2.0
#include "gate/param.h"

static bool is_index(struct bytes token)
{
    uint64_t n;
    return bytes_u64(token, &n);
}

static bool is_word(struct bytes token)
{
    for (size_t i = 0; i < token.n; i++) {
        char c = token.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!word)
            return false;
    }
    return token.n > 0;
}

static void put_quoted(struct buf *out, struct bytes token)
{
    struct buf plain;
    buf_init(&plain, token.n);
    for (size_t i = 0; i < token.n; i++) {
        bool escape = token.p[i] == '~' && i + 1 < token.n;
        if (escape && (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
            (void)buf_chr(&plain, token.p[++i] == '0' ? '~' : '/');
        else
            (void)buf_chr(&plain, token.p[i]);
    }
    (void)buf_chr(out, '[');
    (void)buf_json_str(out, buf_bytes(&plain));
    (void)buf_chr(out, ']');
    buf_fini(&plain);
}

void schema_param(struct buf *out, struct bytes pointer)
{
    bool first = true;
    struct bytes rest = pointer;
    (void)bytes_cut(&rest, '/'); // what stands before the first slash is nothing
    while (rest.p) {
        struct bytes token = bytes_cut(&rest, '/');
        if (!first && is_index(token)) {
            (void)buf_fmt(out, "[%.*s]", BYTES_FMT(token));
        } else if (is_word(token)) {
            (void)buf_fmt(out, "%s%.*s", first ? "" : ".", BYTES_FMT(token));
        } else {
            put_quoted(out, token);
        }
        first = false;
    }
}

void schema_param_of(struct buf *out, const struct schema_error *fault)
{
    struct bytes message = bytes_of(fault->message), lead = BYTES("missing key \"");
    schema_param(out, bytes_of(fault->instance));
    if (!bytes_starts(message, lead) || !bytes_ends(bytes_of(fault->keyword), BYTES("/required")))
        return;
    struct bytes key = bytes_from(message, lead.n);
    if (!bytes_ends(key, BYTES("\"")))
        return;
    key = bytes_first(key, key.n - 1);
    if (is_word(key)) // keys of our schemas are
        (void)buf_fmt(out, "%s%.*s", *fault->instance ? "." : "", BYTES_FMT(key));
}
