// node_alerts.c: alerts to the configured webhook: CloudEvents 1.0 by POST, one at a time, in their
// order, again and again while it does not take them. What raises one never waits for that.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_alert_queue.h"
#include "app/node_mesh_priv.h"
#include "base/alloc.h"
#include "crypto/hmac.h"
#include "text/cloudevent.h"
#include "text/url.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MS 10000 // a receiver that works says yes within this
#define ANSWER_BYTES_MAX 65536 // nobody reads it
#define PAUSE_MS 1000 // after the first failure, doubled ...
#define PAUSE_MAX_MS (5 * 60 * 1000) // ... up to this
#define BODY_BYTES_MAX 16384

struct node_alerts {
    struct node *node;
    struct node_alert_queue queue;
    struct node_alert *now; // on its way, or to be tried again
    struct net_tls *tls;
    struct http_pool *pool;
    struct http_call *call;
    char url[2049]; // of the pool
    struct buf body, headers, target;
    struct bytes part; // the body as the call has it
    size_t answer_bytes;
    int answer; // HTTP status of the try
    bool other; // the call is of a webhook that is not configured any more
    bool closed;
    struct timer timer;
    int64_t retry_ms, pause_ms, failing_since_ms;
    uint32_t failures;
    char why[256];
};

static int64_t now_of(const struct node_alerts *a)
{
    return timers_now_ms(loop_timers(a->node->loop));
}

static void plan(struct node_alerts *a)
{
    struct timers *timers = loop_timers(a->node->loop);
    int64_t at = a->now ? a->retry_ms : node_alert_due(&a->queue), now = now_of(a);
    if (a->call || a->closed)
        return;
    if (at != TIME_NEVER && at < a->retry_ms)
        at = a->retry_ms;
    if (at == TIME_NEVER)
        timer_stop(timers, &a->timer);
    else
        (void)timer_start(timers, &a->timer, at > now ? at - now : 0);
}

// ---- one alert as an event ---------------------------------------------------------------------

static void put_data(const struct node_alerts *a, struct buf *out)
{
    const struct node *n = a->node;
    struct json_w w;
    char when[TIME_TEXT_LEN + 1];
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "severity", a->now->severity);
    json_w_cstr(&w, "message", a->now->text);
    json_w_cstr(&w, "node", n->config->node_name);
    json_w_cstr(&w, "context", n->config->context);
    json_w_u64(&w, "count", a->now->count);
    time_text(a->now->first_ms, when);
    json_w_cstr(&w, "first", when);
    time_text(a->now->last_ms, when);
    json_w_cstr(&w, "last", when);
    json_w_u64(&w, "dropped", a->queue.dropped);
    json_w_end(&w);
}

static int put_event(struct node_alerts *a, struct err *e)
{
    const struct node *n = a->node;
    char when[TIME_TEXT_LEN + 1], source[SPIFFE_ID_MAX + 1];
    struct member_view v = {.id = ""};
    struct buf data;
    if (n->mesh && n->mesh->member)
        member_view(n->mesh->member, &v);
    (void)snprintf(source, sizeof(source), "%s%s", *v.id ? "" : "/nodes/",
                   *v.id ? v.id : n->config->node_name);
    buf_init(&data, BODY_BYTES_MAX);
    put_data(a, &data);
    time_text(a->now->first_ms, when);
    struct cloudevent c = {.id = bytes_of(a->now->id),
                           .source = bytes_of(source),
                           .type = bytes_of(a->now->type),
                           .subject = bytes_of(a->now->subject),
                           .time = bytes_of(when),
                           .content = BYTES("application/json"),
                           .kind = CLOUDEVENT_VALUE,
                           .data = buf_bytes(&data),
                           .has_version = true};
    buf_clear(&a->body);
    int status = data.failed ? data.failed : cloudevent_check(&c, e);
    if (status == 0)
        status = cloudevent_put(&a->body, &c);
    buf_fini(&data);
    return status;
}

static void put_headers(struct node_alerts *a)
{
    const char *secret = secret_reveal(&a->node->config->alert_secret);
    uint8_t mac[HMAC_LEN];
    char hex[2 * HMAC_LEN + 1];
    buf_clear(&a->headers);
    (void)buf_str(&a->headers, "Content-Type: " CLOUDEVENT_JSON "; charset=utf-8\r\n"
                               "User-Agent: plexus/" PLEXUS_VERSION "\r\n");
    if (!secret)
        return;
    hmac_sum(bytes_of(secret), buf_bytes(&a->body), mac);
    crypto_hex(mac, sizeof(mac), hex);
    (void)buf_fmt(&a->headers, "X-Plexus-Signature: sha256=%s\r\n", hex);
}

// ---- the way there -----------------------------------------------------------------------------

static int open_pool(struct node_alerts *a, struct err *e)
{
    struct url url;
    const char *said = a->node->config->alert_webhook;
    if (a->pool)
        return 0;
    int status = url_parse(&url, bytes_of(said), e);
    if (status == 0 && url.tls && !a->tls)
        status = net_tls_new(&a->tls, &(struct net_tls_args){.server = false}, e);
    if (status < 0)
        return status;
    struct http_pool_args args = {.net = loop_net(a->node->loop),
                                  .timers = loop_timers(a->node->loop),
                                  .addr = {.port = url.port},
                                  .tls = url.tls ? a->tls : NULL,
                                  .idle_max = 1,
                                  .connect_ms = ANSWER_MS};
    (void)snprintf(args.addr.host, sizeof(args.addr.host), "%.*s", BYTES_FMT(url.host));
    (void)snprintf(a->url, sizeof(a->url), "%s", said);
    buf_clear(&a->target);
    (void)buf_fmt(&a->target, "%.*s%s%.*s", BYTES_FMT(url.path.n ? url.path : BYTES("/")),
                  url.query.n ? "?" : "", BYTES_FMT(url.query));
    return http_pool_new(&a->pool, &args, e);
}

static void failed(struct node_alerts *a, const char *why)
{
    if (a->failures++ == 0)
        a->failing_since_ms = now_of(a);
    meter_node(a->node->meter)->alerts_failed++;
    (void)snprintf(a->why, sizeof(a->why), "%s", why);
    a->pause_ms = a->pause_ms ? a->pause_ms * 2 : PAUSE_MS;
    if (a->pause_ms > PAUSE_MAX_MS)
        a->pause_ms = PAUSE_MAX_MS;
    a->retry_ms = now_of(a) + a->pause_ms;
    log_event(LOG_WARN, "alert.failed", LOG_STR("why", a->why), LOG_UINT("tries", a->failures),
              LOG_INT("again_ms", a->pause_ms), LOG_UINT("waiting", a->queue.count));
}

static void leave(struct node_alerts *a)
{
    node_alert_take(&a->queue, a->now);
    a->now = NULL;
}

static void drop(struct node_alerts *a, const char *why)
{
    log_event(LOG_ERROR, "alert.refused", LOG_STR("why", why), LOG_STR("type", a->now->type),
              LOG_STR("subject", a->now->subject));
    a->queue.dropped++;
    leave(a);
}

// This event will be refused the next time too: others shall not wait behind it.
static bool is_final(int status)
{
    return status == 400 || status == 413 || status == 415 || status == 422;
}

static void answered(struct node_alerts *a)
{
    char why[64];
    if (a->answer >= 200 && a->answer < 300) {
        if (a->failures)
            log_event(LOG_INFO, "alert.works", LOG_UINT("waiting", a->queue.count - 1));
        meter_node(a->node->meter)->alerts_sent++;
        a->failures = 0;
        a->pause_ms = a->retry_ms = 0;
        leave(a);
        return;
    }
    (void)snprintf(why, sizeof(why), "the webhook answered %d", a->answer);
    if (is_final(a->answer)) {
        drop(a, why);
        return;
    }
    failed(a, why);
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct node_alerts *a = http_call_user(c);
    a->answer = head->status;
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct node_alerts *a = http_call_user(c);
    (void)p;
    a->answer_bytes += n;
    if (a->answer_bytes > ANSWER_BYTES_MAX && a->answer_bytes - n <= ANSWER_BYTES_MAX)
        http_call_cancel(c); // its status says all
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct node_alerts *a = http_call_user(c);
    a->call = NULL;
    if (a->closed)
        return;
    if (a->other)
        a->other = false; // told to the new one from the start
    else if (a->answer)
        answered(a);
    else
        failed(a, e && e->n ? e->text : err_info(status)->text);
    plan(a);
}

static const struct http_call_handler handler = {on_head, on_body, on_end};

static int send_it(struct node_alerts *a, struct err *e)
{
    int status = open_pool(a, e);
    if (status < 0)
        return status;
    put_headers(a);
    a->part = buf_bytes(&a->body);
    a->answer = 0;
    a->answer_bytes = 0;
    struct http_call_args args = {.method = BYTES("POST"),
                                  .target = buf_bytes(&a->target),
                                  .headers = buf_bytes(&a->headers),
                                  .body = &a->part,
                                  .body_count = 1,
                                  .first_byte_ms = ANSWER_MS,
                                  .silence_ms = ANSWER_MS,
                                  .handler = &handler,
                                  .user = a};
    return http_call_start(a->pool, &args, &a->call, e);
}

static void on_timer(struct timer *t)
{
    struct node_alerts *a = t->user;
    struct err e = {0};
    if (a->call || a->closed || !a->node->config->alert_webhook)
        return;
    if (!a->now)
        a->now = node_alert_begin(&a->queue, now_of(a));
    if (a->now && put_event(a, &e) < 0)
        drop(a, e.n ? e.text : "it is too large");
    else if (a->now && send_it(a, &e) < 0)
        failed(a, e.n ? e.text : "out of memory");
    plan(a);
}

// ---- for the node ------------------------------------------------------------------------------

static bool wanted(const struct config *c, enum node_alert_on on)
{
    static const struct {
        enum node_alert_on on;
        const char *word;
    } words[] = {{NODE_ALERT_SECURITY, "security"},
                 {NODE_ALERT_NODE, "node"},
                 {NODE_ALERT_MODEL, "model"},
                 {NODE_ALERT_CERTIFICATE, "certificate"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (const char *const *w = c->alert_on; words[i].on == on && w && *w; w++)
            if (strcmp(*w, words[i].word) == 0)
                return true;
    return false;
}

void node_alert(struct node *n, enum node_alert_on on, const char *type, const char *severity,
                const char *subject, const char *fmt, ...)
{
    struct node_alerts *a = n->alerts;
    struct node_alert x = {.type = type, .severity = severity};
    if (!a || a->closed || !n->config->alert_webhook || !wanted(n->config, on))
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(x.text, sizeof(x.text), fmt, ap);
    va_end(ap);
    (void)snprintf(x.subject, sizeof(x.subject), "%s", subject);
    bool utf8 = bytes_is_utf8(bytes_of(x.text)); // an engine's last lines may hold anything
    for (char *at = x.text; *at; at++)
        if ((unsigned char)*at < ' ' && *at != '\n')
            *at = ' ';
        else if ((unsigned char)*at > '~' && !utf8)
            *at = '?';
    node_alert_put(&a->queue, &x, now_of(a), time_wall_ms());
    plan(a);
}

int node_alerts_open(struct node *n, struct err *e)
{
    struct node_alerts *a = mem_new(struct node_alerts);
    if (!a)
        return err_set(e, E_NOMEM, "out of memory");
    a->node = n;
    node_alert_queue_init(&a->queue);
    buf_init(&a->body, BODY_BYTES_MAX);
    buf_init(&a->headers, 1024);
    buf_init(&a->target, 4096);
    a->timer = (struct timer){.fn = on_timer, .user = a};
    n->alerts = a;
    return 0;
}

void node_alerts_config(struct node *n)
{
    struct node_alerts *a = n->alerts;
    const char *said = n->config->alert_webhook;
    if (a->closed)
        return;
    if (a->pool && (!said || strcmp(said, a->url) != 0)) {
        a->other = a->call != NULL;
        http_pool_free(a->pool); // ends the call, later
        a->pool = NULL;
    }
    a->failures = 0; // what was wrong may be mended: try now
    a->pause_ms = a->retry_ms = 0;
    plan(a);
}

void node_alerts_close(struct node *n)
{
    struct node_alerts *a = n->alerts;
    if (!a || a->closed)
        return;
    a->closed = true;
    timer_stop(loop_timers(n->loop), &a->timer);
    http_pool_free(a->pool);
    a->pool = NULL;
    if (a->queue.count)
        log_event(LOG_WARN, "alert.lost", LOG_STR("why", "the node ends before they were told"),
                  LOG_UINT("alerts", a->queue.count));
}

void node_alerts_free(struct node *n)
{
    struct node_alerts *a = n->alerts;
    if (!a)
        return;
    node_alert_queue_fini(&a->queue);
    net_tls_free(a->tls);
    buf_fini(&a->body);
    buf_fini(&a->headers);
    buf_fini(&a->target);
    mem_free(a);
    n->alerts = NULL;
}

void node_alerts_meter(struct node *n)
{
    struct meter_node *row = meter_node(n->meter);
    row->alerts_dropped = n->alerts ? n->alerts->queue.dropped : 0;
    row->alerts_waiting = n->alerts ? n->alerts->queue.count : 0;
}

void node_alerts_doctor(const struct node *n, struct host_webhook *ret)
{
    const struct node_alerts *a = n->alerts;
    *ret = (struct host_webhook){.configured = n->config->alert_webhook != NULL,
                                 .failures = a->failures,
                                 .waiting = (uint32_t)a->queue.count,
                                 .failing_s =
                                     a->failures ? (now_of(a) - a->failing_since_ms) / 1000 : 0,
                                 .dropped = a->queue.dropped};
    (void)snprintf(ret->why, sizeof(ret->why), "%.*s", (int)sizeof(ret->why) - 1, a->why);
}
