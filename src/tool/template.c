// template.c: the projects that `plexus tool new` begins with. In their texts @NAME@, @URN@ and
// @CRATE@ (the name as Rust has it in a file's) stand for what is asked for.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

#include <string.h>

const struct embed_file *tool_templates(size_t *ret_count)
{
    return embed_tool_templates(ret_count);
}

static void word(struct buf *out, struct bytes mark, const struct urn *u)
{
    size_t from = out->n;
    if (bytes_is(mark, "@URN@")) {
        (void)urn_put(out, u);
        return;
    }
    (void)buf_put(out, u->name);
    for (size_t i = from; bytes_is(mark, "@CRATE@") && i < out->n; i++)
        out->p[i] = out->p[i] == '-' || out->p[i] == '.' ? '_' : out->p[i];
}

int tool_template_put(struct buf *out, const struct embed_file *f, const struct urn *u)
{
    static const char *const marks[] = {"@NAME@", "@URN@", "@CRATE@"};
    struct bytes rest = f->data;
    for (ptrdiff_t at; (at = bytes_chr(rest, '@')) >= 0;) {
        struct bytes mark = BYTES("@");
        (void)buf_put(out, bytes_first(rest, (size_t)at));
        rest = bytes_from(rest, (size_t)at);
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (bytes_starts(rest, bytes_of(marks[i])))
                mark = bytes_of(marks[i]);
        if (mark.n > 1)
            word(out, mark, u);
        else
            (void)buf_put(out, mark);
        rest = bytes_from(rest, mark.n);
    }
    return buf_put(out, rest);
}
