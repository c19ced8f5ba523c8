// beat_fuzz.c: any bytes as a beat: what is taken is written again as it came, and a mesh can hear
// it.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define FLAGS_AT 2
#define FLAGS_KNOWN 3

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct mesh_beat b;
    struct buf out;
    if (mesh_beat_parse(&b, (struct bytes){(const char *)p, n}, NULL) < 0)
        return 0;
    buf_init(&out, MESH_BEAT_BYTES_MAX);
    if (mesh_beat_put(&out, &b) < 0 || out.n > n)
        abort();
    out.p[1] = (char)p[1]; // a later version
    out.p[FLAGS_AT] = (char)((p[FLAGS_AT] & ~FLAGS_KNOWN) | out.p[FLAGS_AT]);
    if (memcmp(out.p, p, out.n) != 0)
        abort();
    buf_fini(&out);
    struct label_names *names = label_names_new();
    struct mesh_args args = {.self = "self", .context = "dev.x.self", .boot = 1, .names = names};
    struct mesh *m = mesh_new(&args);
    struct mesh_effect f;
    if (m == NULL)
        abort();
    for (int64_t i = 0; i < 3; i++) {
        mesh_heard(m, BYTES("other"), &b, 1000 + i, 1000 + b.sent_us);
        b.seq++;
        b.sent_us += 7;
        mesh_tick(m, 1000 + 500 * i);
        while (mesh_effect(m, &f)) {
        }
    }
    mesh_free(m);
    label_names_free(names);
    return 0;
}
