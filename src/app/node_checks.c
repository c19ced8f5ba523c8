// node_checks.c: what a start depends on beside the configuration: whose the data folder and the
// files with keys are, and whether the clock can be true. The rules are host's.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "trust/member.h"
#include <stdio.h>
#include <string.h>

// Life of the node's certificate; a file that cannot be read is told by those who need it.
static void certificate(const struct node *n, int64_t *ret_from_s, int64_t *ret_to_s)
{
    char path[4200];
    struct buf text;
    struct member *m = NULL;
    struct member_view v;
    (void)snprintf(path, sizeof(path), "%s/mesh/member.json", n->paths.data);
    buf_init(&text, MEMBER_TEXT_MAX);
    if (file_read(path, &text, NULL) == 0 && member_load(&m, buf_bytes(&text), NULL) == 0 &&
        member_joined(m)) {
        member_view(m, &v);
        *ret_from_s = v.not_before_ms / 1000;
        *ret_to_s = v.not_after_ms / 1000;
    }
    member_free(m);
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
}

void node_doctor_args(const struct node *n, struct host_doctor_args *args)
{
    args->data_dir = n->paths.data;
    args->wall_s = time_wall_ms() / 1000;
    certificate(n, &args->cert_from_s, &args->cert_to_s);
}

static int code_of(const struct host_finding *f)
{
    return strcmp(f->id, "clock") == 0 ? E_UNAVAILABLE : E_PERM;
}

static int judge(const struct host_finding *findings, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        const struct host_finding *f = &findings[i];
        if (f->status == HOST_FAIL)
            return err_set(e, code_of(f), "%s: %s: %s. To mend it: %s", f->title, f->seen, f->means,
                           f->mend);
    }
    return 0;
}

static void tell_warnings(const struct host_finding *findings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct host_finding *f = &findings[i];
        if (f->status == HOST_WARN && strcmp(f->id, "clock") == 0)
            log_event(LOG_WARN, "node.check", LOG_STR("check", f->id), LOG_STR("seen", f->seen),
                      LOG_STR("means", f->means), LOG_STR("mend", f->mend));
    }
}

int node_checks(struct node *n, struct err *e)
{
    struct host_live *live =
        host_live_new(&(struct host_live_args){.root = "/", .self_exe = file_self()});
    struct host_facts *facts = mem_new(struct host_facts);
    struct host_finding *findings = mem_array(HOST_FINDINGS_MAX, sizeof(*findings));
    int status = E_NOMEM;
    if (live && facts && findings) {
        struct host_probe probe = host_live_probe(live);
        struct host_doctor_args args = {0};
        node_doctor_args(n, &args);
        host_boot_gather(facts, &probe, &args);
        size_t count = host_boot_check(findings, facts);
        status = judge(findings, count, e);
        if (status == 0)
            tell_warnings(findings, count);
    } else {
        (void)err_set(e, E_NOMEM, "out of memory");
    }
    host_live_free(live);
    mem_free(facts);
    mem_free(findings);
    return status;
}
