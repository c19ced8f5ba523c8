// node_flow_docs.c: documents known by name, for engine temporal: files below data/documents, one
// for each version, NAMESPACE.NAME.VERSION.json.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "default.order.1.2.0.json": names have no dots, versions do.
static bool parts(const char *file, struct bytes *namespace, struct bytes *name,
                  struct bytes *version)
{
    struct bytes rest = bytes_of(file);
    if (!bytes_ends(rest, BYTES(".json")))
        return false;
    rest.n -= 5;
    *namespace = bytes_cut(&rest, '.');
    *name = bytes_cut(&rest, '.');
    *version = rest;
    return namespace->n && name->n && version->n;
}

static int each(const struct node *n, void (*fn)(void *user, const char *file), void *user)
{
    struct dirent **names = NULL;
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%.3000s/documents", n->paths.data);
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        fn(user, names[i]->d_name);
        free(names[i]); // NOLINT: scandir's
    }
    free(names); // NOLINT
    return count < 0 ? 0 : count;
}

struct newest {
    struct bytes namespace, name;
    char *version;
    size_t size;
    bool found;
};

static void look(void *user, const char *file)
{
    struct newest *w = user;
    struct bytes namespace, name, version;
    if (!parts(file, &namespace, &name, &version) || !bytes_eq(namespace, w->namespace) ||
        !bytes_eq(name, w->name) || version.n >= w->size ||
        (w->found && flow_version_cmp(version, bytes_of(w->version)) <= 0))
        return;
    memcpy(w->version, version.p, version.n);
    w->version[version.n] = 0;
    w->found = true;
}

int node_flow_newest(const struct node *n, struct bytes namespace, struct bytes name,
                     char *ret_version, size_t size)
{
    struct newest w = {.namespace = namespace, .name = name, .version = ret_version, .size = size};
    (void)each(n, look, &w);
    return w.found ? 0 : E_NOTFOUND;
}

static void put(void *user, const char *file)
{
    struct json_w *w = user;
    struct bytes namespace, name, version;
    if (!parts(file, &namespace, &name, &version))
        return;
    json_w_obj(w, NULL);
    json_w_str(w, "namespace", namespace);
    json_w_str(w, "name", name);
    json_w_str(w, "version", version);
    json_w_end(w);
}

int node_flow_documents(const struct node *n, struct buf *out)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "documents");
    (void)each(n, put, &w);
    json_w_end(&w);
    json_w_end(&w);
    return out->failed;
}

struct visit {
    const struct node *node;
    void (*fn)(void *user, struct bytes namespace, struct bytes name, struct bytes version);
    void *user;
};

static void visit(void *user, const char *file)
{
    struct visit *w = user;
    struct bytes namespace, name, version;
    char newest[300];
    if (parts(file, &namespace, &name, &version) &&
        node_flow_newest(w->node, namespace, name, newest, sizeof newest) == 0 &&
        bytes_is(version, newest))
        w->fn(w->user, namespace, name, version);
}

void node_flow_each(const struct node *n,
                    void (*fn)(void *user, struct bytes namespace, struct bytes name,
                               struct bytes version),
                    void *user)
{
    struct visit w = {n, fn, user};
    (void)each(n, visit, &w);
}
