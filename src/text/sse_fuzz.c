// sse_fuzz.c: any bytes as an event stream, whole and cut in two, must come out the same.
// SPDX-License-Identifier: Apache-2.0
#include "text/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void collect(void *arg, const struct sse_event *event)
{
    (void)buf_fmt(arg, "[%zu %zu %zu]", event->event.n, event->id.n, event->data.n);
    (void)buf_put(arg, event->data);
}

// First byte: where to cut.
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (!n)
        return 0;
    struct bytes all = {(const char *)p + 1, n - 1};
    struct bytes a = bytes_first(all, *p), b = bytes_from(all, a.n);
    struct sse_cut one = {0}, two = {0};
    size_t cut = sse_cut_feed(&one, all.p, all.n);
    size_t cut_a = sse_cut_feed(&two, a.p, a.n), cut_b = sse_cut_feed(&two, all.p + a.n, b.n);
    if (cut > all.n || cut != (cut_b ? a.n + cut_b : cut_a) || one.frames != two.frames)
        abort();
    struct sse_parser x, y;
    struct buf out_x, out_y;
    sse_parser_init(&x, 64);
    sse_parser_init(&y, 64);
    buf_init(&out_x, 1 << 20);
    buf_init(&out_y, 1 << 20);
    int code = sse_parser_feed(&x, all, collect, &out_x);
    (void)sse_parser_feed(&y, a, collect, &out_y);
    if (sse_parser_feed(&y, b, collect, &out_y) != code ||
        !bytes_eq(buf_bytes(&out_x), buf_bytes(&out_y)))
        abort();
    sse_parser_fini(&x);
    sse_parser_fini(&y);
    buf_fini(&out_x);
    buf_fini(&out_y);
    return 0;
}
