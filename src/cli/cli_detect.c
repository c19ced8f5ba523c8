// cli_detect.c: plexus detect: what this machine is.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_commands_priv.h"
#include "cli/cli_host_priv.h"
#include <stdarg.h>

static int detect(struct cli *c, struct err *e);

const struct cli_command cli_detect_command = {
    .name = "detect",
    .summary = "what this machine is: processor, memory, disks, cards, container",
    .usage = "",
    .text = "What counts is what this process may use: a container's limits, not the host's. With "
            "--node it\n"
            "is the machine of that node.",
    .needs = CLI_EITHER,
    .run = detect,
};

int cli_host_open(struct cli_host *h, struct err *e)
{
    h->live = host_live_new(&(struct host_live_args){.root = "/", .self_exe = file_self()});
    h->profile = mem_new(struct host_profile);
    if (!h->live || !h->profile) {
        cli_host_close(h);
        return err_set(e, E_NOMEM, "out of memory");
    }
    h->probe = host_live_probe(h->live);
    cli_status("looking at the machine ...");
    int rc = host_detect(h->profile, &h->probe, &(struct host_args){0}, e);
    cli_status(NULL);
    if (rc < 0)
        cli_host_close(h);
    return rc < 0 ? rc : 0;
}

void cli_host_close(struct cli_host *h)
{
    mem_free(h->profile);
    host_live_free(h->live);
    h->profile = NULL;
    h->live = NULL;
}

static void row(struct cli_table *t, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void row(struct cli_table *t, const char *what, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cli_cell(t, PAINT_NONE, "%s", what);
    cli_cell(t, PAINT_NONE, "%s", text);
}

static void put_cards(struct cli_table *t, const struct host_profile *p)
{
    for (uint32_t i = 0; i < p->gpu_count; i++) {
        const struct host_gpu *g = &p->gpus[i];
        row(t, i ? "" : "cards", "%s, %s%s%s%s%s", g->name,
            g->memory_bytes ? cli_size(g->memory_bytes).s : "memory not known",
            *g->compute ? ", compute " : "", g->compute, g->mig ? ", in MIG slices" : "",
            g->usable ? "" : ", no engine can use it");
        for (uint32_t k = 0; k < g->slice_count; k++)
            row(t, "", "  slice %s, %s", g->slices[k].profile,
                cli_size(g->slices[k].memory_bytes).s);
    }
    if (!p->gpu_count)
        row(t, "cards", "none%s%s", *p->gpu_note ? ": " : "", p->gpu_note);
    if (*p->nvidia_driver)
        row(t, "driver", "NVIDIA %s, CUDA %s", p->nvidia_driver, p->cuda);
}

static void put_profile(struct cli *c, const struct host_profile *p)
{
    static const char *const columns[] = {"WHAT", "HERE", NULL};
    struct cli_table *t = cli_table_new(c, columns);
    row(t, "machine", "%s, class %s", p->hostname, p->machine_class);
    row(t, "system", "%s, %s, %s", p->distro, p->kernel, p->arch);
    row(t, "processor", "%s", p->cpu.model);
    row(t, "", "%u cores, %u threads; %.3g count here%s%s", p->cpu.cores, p->cpu.threads,
        p->cpu.effective, p->cpu.avx2 ? "; AVX2" : "", p->cpu.avx512 ? ", AVX-512" : "");
    row(t, "memory", "%s, %s free", cli_size(p->memory.effective).s,
        cli_size(p->memory.effective_available).s);
    if (p->memory.limit)
        row(t, "", "limited by the control group (the machine has %s)",
            cli_size(p->memory.total).s);
    put_cards(t, p);
    for (uint32_t i = 0; i < p->disk_count; i++)
        row(t, i ? "" : "disks", "%s, %s %s %s", p->disks[i].name, cli_size(p->disks[i].bytes).s,
            p->disks[i].kind, p->disks[i].model);
    if (*p->container)
        row(t, "container", "%s", p->container);
    if (*p->vm)
        row(t, "virtual", "%s", p->vm);
    if (*p->board)
        row(t, "board", "%s", p->board);
    cli_table_end(t, stdout);
}

static int remote(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, text;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&text, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/detect", BYTES_NONE, &doc, &raw, e);
    if (!rc && !c->json)
        rc = cli_pretty(&text, json_root(doc));
    if (!rc)
        rc = cli_print(buf_bytes(c->json ? &raw : &text), stdout);
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&text);
    return rc;
}

static int detect(struct cli *c, struct err *e)
{
    struct cli_host h = {0};
    if (cli_option(c, "node"))
        return remote(c, e);
    int rc = cli_host_open(&h, e);
    if (rc)
        return rc;
    if (c->json) {
        struct buf out;
        buf_init(&out, CLI_TEXT_MAX);
        rc = host_profile_json(&out, h.profile);
        rc = rc < 0 ? rc : cli_print(buf_bytes(&out), stdout);
        buf_fini(&out);
    } else {
        put_profile(c, h.profile);
    }
    cli_host_close(&h);
    return rc;
}
