// cli_tool_servers.c: plexus tool servers: the MCP servers whose tools this node passes on.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_tool_priv.h"

#include <stdio.h>

static enum cli_paint colour_of(struct bytes state)
{
    return bytes_is(state, "ready")      ? PAINT_GREEN
           : bytes_is(state, "starting") ? PAINT_NONE
                                         : PAINT_YELLOW;
}

// What a person should know: why it does not answer, or what waits for a look.
static void put_note(struct buf *out, const struct json *s)
{
    struct bytes why = json_str(json_get(s, "why")), last = json_str(json_get(s, "last_words"));
    long long odd = json_i64(json_get(s, "changed"), 0) + json_i64(json_get(s, "flagged"), 0);
    if (json_str(json_get(s, "login")).n)
        (void)buf_str(out, "log in (below)");
    else if (!bytes_is(json_str(json_get(s, "state")), "ready"))
        cli_put_safe(out, bytes_first(why.n ? why : last, 200));
    else if (odd)
        (void)buf_fmt(out, "%lld not what they were: plexus tool show, then grant", odd);
}

static void put_server(struct cli_table *t, const struct json *s)
{
    struct buf what, note;
    struct bytes state = json_str(json_get(s, "state"));
    buf_init(&what, 2048);
    buf_init(&note, 4096);
    cli_put_safe(&what, bytes_first(json_str(json_get(s, "server")), 200));
    put_note(&note, s);
    cli_cell(t, PAINT_BOLD, "%s", json_cstr(json_get(s, "name"), "?"));
    cli_cell(t, colour_of(state), "%.*s", BYTES_FMT(state));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(s, "transport"), ""));
    cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(s, "tools"), 0));
    cli_cell(t, PAINT_NONE, "%s", what.n ? buf_cstr(&what) : "-");
    cli_cell(t, PAINT_DIM, "%s", buf_cstr(&note));
    buf_fini(&what);
    buf_fini(&note);
}

// An address does not fit a table: it is to be copied whole.
static int put_logins(const struct json *list)
{
    struct json_iter it = {0};
    const struct json *s;
    struct buf out;
    buf_init(&out, (size_t)1 << 20);
    while (json_each(list, &it, NULL, &s)) {
        struct bytes address = json_str(json_get(s, "login"));
        if (!address.n)
            continue;
        (void)buf_fmt(&out, "\n%s wants a login. Open:\n  ", json_cstr(json_get(s, "name"), "?"));
        cli_put_safe(&out, address);
        (void)buf_chr(&out, '\n');
    }
    int rc = out.n ? cli_print(buf_bytes(&out), stdout) : 0;
    buf_fini(&out);
    return rc;
}

int cli_tool_servers(struct cli *c, struct err *e)
{
    static const char *const columns[] = {"SERVER", "STATE", "BY", ">TOOLS", "WHAT", "NOTE", NULL};
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *s;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/tools/servers", BYTES_NONE, &doc, &raw, e);
    const struct json *list = json_get(json_root(doc), "servers");
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc && !json_len(list)) {
        (void)printf("no external MCP server is configured (mcp.servers)\n");
    } else if (!rc) {
        struct cli_table *t = cli_table_new(c, columns);
        while (json_each(list, &it, NULL, &s))
            put_server(t, s);
        cli_table_end(t, stdout);
        rc = put_logins(list);
    }
    json_free(doc);
    buf_fini(&raw);
    return rc;
}
