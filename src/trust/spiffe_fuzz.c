// spiffe_fuzz.c: any bytes as a SPIFFE ID, a path, a name of a node: what is taken can be written
// and read again, and nothing that the standard forbids is in it.
// SPDX-License-Identifier: Apache-2.0
#include "trust/spiffe.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void try_id(struct bytes text)
{
    struct spiffe_id id, again;
    struct err e = {0};
    struct buf out;
    int rc = spiffe_parse(&id, text, &e);
    if (rc != 0) {
        must(rc == E_INVALID && e.code == rc && e.n > 0);
        return;
    }
    must(text.n <= SPIFFE_ID_MAX && 9 + id.domain.n + id.path.n == text.n && id.domain.n > 0);
    must(bytes_find(id.path, BYTES("/../")) < 0 && bytes_find(id.path, BYTES("//")) < 0);
    must(!bytes_ends(text, BYTES("/")) && !bytes_ends(id.path, BYTES("/.")));
    for (size_t i = 0; i < text.n; i++)
        must(text.p[i] > ' ' && text.p[i] < 127 && text.p[i] != '%' && text.p[i] != '@');
    buf_init(&out, SPIFFE_ID_MAX);
    must(spiffe_put(&out, id.domain, id.path, &e) == 0 && bytes_eq(buf_bytes(&out), text));
    must(spiffe_parse(&again, buf_bytes(&out), &e) == 0);
    must(bytes_eq(spiffe_node(&again), spiffe_node(&id)) && !spiffe_below(&again, &id));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data, size};
    struct spiffe_id id;
    struct buf out;
    try_id(text);
    buf_init(&out, SPIFFE_ID_MAX);
    if (spiffe_put(&out, BYTES("d.e"), text, NULL) == 0)
        must(spiffe_parse(&id, buf_bytes(&out), NULL) == 0 && bytes_is(id.domain, "d.e"));
    else
        must(out.n == 0 || out.failed);
    if (spiffe_node_check(text, NULL) == 0)
        must(text.n > 0 && text.n <= SPIFFE_NODE_MAX && bytes_chr(text, '/') < 0);
    buf_fini(&out);
    return 0;
}
