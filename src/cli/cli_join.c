// cli_join.c: plexus join ADDRESS TOKEN: this machine's node becomes one of a mesh.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include <string.h>
#include <unistd.h>

#define TOKEN_BYTES_MAX 4096

static int join(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"name", 'n', "NAME", "this node's name in the mesh, default: its name in the config", NULL},
    {"listen", 'l', "ADDRESS", "where the other nodes reach this one, host:port (TCP and UDP)",
     NULL},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {
    "plexus join 192.168.1.10:8001 plxj_...", "as `plexus token new` printed it there",
    "plexus join 192.168.1.10:8001 - < token",
    "with the token from a file: no list of processes shows it", NULL};

const struct cli_command cli_join_command = {
    .name = "join",
    .summary = "join this node to a mesh",
    .usage = "ADDRESS TOKEN",
    .text = "ADDRESS is a node of the mesh, host:port; TOKEN comes from `plexus token new` on its\n"
            "authority, and - reads it from standard input. The token carries the fingerprint of\n"
            "the authority's key: a stranger at that address is refused.",
    .options = options,
    .examples = examples,
    .needs = CLI_NODE,
    .args_min = 2,
    .args_max = 2,
    .run = join,
};

static int read_token(struct buf *ret, struct err *e)
{
    char part[512];
    ssize_t n;
    while ((n = read(STDIN_FILENO, part, sizeof part)) > 0)
        if (buf_add(ret, part, (size_t)n))
            return err_set(e, E_USAGE, "standard input is no token: it is too long");
    struct bytes text = bytes_trim(buf_bytes(ret));
    if (n < 0 || !text.n)
        return err_set(e, E_USAGE, "standard input has no token");
    return 0;
}

static void put_request(struct cli *c, struct bytes token, struct buf *body)
{
    struct json_w w;
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "address", cli_arg(c, 0));
    json_w_str(&w, "token", token);
    if (cli_option(c, "name"))
        json_w_cstr(&w, "name", cli_option(c, "name"));
    if (cli_option(c, "listen"))
        json_w_cstr(&w, "listen", cli_option(c, "listen"));
    json_w_end(&w);
}

static int ask(struct cli *c, struct bytes token, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body, raw;
    char text[160];
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    put_request(c, token, &body);
    (void)snprintf(text, sizeof text, "asking %.100s to let this node in ...", cli_arg(c, 0));
    cli_status(text);
    int rc = cli_mesh_call(c, "POST", "/api/mesh/join", &body, &doc, &raw, e);
    const struct json *j = json_root(doc);
    long long nodes = json_i64(json_get(j, "nodes"), 0);
    cli_status(NULL);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        (void)printf("joined %s as %s\n%lld node%s now; `plexus nodes` shows them\n",
                     json_cstr(json_get(j, "trust_domain"), "?"), json_cstr(json_get(j, "id"), "?"),
                     nodes, nodes == 1 ? "" : "s");
    json_free(doc);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

static int join(struct cli *c, struct err *e)
{
    struct bytes token = bytes_of(cli_arg(c, 1));
    struct buf input;
    int rc = 0;
    buf_init(&input, TOKEN_BYTES_MAX);
    if (bytes_is(token, "-")) {
        rc = read_token(&input, e);
        token = bytes_trim(buf_bytes(&input));
    }
    if (!rc)
        rc = ask(c, token, e);
    buf_fini(&input);
    return rc;
}
