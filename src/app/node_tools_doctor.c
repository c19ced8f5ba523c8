// node_tools_doctor.c: what the doctor asks of tools; the rules are host's.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include "enclave/enclave.h"
#include <stdio.h>
#include <string.h>

static void add(char *out, size_t n, const char *text)
{
    size_t at = strlen(out);
    (void)snprintf(out + at, n - at, "%s%s", at ? ", " : "", text);
}

static void sandbox(const struct node_tools *t, struct host_tools *ret)
{
    const struct jail_report *r = prims_report(t->prims);
    if (!r)
        return;
    ret->sandbox = true;
    ret->require = t->node->config->tools.require;
    ret->refused = jail_judge(r, ret->require, NULL) < 0;
    for (int i = 0; i < JAIL_LAYERS; i++) {
        if (r->layer[i].standing != JAIL_MISSING)
            continue;
        add(ret->missing, sizeof ret->missing, jail_layer_infos[i].title);
        add(ret->lost, sizeof ret->lost, jail_layer_infos[i].lost);
    }
}

void node_tools_doctor(const struct node *n, struct host_tools *ret)
{
    const struct node_tools *t = n->tools;
    *ret = (struct host_tools){.known = t && t->all};
    if (!ret->known)
        return;
    if (t->prims)
        sandbox(t, ret);
    node_mcp_doctor(n, ret);
    node_caps_doctor(t, ret);
    if (enclave_find(ret->wasm, sizeof ret->wasm, NULL) < 0)
        ret->wasm[0] = '\0';
}
