// cli_flow_docs.c: documents that are kept on the node: add, docs, rm; and a file to begin with.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_flow_priv.h"
#include "text/url.h"
#include <ctype.h>
#include <string.h>
#include <unistd.h>

static int add_one(struct cli *c, const char *file, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf text, body, raw;
    struct json_w w;
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    buf_init(&body, CLI_FLOW_TEXT_MAX);
    buf_init(&raw, CLI_ANSWER_MAX);
    bool urn = !strncmp(file, "urn:", 4);
    int rc = urn ? 0 : cli_flow_read(file, &text, e);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    if (urn)
        json_w_cstr(&w, "urn", file);
    else
        json_w_str(&w, "document", buf_bytes(&text));
    json_w_end(&w);
    if (!rc && body.failed)
        rc = err_set(e, body.failed, "%s is too long", file);
    if (!rc)
        rc = cli_request_json(c, "POST", "/api/flows/documents", buf_bytes(&body), &doc, &raw, e);
    const struct json *r = json_root(doc);
    if (rc && cli_flow_tell_findings(c, file, buf_bytes(&text), buf_bytes(&raw)))
        rc = err_info(rc)->exit;
    else if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        (void)printf("%s/%s:%s is kept; `plexus flow run %s/%s` runs it\n",
                     json_cstr(json_get(r, "namespace"), "?"), json_cstr(json_get(r, "name"), "?"),
                     json_cstr(json_get(r, "version"), "?"),
                     json_cstr(json_get(r, "namespace"), "?"), json_cstr(json_get(r, "name"), "?"));
    json_free(doc);
    buf_fini(&text);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

int cli_flow_add(struct cli *c, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < cli_args(c) && !rc; i++)
        rc = add_one(c, cli_arg(c, i), e);
    return rc;
}

int cli_flow_docs(struct cli *c, struct err *e)
{
    static const char *const columns[] = {"FLOW", "VERSION", "SCHEDULE", "TITLE", NULL};
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *v;
    struct buf raw, schedule;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&schedule, 4096);
    int rc = cli_request_json(c, "GET", "/api/flows/documents", BYTES_NONE, &doc, &raw, e);
    const struct json *list = json_get(json_root(doc), "documents");
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc && !json_len(list)) {
        (void)printf("no documents are kept; `plexus flow add FILE` keeps one\n");
    } else if (!rc) {
        struct cli_table *t = cli_table_new(c, columns);
        while (json_each(list, &it, NULL, &v)) {
            buf_clear(&schedule);
            if (json_is(json_get(v, "schedule"), JSON_OBJ))
                cli_flow_put_value_line(&schedule, json_get(v, "schedule"), 50);
            cli_cell(t, PAINT_BOLD, "%s/%s", json_cstr(json_get(v, "namespace"), ""),
                     json_cstr(json_get(v, "name"), ""));
            cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(v, "version"), ""));
            cli_cell(t, PAINT_NONE, "%s", schedule.n ? buf_cstr(&schedule) : "-");
            cli_cell(t, PAINT_NONE, "%.200s", json_cstr(json_get(v, "title"), ""));
        }
        cli_table_end(t, stdout);
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&schedule);
    return rc;
}

// ---- rm -----------------------------------------------------------------------------------------

static int remove_one(struct cli *c, struct bytes namespace, struct bytes name,
                      struct bytes version, struct err *e)
{
    struct buf target, raw;
    buf_init(&target, 8192);
    buf_init(&raw, CLI_TEXT_MAX);
    (void)buf_str(&target, "/api/flows/documents/");
    (void)url_encode(&target, namespace);
    (void)buf_chr(&target, '/');
    (void)url_encode(&target, name);
    (void)buf_chr(&target, '/');
    (void)url_encode(&target, version);
    int rc = cli_request(c, "DELETE", buf_cstr(&target), BYTES_NONE, &raw, e);
    if (!rc && c->json)
        rc = cli_print(raw.n ? buf_bytes(&raw) : BYTES("{}"), stdout);
    else if (!rc)
        (void)printf("%.*s/%.*s:%.*s is forgotten\n", BYTES_FMT(namespace), BYTES_FMT(name),
                     BYTES_FMT(version));
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}

static int remove_all(struct cli *c, struct bytes namespace, struct bytes name, struct err *e)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *v;
    struct buf raw;
    size_t found = 0;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/flows/documents", BYTES_NONE, &doc, &raw, e);
    while (!rc && json_each(json_get(json_root(doc), "documents"), &it, NULL, &v)) {
        if (!bytes_eq(json_str(json_get(v, "namespace")), namespace) ||
            !bytes_eq(json_str(json_get(v, "name")), name))
            continue;
        found++;
        rc = remove_one(c, namespace, name, json_str(json_get(v, "version")), e);
    }
    if (!rc && !found)
        rc = err_set(e, E_NOTFOUND, "no document %.*s/%.*s is kept; `plexus flow docs` lists them",
                     BYTES_FMT(namespace), BYTES_FMT(name));
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

int cli_flow_name(const char *word, struct cli_flow_name *ret, struct err *e)
{
    struct bytes name = bytes_of(word), namespace = BYTES("default");
    if (bytes_chr(name, '/') >= 0)
        namespace = bytes_cut(&name, '/');
    struct bytes version = name;
    name = bytes_cut(&version, ':');
    if (!name.n || !namespace.n)
        return err_set(e, E_USAGE, "expected NAMESPACE/NAME or NAMESPACE/NAME:VERSION");
    *ret = (struct cli_flow_name){namespace, name, version};
    return 0;
}

int cli_flow_rm(struct cli *c, struct err *e)
{
    struct cli_flow_name n;
    int rc = cli_flow_name(cli_arg(c, 0), &n, e);
    if (rc)
        return rc;
    return n.version.n ? remove_one(c, n.namespace, n.name, n.version, e)
                       : remove_all(c, n.namespace, n.name, e);
}

// ---- new ----------------------------------------------------------------------------------------

static const char starter[] =
    "# A flow in the CNCF Serverless Workflow DSL; docs/FLOWS.md teaches it.\n"
    "#   plexus flow check %s.yaml                     is it well?\n"
    "#   plexus flow run %s.yaml -i '{\"name\":\"Ann\"}'   run it and watch\n"
    "document:\n"
    "  dsl: 1.0.3\n"
    "  namespace: default\n"
    "  name: %s\n"
    "  version: 1.0.0\n"
    "do:\n"
    "  # Each task gets what the one before gave; an expression between ${ } is jq.\n"
    "  - greet:\n"
    "      set:\n"
    "        greeting: ${ \"Hello, \" + (.name // \"world\") }\n"
    "  # What fails is tried again: after 1 s, 2 s, 4 s. Every attempt is on the disk.\n"
    "  - look:\n"
    "      try:\n"
    "        - date:\n"
    "            run:\n"
    "              shell:\n"
    "                command: date -u +%%H:%%M\n"
    "      catch:\n"
    "        retry:\n"
    "          delay: PT1S\n"
    "          backoff:\n"
    "            exponential: {}\n"
    "          limit:\n"
    "            attempt:\n"
    "              count: 3\n"
    "      # The output: of a task's own result (.) and its input ($input).\n"
    "      output:\n"
    "        as: '${ $input + { at: (. | rtrimstr(\"\\n\")) } }'\n"
    "  - wait:\n"
    "      wait: PT2S\n";

int cli_flow_new(struct cli *c, struct err *e)
{
    const char *name = cli_arg(c, 0), *file = cli_option(c, "out");
    char path[300];
    struct buf text;
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && (name[i] != '-' || !i || i + 1 == n))
            return err_set(e, E_USAGE, "a flow's name has letters, digits and dashes between them");
    if (n < 1 || n > 63)
        return err_set(e, E_USAGE, "a flow's name has 1 to 63 characters");
    (void)snprintf(path, sizeof path, "%s.yaml", name);
    if (!file)
        file = path;
    if (access(file, F_OK) == 0)
        return err_set(e, E_EXISTS, "%s is there already", file);
    buf_init(&text, sizeof starter + 1024);
    (void)buf_fmt(&text, starter, name, name, name);
    int rc = file_write_atomic(file, buf_bytes(&text), 0644, e);
    buf_fini(&text);
    if (rc)
        return rc;
    (void)printf("%s\n", file);
    if (!c->json)
        (void)fprintf(stderr, "`plexus flow run %s` runs it\n", file);
    return 0;
}

// ---- export -------------------------------------------------------------------------------------

int cli_flow_export(struct cli *c, struct err *e)
{
    const char *file = cli_option(c, "out");
    struct buf raw, target;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 4096);
    int rc = cli_flow_target(&target, cli_arg(c, 0), "export", e);
    if (!rc)
        rc = cli_request(c, "GET", buf_cstr(&target), BYTES_NONE, &raw, e);
    if (!rc && file)
        rc = file_write_atomic(file, buf_bytes(&raw), 0600, e); // inputs may be private
    else if (!rc)
        rc = cli_print(buf_bytes(&raw), stdout);
    buf_fini(&raw);
    buf_fini(&target);
    return rc;
}
