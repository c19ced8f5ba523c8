// capreg_server.c: this node as a registry of capabilities, over HTTP. Anybody reads; who publishes
// needs a key. SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include "toolbox/caps_priv.h"

#include <string.h>

#define LIST_MAX 1000
#define LIST_DEFAULT 100
#define JSON "application/json"
#define FOREVER "Cache-Control: public, max-age=31536000, immutable\r\n"

struct capreg_server {
    struct capreg_server_args args;
    char folder[CAPREG_PATH_MAX];
};

static void refuse(struct http_exchange *x, const struct err *e)
{
    http_reply_error(x, e->code, e->text, NULL, -1);
}

// What stands after the prefix, decoded, when the path has it.
static bool below(const struct http_head *h, const char *prefix, struct buf *ret)
{
    struct bytes path = h->path;
    size_t n = strlen(prefix);
    if (!bytes_starts(path, bytes_of(prefix)))
        return false;
    return url_path_decode(ret, bytes_from(path, n), NULL) == 0 && ret->n > 0;
}

// ---- answers of any length ----------------------------------------------------------------------

#define SLICE ((size_t)64 << 10)

struct out { // goes out as fast as the client takes it
    struct buf data;
    size_t at;
};

static void out_free(struct out *o)
{
    buf_fini(&o->data);
    mem_free(o);
}

static void pump(struct http_exchange *x, void *user)
{
    struct out *o = user;
    int rc = 0;
    while (rc == 0 && o->at < o->data.n) {
        struct bytes part = bytes_first(bytes_from(buf_bytes(&o->data), o->at), SLICE);
        rc = http_send(x, &part, 1);
        if (rc >= 0)
            o->at += part.n;
    }
    if (rc == E_CLOSED || (rc == 1 && o->at < o->data.n)) // gone comes, or drain
        return;
    out_free(o);
    if (rc < 0)
        http_abort(x);
    else
        http_finish(x);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)status;
    out_free(user);
}

// Takes what is in data.
static void give(struct http_exchange *x, const char *type, struct bytes extra, struct buf *data)
{
    bool head = bytes_is(http_request(x)->method, "HEAD");
    struct out *o = data->n > SLICE && !head ? mem_new(struct out) : NULL;
    if (!o) {
        http_reply(x, 200, type, extra, buf_bytes(data));
        return;
    }
    o->data = *data;
    buf_init(data, 1);
    http_own(x, o, pump, gone);
    http_begin(x, 200, type, extra, o->data.n);
    pump(x, o);
}

// ---- reading ------------------------------------------------------------------------------------

static void blob(struct capreg_server *s, struct http_exchange *x, struct bytes hash)
{
    struct buf data;
    struct err e = {0};
    buf_init(&data, MANIFEST_CODE_MAX);
    if (capreg_folder_blob(s->folder, hash, &data, &e))
        refuse(x, &e);
    else
        give(x, "application/octet-stream", BYTES(FOREVER), &data);
    buf_fini(&data);
}

enum part { MANIFEST, PROMOTION, EVIDENCE };

static void part_of(struct capreg_server *s, struct http_exchange *x, struct bytes urn,
                    enum part part)
{
    struct manifest_pack p;
    struct err e = {0};
    struct arena *a = arena_new(MANIFEST_PACK_MAX);
    int rc =
        a ? capreg_folder_get(s->folder, urn, a, &p, &e) : err_set(&e, E_NOMEM, "out of memory");
    struct bytes text = rc                  ? BYTES_NONE
                        : part == MANIFEST  ? p.manifest
                        : part == PROMOTION ? p.promotion
                                            : p.evidence;
    if (!rc && !text.n)
        rc = err_set(&e, E_NOTFOUND, "%.*s was not promoted", BYTES_FMT(urn));
    struct buf data;
    buf_init(&data, MANIFEST_BYTES_MAX);
    if (!rc && buf_put(&data, text))
        rc = err_set(&e, data.failed, "out of memory");
    if (rc)
        refuse(x, &e);
    else
        give(x, JSON, BYTES_NONE, &data);
    buf_fini(&data);
    arena_free(a);
}

static void list(struct capreg_server *s, struct http_exchange *x)
{
    struct bytes query = http_request(x)->query;
    struct buf after, limit, out;
    struct val *urns = NULL;
    struct err e = {0};
    uint64_t max = LIST_DEFAULT;
    buf_init(&after, URN_MAX + 1);
    buf_init(&limit, 16);
    buf_init(&out, (size_t)1 << 20);
    (void)url_query(query, "after", &after);
    int rc = 0;
    if (url_query(query, "limit", &limit) &&
        (!bytes_u64(buf_bytes(&limit), &max) || !max || max > LIST_MAX))
        rc = err_set(&e, E_INVALID, "limit is a number from 1 to %d", LIST_MAX);
    if (!rc)
        rc = capreg_folder_list(s->folder, buf_bytes(&after), (size_t)max, &urns, &e);
    if (!rc) {
        (void)buf_str(&out, "{\"caps\":");
        (void)val_write(&out, urns);
        if (val_len(urns) == max) {
            (void)buf_str(&out, ",\"next\":");
            (void)val_write(&out, val_at(urns, (size_t)max - 1));
        }
        (void)buf_chr(&out, '}');
        http_reply(x, 200, JSON, BYTES_NONE, buf_bytes(&out));
    } else {
        refuse(x, &e);
    }
    val_unref(urns);
    buf_fini(&after);
    buf_fini(&limit);
    buf_fini(&out);
}

static void read_only(struct capreg_server *s, struct http_exchange *x)
{
    static const struct {
        const char *prefix;
        enum part part;
    } parts[] = {
        {"/v1/caps/", MANIFEST}, {"/v1/promotions/", PROMOTION}, {"/v1/evidence/", EVIDENCE}};
    const struct http_head *h = http_request(x);
    struct buf name;
    bool found = true;
    buf_init(&name, URN_MAX + 8);
    if (bytes_is(h->path, "/v1/caps")) {
        list(s, x);
    } else if (bytes_is(h->path, "/")) {
        http_reply(x, 200, JSON, BYTES_NONE, BYTES("{\"plexus_registry\":1}"));
    } else if (below(h, "/v1/blobs/", &name)) {
        blob(s, x, buf_bytes(&name));
    } else {
        found = false;
        for (size_t i = 0; !found && i < sizeof parts / sizeof *parts; i++) {
            buf_clear(&name);
            if ((found = below(h, parts[i].prefix, &name)))
                part_of(s, x, buf_bytes(&name), parts[i].part);
        }
    }
    if (!found)
        http_reply_error(x, E_NOTFOUND, "there is nothing here; /v1/caps lists the capabilities",
                         NULL, -1);
    buf_fini(&name);
}

// ---- publishing ---------------------------------------------------------------------------------

static void publish(struct capreg_server *s, struct http_exchange *x)
{
    struct manifest_pack p = {.code = BYTES_NONE};
    char urn[URN_MAX + 1] = "", hash[MANIFEST_HASH_LEN + 1];
    struct err e = {0};
    struct buf out;
    struct arena *a = arena_new(MANIFEST_PACK_MAX);
    buf_init(&out, 1024);
    int rc =
        a ? manifest_pack_open(&p, a, http_body(x), &e) : err_set(&e, E_NOMEM, "out of memory");
    if (!rc)
        rc = capreg_check(&p, BYTES_NONE, s->args.publishers, &e);
    if (!rc)
        rc = capreg_name(&p, urn, hash, &e);
    if (!rc)
        rc = capreg_folder_put(s->folder, &p, &e);
    if (s->args.on_publish)
        s->args.on_publish(s->args.user, x, bytes_of(urn), rc, rc ? &e : NULL);
    if (rc) {
        refuse(x, &e);
    } else {
        (void)buf_fmt(&out, "{\"urn\":\"%s\",\"sha256\":\"%s\",\"promoted\":%s}", urn, hash,
                      p.promotion.n ? "true" : "false");
        http_reply(x, 201, JSON, BYTES_NONE, buf_bytes(&out));
    }
    buf_fini(&out);
    arena_free(a);
}

int capreg_server_head(struct capreg_server *s, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    struct err e = {0};
    int rc = 0;
    if (bytes_is(h->method, "GET") || bytes_is(h->method, "HEAD"))
        rc = http_limit_body(x, 0);
    else if (!bytes_is(h->method, "POST") || !bytes_is(h->path, "/v1/caps"))
        rc = err_set(&e, E_METHOD, "GET reads; POST /v1/caps publishes");
    else if (!s->args.may_publish)
        rc = err_set(&e, E_FORBIDDEN, "nobody may publish here");
    else if (!(rc = s->args.may_publish(s->args.user, x, &e)))
        rc = http_limit_body(x, MANIFEST_PACK_MAX);
    if (!rc)
        return 0;
    if (!e.code)
        (void)err_set(&e, rc, "the body is too large");
    refuse(x, &e);
    return 1;
}

void capreg_server_request(struct capreg_server *s, struct http_exchange *x)
{
    if (bytes_is(http_request(x)->method, "POST"))
        publish(s, x);
    else
        read_only(s, x);
}

int capreg_server_new(struct capreg_server **ret, const struct capreg_server_args *args,
                      struct err *e)
{
    struct capreg_server *s = mem_new(struct capreg_server);
    if (!s)
        return err_set(e, E_NOMEM, "out of memory");
    s->args = *args;
    size_t n = strlen(args->folder);
    if (n > CAPREG_PATH_MAX - 400) {
        mem_free(s);
        return err_set(e, E_INVALID, "%.100s...: the path is too long", args->folder);
    }
    memcpy(s->folder, args->folder, n + 1);
    *ret = s;
    return 0;
}

void capreg_server_free(struct capreg_server *s)
{
    mem_free(s);
}
