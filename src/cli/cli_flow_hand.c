// cli_flow_hand.c: hands on runs: retry, skip, edit, pause, resume, cancel, terminate, reset;
// signals and events; prune. SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "cli/cli_flow_priv.h"
#include <string.h>

static int post(struct cli *c, const char *target, struct buf *body, struct json_doc **ret,
                struct err *e)
{
    struct buf raw;
    if (body->failed)
        return err_set(e, E_TOOBIG, "what is asked for is too long");
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "POST", target, buf_bytes(body), ret, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    buf_fini(&raw);
    return rc;
}

static int tell_status(struct cli *c, const char *target, struct buf *body, struct err *e)
{
    struct json_doc *doc = NULL;
    int rc = post(c, target, body, &doc, e);
    const struct json *r = json_root(doc);
    if (!rc && !c->json) {
        const char *status = json_cstr(json_get(r, "status"), "");
        const struct cli_flow_look *look = cli_flow_look(status);
        (void)printf("%s ", json_cstr(json_get(r, "id"), cli_arg(c, 0)));
        cli_paint_put(c, look->paint, status, stdout);
        (void)printf("\n");
    }
    json_free(doc);
    return rc;
}

static int put_hand(struct cli *c, const char *action, struct json_w *w, struct err *e)
{
    uint64_t to;
    int rc = 0;
    if (!strcmp(action, "reset")) {
        if (!bytes_u64(bytes_of(cli_arg(c, 1)), &to))
            return err_set(e, E_USAGE, "ENTRY is a number of `plexus flow history %s`, not \"%s\"",
                           cli_arg(c, 0), cli_arg(c, 1));
        json_w_u64(w, "to", to);
    } else if (cli_arg(c, 1)) {
        json_w_cstr(w, "task", cli_arg(c, 1));
    }
    if (!strcmp(action, "edit") && !cli_option(c, "input"))
        return err_set(e, E_USAGE, "--input says what the task gets");
    if (!strcmp(action, "edit"))
        rc = cli_flow_put_value(c, w, "input", "input", e);
    if (!strcmp(action, "skip"))
        rc = cli_flow_put_value(c, w, "output", "output", e);
    if (!rc && cli_option(c, "reason"))
        json_w_cstr(w, "reason", cli_option(c, "reason"));
    return rc;
}

int cli_flow_hand(struct cli *c, struct err *e)
{
    const char *action = c->path[c->depth - 1]->name;
    struct buf body, target;
    struct json_w w;
    buf_init(&body, CLI_FLOW_TEXT_MAX);
    buf_init(&target, 4096);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    int rc = put_hand(c, action, &w, e);
    if (!rc)
        rc = cli_flow_target(&target, cli_arg(c, 0), action, e);
    if (!rc) {
        json_w_end(&w);
        rc = tell_status(c, buf_cstr(&target), &body, e);
    }
    buf_fini(&body);
    buf_fini(&target);
    return rc;
}

// ---- events -------------------------------------------------------------------------------------

static int put_event(struct cli *c, const char *type, struct buf *body, struct err *e)
{
    char id[RNG_ID_LEN + 1];
    const char *given = cli_option(c, "event-id"), *source = cli_option(c, "source");
    struct json_w w;
    rng_id(id);
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "specversion", "1.0");
    json_w_cstr(&w, "id", given ? given : id);
    json_w_cstr(&w, "source", source ? source : "plexus:cli");
    json_w_cstr(&w, "type", type);
    if (cli_option(c, "subject"))
        json_w_cstr(&w, "subject", cli_option(c, "subject"));
    if (cli_option(c, "event-data"))
        json_w_cstr(&w, "datacontenttype", "application/json");
    int rc = cli_flow_put_value(c, &w, "data", "event-data", e);
    if (!rc)
        json_w_end(&w);
    return rc;
}

int cli_flow_signal(struct cli *c, struct err *e)
{
    struct buf body, target;
    buf_init(&body, CLI_FLOW_TEXT_MAX);
    buf_init(&target, 4096);
    int rc = cli_flow_target(&target, cli_arg(c, 0), "signal", e);
    if (!rc)
        rc = put_event(c, cli_arg(c, 1), &body, e);
    if (!rc)
        rc = tell_status(c, buf_cstr(&target), &body, e);
    buf_fini(&body);
    buf_fini(&target);
    return rc;
}

int cli_flow_event(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body;
    buf_init(&body, CLI_FLOW_TEXT_MAX);
    int rc = put_event(c, cli_arg(c, 0), &body, e);
    if (!rc)
        rc = post(c, "/api/flows/events", &body, &doc, e);
    long long taken = json_i64(json_get(json_root(doc), "taken"), 0);
    if (!rc && !c->json && taken)
        (void)printf("taken by %lld\n", taken);
    else if (!rc && !c->json)
        (void)printf("nobody listens to it\n");
    json_free(doc);
    buf_fini(&body);
    return rc;
}

int cli_flow_prune(struct cli *c, struct err *e)
{
    bool dry = cli_option(c, "dry-run") != NULL;
    const char *older = cli_option(c, "older");
    struct json_doc *doc = NULL;
    struct buf body;
    struct json_w w;
    int64_t ms;
    int rc = cli_option_ms(c, "older", &ms, e);
    if (rc)
        return rc;
    buf_init(&body, 4096);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "older", older ? older : "30d");
    json_w_bool(&w, "dry", dry);
    json_w_end(&w);
    rc = post(c, "/api/flows/prune", &body, &doc, e);
    long long removed = json_i64(json_get(json_root(doc), "removed"), 0);
    if (!rc && !c->json)
        (void)printf("%lld run%s %s\n", removed, removed == 1 ? "" : "s",
                     dry ? "would be removed" : "removed");
    json_free(doc);
    buf_fini(&body);
    return rc;
}
