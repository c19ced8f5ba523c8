/* mesh_route.c: how long the choice of a route takes in a mesh of 64 nodes with 8 models each, 16
 * of them or all having the model that is asked for. SPDX-License-Identifier: Apache-2.0
 *
 *   mesh_route    prints "route_choice_us V us" (all 64 have it), "route_choice_16_us V us" */
#include "base/time.h"
#include "mesh/mesh.h"
#include <stdio.h>
#include <stdlib.h>

#define NODES 64
#define MODELS 8
#define ROUNDS 200000

static void add(struct mesh *m, int i, struct label_names *names, int shared)
{
    char node[16], model[MODELS][16];
    struct mesh_model models[MODELS] = {0};
    static const char *const roles[] = {"inference", "gpu", NULL};
    struct label clearance;
    if (label_parse(names, BYTES("confidential:eng,hr"), &clearance, NULL) < 0)
        abort();
    (void)snprintf(node, sizeof node, "node%d", i);
    for (int k = 0; k < MODELS; k++) {
        int number = k == 0 && i % (NODES / shared) == 0 ? 0 : 1 + i * MODELS + k;
        (void)snprintf(model[k], sizeof model[k], "model%d", number);
        models[k] = (struct mesh_model){.name = model[k],
                                        .kind = "chat",
                                        .state = i % 2 ? "WARM" : "UNLOADED",
                                        .context = 8192,
                                        .slots = 4,
                                        .active = (uint32_t)i % 7,
                                        .load_ms = 4000 + i,
                                        .eta_ms = -1,
                                        .fits = true,
                                        .replicas_max = 64,
                                        .clearance = clearance,
                                        .label = clearance};
    }
    struct mesh_sheet s = {.node = node,
                           .context = "dev.bench.node",
                           .version = "1",
                           .profile = "server",
                           .boot = 1,
                           .seq = 1,
                           .ttl_ms = 60000,
                           .roles = roles,
                           .clearance = clearance,
                           .models = models,
                           .model_count = MODELS};
    struct mesh_beat b = {.boot = 1, .seq = 1, .sheet = 1};
    if (mesh_put(m, &s, BYTES("raw"), 1000, NULL) != 1)
        abort();
    mesh_heard(m, bytes_of(node), &b, 1000, 1000);
}

static double choice_us(int shared)
{
    struct label_names *names = label_names_new();
    struct mesh_args args = {
        .self = "self", .context = "dev.bench.self", .boot = 1, .names = names};
    struct mesh *m = mesh_new(&args);
    struct label label;
    if (m == NULL || label_parse(names, BYTES("internal:eng"), &label, NULL) < 0)
        abort();
    for (int i = 0; i < NODES; i++)
        add(m, i, names, shared);
    struct mesh_want w = {
        .model = BYTES("model0"), .kind = "chat", .context = 4096, .label = label, .role = "gpu"};
    uint64_t start = time_mono_ns();
    for (int i = 0; i < ROUNDS; i++) {
        struct mesh_choice c;
        w.prefix = (uint64_t)i % 1000 * 0x9e3779b97f4a7c15u + 1;
        if (mesh_route(m, &w, NULL, 1000, &c, NULL) < 0)
            abort();
        mesh_sent(m, c.node);
        mesh_outcome(m, c.node, true, 1000);
    }
    double us = (double)(time_mono_ns() - start) / 1000 / ROUNDS;
    mesh_free(m);
    label_names_free(names);
    return us;
}

int main(void)
{
    printf("route_choice_us %.2f us\n", choice_us(64));
    printf("route_choice_16_us %.2f us\n", choice_us(16));
    return 0;
}
