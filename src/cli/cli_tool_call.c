// cli_tool_call.c: plexus tool call. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "cli/cli_tool_priv.h"

#include "text/units.h"

static int body_of(struct cli *c, struct buf *body, struct err *e)
{
    const char *text = cli_option(c, "input"), *word = cli_arg(c, 1),
               *timeout = cli_option(c, "timeout"), *label = cli_option(c, "label");
    struct buf input;
    struct json_w w;
    int64_t ms;
    if (text && word)
        return err_set(e, E_USAGE, "the arguments stand either after the name or in --input");
    buf_init(&input, CLI_FLOW_TEXT_MAX);
    text = text ? text : word;
    int rc = text ? cli_flow_value("INPUT", text, &input, e) : buf_str(&input, "{}");
    if (!rc && timeout && (rc = units_duration(bytes_of(timeout), &ms, e)))
        rc = err_wrap(e, "--timeout");
    if (!rc) {
        json_w_init(&w, body);
        json_w_obj(&w, NULL);
        json_w_raw(&w, "input", buf_bytes(&input));
        if (timeout)
            json_w_cstr(&w, "timeout", timeout);
        if (label)
            json_w_cstr(&w, "label", label);
        if (cli_option(c, "yes"))
            json_w_bool(&w, "confirmed", true);
        json_w_end(&w);
        rc = body->failed ? err_set(e, body->failed, "the arguments are too long") : 0;
    }
    buf_fini(&input);
    return rc;
}

static void put_content(struct buf *out, const struct json *content)
{
    struct json_iter it = {0};
    const struct json *block;
    while (json_each(content, &it, NULL, &block)) {
        if (out->n && out->p[out->n - 1] != '\n')
            (void)buf_chr(out, '\n');
        if (bytes_is(json_str(json_get(block, "type")), "text"))
            (void)buf_put(out, json_str(json_get(block, "text")));
        else
            (void)json_write(out, block);
    }
}

// The text of a structured answer is often the same as JSON: then that is shown readably.
static bool only_json(const struct json *r)
{
    const struct json *content = json_get(r, "content");
    struct bytes text = bytes_trim(json_str(json_get(json_at(content, 0), "text")));
    return json_len(content) == 0 || (json_len(content) == 1 && bytes_starts(text, BYTES("{")));
}

static int tell(const struct json *r, struct err *e)
{
    bool failed = json_bool(json_get(r, "is_error"), false);
    struct buf out;
    int rc = 0;
    buf_init(&out, CLI_ANSWER_MAX);
    if (json_is(json_get(r, "structured"), JSON_OBJ) && !failed && only_json(r))
        (void)cli_pretty(&out, json_get(r, "structured"));
    else
        put_content(&out, json_get(r, "content"));
    if (out.failed)
        rc = err_set(e, out.failed, "the answer is too long");
    else
        rc = cli_print(buf_bytes(&out), failed ? stderr : stdout);
    buf_fini(&out);
    return rc ? rc : failed;
}

int cli_tool_call(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, target, body;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 4096);
    buf_init(&body, CLI_FLOW_TEXT_MAX);
    int rc = cli_tool_target(&target, cli_arg(c, 0), "call", e);
    if (!rc)
        rc = body_of(c, &body, e);
    if (!rc)
        rc = cli_request_json(c, "POST", buf_cstr(&target), buf_bytes(&body), &doc, &raw, e);
    if (rc == E_FORBIDDEN && !cli_option(c, "yes"))
        (void)fprintf(
            stderr,
            "`plexus tool show %s` says what it may do; `plexus tool grant %s` allows it, "
            "--yes this once\n",
            cli_arg(c, 0), cli_arg(c, 0));
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
        if (!rc && json_bool(json_get(json_root(doc), "is_error"), false))
            rc = 1;
    } else if (!rc) {
        rc = tell(json_root(doc), e);
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&target);
    buf_fini(&body);
    return rc;
}
