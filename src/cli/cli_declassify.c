// cli_declassify.c: plexus declassify key, sign: statements that lower the label of one request.
// They are made where the secret key is, which need not be a node.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/cli_commands_priv.h"
#include "text/units.h"
#include "trust/label.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX (1024u * 1024) // as the node takes it
#define SECRET_MAX 128

static int make_key(struct cli *c, struct err *e);
static int sign(struct cli *c, struct err *e);

static const struct cli_option sign_options[] = {
    {"key", 'k', "FILE", "the secret key, as `plexus declassify key` made it", "file"},
    {"who", 'w', "NAME", "the key's name in labels.declassifiers", NULL},
    {"from", 'f', "LABEL", "the label of the data now", NULL},
    {"to", 't', "LABEL", "the label that they get", NULL},
    {"reason", 'r', "TEXT", "why that is right; it is logged", NULL},
    {"ttl", 0, "TIME", "how long the statement may be used, default 10m", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "key",
     .summary = "make a key that may sign; prints the public key for labels.declassifiers",
     .usage = "FILE",
     .needs = CLI_NONE,
     .args_min = 1,
     .args_max = 1,
     .complete = "file",
     .run = make_key},
    {.name = "sign",
     .summary = "sign that the body in this file has a lower label; prints the header's value",
     .usage = "FILE",
     .options = sign_options,
     .needs = CLI_NONE,
     .args_min = 1,
     .args_max = 1,
     .complete = "file",
     .run = sign},
    {.name = NULL},
};
#define SIGN_EXAMPLE                                                                               \
    ("plexus declassify sign body.json --key officer.key --who officer --from confidential:hr "    \
     "--to internal --reason 'names were taken out'")
static const char *const examples[] = {
    "plexus declassify key officer.key", "a key, once", SIGN_EXAMPLE,
    "the value of X-Plexus-Declassify for a request with exactly this body", NULL};

const struct cli_command cli_declassify_command = {
    .name = "declassify",
    .summary = "sign that data have a lower label",
    .usage = "COMMAND",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NONE,
};

static int print_public(const struct cli *c, const char *file, struct bytes key)
{
    struct buf out;
    struct json_w w;
    if (!c->json)
        return cli_print(key, stdout);
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "file", file);
    json_w_str(&w, "key", key);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static int make_key(struct cli *c, struct err *e)
{
    const char *file = cli_arg(c, 0);
    struct buf secret, key;
    if (access(file, F_OK) == 0)
        return err_set(e, E_EXISTS, "%s is there already: a key is never written over", file);
    buf_init(&secret, SECRET_MAX);
    buf_init(&key, SECRET_MAX);
    int rc = label_signer_make(&secret, &key, e);
    if (rc == 0) {
        (void)buf_chr(&secret, '\n');
        rc = file_write_atomic(file, buf_bytes(&secret), 0600, e);
    }
    if (rc == 0)
        rc = print_public(c, file, buf_bytes(&key));
    if (secret.p)
        mem_wipe(secret.p, secret.cap);
    buf_fini(&secret);
    buf_fini(&key);
    return rc;
}

static int take_word(struct cli *c, const char *option, char *ret, size_t max, struct err *e)
{
    const char *word = cli_option(c, option);
    if (!word)
        return err_set(e, E_USAGE, "--%s is missing", option);
    if (strlen(word) > max)
        return err_set(e, E_USAGE, "--%s: at most %zu bytes", option, max);
    memcpy(ret, word, strlen(word) + 1);
    return 0;
}

static int take_label(struct cli *c, const char *option, struct label_names *n, struct label *ret,
                      struct err *e)
{
    const char *text = cli_option(c, option);
    if (!text)
        return err_set(e, E_USAGE, "--%s is missing", option);
    return label_parse(n, bytes_of(text), ret, e) == 0 ? 0 : err_wrap(e, "--%s", option);
}

static int take_statement(struct cli *c, struct label_names *n, struct label_declass *d,
                          struct err *e)
{
    const char *ttl = cli_option(c, "ttl");
    int64_t span_ms = 10 * 60 * 1000;
    int rc = take_word(c, "who", d->who, LABEL_DECLASS_WHO_MAX, e);
    if (rc == 0)
        rc = take_word(c, "reason", d->reason, LABEL_DECLASS_REASON_MAX, e);
    if (rc == 0)
        rc = take_label(c, "from", n, &d->from, e);
    if (rc == 0)
        rc = take_label(c, "to", n, &d->to, e);
    if (rc == 0 && ttl && units_duration(bytes_of(ttl), &span_ms, e) != 0)
        rc = err_wrap(e, "--ttl");
    if (rc == 0 && (span_ms < 1000 || span_ms > INT64_C(366) * 24 * 3600 * 1000))
        rc = err_set(e, E_USAGE, "--ttl: from 1s to 366d");
    d->at_s = time_wall_ms() / 1000;
    d->expires_s = d->at_s + span_ms / 1000;
    // A statement that no node would take is not worth a signature.
    struct label_crossing x = {.op = LABEL_DECLASSIFY,
                               .data = d->from,
                               .clearance = LABEL_ALL,
                               .to = d->to,
                               .names = n,
                               .what = "the data"};
    return rc == 0 ? label_decide(&x, e) : rc;
}

static int print_signed(const struct cli *c, struct bytes text, int64_t expires_s)
{
    struct buf out;
    struct json_w w;
    if (!c->json)
        return cli_print(text, stdout);
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_str(&w, "declassification", text);
    json_w_i64(&w, "expires", expires_s);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static int sign(struct cli *c, struct err *e)
{
    struct label_declass d = {.at_s = 0};
    struct buf body, secret, out;
    struct label_names *n = label_names_new();
    buf_init(&body, BODY_MAX);
    buf_init(&secret, SECRET_MAX);
    buf_init(&out, LABEL_DECLASS_TEXT_MAX);
    int rc = n ? take_statement(c, n, &d, e) : err_set(e, E_NOMEM, "out of memory");
    if (rc == 0 && !cli_option(c, "key"))
        rc = err_set(e, E_USAGE, "--key is missing");
    if (rc == 0)
        rc = file_read(cli_option(c, "key"), &secret, e);
    if (rc == 0)
        rc = file_read(cli_arg(c, 0), &body, e);
    if (rc == 0)
        rc = label_declass_sign(&out, n, &d, buf_bytes(&body), bytes_trim(buf_bytes(&secret)), e);
    if (secret.p)
        mem_wipe(secret.p, secret.cap);
    if (rc == 0)
        rc = print_signed(c, buf_bytes(&out), d.expires_s);
    buf_fini(&body);
    buf_fini(&secret);
    buf_fini(&out);
    label_names_free(n);
    return rc;
}
