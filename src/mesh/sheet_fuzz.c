// sheet_fuzz.c: any bytes as a sheet: what is taken comes out the same a second time, and a mesh
// can keep it, find it and drop it. The same bytes as a summary. SPDX-License-Identifier:
// Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void ignore(void *arg, struct mesh_node *n, struct bytes raw)
{
    (void)arg;
    (void)n;
    (void)raw;
}

static void keep(struct label_names *names, const struct mesh_sheet *s, struct bytes raw)
{
    struct mesh_args args = {.self = "self", .context = "dev.x.self", .boot = 1, .names = names};
    struct mesh *m = mesh_new(&args);
    struct mesh_effect f;
    struct mesh_choice c;
    struct buf out;
    if (m == NULL)
        abort();
    buf_init(&out, 1 << 20);
    (void)mesh_put(m, s, raw, 1000, NULL);
    struct mesh_beat b = {.boot = s->boot, .seq = 1, .sheet = s->seq};
    mesh_heard(m, bytes_of(s->node), &b, 1001, 1);
    for (size_t i = 0; i < s->model_count; i++) {
        struct mesh_want w = {.model = bytes_of(s->models[i].name)};
        (void)mesh_route(m, &w, NULL, 1002, &c, NULL);
        buf_clear(&out);
        (void)mesh_resolve(m, w.model, NULL, 1002, &out, NULL);
    }
    mesh_tick(m, 1003);
    while (mesh_effect(m, &f)) {
    }
    (void)mesh_newer(m, raw, ignore, NULL, NULL);
    mesh_removed(m, bytes_of(s->node), 1004);
    mesh_free(m);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes raw = {(const char *)p, n};
    struct label_names *names = label_names_new();
    AUTO(arena) a = arena_new(4 << 20);
    struct mesh_sheet s, again;
    struct buf one, two;
    buf_init(&one, 4 << 20);
    buf_init(&two, 4 << 20);
    if (mesh_sheet_parse(&s, a, names, raw, NULL) == 0) {
        mesh_sheet_put(&one, names, &s);
        if (one.n <= MESH_SHEET_BYTES_MAX) {
            if (mesh_sheet_parse(&again, a, names, buf_bytes(&one), NULL) < 0)
                abort();
            mesh_sheet_put(&two, names, &again);
            if (!bytes_eq(buf_bytes(&one), buf_bytes(&two)))
                abort();
        }
        keep(names, &s, raw);
    }
    buf_fini(&one);
    buf_fini(&two);
    label_names_free(names);
    return 0;
}
