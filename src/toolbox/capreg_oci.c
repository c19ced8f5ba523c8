// capreg_oci.c: a registry of containers as one of capabilities (OCI distribution
// specification 1.1): PREFIX/AUTHORITY/NAMESPACE/NAME is the repository, vN the tag, the manifest
// the artifact's config, the code its first layer. SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include "text/cloudevent.h"

#include <stdio.h>
#include <string.h>

#define URL_LEN 2048
#define HEADERS_LEN 1536
#define INDEX_MAX ((size_t)64 << 10) // of an OCI manifest
#define DIGEST "sha256:"

#define TYPE_INDEX "application/vnd.oci.image.manifest.v1+json"
#define TYPE_ARTIFACT "application/vnd.plexus.capability.v1"
enum part { MANIFEST, CODE, PROMOTION, EVIDENCE, PARTS };
static const char *const types[PARTS] = {
    [MANIFEST] = "application/vnd.plexus.capability.manifest.v1+json",
    [CODE] = "application/wasm",
    [PROMOTION] = "application/vnd.plexus.promotion.v1+json",
    [EVIDENCE] = "application/vnd.plexus.evidence.v1+json",
};

struct oci {
    struct capreg base; // first
    struct capreg_args args;
    char root[512];   // "https://host:port", no / at its end
    char prefix[256]; // "team/tools/" or ""
    char authorization[HEADERS_LEN - 512];
    char ca_file[1024];
};

enum step { INDEX, BLOB, BEGIN, UPLOAD, FINISH };
struct job {
    struct oci *g;
    struct capreg_req *r;
    struct capreg_fetch *fetch;
    enum step step;
    int part;
    bool put;
    char urn[URN_MAX + 1], repository[600], tag[16], url[URL_LEN];
    char digest[PARTS][MANIFEST_HASH_LEN + 1];
    uint64_t bytes[PARTS];
    struct manifest *m;
    struct arena *arena;
    struct manifest_pack pack;
    struct buf index;
    struct err e;
};

static struct bytes *of_part(struct manifest_pack *p, int part)
{
    struct bytes *const parts[PARTS] = {&p->manifest, &p->code, &p->promotion, &p->evidence};
    return parts[part];
}

static void job_free(struct job *j)
{
    capreg_fetch_cancel(j->fetch);
    manifest_free(j->m);
    arena_free(j->arena);
    buf_fini(&j->index);
    mem_free(j);
}

static void end(struct job *j, int status)
{
    struct capreg_req *r = j->r;
    r->priv = NULL;
    r->done(r, status, status || j->put ? NULL : &j->pack, status ? &j->e : NULL);
    job_free(j);
}

// ---- one request --------------------------------------------------------------------------------

static void on_answer(void *user, int status, int http, struct bytes body, struct bytes location,
                      const struct err *e);

// body: copied; type: of it, or what is accepted.
static int ask(struct job *j, enum step step, const char *method, const char *type,
               struct bytes body)
{
    char headers[HEADERS_LEN];
    struct buf text;
    bool sends = body.n > 0;
    j->step = step;
    (void)snprintf(headers, sizeof headers, "%s%s: %s\r\n", j->g->authorization,
                   sends ? "Content-Type" : "Accept", type);
    buf_init(&text, MANIFEST_CODE_MAX);
    (void)buf_put(&text, body);
    if (text.failed) {
        buf_fini(&text);
        return err_set(&j->e, E_NOMEM, "out of memory");
    }
    struct capreg_fetch_args args = {.net = j->g->args.net,
                                     .timers = j->g->args.timers,
                                     .ca_file = j->g->args.ca_file,
                                     .timeout_ms = j->g->args.timeout_ms,
                                     .method = method,
                                     .url = bytes_of(j->url),
                                     .headers = bytes_of(headers),
                                     .body = sends ? &text : NULL,
                                     .answer_max =
                                         step == BLOB ? (size_t)j->bytes[j->part] : INDEX_MAX,
                                     .done = on_answer,
                                     .user = j};
    int rc = capreg_fetch_start(&j->fetch, &args, &j->e);
    buf_fini(&text);
    return rc;
}

static int ask_index(struct job *j)
{
    (void)snprintf(j->url, sizeof j->url, "%s/v2/%s/manifests/%s", j->g->root, j->repository,
                   j->tag);
    return ask(j, INDEX, "GET", TYPE_INDEX, BYTES_NONE);
}

// ---- pull ---------------------------------------------------------------------------------------

static int ask_blob(struct job *j, int part)
{
    for (; part < PARTS; part++)
        if (*j->digest[part])
            break;
    if (part >= PARTS)
        return capreg_check(&j->pack, bytes_of(j->urn), NULL, &j->e) ? j->e.code : 1;
    j->part = part;
    (void)snprintf(j->url, sizeof j->url, "%s/v2/%s/blobs/" DIGEST "%s", j->g->root, j->repository,
                   j->digest[part]);
    return ask(j, BLOB, "GET", types[part], BYTES_NONE);
}

static int take_layer(struct job *j, int part, const struct json *v)
{
    struct bytes digest = json_str(json_get(v, "digest"));
    int64_t size = json_i64(json_get(v, "size"), -1);
    size_t most = part == CODE ? MANIFEST_CODE_MAX : MANIFEST_BYTES_MAX;
    if (!bytes_starts(digest, BYTES(DIGEST)) ||
        !capreg_is_hash(bytes_from(digest, strlen(DIGEST))) || size < 1)
        return err_set(&j->e, E_MANIFEST, "%s: a layer has no SHA-256 or no size", j->url);
    if ((uint64_t)size > most)
        return err_set(&j->e, E_TOOBIG, "%s: a layer of %lld bytes is larger than it may be",
                       j->url, (long long)size);
    memcpy(j->digest[part], digest.p + strlen(DIGEST), MANIFEST_HASH_LEN);
    j->bytes[part] = (uint64_t)size;
    return 0;
}

static int took_index(struct job *j, struct bytes body)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *layer;
    int rc = json_parse(&doc, body, JSON_UNIQUE, &j->e);
    const struct json *root = json_root(doc), *config = json_get(root, "config");
    if (rc && rc != E_NOMEM)
        rc = err_set(&j->e, E_MANIFEST, "%s: not an OCI manifest", j->url);
    if (!rc && !bytes_is(json_str(json_get(config, "mediaType")), types[MANIFEST]))
        rc = err_set(&j->e, E_MANIFEST, "%s is no capability, but something else", j->url);
    if (!rc)
        rc = take_layer(j, MANIFEST, config);
    while (!rc && json_each(json_get(root, "layers"), &it, NULL, &layer))
        for (int i = CODE; !rc && i < PARTS; i++)
            if (bytes_is(json_str(json_get(layer, "mediaType")), types[i]))
                rc = take_layer(j, i, layer);
    if (!rc && !*j->digest[CODE] && !*j->digest[PROMOTION])
        rc = err_set(&j->e, E_MANIFEST, "%s: there is no code", j->url);
    json_free(doc);
    return rc;
}

static int took_blob(struct job *j, struct bytes body)
{
    char hash[MANIFEST_HASH_LEN + 1];
    struct bytes *to = of_part(&j->pack, j->part);
    capreg_hash(body, hash);
    if (strcmp(hash, j->digest[j->part]) != 0)
        return err_set(&j->e, E_MANIFEST, "%s: its bytes have the hash %s", j->url, hash);
    *to = arena_dup(j->arena, body);
    if (!to->p)
        return err_set(&j->e, E_NOMEM, "out of memory");
    int rc = 0;
    if (j->part == MANIFEST && !capreg_is_flow(body)) {
        rc = manifest_open(&j->m, body, 0, &j->e);
        if (!rc && !bytes_is(j->m->urn, j->urn))
            rc = err_set(&j->e, E_MANIFEST, "%s has %.*s, not %s", j->url, BYTES_FMT(j->m->urn),
                         j->urn);
        if (!rc && strcmp(j->m->code_hash, j->digest[CODE]) != 0)
            rc = err_set(&j->e, E_MANIFEST, "%s: the code there is not the manifest's", j->url);
    }
    return rc ? rc : ask_blob(j, j->part + 1);
}

// ---- push ---------------------------------------------------------------------------------------

static void put_descriptor(struct json_w *w, const char *key, const struct job *j, int part)
{
    char digest[MANIFEST_HASH_LEN + sizeof DIGEST];
    (void)snprintf(digest, sizeof digest, DIGEST "%s", j->digest[part]);
    json_w_obj(w, key);
    json_w_cstr(w, "mediaType", types[part]);
    json_w_cstr(w, "digest", digest);
    json_w_u64(w, "size", j->bytes[part]);
    json_w_end(w);
}

static void put_index(struct job *j)
{
    struct json_w w;
    buf_clear(&j->index);
    json_w_init(&w, &j->index);
    json_w_obj(&w, NULL);
    json_w_i64(&w, "schemaVersion", 2);
    json_w_cstr(&w, "mediaType", TYPE_INDEX);
    json_w_cstr(&w, "artifactType", TYPE_ARTIFACT);
    put_descriptor(&w, "config", j, MANIFEST);
    json_w_arr(&w, "layers");
    for (int i = CODE; i < PARTS; i++)
        if (*j->digest[i])
            put_descriptor(&w, NULL, j, i);
    json_w_end(&w);
    json_w_obj(&w, "annotations");
    json_w_cstr(&w, "org.opencontainers.image.title", j->urn);
    json_w_end(&w);
    json_w_end(&w);
}

static int begin(struct job *j, int part)
{
    for (; part < PARTS; part++)
        if (*j->digest[part])
            break;
    if (part >= PARTS) {
        put_index(j);
        (void)snprintf(j->url, sizeof j->url, "%s/v2/%s/manifests/%s", j->g->root, j->repository,
                       j->tag);
        return ask(j, FINISH, "PUT", TYPE_INDEX, buf_bytes(&j->index));
    }
    j->part = part;
    (void)snprintf(j->url, sizeof j->url, "%s/v2/%s/blobs/uploads/", j->g->root, j->repository);
    return ask(j, BEGIN, "POST", "application/json", BYTES_NONE);
}

// Where the bytes go: on the same registry, or nowhere.
static int upload(struct job *j, struct bytes location)
{
    char url[URL_LEN - 128];
    size_t n = strlen(j->g->root);
    bool relative = location.n && location.p[0] == '/';
    int len = snprintf(url, sizeof url, "%s%.*s", relative ? j->g->root : "", BYTES_FMT(location));
    if (!location.n || len >= (int)sizeof url)
        return err_set(&j->e, E_UPSTREAM, "%s does not say where the bytes go", j->url);
    if (strncmp(url, j->g->root, n) != 0 || url[n] != '/')
        return err_set(&j->e, E_SECURITY, "%s sends the bytes elsewhere: %.200s", j->url, url);
    (void)snprintf(j->url, sizeof j->url, "%s%sdigest=" DIGEST "%s", url,
                   strchr(url, '?') ? "&" : "?", j->digest[j->part]);
    return ask(j, UPLOAD, "PUT", "application/octet-stream", *of_part(&j->pack, j->part));
}

// What is there already: nothing (404), the same, or what may not be replaced.
static int compare(struct job *j, int http, struct bytes body)
{
    struct job there = {.g = j->g};
    if (http == 404)
        return begin(j, MANIFEST);
    int rc = capreg_status(http, bytes_of(j->url), body, &j->e);
    if (rc)
        return rc;
    (void)snprintf(there.url, sizeof there.url, "%s", j->url);
    rc = took_index(&there, body);
    if (rc || strcmp(there.digest[MANIFEST], j->digest[MANIFEST]) != 0)
        return err_set(&j->e, E_CONFLICT,
                       "%s is published with other bytes, and for good: give yours a new version",
                       j->urn);
    return *there.digest[PROMOTION] || !*j->digest[PROMOTION] ? 1 : begin(j, MANIFEST);
}

static int took(struct job *j, int http, struct bytes body, struct bytes location)
{
    if (j->put && j->step == INDEX)
        return compare(j, http, body);
    int rc = capreg_status(http, bytes_of(j->url), body, &j->e);
    if (rc)
        return rc;
    switch (j->step) {
    case INDEX: rc = took_index(j, body); return rc ? rc : ask_blob(j, MANIFEST);
    case BLOB: return took_blob(j, body);
    case BEGIN: return upload(j, location);
    case UPLOAD: return begin(j, j->part + 1);
    case FINISH:
    default: return 1;
    }
}

static void on_answer(void *user, int status, int http, struct bytes body, struct bytes location,
                      const struct err *e)
{
    struct job *j = user;
    j->fetch = NULL;
    if (status)
        j->e = *e;
    int rc = status ? status : took(j, http, body, location);
    if (rc)
        end(j, rc > 0 ? 0 : rc);
}

// ---- as a registry ------------------------------------------------------------------------------

static int job_new(struct job **ret, struct oci *g, struct bytes urn, struct capreg_req *r,
                   struct err *e)
{
    struct urn u;
    char authority[URN_MAX + 1];
    int rc = urn_parse(&u, urn, e);
    if (rc)
        return rc;
    struct job *j = mem_new(struct job);
    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    j->g = g;
    j->r = r;
    buf_init(&j->index, INDEX_MAX);
    (void)snprintf(authority, sizeof authority, "%.*s", BYTES_FMT(u.authority));
    for (char *p = authority; *p; p++)
        *p = *p == ':' ? '/' : *p;
    (void)snprintf(j->urn, sizeof j->urn, "%.*s", BYTES_FMT(urn));
    (void)snprintf(j->repository, sizeof j->repository, "%s%s/%.*s/%.*s", g->prefix, authority,
                   BYTES_FMT(u.space), BYTES_FMT(u.name));
    (void)snprintf(j->tag, sizeof j->tag, "v%u", (unsigned)u.version);
    *ret = j;
    return 0;
}

static int start(struct job *j, struct err *e)
{
    int rc = ask_index(j);
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
    struct job *j = NULL;
    if (bytes_starts(urn, BYTES(CAPREG_HASH_PREFIX)))
        return err_set(e, E_UNSUPPORTED, "an OCI registry finds capabilities by URN only");
    int rc = job_new(&j, (struct oci *)(void *)g, urn, r, e);
    if (rc)
        return rc;
    if (!(j->arena = arena_new(MANIFEST_PACK_MAX))) {
        job_free(j);
        return err_set(e, E_NOMEM, "out of memory");
    }
    return start(j, e);
}

static int put(struct capreg *g, const struct manifest_pack *pack, struct capreg_req *r,
               struct err *e)
{
    struct job *j = NULL;
    char urn[URN_MAX + 1], hash[MANIFEST_HASH_LEN + 1];
    int rc = capreg_check(pack, BYTES_NONE, NULL, e);
    if (!rc)
        rc = capreg_name(pack, urn, hash, e);
    if (!rc)
        rc = job_new(&j, (struct oci *)(void *)g, bytes_of(urn), r, e);
    if (rc)
        return rc;
    j->put = true;
    j->pack = *pack;
    for (int i = 0; i < PARTS; i++) {
        struct bytes data = *of_part(&j->pack, i);
        if (data.n)
            capreg_hash(data, j->digest[i]);
        j->bytes[i] = data.n;
    }
    return start(j, e);
}

static void cancel(struct capreg *g, struct capreg_req *r)
{
    struct job *j = r->priv;
    (void)g;
    if (j)
        end(j, err_set(&j->e, E_CANCELLED, "cancelled"));
}

static void oci_free(struct capreg *g)
{
    struct oci *o = (struct oci *)(void *)g;
    mem_wipe(o->authorization, sizeof o->authorization);
    mem_free(o);
}

// "user:password" is for Basic, anything else a bearer's token.
static int authorize(struct oci *o, struct bytes key, struct err *e)
{
    struct buf basic;
    int n;
    buf_init(&basic, sizeof o->authorization);
    bool pair = bytes_chr(key, ':') >= 0;
    if (pair)
        (void)cloudevent_put_base64(&basic, key);
    n = key.n ? snprintf(o->authorization, sizeof o->authorization, "Authorization: %s %.*s\r\n",
                         pair ? "Basic" : "Bearer", BYTES_FMT(pair ? buf_bytes(&basic) : key))
              : 0;
    bool fits = !basic.failed && n < (int)sizeof o->authorization;
    if (basic.p)
        mem_wipe(basic.p, basic.cap);
    buf_fini(&basic);
    return fits ? 0 : err_set(e, E_INVALID, "the registry's key is too long");
}

static bool is_prefix(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._-/", s.p[i]) || !s.p[i])
            return false;
    return bytes_find(s, BYTES("//")) < 0 && bytes_find(s, BYTES("..")) < 0;
}

int capreg_oci_new(struct capreg **ret, const struct capreg_args *args, struct err *e)
{
    static const struct capreg_ops ops = {"oci", get, put, cancel, oci_free};
    char url[1024];
    struct url u;
    struct bytes rest = bytes_from(args->url, strlen("oci://")), host = rest;
    ptrdiff_t colon = bytes_chr(bytes_cut(&host, '/'), ':');
    struct bytes name = rest;
    name = bytes_cut(&name, '/');
    // Plain HTTP only to this very machine.
    bool near = url_is_loopback(colon > 0 ? bytes_first(name, (size_t)colon) : name);
    int n = snprintf(url, sizeof url, "%s://%.*s", near ? "http" : "https", BYTES_FMT(rest));
    int rc = n < (int)sizeof url ? url_parse(&u, bytes_of(url), e)
                                 : err_set(e, E_INVALID, "the registry's address is too long");
    struct oci *o = rc ? NULL : mem_new(struct oci);
    if (!o)
        return rc ? rc : err_set(e, E_NOMEM, "out of memory");
    struct bytes path = bytes_from(u.path, 1);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    o->base.ops = &ops;
    o->args = *args;
    (void)snprintf(o->root, sizeof o->root, "%s://%.*s", near ? "http" : "https",
                   BYTES_FMT(bytes_first(name, 400)));
    (void)snprintf(o->prefix, sizeof o->prefix, "%.*s%s", BYTES_FMT(path), path.n ? "/" : "");
    if (args->ca_file)
        (void)snprintf(o->ca_file, sizeof o->ca_file, "%s", args->ca_file);
    o->args.ca_file = args->ca_file ? o->ca_file : NULL;
    if (!is_prefix(path) || path.n > 200 || u.query.n || name.n > 400)
        rc = err_set(e, E_INVALID, "%.*s: expected oci://HOST[:PORT]/PREFIX, of a-z 0-9 . _ - /",
                     BYTES_FMT(bytes_first(args->url, 300)));
    if (!rc)
        rc = authorize(o, args->key, e);
    if (rc)
        oci_free(&o->base);
    else
        *ret = &o->base;
    return rc;
}
