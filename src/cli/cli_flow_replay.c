// cli_flow_replay.c: plexus flow replay: does this plexus decide as a history says?
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "flow/flow.h"

static int (*the_replay)(struct bytes history, struct buf *out, struct err *e);

void cli_set_replay(int (*replay)(struct bytes history, struct buf *out, struct err *e))
{
    the_replay = replay;
}

// A history as `temporal workflow show --output json` or Temporal's page gives it.
static int replay_temporal(struct cli *c, struct bytes text, size_t events, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf view;
    buf_init(&view, CLI_ANSWER_MAX);
    int rc = the_replay(text, &view, e);
    if (!rc)
        rc = json_parse(&doc, buf_bytes(&view), 0, e);
    const char *status = json_cstr(json_get(json_root(doc), "status"), "");
    if (!rc && c->json)
        (void)printf("{\"same\":true,\"events\":%zu,\"status\":\"%s\"}\n", events, status);
    else if (!rc)
        (void)printf("%zu events of Temporal: this plexus decides the same; the run is %s\n",
                     events, status);
    json_free(doc);
    buf_fini(&view);
    return rc;
}

// An entry's own number, and what flow_event_parse wants to see of it.
static int replay_entry(struct flow_replay *p, const struct json *v, struct err *e)
{
    struct flow_event ev = {0};
    struct buf text;
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    int rc = json_write(&text, v);
    if (!rc)
        rc = flow_event_parse(&ev, buf_bytes(&text), e);
    if (!rc)
        rc = flow_replay_entry(p, &ev, e);
    flow_event_fini(&ev);
    buf_fini(&text);
    return rc;
}

static int replay_all(struct cli *c, struct flow_replay *p, const struct json *entries,
                      struct err *e)
{
    struct json_iter it = {0};
    const struct json *v;
    struct flow_run *run = NULL;
    struct flow_out missing = {0};
    size_t count = 0;
    int rc = 0;
    while (!rc && json_each(entries, &it, NULL, &v)) {
        rc = replay_entry(p, v, e);
        count++;
    }
    if (!rc)
        rc = flow_replay_end(p, &run, &missing, e);
    if (!rc && c->json)
        (void)printf("{\"same\":true,\"entries\":%zu,\"status\":\"%s\"}\n", count,
                     flow_status_name(flow_run_status(run)));
    else if (!rc)
        (void)printf("%zu entries: this plexus decides the same; the run is %s\n", count,
                     flow_status_name(flow_run_status(run)));
    flow_out_fini(&missing);
    flow_run_free(run);
    return rc;
}

int cli_flow_replay(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct flow_plan *plan = NULL;
    struct flow_replay *p = NULL;
    struct buf text, bundle;
    const char *file = cli_arg(c, 0);
    buf_init(&text, CLI_ANSWER_MAX);
    buf_init(&bundle, CLI_FLOW_TEXT_MAX);
    int rc = cli_flow_read(file, &text, e);
    if (!rc && (rc = json_parse(&doc, buf_bytes(&text), 0, e)) != 0)
        (void)err_wrap(e, "%s", file);
    const struct json *b = json_get(json_root(doc), "bundle");
    const struct json *entries = json_get(json_root(doc), "entries");
    const struct json *events = json_get(json_root(doc), "events");
    if (!rc && the_replay && json_is(events, JSON_ARR)) {
        rc = replay_temporal(c, buf_bytes(&text), json_len(events), e);
        goto out;
    }
    if (!rc && (!b || !json_is(entries, JSON_ARR)))
        rc = err_set(e, E_INVALID, "%s is not what `plexus flow export` gives", file);
    if (!rc)
        rc = json_is(b, JSON_STR) ? buf_put(&bundle, json_str(b)) : json_write(&bundle, b);
    if (!rc)
        rc = flow_plan_new(&plan, buf_bytes(&bundle), NULL, e);
    if (rc == 1)
        rc = err_set(e, E_INVALID, "%s: the document's other parts are missing", file);
    if (!rc)
        rc = flow_replay_new(&p, plan, e);
    if (!rc)
        rc = replay_all(c, p, entries, e);
out:
    flow_replay_free(p);
    flow_plan_unref(plan);
    json_free(doc);
    buf_fini(&text);
    buf_fini(&bundle);
    return rc;
}
