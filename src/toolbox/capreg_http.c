// capreg_http.c: the registry that a plexus node serves, from outside: the manifest first, its
// signature and size, then code of exactly that size, then its promotion.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include <stdio.h>
#include <string.h>

#define URL_LEN 2048
#define HEADERS_LEN 1024
#define ANSWER_MAX ((size_t)64 << 10) // of a publication

struct registry {
    struct capreg base; // first
    struct capreg_args args;
    char url[URL_LEN - URN_MAX * 3 - 64], headers[HEADERS_LEN]; // no / at its end
    char ca_file[1024];
};

enum step { MANIFEST, CODE, PROMOTION, EVIDENCE, PUBLISH };
struct job {
    struct registry *g;
    struct capreg_req *r;
    struct capreg_fetch *fetch;
    enum step step;
    char urn[URN_MAX + 1], url[URL_LEN];
    char name[URN_MAX + 1]; // of what came
    struct manifest *m;     // NULL: it is a flow
    struct arena *arena;
    struct manifest_pack pack;
    struct buf body;
    struct err e;
};

static void job_free(struct job *j)
{
    capreg_fetch_cancel(j->fetch);
    manifest_free(j->m);
    arena_free(j->arena);
    buf_fini(&j->body);
    mem_free(j);
}

static void end(struct job *j, int status)
{
    struct capreg_req *r = j->r;
    r->priv = NULL;
    r->done(r, status, status || j->step == PUBLISH ? NULL : &j->pack, status ? &j->e : NULL);
    job_free(j);
}

static int keep(struct job *j, struct bytes body, struct bytes *ret)
{
    *ret = arena_dup(j->arena, body);
    return ret->p ? 0 : err_set(&j->e, E_NOMEM, "out of memory");
}

static int ask(struct job *j, enum step step);

// It has no code; its promotion speaks for it.
static int took_flow(struct job *j, struct bytes body)
{
    char hash[MANIFEST_HASH_LEN + 1];
    int rc = capreg_name(&(struct manifest_pack){.manifest = body}, j->name, hash, &j->e);
    if (!rc)
        rc = keep(j, body, &j->pack.manifest);
    return rc ? rc : ask(j, PROMOTION);
}

static int took_manifest(struct job *j, struct bytes body)
{
    if (capreg_is_flow(body))
        return took_flow(j, body);
    int rc = manifest_open(&j->m, body, 0, &j->e);
    if (!rc && !j->m->is_signed)
        rc = err_set(&j->e, E_SECURITY, "%s gave a manifest that nobody signed", j->g->url);
    if (!rc && urn_is(bytes_of(j->urn)) && !bytes_is(j->m->urn, j->urn))
        rc = err_set(&j->e, E_MANIFEST, "%s gave %.*s, not %s", j->g->url, BYTES_FMT(j->m->urn),
                     j->urn);
    if (!rc) {
        (void)snprintf(j->name, sizeof j->name, "%.*s", BYTES_FMT(j->m->urn));
        rc = keep(j, j->m->text, &j->pack.manifest);
    }
    return rc ? rc : ask(j, CODE);
}

static int took(struct job *j, int http, struct bytes body)
{
    int rc = 0;
    if (j->step == PROMOTION && http == 404) // nobody promoted it
        return capreg_check(&j->pack, bytes_of(j->urn), NULL, &j->e) ? j->e.code : 1;
    rc = capreg_status(http, bytes_of(j->url), body, &j->e);
    if (rc)
        return rc;
    switch (j->step) {
    case MANIFEST: return took_manifest(j, body);
    case CODE:
        rc = manifest_code_check(j->m, body, &j->e);
        if (!rc)
            rc = keep(j, body, &j->pack.code);
        return rc ? rc : ask(j, PROMOTION);
    case PROMOTION: rc = keep(j, body, &j->pack.promotion); return rc ? rc : ask(j, EVIDENCE);
    case EVIDENCE:
        rc = keep(j, body, &j->pack.evidence);
        if (!rc)
            rc = capreg_check(&j->pack, bytes_of(j->urn), NULL, &j->e);
        return rc ? rc : 1;
    case PUBLISH:
    default: return 1;
    }
}

static void on_answer(void *user, int status, int http, struct bytes body, struct bytes location,
                      const struct err *e)
{
    struct job *j = user;
    (void)location;
    j->fetch = NULL;
    if (status)
        j->e = *e;
    int rc = status ? status : took(j, http, body);
    if (rc)
        end(j, rc > 0 ? 0 : rc);
}

static int ask(struct job *j, enum step step)
{
    static const char *const paths[] = {
        [MANIFEST] = "/v1/caps/",     [CODE] = "/v1/blobs/",  [PROMOTION] = "/v1/promotions/",
        [EVIDENCE] = "/v1/evidence/", [PUBLISH] = "/v1/caps",
    };
    struct bytes name = bytes_of(j->urn);
    bool hash = !urn_is(name) && step == MANIFEST;
    if (step == CODE)
        name = bytes_of(j->m->code_hash);
    else if (hash)
        name = bytes_from(name, strlen(CAPREG_HASH_PREFIX));
    else if (step == PUBLISH)
        name = BYTES_NONE;
    else if (step != MANIFEST)
        name = bytes_of(j->name);
    j->step = step;
    (void)snprintf(j->url, sizeof j->url, "%s%s%.*s", j->g->url, hash ? paths[CODE] : paths[step],
                   BYTES_FMT(name));
    struct capreg_fetch_args args = {.net = j->g->args.net,
                                     .timers = j->g->args.timers,
                                     .ca_file = j->g->args.ca_file,
                                     .timeout_ms = j->g->args.timeout_ms,
                                     .method = step == PUBLISH ? "POST" : "GET",
                                     .url = bytes_of(j->url),
                                     .headers = bytes_of(j->g->headers),
                                     .body = step == PUBLISH ? &j->body : NULL,
                                     .answer_max = step == CODE      ? (size_t)j->m->code_bytes
                                                   : step == PUBLISH ? ANSWER_MAX
                                                                     : MANIFEST_BYTES_MAX,
                                     .done = on_answer,
                                     .user = j};
    return capreg_fetch_start(&j->fetch, &args, &j->e);
}

static struct job *job_new(struct registry *g, struct capreg_req *r)
{
    struct job *j = mem_new(struct job);
    if (!j)
        return NULL;
    j->g = g;
    j->r = r;
    buf_init(&j->body, MANIFEST_PACK_MAX);
    return j;
}

static int start(struct job *j, enum step step, struct err *e)
{
    int rc = ask(j, step);
    if (rc) {
        if (e)
            *e = j->e;
        job_free(j);
        return rc;
    }
    j->r->priv = j;
    return 0;
}

static int get(struct capreg *g, struct bytes urn, struct capreg_req *r, struct err *e)
{
    struct urn parts;
    bool hash = bytes_starts(urn, BYTES(CAPREG_HASH_PREFIX));
    if (hash && !capreg_is_hash(bytes_from(urn, strlen(CAPREG_HASH_PREFIX))))
        return err_set(e, E_INVALID, "a hash is sha256: and 64 hex digits");
    int rc = hash ? 0 : urn_parse(&parts, urn, e);
    if (rc)
        return rc;
    struct job *j = job_new((struct registry *)(void *)g, r);
    if (!j || !(j->arena = arena_new(MANIFEST_PACK_MAX))) {
        mem_free(j);
        return err_set(e, E_NOMEM, "out of memory");
    }
    (void)snprintf(j->urn, sizeof j->urn, "%.*s", BYTES_FMT(urn));
    return start(j, MANIFEST, e);
}

static int put(struct capreg *g, const struct manifest_pack *pack, struct capreg_req *r,
               struct err *e)
{
    struct job *j = job_new((struct registry *)(void *)g, r);
    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    int rc = manifest_pack_put(&j->body, pack, e);
    if (rc) {
        job_free(j);
        return rc;
    }
    return start(j, PUBLISH, e);
}

static void cancel(struct capreg *g, struct capreg_req *r)
{
    struct job *j = r->priv;
    (void)g;
    if (j)
        end(j, err_set(&j->e, E_CANCELLED, "cancelled"));
}

static void registry_free(struct capreg *g)
{
    struct registry *r = (struct registry *)(void *)g;
    mem_wipe(r->headers, sizeof r->headers);
    mem_free(r);
}

int capreg_http_new(struct capreg **ret, const struct capreg_args *args, struct err *e)
{
    static const struct capreg_ops ops = {"http", get, put, cancel, registry_free};
    struct url u;
    struct bytes url = args->url;
    int rc = url_parse(&u, url, e);
    struct registry *g = rc ? NULL : mem_new(struct registry);
    if (!g)
        return rc ? rc : err_set(e, E_NOMEM, "out of memory");
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    g->base.ops = &ops;
    g->args = *args;
    int n = snprintf(g->headers, sizeof g->headers, "Content-Type: application/json\r\n%s%.*s%s",
                     args->key.n ? "Authorization: Bearer " : "", BYTES_FMT(args->key),
                     args->key.n ? "\r\n" : "");
    if (u.query.n || url.n >= sizeof g->url || n >= (int)sizeof g->headers) {
        registry_free(&g->base);
        return err_set(e, E_INVALID, "%.*s: no query belongs there, or it is too long",
                       BYTES_FMT(bytes_first(args->url, 300)));
    }
    memcpy(g->url, url.p, url.n);
    if (args->ca_file)
        (void)snprintf(g->ca_file, sizeof g->ca_file, "%s", args->ca_file);
    g->args.ca_file = args->ca_file ? g->ca_file : NULL;
    *ret = &g->base;
    return 0;
}
