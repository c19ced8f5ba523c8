// cli_mesh.c: plexus mesh init, show, leave, svid, standby.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include "text/url.h"
#include <string.h>

static int init(struct cli *c, struct err *e);
static int show(struct cli *c, struct err *e);
static int leave(struct cli *c, struct err *e);
static int svid(struct cli *c, struct err *e);
static int standby(struct cli *c, struct err *e);

static const struct cli_option init_options[] = {
    {"domain", 0, "D", "the trust domain, home.internal; default: a name made at random", NULL},
    {"listen", 'l', "ADDRESS", "where the other nodes reach this one, host:port (TCP and UDP)",
     NULL},
    {"svid-ttl", 0, "TIME", "how long a node's identity lasts, default 1h", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option svid_options[] = {
    {"jwt", 0, NULL, "a JWT for clients that cannot do mTLS, instead of a certificate", NULL},
    {"audience", 'a', "NAME",
     "who the JWT is for; may be given several times; default plexus: the nodes", NULL},
    {"scopes", 's', "LIST", "what the JWT may do at the API: models, read, admin; default models",
     "models|read|admin"},
    {"ttl", 0, "TIME", "how long it lasts", NULL},
    {"out", 'o', "DIR", "write cert.pem, key.pem and bundle.pem (or token.jwt) there", "dir"},
    CLI_OPTIONS_END,
};
static const char *const svid_examples[] = {
    "plexus mesh svid agent/planner --out planner",
    "certificate, key and the mesh's roots as files", "plexus mesh svid user/ann --jwt",
    "a token for any node's API: Authorization: Bearer eyJ...", NULL};
static const struct cli_command subs[] = {
    {.name = "init",
     .summary = "make a mesh; this node becomes its authority",
     .usage = "",
     .options = init_options,
     .needs = CLI_NODE,
     .run = init},
    {.name = "show",
     .summary = "the mesh and this node's identity in it",
     .usage = "",
     .needs = CLI_NODE,
     .run = show},
    {.name = "leave",
     .summary = "take this node out of its mesh",
     .usage = "",
     .needs = CLI_NODE,
     .run = leave},
    {.name = "svid",
     .summary = "have an identity signed: agent/NAME, user/NAME, flow/ID, node/NAME/worker/QUEUE",
     .usage = "ID",
     .options = svid_options,
     .examples = svid_examples,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = svid},
    {.name = "standby",
     .summary = "name the node that may sign while the authority is away",
     .usage = "NODE",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "node",
     .run = standby},
    {.name = NULL},
};
static const char *const examples[] = {"plexus mesh init --domain home.internal",
                                       "a mesh begins with its first node",
                                       "plexus token new",
                                       "a token, and the line that joins another machine",
                                       "plexus mesh",
                                       "which mesh this is, and until when the identity lasts",
                                       NULL};

const struct cli_command cli_mesh_command = {
    .name = "mesh",
    .summary = "the mesh: make one, look at it, leave it, have identities signed",
    .usage = "[COMMAND]",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = show,
};

// ---- requests -----------------------------------------------------------------------------------

int cli_mesh_call(struct cli *c, const char *method, const char *target, struct buf *body,
                  struct json_doc **ret, struct buf *raw, struct err *e)
{
    int rc = body ? body->failed : 0;
    if (rc)
        return err_set(e, E_USAGE, "what is asked for is too long");
    rc = cli_request(c, method, target, body ? buf_bytes(body) : BYTES_NONE, raw, e);
    if (!rc && ret)
        (void)json_parse(ret, buf_bytes(raw), 0, NULL);
    return rc;
}

void cli_mesh_target(struct buf *out, const char *folder, const char *name, const char *action)
{
    (void)buf_fmt(out, "/api/mesh/%s/", folder);
    (void)url_encode(out, bytes_of(name));
    if (action)
        (void)buf_fmt(out, "/%s", action);
}

static void put_option(struct cli *c, struct json_w *w, const char *key, const char *option)
{
    if (cli_option(c, option))
        json_w_cstr(w, key, cli_option(c, option));
}

static const char *get(const struct json *v, const char *key)
{
    return json_cstr(json_get(v, key), "");
}

static int init(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body, raw;
    struct json_w w;
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    put_option(c, &w, "trust_domain", "domain");
    put_option(c, &w, "listen", "listen");
    put_option(c, &w, "svid_ttl", "svid-ttl");
    json_w_end(&w);
    int rc = cli_mesh_call(c, "POST", "/api/mesh/init", &body, &doc, &raw, e);
    const struct json *m = json_root(doc);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        (void)printf("the mesh %s is made, and this node is its authority\n"
                     "identity     %s\n"
                     "listens at   %s (TCP and UDP)\n"
                     "fingerprint  %s\n\n"
                     "`plexus token new` makes a token for the next machine\n",
                     get(m, "trust_domain"), get(m, "id"), get(m, "listen"), get(m, "fingerprint"));
    }
    json_free(doc);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

static void put_holder(const struct json *m, const char *what, const char *none)
{
    const char *node = get(m, what);
    (void)printf("%-10s %s%s\n", what, *node ? node : none,
                 *node && !strcmp(node, get(m, "self")) ? " (this node)" : "");
}

static void put_mesh(struct cli *c, const struct json *m)
{
    const struct json *id = json_get(m, "svid");
    struct buf sum;
    buf_init(&sum, 4096);
    cli_nodes_sum(&sum, m);
    cli_paint_put(c, PAINT_BOLD, get(m, "trust_domain"), stdout);
    (void)printf("  %s\n", buf_cstr(&sum));
    (void)printf("this node  %s  %s\n", get(m, "self"), get(m, "context"));
    (void)printf("identity   %s\n", get(id, "id"));
    (void)printf("           serial %s, until %s%s\n", get(id, "serial"), get(id, "expires"),
                 json_bool(json_get(id, "expired"), false) ? ": it has expired" : "");
    (void)printf("listens    %s (TCP and UDP)\n", get(m, "listen"));
    put_holder(m, "authority", "not known");
    put_holder(m, "standby", "none");
    (void)printf("epoch      %lld\n", (long long)json_i64(json_get(m, "epoch"), 0));
    buf_fini(&sum);
}

static int show(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/mesh", BYTES_NONE, &doc, &raw, e);
    const struct json *m = json_root(doc);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && json_bool(json_get(m, "joined"), false))
        put_mesh(c, m);
    else if (!rc)
        (void)printf("%s is in no mesh: `plexus mesh init` makes one, `plexus join ADDRESS TOKEN` "
                     "joins one\n",
                     json_cstr(json_get(m, "self"), "this node"));
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

static int leave(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_TEXT_MAX);
    int rc = cli_mesh_call(c, "POST", "/api/mesh/leave", NULL, &doc, &raw, e);
    const char *note = get(json_root(doc), "note");
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        (void)printf("this node has left the mesh\n");
    if (!rc && !c->json && *note)
        (void)fprintf(stderr, "%s\n", note);
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

static int standby(struct cli *c, struct err *e)
{
    struct buf body, raw;
    struct json_w w;
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "node", cli_arg(c, 0));
    json_w_end(&w);
    int rc = cli_mesh_call(c, "POST", "/api/mesh/standby", &body, NULL, &raw, e);
    if (!rc && c->json)
        rc = cli_print(raw.n ? buf_bytes(&raw) : BYTES("{}"), stdout);
    else if (!rc)
        (void)printf("%s may sign while the authority is away\n", cli_arg(c, 0));
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

// ---- svid ---------------------------------------------------------------------------------------

static void put_jwt(struct cli *c, struct json_w *w)
{
    struct bytes scopes = bytes_of(cli_option(c, "scopes"));
    json_w_arr(w, "scopes");
    while (scopes.n)
        json_w_str(w, NULL, bytes_trim(bytes_cut(&scopes, ',')));
    json_w_end(w);
    json_w_arr(w, "audience");
    for (size_t i = 0; i < c->parsed.given_count; i++)
        if (!strcmp(c->parsed.given[i].option->name, "audience"))
            json_w_cstr(w, NULL, c->parsed.given[i].value);
    if (!cli_option(c, "audience"))
        json_w_cstr(w, NULL, "plexus"); // what the nodes of a mesh take at their API
    json_w_end(w);
}

static int save(const char *folder, const char *name, const struct json *text, mode_t mode,
                struct err *e)
{
    char path[512];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return err_set(e, E_USAGE, "the path of the folder is too long");
    int rc = file_write_atomic(path, json_str(text), mode, e);
    if (!rc)
        (void)fprintf(stderr, "%s\n", path);
    return rc;
}

static int save_all(const char *folder, const struct json *answer, bool jwt, struct err *e)
{
    int rc = file_mkdirs(folder, 0700, e);
    if (jwt)
        return rc ? rc : save(folder, "token.jwt", json_get(answer, "token"), 0600, e);
    if (!rc)
        rc = save(folder, "key.pem", json_get(answer, "key_pem"), 0600, e);
    if (!rc)
        rc = save(folder, "cert.pem", json_get(answer, "cert_pem"), 0644, e);
    if (!rc)
        rc = save(folder, "bundle.pem", json_get(answer, "bundle_pem"), 0644, e);
    return rc;
}

static int svid(struct cli *c, struct err *e)
{
    const char *folder = cli_option(c, "out");
    bool jwt = cli_option(c, "jwt") != NULL;
    struct json_doc *doc = NULL;
    struct buf body, raw;
    struct json_w w;
    if (!jwt && (cli_option(c, "audience") || cli_option(c, "scopes")))
        return err_set(e, E_USAGE, "--audience and --scopes belong to --jwt");
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "id", cli_arg(c, 0));
    json_w_cstr(&w, "type", jwt ? "jwt" : "x509");
    if (jwt)
        put_jwt(c, &w);
    put_option(c, &w, "ttl", "ttl");
    json_w_end(&w);
    int rc = cli_mesh_call(c, "POST", "/api/mesh/svid", &body, &doc, &raw, e);
    const struct json *a = json_root(doc);
    if (!rc && folder)
        rc = save_all(folder, a, jwt, e);
    else if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && jwt)
        (void)printf("%s\n", get(a, "token"));
    else if (!rc)
        (void)printf("%s%s%s", get(a, "cert_pem"), get(a, "key_pem"), get(a, "bundle_pem"));
    json_free(doc);
    mem_wipe(raw.p, raw.n); // has a private key
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}
