// jail_layers.c: the layers as a table, when they are enough, and the report as JSON.
// SPDX-License-Identifier: Apache-2.0
#include "jail/jail.h"
#include "text/json.h"

#include <stdio.h>
#include <string.h>

const struct jail_layer_info jail_layer_infos[JAIL_LAYERS] = {
    [JAIL_USER] = {"user", "user namespace",
                   "the child's rights are the node's user's own rights on the whole machine"},
    [JAIL_ROOT] =
        {"root", "own root folder",
         "names, sizes and times of files outside of the granted folders can be seen, their "
         "rights changed"},
    [JAIL_TMP] = {"tmp", "own bounded /tmp", "temporary files lie on the machine's disk"},
    [JAIL_PID] = {"pid", "process namespace", "other processes can be seen"},
    [JAIL_PROC] = {"proc", "own /proc", "programs that need /proc fail"},
    [JAIL_IPC] = {"ipc", "IPC namespace",
                  "shared memory and queues of other programs of this user can be reached"},
    [JAIL_NET] = {"net", "network namespace", "programs cannot use even a loopback of their own"},
    [JAIL_PRIVS] = {"privs", "no new privileges", "setuid programs give their rights"},
    [JAIL_CAPS] = {"caps", "no capabilities", "a node of root gives root's powers"},
    [JAIL_SECCOMP] = {"seccomp", "filter of system calls",
                      "ptrace, mount, keyctl, bpf and the like can be called"},
    [JAIL_PATHS] = {"paths", "landlock path rules",
                    "only the own root folder keeps the child in the granted folders"},
    [JAIL_PORTS] = {"ports", "landlock TCP rules",
                    "with network granted, every port can be called, the node's too"},
    [JAIL_SCOPE] = {"scope", "landlock signals and abstract sockets",
                    "without a process namespace, other processes of this user can be killed"},
    [JAIL_LIMITS] = {"limits", "limits of each process", "files and descriptors are not bounded"},
    [JAIL_COUNT] = {"count", "number of processes", "a fork bomb can fill the machine"},
};

static bool missing(const struct jail_report *r, enum jail_layer layer)
{
    return r->layer[layer].standing == JAIL_MISSING;
}

static int refuse(const struct jail_report *r, enum jail_layer layer, struct err *e)
{
    const struct jail_layer_info *i = &jail_layer_infos[layer];
    return err_set(e, E_SECURITY, "the sandbox lacks its %s (%s): %s", i->title,
                   *r->layer[layer].why ? r->layer[layer].why : "not there", i->lost);
}

int jail_judge(const struct jail_report *r, bool require, struct err *e)
{
#ifdef __linux__
    if (missing(r, JAIL_PRIVS))
        return refuse(r, JAIL_PRIVS, e);
    if (missing(r, JAIL_SECCOMP))
        return refuse(r, JAIL_SECCOMP, e);
#endif
    if (missing(r, JAIL_PATHS) && r->layer[JAIL_ROOT].standing != JAIL_ON)
        return refuse(r, JAIL_PATHS, e);
    for (int i = 0; require && i < JAIL_LAYERS; i++) {
        if (missing(r, (enum jail_layer)i))
            return refuse(r, (enum jail_layer)i, e);
    }
    return 0;
}

int jail_report_write(struct buf *out, const struct jail_report *r)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    for (int i = 0; i < JAIL_LAYERS; i++) {
        const char *id = jail_layer_infos[i].id;
        switch (r->layer[i].standing) {
        case JAIL_ON: json_w_bool(&w, id, true); break;
        case JAIL_NOT_ASKED: json_w_null(&w, id); break;
        case JAIL_MISSING: json_w_cstr(&w, id, r->layer[i].why); break;
        }
    }
    json_w_end(&w);
    return out->failed;
}

int jail_report_parse(struct jail_report *ret, struct bytes json, struct err *e)
{
    __attribute__((cleanup(json_doc_auto))) struct json_doc *doc = NULL;
    struct jail_report r = {0};
    int rc = json_parse(&doc, json, 0, e);
    if (rc < 0)
        return rc;
    if (!json_is(json_root(doc), JSON_OBJ))
        return err_set(e, E_PARSE, "the sandbox's report is no object");
    for (int i = 0; i < JAIL_LAYERS; i++) {
        const struct json *v = json_get(json_root(doc), jail_layer_infos[i].id);
        if (json_bool(v, false))
            r.layer[i].standing = JAIL_ON;
        else if (json_is(v, JSON_NULL))
            r.layer[i].standing = JAIL_NOT_ASKED;
        else
            (void)snprintf(r.layer[i].why, JAIL_WHY_MAX, "%s", json_cstr(v, "not told"));
    }
    *ret = r;
    return 0;
}
