// node_flows_files.c: the configured folder of flows: each file is registered when the node starts,
// so that it is known by name and its schedule holds.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_BYTES_MAX (4u << 20)
#define FILES_MAX 4096

struct node_flow_file {
    struct runs_req req;
    struct node_flow_file *next;
    struct node_flows *flows;
    char path[4600];
};

static void registered(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct node_flow_file *file = r->user;
    if (status < 0 && status != E_CANCELLED)
        log_event(LOG_ERROR, "flow.refused", LOG_STR("file", file->path),
                  LOG_STR("why", e ? e->text : ""));
    else if (status == 0)
        log_event(LOG_INFO, "flow.registered", LOG_STR("file", file->path));
    if (status == 0)
        node_flow_registered(file->flows, json);
}

static bool is_flow(const char *name)
{
    struct bytes n = bytes_of(name);
    return name[0] != '.' && (bytes_ends(n, BYTES(".yaml")) || bytes_ends(n, BYTES(".yml")) ||
                              bytes_ends(n, BYTES(".json")));
}

static void add(struct node_flows *f, const char *folder, const char *name)
{
    struct node_flow_file *file = mem_new(struct node_flow_file);
    struct buf text;
    struct err e = {0};
    if (!file)
        return;
    (void)snprintf(file->path, sizeof file->path, "%s/%s", folder, name);
    file->flows = f;
    file->next = f->files;
    f->files = file;
    file->req = (struct runs_req){.done = registered, .user = file};
    buf_init(&text, DOCUMENT_BYTES_MAX);
    if (node_temporal_of(f) && file_read(file->path, &text, &e) == 0) {
        struct buf json;
        buf_init(&json, 4096);
        int status = node_temporal_add(f, buf_bytes(&text), &json, &e);
        registered(&file->req, status, buf_bytes(&json), &e);
        buf_fini(&json);
    } else if (!node_temporal_of(f) && file_read(file->path, &text, &e) == 0)
        runs_register(f->runs, buf_bytes(&text), bytes_of("file"), &file->req);
    else
        log_event(LOG_ERROR, "flow.refused", LOG_STR("file", file->path), LOG_STR("why", e.text));
    buf_fini(&text);
}

void node_flows_files(struct node_flows *f)
{
    const char *folder = f->node->config->flows.documents;
    struct dirent **names = NULL;
    if (!folder)
        return;
    int count = scandir(folder, &names, NULL, alphasort);
    if (count < 0)
        log_event(LOG_ERROR, "flow.no_folder", LOG_STR("folder", folder));
    for (int i = 0; i < count; i++) {
        if (is_flow(names[i]->d_name) && i < FILES_MAX)
            add(f, folder, names[i]->d_name);
        free(names[i]); // NOLINT: scandir's
    }
    free(names); // NOLINT
}

void node_flows_files_free(struct node_flows *f)
{
    while (f->files) {
        struct node_flow_file *next = f->files->next;
        mem_free(f->files);
        f->files = next;
    }
}
