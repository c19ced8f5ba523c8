// cli_doctor.c: plexus doctor: what is wrong with this machine, and the command that mends it.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/cli_commands_priv.h"
#include "cli/cli_host_priv.h"
#include "config/config.h"
#include "text/url.h"
#include "trust/member.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int doctor(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"config", 'c', "FILE", "the config whose ports and data folder are looked at", "file"},
    {"quiet", 'q', NULL, "only what is not ok", NULL},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus doctor",
                                       "every check, with the command that mends it",
                                       "plexus doctor --quiet && plexus up", "in scripts", NULL};

const struct cli_command cli_doctor_command = {
    .name = "doctor",
    .summary = "check this machine and print what mends it",
    .usage = "",
    .text =
        "Asks the running node, or looks itself when none runs. Exit code 1 when a check fails.",
    .options = options,
    .examples = examples,
    .needs = CLI_EITHER,
    .run = doctor,
};

struct place { // what the config says, for the checks
    struct config *config;
    char data[PATH_MAX];
    uint16_t ports[HOST_PORTS_MAX];
    size_t port_count;
    bool local_engines;
};

static void find_place(struct cli *c, struct place *p)
{
    struct err ignored = {0}; // `plexus config check` is for that
    const char *path = cli_config_path(c), *data = cli_data(c);
    if (path && config_load(&p->config, path, &ignored))
        p->config = NULL;
    if (!data)
        data = p->config ? p->config->data : "data";
    char cwd[PATH_MAX] = "";
    (void)!getcwd(cwd, sizeof cwd);
    if (*data == '/' ||
        snprintf(p->data, sizeof p->data, "%s/%s", cwd, data) >= (int)sizeof p->data)
        (void)snprintf(p->data, sizeof p->data, "%s", data);
    p->local_engines = !p->config;
    for (size_t i = 0; p->config && i < p->config->model_count; i++)
        p->local_engines |= strcmp(p->config->models[i].engine, "llama.cpp") == 0;
    for (size_t i = 0; p->config && i < p->config->door_count && p->port_count < HOST_PORTS_MAX;
         i++) {
        struct url_addr addr;
        if (!url_addr_parse(&addr, bytes_of(p->config->doors[i].address), NULL) &&
            !addr.unix_socket)
            p->ports[p->port_count++] = addr.port;
    }
    if (!p->config)
        p->ports[p->port_count++] = 8000;
}

// Life of this node's certificate, when it is in a mesh.
static void certificate(const char *data, struct host_doctor_args *args)
{
    char path[PATH_MAX + 32];
    struct buf text;
    struct member *m = NULL;
    struct member_view v;
    (void)snprintf(path, sizeof path, "%s/mesh/member.json", data);
    buf_init(&text, MEMBER_TEXT_MAX);
    if (!file_read(path, &text, NULL) && !member_load(&m, buf_bytes(&text), NULL) &&
        member_joined(m)) {
        member_view(m, &v);
        args->cert_from_s = v.not_before_ms / 1000;
        args->cert_to_s = v.not_after_ms / 1000;
    }
    member_free(m);
    if (text.p)
        mem_wipe(text.p, text.cap);
    buf_fini(&text);
}

static int look(struct cli *c, struct buf *json, struct err *e)
{
    struct cli_host h = {0};
    struct place *place = mem_new(struct place);
    struct host_facts *facts = mem_new(struct host_facts);
    struct host_finding *findings = mem_array(HOST_FINDINGS_MAX, sizeof *findings);
    int rc = place && facts && findings ? 0 : err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = cli_host_open(&h, e);
    if (!rc) {
        find_place(c, place);
        struct host_doctor_args args = {.data_dir = place->data,
                                        .ports = place->ports,
                                        .port_count = place->port_count,
                                        .local_engines = place->local_engines,
                                        .wall_s = time_wall_ms() / 1000};
        certificate(place->data, &args);
        cli_status("checking ...");
        host_doctor_gather(facts, &h.probe, h.profile, &args);
        cli_status(NULL);
        size_t count = host_doctor_check(findings, facts, h.profile);
        rc = host_doctor_json(json, findings, count);
        rc = rc < 0 ? rc : 0;
    }
    cli_host_close(&h);
    config_free(place ? place->config : NULL);
    mem_free(place);
    mem_free(facts);
    mem_free(findings);
    return rc;
}

static const struct json *findings_of(const struct json *root)
{
    return json_is(root, JSON_ARR) ? root : json_get(root, "findings");
}

static int failed(const struct json *findings)
{
    struct json_iter it = {0};
    const struct json *f;
    while (json_each(findings, &it, NULL, &f))
        if (!strcmp(json_cstr(json_get(f, "status"), ""), "fail"))
            return 1;
    return 0;
}

static void put_finding(struct cli *c, const struct json *f)
{
    const char *status = json_cstr(json_get(f, "status"), "");
    const char *means = json_cstr(json_get(f, "means"), ""),
               *mend = json_cstr(json_get(f, "mend"), "");
    cli_paint_put(c, cli_state_paint(status), status, stdout);
    (void)printf("%*s%s: %s\n", (int)(6 - (strlen(status) < 5 ? strlen(status) : 5)), "",
                 json_cstr(json_get(f, "title"), ""), json_cstr(json_get(f, "seen"), ""));
    if (*means)
        (void)printf("      %s\n", means);
    if (*mend) {
        (void)printf("      mend: ");
        cli_paint_put(c, PAINT_BOLD, mend, stdout);
        (void)printf("\n");
    }
}

static void put_findings(struct cli *c, const struct json *findings)
{
    struct json_iter it = {0};
    const struct json *f;
    size_t ok = 0, warn = 0, fail = 0;
    while (json_each(findings, &it, NULL, &f)) {
        const char *status = json_cstr(json_get(f, "status"), "");
        bool good = !strcmp(status, "ok") || !strcmp(status, "skip");
        ok += !strcmp(status, "ok");
        warn += !strcmp(status, "warn");
        fail += !strcmp(status, "fail");
        if (!good || !cli_option(c, "quiet"))
            put_finding(c, f);
    }
    if (!cli_option(c, "quiet") || warn || fail)
        (void)printf("%zu ok, %zu warning%s, %zu failure%s\n", ok, warn, warn == 1 ? "" : "s", fail,
                     fail == 1 ? "" : "s");
}

static int doctor(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    struct err none = {0};
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_option(c, "config")
                 ? E_UNAVAILABLE
                 : cli_request(c, "GET", "/api/doctor", BYTES_NONE, &raw, &none);
    if (rc && (cli_option(c, "node") || !cli_no_node(rc))) {
        *e = none;
    } else if (rc) {
        buf_clear(&raw);
        rc = look(c, &raw, e);
    }
    if (!rc)
        rc = json_parse(&doc, buf_bytes(&raw), 0, e);
    if (!rc) {
        const struct json *findings = findings_of(json_root(doc));
        if (c->json)
            rc = cli_print(buf_bytes(&raw), stdout);
        else
            put_findings(c, findings);
        rc = rc ? rc : failed(findings);
    }
    json_free(doc);
    buf_fini(&raw);
    return rc;
}
