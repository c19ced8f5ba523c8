// asyncapi.c: call: asyncapi: what an AsyncAPI document (2.x, 3.x) says of an operation, and how
// many messages a subscription takes. SPDX-License-Identifier: Apache-2.0
#include "acts/asyncapi_priv.h"
#include "text/yaml.h"

#include <string.h>

#define RECEIVED_MAX ((size_t)20 << 20)
#define WAITING_MAX 2000 // they are looked at one inside the other

static const struct async_protocol http_plain = {.name = "http",
                                                 .start = act_async_http,
                                                 .port = 80},
                                   http_tls = {.name = "https",
                                               .start = act_async_http,
                                               .port = 443,
                                               .tls = true};

static const struct async_row {
    const char *name;
    const struct async_protocol *protocol;
    bool tls;
} protocols[] = {
    {"http", &http_plain, false},           {"https", &http_tls, true},
    {"nats", &act_async_nats, false},       {"tls", &act_async_nats, true},
    {"redis", &act_async_redis, false},     {"rediss", &act_async_redis, true},
    {"mqtt", &act_async_mqtt, false},       {"mqtts", &act_async_mqtt, true},
    {"secure-mqtt", &act_async_mqtt, true}, {"ws", &act_async_ws, false},
    {"wss", &act_async_ws, true},
};

// ---- messages ----------------------------------------------------------------------------------

static void look(struct act *a);

static void finish(struct act *a)
{
    struct asyncapi *s = a->own;
    s->over = true;
    timer_stop(a->room->args.timers, &s->end);
    act_done(a, s->taken ? val_ref(s->taken) : val_arr());
}

static void on_end_timer(struct timer *t)
{
    struct act *a = t->user;
    if (!a->ended)
        finish(a);
}

static void look_again(struct act *a)
{
    struct asyncapi *s = a->own;
    s->looking = false;
    s->next++;
    look(a);
}

static void after_until(struct act *a, struct val *takes_v)
{
    bool end = val_truthy(takes_v);
    val_unref(takes_v);
    if (end)
        finish(a);
    else
        look_again(a);
}

static void after_while(struct act *a, struct val *takes_v)
{
    bool go = val_truthy(takes_v);
    val_unref(takes_v);
    if (!go)
        finish(a);
    else
        look_again(a);
}

// An expression over a message: "." is it.
static void ask(struct act *a, const struct val *node, struct val *message,
                void (*then)(struct act *a, struct val *takes_v))
{
    struct val *inner = val_get_cstr(node, "$late");
    if (!inner) { // true, false, or a text: as it is
        then(a, val_ref((struct val *)(uintptr_t)node));
        return;
    }
    AUTO(val)
    with =
        val_put_cstr(val_obj(), "$late", val_put_cstr(val_ref(inner), "input", val_ref(message)));
    if (with)
        act_late(a, with, val_null(), then);
    else
        act_nomem(a);
}

static void take_it(struct act *a)
{
    struct asyncapi *s = a->own;
    struct val *m = val_at(s->waiting, s->next);
    s->taken = val_push(s->taken ? s->taken : val_arr(), val_ref(m));
    if (!s->taken)
        act_nomem(a);
    if (a->ended)
        return;
    act_beat(a, val_put_cstr(val_obj(), "messages", val_int((int64_t)val_len(s->taken))));
    if (s->amount > 0 && (int64_t)val_len(s->taken) >= s->amount)
        finish(a);
    else if (s->while_)
        ask(a, s->while_, m, after_while);
    else if (s->until)
        ask(a, s->until, m, after_until);
    else
        look_again(a);
}

static void after_filter(struct act *a, struct val *takes_v)
{
    bool fits = val_truthy(takes_v);
    val_unref(takes_v);
    if (fits)
        take_it(a);
    else
        look_again(a);
}

// One message after the other: an expression may take a while.
static void look(struct act *a)
{
    struct asyncapi *s = a->own;
    if (s->looking || s->over || a->ended)
        return;
    if (s->next >= val_len(s->waiting)) {
        val_unref(s->waiting);
        s->waiting = NULL;
        s->next = 0;
        return;
    }
    s->looking = true;
    if (s->filter)
        ask(a, s->filter, val_at(s->waiting, s->next), after_filter);
    else
        take_it(a);
}

// "$message.header#/a/b" or "$message.payload#/a": AsyncAPI's runtime expressions.
static struct val *correlation_of(const struct asyncapi *s, const struct val *message)
{
    struct bytes at = s->correlation;
    if (bytes_starts(at, BYTES("$message.header#")))
        return val_ptr(val_get_cstr(message, "headers"), bytes_from(at, 16));
    if (bytes_starts(at, BYTES("$message.payload#")))
        return val_ptr(val_get_cstr(message, "payload"), bytes_from(at, 17));
    return val_get_cstr(val_get_cstr(message, "headers"), "correlationId");
}

void act_async_take(struct act *a, struct bytes payload, struct bytes content,
                    struct val *takes_headers)
{
    struct asyncapi *s = a->own;
    struct val *v = NULL;
    struct err e = {0};
    if (content.n || val_parse(&v, payload, NULL) < 0)
        v = act_web_content(content, payload, &e);
    if (!v) // it said what it is not
        v = act_web_content(BYTES("text/plain"), payload, &e);
    struct val *m = val_put_cstr(val_obj(), "payload", v);
    m = val_put_cstr(m, "headers", takes_headers ? takes_headers : val_obj());
    struct val *id = correlation_of(s, m);
    if (id)
        m = val_put_cstr(m, "correlationId", val_ref(id));
    s->bytes += payload.n;
    s->waiting = val_push(s->waiting ? s->waiting : val_arr(), m);
    if (a->ended || s->over)
        return;
    if (!s->waiting)
        act_nomem(a);
    else if (s->bytes > RECEIVED_MAX || val_len(s->waiting) > WAITING_MAX)
        act_fail(a, ACT_RUNTIME, 0, true,
                 "call: asyncapi: more than 20 MiB were received, or 2000 messages wait");
    else
        look(a);
}

void act_async_sent(struct act *a)
{
    act_done(a, NULL);
}

// ---- the document ------------------------------------------------------------------------------

static struct val *resolve(const struct val *doc, struct val *v)
{
    for (int i = 0; i < 20; i++) {
        struct bytes ref = val_bytes(val_get_cstr(v, "$ref"));
        if (!ref.n)
            return v;
        v = ref.p[0] == '#' ? val_ptr(doc, bytes_from(ref, 1)) : NULL;
    }
    return NULL;
}

// {name}: of the call's variables, else what the document has as default.
static int fill(struct buf *out, struct bytes text, const struct val *given,
                const struct val *known, const struct val *doc, struct err *e)
{
    while (text.n) {
        ptrdiff_t open = bytes_chr(text, '{');
        ptrdiff_t end = open < 0 ? -1 : bytes_chr(bytes_from(text, (size_t)open), '}');
        if (end < 0)
            return buf_put(out, text);
        struct bytes name = bytes_first(bytes_from(text, (size_t)open + 1), (size_t)end - 1);
        char room[32];
        struct bytes v = act_scalar(val_get(given, name), room);
        if (!v.p)
            v = val_bytes(val_get_cstr(resolve(doc, val_get(known, name)), "default"));
        if (!v.p)
            return err_set(e, E_INVALID, "{%.*s} has no value: give it in server.variables",
                           BYTES_FMT(name));
        (void)buf_put(out, bytes_first(text, (size_t)open));
        (void)buf_put(out, v);
        text = bytes_from(text, (size_t)(open + end) + 1);
    }
    return out->failed;
}

struct pick {
    struct val *server, *channel, *operation;
    struct bytes address;
};

static bool v3(const struct asyncapi *s)
{
    return bytes_starts(val_bytes(val_get_cstr(s->doc, "asyncapi")), BYTES("3."));
}

// Of version 2 operations stand in channels, by direction.
static bool find_v2(struct asyncapi *s, struct bytes channel, struct bytes operation,
                    struct pick *ret)
{
    const struct val *channels = val_get_cstr(s->doc, "channels");
    const char *way = s->publish ? "publish" : "subscribe";
    size_t at = 0;
    struct bytes key;
    struct val *v;
    while (val_is(channels, JSON_OBJ) && val_each(channels, &at, &key, &v)) {
        v = resolve(s->doc, v);
        struct val *one = val_get_cstr(v, "publish"), *other = val_get_cstr(v, "subscribe");
        bool named =
            operation.n && (bytes_eq(val_bytes(val_get_cstr(one, "operationId")), operation) ||
                            bytes_eq(val_bytes(val_get_cstr(other, "operationId")), operation));
        if (!named && !(channel.n && bytes_eq(key, channel)))
            continue;
        ret->channel = v;
        ret->address = key;
        ret->operation = val_get_cstr(v, way);
        return true;
    }
    return false;
}

static bool find_v3(struct asyncapi *s, struct bytes channel, struct bytes operation,
                    struct pick *ret)
{
    const struct val *channels = val_get_cstr(s->doc, "channels");
    if (operation.n) {
        ret->operation = resolve(s->doc, val_get(val_get_cstr(s->doc, "operations"), operation));
        ret->channel = resolve(s->doc, val_get_cstr(ret->operation, "channel"));
    } else {
        size_t at = 0;
        struct bytes key;
        struct val *v;
        ret->channel = resolve(s->doc, val_get(channels, channel));
        while (!ret->channel && val_is(channels, JSON_OBJ) && val_each(channels, &at, &key, &v))
            if (bytes_eq(val_bytes(val_get_cstr(resolve(s->doc, v), "address")), channel))
                ret->channel = resolve(s->doc, v);
    }
    ret->address = val_bytes(val_get_cstr(ret->channel, "address"));
    return ret->channel != NULL;
}

static const struct async_row *row_of(struct bytes name)
{
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (bytes_iis(name, protocols[i].name))
            return &protocols[i];
    return NULL;
}

// The one that is named; else the first with the protocol (or any that can be spoken).
static bool find_server(struct asyncapi *s, const struct val *with, struct pick *p)
{
    const struct val *servers = val_get_cstr(s->doc, "servers"),
                     *own = val_get_cstr(p->channel, "servers");
    struct bytes name = val_bytes(val_get_cstr(val_get_cstr(with, "server"), "name")),
                 wanted = val_bytes(val_get_cstr(with, "protocol")), key;
    size_t at = 0;
    struct val *v;
    while (val_is(servers, JSON_OBJ) && val_each(servers, &at, &key, &v)) {
        struct val *server = resolve(s->doc, v);
        struct bytes protocol = val_bytes(val_get_cstr(server, "protocol"));
        bool mine = val_len(own) == 0;
        for (size_t i = 0; i < val_len(own); i++) // by name, or by $ref
            mine = mine || bytes_eq(val_bytes(val_at(own, i)), key) ||
                   resolve(s->doc, val_at(own, i)) == server;
        if (name.n ? !bytes_eq(key, name) : !mine)
            continue;
        if (!name.n && wanted.n ? !bytes_iis(protocol, val_text(val_get_cstr(with, "protocol"), ""))
                                : !name.n && !row_of(protocol))
            continue;
        p->server = server;
        return true;
    }
    return false;
}

static int take_address(struct asyncapi *s, struct bytes text, struct err *e)
{
    ptrdiff_t scheme = bytes_find(text, BYTES("://"));
    if (scheme >= 0)
        text = bytes_from(text, (size_t)scheme + 3);
    size_t end = 0;
    while (end < text.n && text.p[end] != '/')
        end++;
    struct bytes host = bytes_first(text, end);
    uint64_t port = 0;
    (void)buf_put(&s->path, bytes_from(text, end));
    ptrdiff_t colon = -1;
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] == ':')
            colon = (ptrdiff_t)i;
    if (host.n && host.p[host.n - 1] == ']')
        colon = -1;
    if (colon >= 0 && (!bytes_u64(bytes_from(host, (size_t)colon + 1), &port) || port > 65535))
        return err_set(e, E_INVALID, "the server's port is none");
    if (colon >= 0)
        host = bytes_first(host, (size_t)colon);
    s->port = (uint16_t)port;
    (void)buf_put(&s->host, host);
    return host.n ? 0 : err_set(e, E_INVALID, "the server has no host");
}

static void take_correlation(struct asyncapi *s, const struct pick *p)
{
    struct val *message = resolve(s->doc, val_get_cstr(p->operation, "message"));
    const struct val *all = val_get_cstr(p->channel, "messages");
    size_t at = 0;
    struct bytes key;
    struct val *v;
    if (!message && val_is(all, JSON_OBJ) && val_each(all, &at, &key, &v))
        message = resolve(s->doc, v);
    struct val *id = resolve(s->doc, val_get_cstr(message, "correlationId"));
    s->correlation = val_bytes(val_get_cstr(id, "location"));
}

static int read_doc(struct asyncapi *s, struct bytes text, struct err *e)
{
    struct yaml *y = NULL;
    struct bytes t = bytes_trim(text);
    if (t.n && *t.p == '{')
        return val_parse(&s->doc, t, e);
    int rc = yaml_parse(&y, text, e);
    if (rc == 0 && !(s->doc = val_of_json(yaml_root(y))))
        rc = err_set(e, E_NOMEM, "out of memory");
    yaml_free(y);
    return rc;
}

static int understand(struct asyncapi *s, const struct val *with, struct err *e)
{
    struct pick p = {0};
    struct bytes channel = val_bytes(val_get_cstr(with, "channel")),
                 operation = val_bytes(val_get_cstr(with, "operation"));
    const struct val *given = val_get_cstr(val_get_cstr(with, "server"), "variables");
    struct buf address;
    if (!val_get_cstr(s->doc, "asyncapi"))
        return err_set(e, E_INVALID, "it is no AsyncAPI document");
    if (v3(s) ? !find_v3(s, channel, operation, &p) : !find_v2(s, channel, operation, &p))
        return err_set(e, E_INVALID, "the document has no %s \"%.*s\"",
                       operation.n ? "operation" : "channel",
                       BYTES_FMT(operation.n ? operation : channel));
    if (!find_server(s, with, &p))
        return err_set(e, E_UNSUPPORTED,
                       "the document has no such server, or none with a protocol that can be "
                       "spoken: http, ws, nats, redis, mqtt");
    struct bytes protocol = val_bytes(val_get_cstr(p.server, "protocol"));
    const struct async_row *row = row_of(protocol);
    if (!row)
        return err_set(e, E_UNSUPPORTED,
                       "protocol %.*s cannot be spoken: only http, ws, nats, redis and mqtt",
                       BYTES_FMT(protocol));
    s->protocol = row->protocol;
    struct bytes url = val_bytes(val_get_cstr(p.server, v3(s) ? "host" : "url"));
    s->tls = row->tls || bytes_starts(url, BYTES("tls://")) ||
             bytes_starts(url, BYTES("rediss://")) || bytes_starts(url, BYTES("wss://")) ||
             bytes_starts(url, BYTES("https://")) || bytes_starts(url, BYTES("mqtts://"));
    buf_init(&address, (size_t)16 << 10);
    int rc = fill(&address, url, given, val_get_cstr(p.server, "variables"), s->doc, e);
    if (rc == 0)
        rc = fill(&address, val_bytes(val_get_cstr(p.server, "pathname")), given,
                  val_get_cstr(p.server, "variables"), s->doc, e);
    if (rc == 0)
        rc = take_address(s, buf_bytes(&address), e);
    buf_fini(&address);
    if (rc == 0)
        rc = fill(&s->channel, p.address, given, val_get_cstr(p.channel, "parameters"), s->doc, e);
    take_correlation(s, &p);
    s->binding =
        val_get_cstr(resolve(s->doc, val_get_cstr(p.operation, "bindings")), s->protocol->name);
    return rc;
}

// ---- the call ----------------------------------------------------------------------------------

static void go(struct act *a, struct act_auth *x)
{
    struct asyncapi *s = a->own;
    (void)x;
    if (a->ended)
        return;
    if (s->protocol->start)
        s->protocol->start(a);
    else
        act_async_connect(a);
}

static void got(struct act *a, struct bytes text, struct bytes url)
{
    struct asyncapi *s = a->own;
    struct err e = {0};
    int rc = read_doc(s, text, &e);
    if (rc == 0)
        rc = understand(s, a->with, &e);
    if (rc < 0)
        act_fail(a, ACT_CONFIGURATION, rc == E_UNSUPPORTED ? 501 : 0, true,
                 "call: asyncapi: %.*s: %s", BYTES_FMT(url), e.text);
    else
        act_auth(a, &s->auth, val_get_cstr(a->with, "authentication"), go);
}

static int prepare(struct act *a, struct err *e)
{
    struct asyncapi *s = a->own;
    const struct val *message = val_get_cstr(a->with, "message"),
                     *consume = val_ptr(a->with, BYTES("/subscription/consume")), *v;
    int64_t ms = 0;
    s->publish = message != NULL;
    if (message) {
        v = val_get_cstr(message, "payload");
        if (val_is(v, JSON_STR))
            (void)buf_put(&s->payload, val_bytes(v));
        else if (v)
            (void)val_write(&s->payload, v);
        s->headers = val_get_cstr(message, "headers");
        return s->payload.failed ? err_set(e, E_TOOBIG, "the payload has more than 16 MiB") : 0;
    }
    if (!val_is(consume, JSON_OBJ))
        return err_set(e, E_INVALID, "message or subscription with consume is needed");
    s->amount = val_i64(val_get_cstr(consume, "amount"), 0);
    if ((v = val_get_cstr(consume, "for")) != NULL) {
        int rc = act_duration(v, &ms, e);
        if (rc < 0)
            return err_wrap(e, "consume.for"), rc;
        s->end.fn = on_end_timer;
        s->end.user = a;
        if (timer_start(a->room->args.timers, &s->end, ms) < 0)
            return err_set(e, E_NOMEM, "out of memory");
    } else if (s->amount <= 0 && !s->while_ && !s->until) {
        return err_set(e, E_INVALID, "consume needs amount, for, while or until");
    }
    return 0;
}

static void begin(struct act *a, struct val *takes_with)
{
    struct err e = {0};
    struct asyncapi *s = a->own;
    a->with = takes_with;
    int rc = prepare(a, &e);
    if (rc < 0)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: asyncapi: %s", e.text);
    else
        act_source(a, &s->source, val_get_cstr(a->with, "document"), got);
}

// The expressions for each message are taken out before the others get their values.
static void start(struct act *a)
{
    struct asyncapi *s = a->own;
    struct val *subscription = val_get_cstr(a->args->args, "subscription");
    struct val *consume = val_get_cstr(subscription, "consume");
    struct buf *const bufs[] = {&s->host, &s->path, &s->channel};
    for (size_t i = 0; i < 3; i++)
        buf_init(bufs[i], (size_t)16 << 10);
    buf_init(&s->payload, (size_t)16 << 20);
    AUTO(val) with = val_ref((struct val *)(uintptr_t)a->args->args);
    if (val_is(subscription, JSON_OBJ)) {
        s->filter = val_ref(val_get_cstr(subscription, "filter"));
        s->while_ = val_ref(val_get_cstr(consume, "while"));
        s->until = val_ref(val_get_cstr(consume, "until"));
        struct val *c = val_is(consume, JSON_OBJ) ? val_ref(consume) : val_obj();
        c = val_del(val_del(c, BYTES("while")), BYTES("until"));
        struct val *sub = val_del(val_ref(subscription), BYTES("filter"));
        with = val_put_cstr(steal(&with), "subscription", val_put_cstr(sub, "consume", c));
    }
    if (with)
        act_late(a, with, val_null(), begin);
    else
        act_nomem(a);
}

static void stop(struct act *a)
{
    struct asyncapi *s = a->own;
    struct buf *const bufs[] = {&s->host, &s->path, &s->channel, &s->payload};
    timer_stop(a->room->args.timers, &s->end);
    act_web_free(&s->web);
    if (s->made) {
        sse_parser_fini(&s->sse);
        buf_fini(&s->whole);
    }
    act_async_leave(s->conn);
    act_auth_fini(&s->auth);
    act_source_fini(&s->source);
    for (size_t i = 0; i < 4; i++)
        buf_fini(bufs[i]);
    struct val *const vals[] = {s->doc, s->filter, s->while_, s->until, s->taken, s->waiting};
    for (size_t i = 0; i < sizeof vals / sizeof *vals; i++)
        val_unref(vals[i]);
}

const struct act_kind act_asyncapi = {.name = "asyncapi",
                                      .what = "Messages of an AsyncAPI document's operation.",
                                      .bytes = sizeof(struct asyncapi),
                                      .start = start,
                                      .stop = stop,
                                      .raw = true};
