// cli_tool_make.c: plexus tool new, build: a project, its code, and the signed package of both.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_tool_priv.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_LEN 4096
#define ARGS_LEN 64
#define SECRET_MAX 128

// ---- new ----------------------------------------------------------------------------------------

static int urn_of(struct cli *c, char text[URN_MAX + 1], struct urn *ret, struct err *e)
{
    const char *name = cli_arg(c, 0), *space = cli_option(c, "namespace");
    if (strlen(name) > URN_PART_MAX || strchr(name, '.'))
        return err_set(e, E_USAGE, "a name has 1 to %d of a-z, 0-9, with single - and _ between",
                       URN_PART_MAX);
    int n = snprintf(text, URN_MAX + 1, "urn:plexus:cap:%s:%s:v1", space ? space : "local", name);
    if (n > URN_MAX)
        return err_set(e, E_USAGE, "the name is too long");
    int rc = urn_parse(ret, bytes_of(text), e);
    return rc ? err_set(e, E_USAGE, "%.800s", e->text) : 0;
}

static int write_file(const char *dir, const struct embed_file *f, size_t prefix,
                      const struct urn *u, struct err *e)
{
    char path[PATH_LEN];
    struct buf text;
    int n = snprintf(path, sizeof path, "%s/%s", dir, f->path + prefix);
    if (n >= (int)sizeof path)
        return err_set(e, E_USAGE, "the path is too long");
    if (access(path, F_OK) == 0)
        return err_set(e, E_EXISTS, "%s is there already", path);
    char *slash = strrchr(path, '/');
    *slash = 0;
    int rc = file_mkdirs(path, 0755, e);
    *slash = '/';
    buf_init(&text, f->data.n * 2 + 8192);
    if (!rc && tool_template_put(&text, f, u))
        rc = err_set(e, text.failed, "out of memory");
    if (!rc)
        rc = file_write_atomic(path, buf_bytes(&text), 0644, e);
    buf_fini(&text);
    return rc;
}

int cli_tool_new(struct cli *c, struct err *e)
{
    const char *lang = cli_option(c, "lang"), *dir = cli_option(c, "out");
    char text[URN_MAX + 1], prefix[16];
    struct urn u;
    size_t count, made = 0;
    const struct embed_file *f = tool_templates(&count);
    int rc = urn_of(c, text, &u, e);
    dir = dir ? dir : cli_arg(c, 0);
    int n = snprintf(prefix, sizeof prefix, "%.12s/", lang ? lang : "c");
    for (size_t i = 0; !rc && i < count; i++)
        if (strncmp(f[i].path, prefix, (size_t)n) == 0) {
            rc = write_file(dir, &f[i], (size_t)n, &u, e);
            made++;
        }
    if (!rc && !made)
        rc = err_set(e, E_USAGE, "--lang is c, rust or ts");
    if (rc)
        return rc;
    (void)printf("%s\n", dir);
    if (!c->json)
        (void)fprintf(stderr, "%s; `plexus tool build %s` compiles and signs it\n", text, dir);
    return 0;
}

// ---- the publisher's key ------------------------------------------------------------------------

static int key_path(struct cli *c, char path[PATH_LEN], struct err *e)
{
    const char *given = cli_option(c, "key"), *config = getenv("XDG_CONFIG_HOME"),
               *home = getenv("HOME");
    int n = given               ? snprintf(path, PATH_LEN, "%s", given)
            : config && *config ? snprintf(path, PATH_LEN, "%s/plexus/publisher.key", config)
            : home && *home     ? snprintf(path, PATH_LEN, "%s/.config/plexus/publisher.key", home)
                                : PATH_LEN;
    return n < PATH_LEN ? 0 : err_set(e, E_USAGE, "--key FILE says where the publisher's key is");
}

static int key_make(const char *path, struct manifest_key *ret, struct buf *secret, struct err *e)
{
    char dir[PATH_LEN];
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash && slash != dir)
        *slash = 0;
    int rc = slash && slash != dir ? file_mkdirs(dir, 0700, e) : 0;
    if (!rc)
        rc = manifest_key_make(ret, secret, e);
    if (!rc)
        rc = file_write_atomic(path, buf_bytes(secret), 0600, e);
    if (!rc)
        (void)fprintf(stderr, "a new publisher's key: %s. Who has it signs in your name.\n", path);
    return rc;
}

static int key_of(struct cli *c, struct manifest_key *ret, struct err *e)
{
    char path[PATH_LEN];
    struct buf secret;
    buf_init(&secret, SECRET_MAX);
    int rc = key_path(c, path, e);
    if (!rc && access(path, F_OK) != 0)
        rc = key_make(path, ret, &secret, e);
    else if (!rc && !(rc = file_read(path, &secret, e)) &&
             (rc = manifest_key_open(ret, buf_bytes(&secret), e)))
        rc = err_wrap(e, "%s", path);
    if (secret.p)
        mem_wipe(secret.p, secret.cap);
    buf_fini(&secret);
    return rc;
}

// ---- build --------------------------------------------------------------------------------------

static int run(const char *dir, const struct val *words, struct err *e)
{
    char *argv[ARGS_LEN + 1];
    size_t n = val_len(words);
    int status;
    if (n == 0 || n > ARGS_LEN)
        return err_set(e, E_INVALID, "capability.json: /build/run: a program and its arguments");
    for (size_t i = 0; i < n; i++)
        if (!(argv[i] = (char *)(uintptr_t)val_text(val_at(words, i), NULL)))
            return err_set(e, E_INVALID, "capability.json: /build/run/%zu: a text is expected", i);
    argv[n] = NULL;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(dir) != 0)
            _exit(126);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO); // our output is ours
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            pid = -1;
    if (pid < 0)
        return err_errno(e, errno, "%s", argv[0]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(e, E_UNAVAILABLE, "%s is not here, or ended with 127: it compiles %s",
                       argv[0], dir);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, E_INVALID, "%s ended with %d", argv[0],
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

struct project {
    struct val *draft, *build; // draft: the manifest without build
    struct buf code;
};

static int read_draft(const char *dir, struct project *p, struct err *e)
{
    char path[PATH_LEN];
    struct buf text;
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = snprintf(path, sizeof path, "%s/capability.json", dir) < (int)sizeof path
                 ? file_read(path, &text, e)
                 : err_set(e, E_USAGE, "the path is too long");
    if (!rc && (rc = val_parse(&p->draft, buf_bytes(&text), e)))
        rc = err_wrap(e, "%s", path);
    if (!rc) {
        p->build = val_ref(val_get_cstr(p->draft, "build"));
        if (!val_is(p->build, JSON_OBJ))
            rc =
                err_set(e, E_INVALID, "%s: /build: {\"run\":[...],\"wasm\":FILE} is missing", path);
    }
    if (!rc && !(p->draft = val_del(p->draft, BYTES("build"))))
        rc = err_set(e, E_NOMEM, "out of memory");
    buf_fini(&text);
    return rc;
}

static int compile(struct cli *c, const char *dir, struct project *p, struct err *e)
{
    char path[PATH_LEN];
    const char *wasm = val_text(val_get_cstr(p->build, "wasm"), NULL);
    int rc = wasm ? 0 : err_set(e, E_INVALID, "capability.json: /build/wasm names the code's file");
    if (!rc && !cli_option(c, "no-run"))
        rc = run(dir, val_get_cstr(p->build, "run"), e);
    if (!rc && snprintf(path, sizeof path, "%s/%s", dir, wasm) >= (int)sizeof path)
        rc = err_set(e, E_USAGE, "the path is too long");
    return rc ? rc : file_read(path, &p->code, e);
}

static int write_package(struct cli *c, const char *dir, const struct manifest *m,
                         struct bytes code, char path[PATH_LEN], struct err *e)
{
    const char *out = cli_option(c, "out");
    struct manifest_pack p = {.manifest = m->text, .code = code};
    struct buf text;
    buf_init(&text, MANIFEST_PACK_MAX);
    int n = out ? snprintf(path, PATH_LEN, "%s", out)
                : snprintf(path, PATH_LEN, "%s/%.*s-v%u.cap", dir, BYTES_FMT(m->parts.name),
                           (unsigned)m->parts.version);
    int rc = n < PATH_LEN ? manifest_pack_put(&text, &p, e)
                          : err_set(e, E_USAGE, "the path is too long");
    if (!rc)
        rc = file_write_atomic(path, buf_bytes(&text), 0644, e);
    buf_fini(&text);
    return rc;
}

static int tell(struct cli *c, const char *path, const struct manifest *m)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "file", path);
    json_w_str(&w, "urn", m->urn);
    json_w_cstr(&w, "sha256", m->code_hash);
    json_w_u64(&w, "bytes", m->code_bytes);
    json_w_str(&w, "key", m->key);
    json_w_end(&w);
    int rc = cli_print(c->json ? buf_bytes(&out) : bytes_of(path), stdout);
    buf_fini(&out);
    if (!c->json)
        (void)fprintf(stderr,
                      "%.*s, %s, signed by %.*s; `plexus tool add %s` puts it on the node\n",
                      BYTES_FMT(m->urn), cli_size(m->code_bytes).s, BYTES_FMT(m->key), path);
    return rc;
}

static int sign(struct cli *c, const struct project *p, struct manifest **ret, struct err *e)
{
    const char *who = cli_option(c, "publisher");
    struct manifest_key key;
    struct buf draft, text;
    buf_init(&draft, MANIFEST_BYTES_MAX);
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = key_of(c, &key, e);
    if (!rc && val_write(&draft, p->draft))
        rc = err_set(e, draft.failed, "capability.json is too long");
    if (!rc &&
        (rc = manifest_sign(&text, buf_bytes(&draft), buf_bytes(&p->code), bytes_of(who), &key, e)))
        rc = err_wrap(e, "capability.json");
    if (!rc)
        rc = manifest_open(ret, buf_bytes(&text), MANIFEST_KNOWN, e);
    manifest_key_wipe(&key);
    buf_fini(&draft);
    buf_fini(&text);
    return rc;
}

int cli_tool_build(struct cli *c, struct err *e)
{
    const char *dir = cli_args(c) ? cli_arg(c, 0) : ".";
    char path[PATH_LEN];
    struct project p = {.draft = NULL};
    struct manifest *m = NULL;
    buf_init(&p.code, MANIFEST_CODE_MAX);
    int rc = read_draft(dir, &p, e);
    if (!rc)
        rc = compile(c, dir, &p, e);
    if (!rc)
        rc = sign(c, &p, &m, e);
    if (!rc)
        rc = write_package(c, dir, m, buf_bytes(&p.code), path, e);
    if (!rc)
        rc = tell(c, path, m);
    manifest_free(m);
    val_unref(p.draft);
    val_unref(p.build);
    buf_fini(&p.code);
    return rc;
}
