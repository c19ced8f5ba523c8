// cli_tool_hand.c: what a person does with a tool: add, grant, revoke, rm, eval, publish, promote.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_tool_priv.h"

#include "base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// One request of a tool; doc and raw are the caller's.
static int ask(struct cli *c, const char *method, const char *name, const char *action,
               struct bytes body, struct json_doc **doc, struct buf *raw, struct err *e)
{
    struct buf target;
    buf_init(&target, 4096);
    int rc = cli_tool_target(&target, name, action, e);
    if (!rc && doc)
        rc = cli_request_json(c, method, buf_cstr(&target), body, doc, raw, e);
    else if (!rc)
        rc = cli_request(c, method, buf_cstr(&target), body, raw, e);
    buf_fini(&target);
    return rc;
}

// ---- add ----------------------------------------------------------------------------------------

static bool is_address(const char *word)
{
    return bytes_starts(bytes_of(word), BYTES("http://")) ||
           bytes_starts(bytes_of(word), BYTES("https://"));
}

// The body of a package: manifest and code alone are the node's business.
static int put_package(struct json_w *w, struct bytes text, const char *from, struct err *e)
{
    struct json_doc *doc = NULL;
    if (bytes_starts(text, (struct bytes){"\0asm", 4}))
        return err_set(e, E_USAGE,
                       "%s is code alone; `plexus tool build` makes a package of it, with its "
                       "manifest",
                       from);
    int rc = json_parse(&doc, text, JSON_UNIQUE, e);
    const struct json *manifest = json_get(json_root(doc), "manifest"),
                      *code = json_get(json_root(doc), "wasm");
    if (rc) {
        rc = err_wrap(e, "%s", from);
    } else if (!json_is(manifest, JSON_OBJ) || !json_is(code, JSON_STR)) {
        rc = err_set(e, E_USAGE, "%s is not a package of `plexus tool build`", from);
    } else {
        json_w_val(w, "manifest", manifest);
        json_w_str(w, "wasm", json_str(code));
    }
    json_free(doc);
    return rc;
}

static int put_what(struct cli *c, struct json_w *w, struct err *e)
{
    const char *what = cli_arg(c, 0);
    struct buf text;
    struct urn u;
    int rc;
    if (urn_is(bytes_of(what)) || bytes_starts(bytes_of(what), BYTES("sha256:"))) {
        rc = urn_is(bytes_of(what)) ? urn_parse(&u, bytes_of(what), e) : 0;
        json_w_cstr(w, "urn", what);
        return rc;
    }
    buf_init(&text, MANIFEST_PACK_MAX);
    rc = is_address(what) ? cli_tool_fetch(what, &text, e) : file_read(what, &text, e);
    if (!rc)
        rc = put_package(w, buf_bytes(&text), what, e);
    buf_fini(&text);
    return rc;
}

static void tell_added(struct cli *c, const struct json *r)
{
    const char *name = json_cstr(json_get(r, "name"), "?");
    struct buf words;
    bool granted = json_bool(json_get(r, "granted"), false);
    buf_init(&words, CLI_TEXT_MAX);
    (void)printf("%s is here: %s\n", name, json_cstr(json_get(r, "urn"), "?"));
    cli_tool_put_words(&words, json_get(r, "permissions"));
    (void)fputs(buf_cstr(&words), stdout);
    buf_fini(&words);
    if (!c->json && !granted)
        (void)fprintf(stderr, "it may do nothing of that before `plexus tool grant %s`\n", name);
}

int cli_tool_add(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body, raw;
    struct json_w w;
    buf_init(&body, MANIFEST_PACK_MAX);
    buf_init(&raw, CLI_ANSWER_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    int rc = put_what(c, &w, e);
    if (!rc && cli_option(c, "as"))
        json_w_cstr(&w, "name", cli_option(c, "as"));
    if (!rc)
        json_w_end(&w);
    if (!rc && body.failed)
        rc = err_set(e, body.failed, "the package is too large");
    if (!rc)
        rc = ask(c, "POST", NULL, NULL, buf_bytes(&body), &doc, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        tell_added(c, json_root(doc));
    json_free(doc);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

// ---- grant --------------------------------------------------------------------------------------

int cli_tool_sure(struct cli *c, const char *question, struct err *e)
{
    char line[16] = "";
    if (cli_option(c, "yes"))
        return 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return err_set(e, E_USAGE, "nobody is there to ask; --yes says it");
    (void)fprintf(stderr, "%s [y/N] ", question);
    if (!fgets(line, sizeof line, stdin) || (line[0] != 'y' && line[0] != 'Y'))
        return err_set(e, E_CANCELLED, "nothing was changed");
    return 0;
}

// A folder as the node sees it: absolute.
static void put_item(struct json_w *w, const char *item)
{
    char path[PATH_MAX];
    struct bytes b = bytes_of(item);
    ptrdiff_t at = bytes_chr(b, '=');
    struct buf text;
    if (!bytes_starts(b, BYTES("dir:")) || at < 0 || !realpath(item + at + 1, path)) {
        json_w_cstr(w, NULL, item);
        return;
    }
    buf_init(&text, PATH_MAX * 2);
    (void)buf_put(&text, bytes_first(b, (size_t)at + 1));
    (void)buf_str(&text, path);
    json_w_str(w, NULL, buf_bytes(&text));
    buf_fini(&text);
}

static int look(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, words;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&words, CLI_TEXT_MAX);
    int rc = ask(c, "GET", cli_arg(c, 0), NULL, BYTES_NONE, &doc, &raw, e);
    if (!rc) {
        cli_tool_put_words(&words, json_get(json_root(doc), "permissions"));
        (void)fprintf(stderr, "%s:\n%s", cli_arg(c, 0), buf_cstr(&words));
        rc = cli_tool_sure(c, "Allow it?", e);
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&words);
    return rc;
}

int cli_tool_grant(struct cli *c, struct err *e)
{
    struct buf body, raw;
    struct json_w w;
    int rc = look(c, e);
    if (rc)
        return rc;
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_ANSWER_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    if (cli_args(c) > 1) {
        json_w_arr(&w, "permissions");
        for (size_t i = 1; i < cli_args(c); i++)
            put_item(&w, cli_arg(c, i));
        json_w_end(&w);
    }
    if (cli_option(c, "reason"))
        json_w_cstr(&w, "reason", cli_option(c, "reason"));
    json_w_end(&w);
    rc = body.failed ? err_set(e, body.failed, "the permissions are too long")
                     : ask(c, "POST", cli_arg(c, 0), "grant", buf_bytes(&body), NULL, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        (void)printf("%s is granted\n", cli_arg(c, 0));
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

// ---- the others ---------------------------------------------------------------------------------

static int hand(struct cli *c, const char *method, const char *action, const char *said,
                struct err *e)
{
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc =
        ask(c, method, cli_arg(c, 0), action, action ? BYTES("{}") : BYTES_NONE, NULL, &raw, e);
    if (!rc && c->json)
        rc = cli_print(raw.n ? buf_bytes(&raw) : BYTES("{}"), stdout);
    else if (!rc)
        (void)printf("%s %s\n", cli_arg(c, 0), said);
    buf_fini(&raw);
    return rc;
}

int cli_tool_revoke(struct cli *c, struct err *e)
{
    return hand(c, "POST", "revoke", "may do nothing any more", e);
}

int cli_tool_rm(struct cli *c, struct err *e)
{
    return hand(c, "DELETE", NULL, "is gone", e);
}

void cli_tool_tell_published(const struct json *r, const char *done)
{
    const char *urn = json_cstr(json_get(r, "urn"), "?");
    if (json_bool(json_get(r, "published"), false)) {
        (void)printf("%s %s\n", urn, done);
        return;
    }
    (void)printf("%s is kept and goes out as soon as the registry takes it (%lld waiting)\n", urn,
                 (long long)json_i64(json_get(r, "waiting"), 0));
    if (json_str(json_get(r, "why")).n)
        (void)fprintf(stderr, "the registry: %s\n", json_cstr(json_get(r, "why"), ""));
}

static int publish(struct cli *c, const char *action, const char *done, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = ask(c, "POST", cli_arg(c, 0), action, BYTES("{}"), &doc, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        cli_tool_tell_published(json_root(doc), done);
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

int cli_tool_publish(struct cli *c, struct err *e)
{
    return publish(c, "publish", "is published", e);
}

int cli_tool_promote(struct cli *c, struct err *e)
{
    return publish(c, "promote", "is promoted and published for good", e);
}

static void put_case(struct cli *c, struct buf *out, const struct json *one)
{
    bool passed = json_bool(json_get(one, "passed"), false);
    struct bytes name = json_str(json_get(one, "name")), tool = json_str(json_get(one, "tool")),
                 run = json_str(json_get(one, "run"));
    cli_paint_add(c, passed ? PAINT_GREEN : PAINT_RED, passed ? "passed" : "failed", out);
    (void)buf_str(out, "  ");
    cli_put_safe(out, tool);
    (void)buf_str(out, tool.n ? ": " : "");
    cli_put_safe(out, name.n ? name : BYTES("(a case without a name)"));
    if (!passed) {
        (void)buf_str(out, "\n        ");
        cli_put_safe(out, json_str(json_get(one, "why")));
    }
    if (!passed && run.n) {
        (void)buf_str(out, "\n        run ");
        cli_put_safe(out, run);
    }
    (void)buf_chr(out, '\n');
}

int cli_tool_tell_cases(struct cli *c, const struct json *r, struct bytes raw)
{
    struct json_iter it = {0};
    const struct json *one;
    struct buf out;
    long long passed = json_i64(json_get(r, "passed"), 0),
              failed = json_i64(json_get(r, "failed"), 0);
    buf_init(&out, CLI_ANSWER_MAX);
    while (json_each(json_get(r, "cases"), &it, NULL, &one))
        put_case(c, &out, one);
    (void)buf_fmt(&out, "%lld passed, %lld failed", passed, failed);
    int rc = cli_print(c->json ? raw : buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc ? rc : failed > 0;
}

int cli_tool_eval(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = ask(c, "POST", cli_arg(c, 0), "eval", BYTES("{}"), &doc, &raw, e);
    if (!rc)
        rc = cli_tool_tell_cases(c, json_root(doc), buf_bytes(&raw));
    json_free(doc);
    buf_fini(&raw);
    return rc;
}
