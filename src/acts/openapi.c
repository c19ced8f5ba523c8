// openapi.c: call: openapi: the operation of a document (Swagger 2.0, OpenAPI 3.x; JSON or YAML) as
// an HTTP request.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/url.h"
#include "text/yaml.h"

#include <string.h>

#define REFS_MAX 20 // $ref to $ref to ...
#define BODY_MAX ((size_t)64 << 20)

struct openapi {
    struct act_source source;
    struct act_auth auth;
    struct act_web *web;
    struct val *doc, *op, *item; // item: the operation's path item
    struct bytes path, method; // in doc
    struct buf base;
};

// What is being made.
struct request {
    struct act *a;
    const struct val *doc, *given; // given: parameters
    struct buf path, url, lines, body;
    const char *type; // of the body, NULL: none yet
    struct val *form; // or NULL
    struct err e;
    int rc;
};

static struct val *resolve(const struct val *doc, struct val *v)
{
    for (int i = 0; i < REFS_MAX; i++) {
        struct bytes ref = val_bytes(val_get_cstr(v, "$ref"));
        if (!ref.n)
            return v;
        if (ref.n < 2 || ref.p[0] != '#')
            return NULL; // another document
        v = val_ptr(doc, bytes_from(ref, 1));
    }
    return NULL;
}

// ---- parameters --------------------------------------------------------------------------------

static void put_scalar(struct buf *out, const struct val *v, bool encode)
{
    char room[32];
    struct bytes text = act_scalar(v, room);
    struct buf json;
    if (text.p) {
        (void)(encode ? url_encode(out, text) : buf_put(out, text));
        return;
    }
    buf_init(&json, out->max);
    (void)val_write(&json, v);
    (void)(encode ? url_encode(out, buf_bytes(&json)) : buf_put(out, buf_bytes(&json)));
    buf_fini(&json);
}

// "a,b" of [a,b]; "k,v,k,v" of an object (style simple).
static void put_list(struct buf *out, const struct val *v, const char *between, bool encode)
{
    size_t at = 0, n = 0;
    struct bytes key;
    struct val *item;
    if (!val_is(v, JSON_ARR) && !val_is(v, JSON_OBJ)) {
        put_scalar(out, v, encode);
        return;
    }
    while (val_each(v, &at, &key, &item)) {
        if (n++)
            (void)buf_str(out, between);
        if (key.p) {
            (void)(encode ? url_encode(out, key) : buf_put(out, key));
            (void)buf_str(out, between);
        }
        put_scalar(out, item, encode);
    }
}

static void put_path(struct request *q, struct bytes name, const struct val *v)
{
    struct buf made;
    struct bytes rest = buf_bytes(&q->path);
    buf_init(&made, q->path.max);
    while (rest.n) { // each {name}
        ptrdiff_t open = bytes_chr(rest, '{');
        ptrdiff_t end = open < 0 ? -1 : bytes_chr(bytes_from(rest, (size_t)open), '}');
        if (end < 0) {
            (void)buf_put(&made, rest);
            break;
        }
        struct bytes hole = bytes_first(bytes_from(rest, (size_t)open + 1), (size_t)end - 1);
        (void)buf_put(&made, bytes_first(rest, (size_t)open));
        if (bytes_eq(hole, name))
            put_list(&made, v, ",", true);
        else
            (void)buf_put(&made, bytes_first(bytes_from(rest, (size_t)open), (size_t)end + 1));
        rest = bytes_from(rest, (size_t)(open + end) + 1);
    }
    buf_fini(&q->path);
    q->path = made;
}

// Swagger 2: collectionFormat; OpenAPI 3: style and explode (form, exploded, when nothing is said).
static void put_query(struct request *q, const struct val *p, struct bytes name,
                      const struct val *v)
{
    const char *format = val_text(val_get_cstr(p, "collectionFormat"), NULL);
    const char *style = val_text(val_get_cstr(p, "style"), "form"), *between = ",";
    bool swagger = val_get_cstr(q->doc, "swagger") != NULL;
    bool explode = val_bool_of(val_get_cstr(p, "explode"), strcmp(style, "form") == 0);
    size_t at = 0;
    struct bytes key;
    struct val *item;
    if (swagger)
        explode = format && strcmp(format, "multi") == 0;
    if (val_is(v, JSON_OBJ) && strcmp(style, "deepObject") == 0) {
        while (val_each(v, &at, &key, &item)) {
            struct buf deep;
            buf_init(&deep, 4096);
            (void)buf_fmt(&deep, "%.*s[%.*s]", BYTES_FMT(name), BYTES_FMT(key));
            (void)act_query_put(&q->url, buf_bytes(&deep), item);
            buf_fini(&deep);
        }
        return;
    }
    if (val_is(v, JSON_OBJ) && explode && !swagger) {
        while (val_each(v, &at, &key, &item))
            (void)act_query_put(&q->url, key, item);
        return;
    }
    if (!val_is(v, JSON_ARR) || explode) {
        (void)act_query_put(&q->url, name, v);
        return;
    }
    if (swagger && format)
        between = strcmp(format, "ssv") == 0     ? "%20"
                  : strcmp(format, "tsv") == 0   ? "%09"
                  : strcmp(format, "pipes") == 0 ? "%7C"
                                                 : ",";
    else if (strcmp(style, "spaceDelimited") == 0)
        between = "%20";
    else if (strcmp(style, "pipeDelimited") == 0)
        between = "%7C";
    (void)buf_chr(&q->url, bytes_chr(buf_bytes(&q->url), '?') < 0 ? '?' : '&');
    (void)url_encode(&q->url, name);
    (void)buf_chr(&q->url, '=');
    put_list(&q->url, v, between, true);
}

static void put_header(struct request *q, struct bytes name, const struct val *v)
{
    struct buf text;
    buf_init(&text, (size_t)32 << 10);
    put_list(&text, v, ",", false);
    if (q->rc == 0)
        q->rc = act_header_put(&q->lines, name, buf_bytes(&text), &q->e);
    buf_fini(&text);
}

static void put_cookie(struct request *q, struct bytes name, const struct val *v)
{
    struct buf text;
    buf_init(&text, (size_t)32 << 10);
    (void)buf_put(&text, name);
    (void)buf_chr(&text, '=');
    put_list(&text, v, ",", true);
    if (q->rc == 0)
        q->rc = act_header_put(&q->lines, BYTES("Cookie"), buf_bytes(&text), &q->e);
    buf_fini(&text);
}

static void put_body(struct request *q, const struct val *v, const char *type)
{
    q->type = type;
    if (val_is(v, JSON_STR) && strstr(type, "json") == NULL)
        (void)buf_put(&q->body, val_bytes(v));
    else
        (void)val_write(&q->body, v);
}

static void take_param(struct request *q, struct val *takes_none)
{
    struct val *p = resolve(q->doc, takes_none);
    struct bytes name = val_bytes(val_get_cstr(p, "name"));
    const char *in = val_text(val_get_cstr(p, "in"), "");
    struct val *v = val_get(q->given, name);
    if (!p || q->rc < 0)
        return;
    if (!v) // a value that the document has for it
        v = val_get_cstr(p, "default")
                ? val_get_cstr(p, "default")
                : val_get_cstr(resolve(q->doc, val_get_cstr(p, "schema")), "default");
    if (!v && strcmp(in, "body") == 0) // "body" is how people call it, whatever its name
        v = val_get_cstr(q->given, "body");
    if (!v || val_is(v, JSON_NULL)) {
        if (val_bool_of(val_get_cstr(p, "required"), strcmp(in, "path") == 0))
            q->rc =
                err_set(&q->e, E_INVALID, "parameter %.*s (%s) is missing", BYTES_FMT(name), in);
        return;
    }
    if (strcmp(in, "path") == 0)
        put_path(q, name, v);
    else if (strcmp(in, "query") == 0)
        put_query(q, p, name, v);
    else if (strcmp(in, "header") == 0)
        put_header(q, name, v);
    else if (strcmp(in, "cookie") == 0)
        put_cookie(q, name, v);
    else if (strcmp(in, "body") == 0)
        put_body(q, v, "application/json");
    else if (strcmp(in, "formData") == 0)
        q->form = val_put(q->form ? q->form : val_obj(), name, val_ref(v));
}

static bool is_param(const struct openapi *o, struct bytes name)
{
    const struct val *lists[] = {val_get_cstr(o->item, "parameters"),
                                 val_get_cstr(o->op, "parameters")};
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < val_len(lists[l]); i++)
            if (bytes_eq(val_bytes(val_get_cstr(resolve(o->doc, val_at(lists[l], i)), "name")),
                         name))
                return true;
    return false;
}

// OpenAPI 3: what is no parameter is the body: "body", "requestBody", or its members by name.
static void take_body(struct openapi *o, struct request *q)
{
    struct val *body = resolve(q->doc, val_get_cstr(o->op, "requestBody"));
    struct val *content = val_get_cstr(body, "content"), *v = val_get_cstr(q->given, "body"), *item;
    AUTO(val) rest = NULL;
    struct bytes key, type = BYTES("application/json");
    size_t at = 0;
    if (!body || q->rc < 0)
        return;
    if (!v)
        v = val_get_cstr(q->given, "requestBody");
    if (!v) {
        rest = val_obj();
        while (val_is(q->given, JSON_OBJ) && val_each(q->given, &at, &key, &item))
            if (!is_param(o, key))
                rest = val_put(rest, key, val_ref(item));
        v = val_len(rest) ? rest : NULL;
    }
    if (!v) {
        if (val_bool_of(val_get_cstr(body, "required"), false))
            q->rc =
                err_set(&q->e, E_INVALID, "the operation needs a body: parameters: { body: ... }");
        return;
    }
    if (!val_get_cstr(content, "application/json")) { // the first that is named
        at = 0;
        if (val_is(content, JSON_OBJ) && val_each(content, &at, &key, &item))
            type = key;
    }
    if (bytes_is(type, "application/x-www-form-urlencoded") && val_is(v, JSON_OBJ))
        q->form = val_ref(v);
    else if (bytes_starts(type, BYTES("multipart/")))
        q->rc = err_set(&q->e, E_UNSUPPORTED, "a body of %.*s cannot be sent", BYTES_FMT(type));
    else
        put_body(q, v,
                 val_is(v, JSON_STR) && bytes_is(type, "text/plain") ? "text/plain"
                                                                     : "application/json");
}

static void put_form(struct request *q)
{
    size_t at = 0;
    struct bytes key;
    struct val *v;
    struct buf text;
    if (!q->form || q->type)
        return;
    buf_init(&text, BODY_MAX);
    (void)buf_chr(&text, '?');
    while (val_each(q->form, &at, &key, &v))
        (void)act_query_put(&text, key, v);
    (void)buf_put(&q->body, bytes_from(buf_bytes(&text), 2));
    q->type = "application/x-www-form-urlencoded";
    buf_fini(&text);
}

// ---- the document ------------------------------------------------------------------------------

static bool find(struct openapi *o, struct bytes id)
{
    static const char *const methods[] = {"get",  "put",   "post",    "delete",
                                          "head", "patch", "options", "trace"};
    const struct val *paths = val_get_cstr(o->doc, "paths");
    size_t at = 0;
    struct bytes path;
    struct val *item;
    while (val_is(paths, JSON_OBJ) && val_each(paths, &at, &path, &item)) {
        item = resolve(o->doc, item);
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
            struct val *op = val_get_cstr(item, methods[i]);
            if (!op || !bytes_eq(val_bytes(val_get_cstr(op, "operationId")), id))
                continue;
            o->path = path;
            o->method = bytes_of(methods[i]);
            o->op = op;
            o->item = item;
            return true;
        }
    }
    return false;
}

// {name} in a server's address: its default.
static void put_server(struct buf *out, const struct val *server)
{
    struct bytes rest = val_bytes(val_get_cstr(server, "url"));
    const struct val *variables = val_get_cstr(server, "variables");
    while (rest.n) {
        ptrdiff_t open = bytes_chr(rest, '{');
        ptrdiff_t end = open < 0 ? -1 : bytes_chr(bytes_from(rest, (size_t)open), '}');
        if (end < 0) {
            (void)buf_put(out, rest);
            return;
        }
        struct bytes name = bytes_first(bytes_from(rest, (size_t)open + 1), (size_t)end - 1);
        (void)buf_put(out, bytes_first(rest, (size_t)open));
        (void)buf_put(out, val_bytes(val_get_cstr(val_get(variables, name), "default")));
        rest = bytes_from(rest, (size_t)(open + end) + 1);
    }
}

// Where the API is: relative to the document's own address.
static int base_of(struct openapi *o, struct bytes doc_url, struct err *e)
{
    struct buf said;
    const struct val *doc = o->doc;
    bool secure = bytes_starts(doc_url, BYTES("https:"));
    buf_init(&said, (size_t)16 << 10);
    if (val_get_cstr(doc, "swagger")) {
        struct bytes host = val_bytes(val_get_cstr(doc, "host"));
        const struct val *schemes = val_get_cstr(doc, "schemes");
        const char *scheme = secure ? "https" : "http";
        for (size_t i = 0; i < val_len(schemes); i++) // the better of those that it has
            if (i == 0 || bytes_is(val_bytes(val_at(schemes, i)), "https"))
                scheme = val_text(val_at(schemes, i), scheme);
        if (host.n)
            (void)buf_fmt(&said, "%s://%.*s", scheme, BYTES_FMT(host));
        struct bytes path = val_bytes(val_get_cstr(doc, "basePath"));
        (void)buf_put(&said, path.n ? path : BYTES("/"));
    } else {
        const struct val *servers = val_get_cstr(o->op, "servers");
        if (!val_len(servers))
            servers = val_get_cstr(o->item, "servers");
        if (!val_len(servers))
            servers = val_get_cstr(doc, "servers");
        if (val_len(servers))
            put_server(&said, val_at(servers, 0));
        else
            (void)buf_chr(&said, '/');
    }
    buf_init(&o->base, (size_t)64 << 10);
    int rc = act_url_join(&o->base, doc_url, buf_bytes(&said));
    buf_fini(&said);
    while (o->base.n && o->base.p[o->base.n - 1] == '/')
        o->base.n--;
    return rc < 0 ? err_set(e, rc, "the document does not say where its API is") : 0;
}

static int read_doc(struct openapi *o, struct bytes text, struct err *e)
{
    struct yaml *y = NULL;
    struct bytes t = bytes_trim(text);
    if (t.n && *t.p == '{')
        return val_parse(&o->doc, t, e);
    int rc = yaml_parse(&y, text, e);
    if (rc == 0 && !(o->doc = val_of_json(yaml_root(y))))
        rc = err_set(e, E_NOMEM, "out of memory");
    yaml_free(y);
    return rc;
}

// ---- the call ----------------------------------------------------------------------------------

static void make(struct openapi *o, struct request *q)
{
    const struct val *lists[] = {val_get_cstr(o->item, "parameters"),
                                 val_get_cstr(o->op, "parameters")};
    (void)buf_put(&q->path, o->path);
    (void)buf_put(&q->url, BYTES_NONE);
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < val_len(lists[l]); i++)
            take_param(q, val_at(lists[l], i));
    take_body(o, q);
    put_form(q);
    if (q->type)
        (void)buf_fmt(&q->lines, "Content-Type: %s\r\n", q->type);
}

static void request_fini(struct request *q)
{
    struct buf *const bufs[] = {&q->path, &q->url, &q->lines, &q->body};
    for (size_t i = 0; i < 4; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
    val_unref(q->form);
}

static void request_init(struct request *q, struct act *a, const struct val *given)
{
    struct openapi *o = a->own;
    *q = (struct request){.a = a, .doc = o->doc, .given = given};
    buf_init(&q->path, (size_t)64 << 10);
    buf_init(&q->url, (size_t)64 << 10);
    buf_init(&q->lines, (size_t)64 << 10);
    buf_init(&q->body, BODY_MAX);
}

static void ready(struct act *a, struct val *takes_with)
{
    struct openapi *o = a->own;
    AUTO(val) with = takes_with;
    AUTO(val) seen = act_shown(a->args->args);
    struct request q, s; // s: the same for eyes
    struct buf url, shown;
    request_init(&q, a, val_get_cstr(with, "parameters"));
    request_init(&s, a, val_get_cstr(seen, "parameters"));
    make(o, &q);
    make(o, &s);
    buf_init(&url, (size_t)64 << 10);
    buf_init(&shown, (size_t)64 << 10);
    (void)buf_put(&url, buf_bytes(&o->base));
    (void)buf_put(&url, buf_bytes(&q.path));
    (void)buf_put(&url, buf_bytes(&q.url));
    (void)buf_put(&shown, buf_bytes(&o->base));
    (void)buf_put(&shown, buf_bytes(&s.path));
    (void)buf_put(&shown, buf_bytes(&s.url));
    if (q.rc == 0 && (q.body.failed || q.lines.failed || url.failed))
        q.rc = err_set(&q.e, E_TOOBIG, "the request is too large");
    if (q.rc < 0)
        act_fail(a, q.rc == E_INVALID ? ACT_VALIDATION : ACT_CONFIGURATION, 0, true,
                 "call: openapi: %s", q.e.text);
    else
        act_web(
            a, &o->web,
            &(struct act_web_args){.method = o->method,
                                   .url = buf_bytes(&url),
                                   .shown = buf_bytes(&shown),
                                   .headers = buf_bytes(&q.lines),
                                   .body = q.type ? &q.body : NULL,
                                   .auth = &o->auth,
                                   .redirect = val_bool_of(val_get_cstr(with, "redirect"), false),
                                   .once = true,
                                   .output = val_text(val_get_cstr(a->with, "output"), NULL)});
    request_fini(&q);
    request_fini(&s);
    if (url.p)
        mem_wipe(url.p, url.n);
    buf_fini(&url);
    buf_fini(&shown);
}

static void authenticated(struct act *a, struct act_auth *x)
{
    if (a->ended)
        return;
    if (act_late_has(a->with))
        act_late(a, a->with, x->authorization ? val_ref(x->authorization) : val_null(), ready);
    else
        ready(a, val_ref(a->with));
}

static void got(struct act *a, struct bytes text, struct bytes url)
{
    struct openapi *o = a->own;
    struct err e = {0};
    struct bytes id = val_bytes(val_get_cstr(a->with, "operationId"));
    int rc = read_doc(o, text, &e);
    if (rc < 0) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: openapi: %.*s: %s", BYTES_FMT(url), e.text);
    } else if (!val_get_cstr(o->doc, "swagger") && !val_get_cstr(o->doc, "openapi")) {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "call: openapi: %.*s is no OpenAPI or Swagger document", BYTES_FMT(url));
    } else if (!find(o, id)) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: openapi: %.*s has no operation \"%.*s\"",
                 BYTES_FMT(url), BYTES_FMT(id));
    } else if (base_of(o, url, &e) < 0) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: openapi: %s", e.text);
    } else {
        act_auth(a, &o->auth, val_get_cstr(a->with, "authentication"), authenticated);
    }
}

static void start(struct act *a)
{
    struct openapi *o = a->own;
    const char *output = val_text(val_get_cstr(a->with, "output"), "content");
    if (strcmp(output, "content") != 0 && strcmp(output, "raw") != 0 &&
        strcmp(output, "response") != 0)
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "output \"%.80s\": it is one of content, raw, response", output);
    else if (!val_bytes(val_get_cstr(a->with, "operationId")).n)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: openapi needs an operationId");
    else
        act_source(a, &o->source, val_get_cstr(a->with, "document"), got);
}

static void stop(struct act *a)
{
    struct openapi *o = a->own;
    act_web_free(&o->web);
    act_auth_fini(&o->auth);
    act_source_fini(&o->source);
    val_unref(o->doc);
    buf_fini(&o->base);
}

const struct act_kind act_openapi = {.name = "openapi",
                                     .what = "An operation of an OpenAPI or Swagger document.",
                                     .bytes = sizeof(struct openapi),
                                     .start = start,
                                     .stop = stop,
                                     .authorizes = true};
