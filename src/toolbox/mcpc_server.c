// mcpc_server.c: the life of one MCP server: started, ready, fallen, started again after a pause.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define PROBE_MS 5000 // server/discover without an answer: it knows only the handshake
#define GOOD_MS 60000 // ready for so long: the next pause is the first again
#define BACKOFF_DOUBLINGS 6
#define LOG_TEXT_MAX 1024
#define RELIST_MS 200

static struct timers *timers(const struct mcpc_srv *s)
{
    return s->m->args.timers;
}

void mcpc_event(struct mcpc_srv *s, enum mcpc_event ev, struct bytes text)
{
    if (s->m->args.event)
        s->m->args.event(s->m->args.user, s->conf.name, ev, text);
}

// ---- what the session says ---------------------------------------------------------------------

static void send_out(void *user, const struct val *message, struct mcp_request *r)
{
    struct mcpc_srv *s = user;
    if (!s->falling)
        s->way->send(s, message, r);
}

// "name version", as it says of itself.
static void name_it(struct mcpc_srv *s)
{
    const struct val *info = mcp_client_said(s->client, "serverInfo");
    buf_clear(&s->server);
    (void)mcpc_show(&s->server, bytes_first(val_bytes(val_get_cstr(info, "name")), 80));
    (void)buf_chr(&s->server, ' ');
    (void)mcpc_show(&s->server, bytes_first(val_bytes(val_get_cstr(info, "version")), 40));
}

static bool offers(const struct mcpc_srv *s, const char *what)
{
    return val_is(val_get_cstr(mcp_client_said(s->client, "capabilities"), what), JSON_OBJ);
}

static void is_ready(void *user)
{
    struct mcpc_srv *s = user;
    timer_stop(timers(s), &s->probe);
    name_it(s);
    s->dirty = (offers(s, "tools") ? 1U : 0) | (offers(s, "prompts") ? 2U : 0) |
               (offers(s, "resources") ? 12U : 0);
    if (s->dirty)
        mcpc_fetch(s);
    else
        mcpc_ready(s);
}

static void failed(void *user, int status, const struct err *e)
{
    mcpc_fall_err(user, status, e);
}

static void on_log(struct mcpc_srv *s, const struct val *params)
{
    const struct val *data = val_get_cstr(params, "data");
    struct buf raw, shown;
    buf_init(&raw, 4 * LOG_TEXT_MAX);
    buf_init(&shown, LOG_TEXT_MAX);
    if (val_is(data, JSON_STR))
        (void)buf_put(&raw, bytes_first(val_bytes(data), LOG_TEXT_MAX));
    else
        (void)val_write(&raw, data);
    (void)mcpc_show(&shown, bytes_first(buf_bytes(&raw), LOG_TEXT_MAX));
    mcpc_event(s, MCPC_LOG, buf_bytes(&shown));
    buf_fini(&raw);
    buf_fini(&shown);
}

static void on_note(void *user, struct bytes method, const struct val *params)
{
    struct mcpc_srv *s = user;
    if (bytes_is(method, "notifications/tools/list_changed"))
        mcpc_relist(s, 1, RELIST_MS);
    else if (bytes_is(method, "notifications/prompts/list_changed"))
        mcpc_relist(s, 2, RELIST_MS);
    else if (bytes_is(method, "notifications/resources/list_changed"))
        mcpc_relist(s, 12, RELIST_MS);
    else if (bytes_is(method, "notifications/resources/updated"))
        mcpc_event(s, MCPC_UPDATED, bytes_first(val_bytes(val_get_cstr(params, "uri")), 2048));
    else if (bytes_is(method, "notifications/message"))
        on_log(s, params);
}

static void no_probe(struct timer *t)
{
    struct mcpc_srv *s = t->user;
    struct err e = {0};
    if (!s->client || s->falling || mcp_client_state(s->client) != MCP_CLIENT_PROBES)
        return;
    (void)err_set(&e, E_TIMEOUT, "no answer to server/discover");
    // The one that is out is the handshake's.
    for (int64_t id = 1; id < 8; id++) {
        struct mcp_request *r = mcp_client_find(s->client, id);
        if (r && mcp_client_is_hello(s->client, r)) {
            mcp_client_lost(s->client, r, E_TIMEOUT, &e, true);
            return;
        }
    }
}

int mcpc_begin(struct mcpc_srv *s, bool one_channel, struct err *e)
{
    const char *version = s->m->args.client_version;
    struct mcp_client_args args = {.info = {.name = "plexus",
                                            .title = "plexus",
                                            .version = version ? version : PLEXUS_VERSION},
                                   .first = s->conf.revision >= 0 ? (enum mcp_rev)s->conf.revision
                                                                  : MCP_REV_MODERN,
                                   .fixed = s->conf.revision >= 0,
                                   .one_channel = one_channel,
                                   .capabilities = s->capabilities,
                                   .send = send_out,
                                   .ready = is_ready,
                                   .failed = failed,
                                   .note = on_note,
                                   .ask = mcpc_asked,
                                   .ask_gone = mcpc_ask_gone,
                                   .user = s};
    int rc = mcp_client_new(&s->client, &args, e);
    if (rc < 0)
        return rc;
    if (one_channel) {
        int64_t third = s->conf.start_ms / 3;
        s->probe.fn = no_probe;
        s->probe.user = s;
        (void)timer_start(timers(s), &s->probe, third < PROBE_MS ? third : PROBE_MS);
    }
    mcp_client_start(s->client);
    return 0;
}

// ---- what comes --------------------------------------------------------------------------------

static bool window(struct mcpc_srv *s, size_t bytes, size_t notes)
{
    int64_t now = mcpc_now(s->m);
    if (now - s->window_at >= 1000) {
        s->window_at = now;
        s->window_bytes = s->window_notes = 0;
    }
    s->window_bytes += bytes;
    s->window_notes += notes;
    if (s->window_bytes > MCPC_BYTES_PER_S)
        mcpc_fall(s, E_RATE, "it floods: over %zu MiB in a second", MCPC_BYTES_PER_S >> 20);
    else if (s->window_notes > MCPC_NOTES_PER_S)
        mcpc_fall(s, E_RATE, "it floods: over %d messages in a second", MCPC_NOTES_PER_S);
    return !s->falling;
}

bool mcpc_heard(struct mcpc_srv *s, size_t bytes)
{
    s->bytes_in += bytes;
    return window(s, bytes, 0);
}

void mcpc_message(struct mcpc_srv *s, struct bytes text, struct mcp_request *of)
{
    AUTO(val) v = NULL;
    struct err e = {0};
    int rc = val_parse(&v, text, &e);
    if (rc == 0 && val_get_cstr(v, "method") && !window(s, 0, 1))
        return;
    if (rc == 0)
        rc = mcp_client_take(s->client, v, of, &e);
    if (rc == 0)
        s->garbage = 0;
    else if (++s->garbage > MCPC_GARBAGE_MAX)
        mcpc_fall(s, E_UPSTREAM, "it sends what is no message of the protocol (%s)", e.text);
}

// ---- start and fall ----------------------------------------------------------------------------

static void too_late(struct timer *t)
{
    struct mcpc_srv *s = t->user;
    mcpc_fall(s, E_TIMEOUT, "it is not ready after %lld ms", (long long)s->conf.start_ms);
}

void mcpc_srv_start(struct mcpc_srv *s)
{
    struct err e = {0};
    s->state = MCPC_STARTING;
    s->timer.fn = too_late;
    s->timer.user = s;
    s->garbage = s->silent = 0;
    s->window_bytes = s->window_notes = 0;
    buf_clear(&s->words);
    (void)timer_start(timers(s), &s->timer, s->conf.start_ms);
    int rc = s->way->open(s, &e);
    if (rc < 0)
        mcpc_fall_err(s, rc, &e);
}

static void next_try(struct timer *t)
{
    mcpc_srv_start(t->user);
}

static void link_down(struct mcpc_srv *s)
{
    timer_stop(timers(s), &s->timer);
    timer_stop(timers(s), &s->probe);
    timer_stop(timers(s), &s->fresh);
    if (s->client)
        mcp_client_end(s->client, s->fall_status, &s->fall);
    s->way->close(s);
    mcp_client_free(s->client);
    s->client = NULL;
    s->listening = s->relists = false;
    mcpc_list_clear(s);
}

static void pause_of(struct mcpc_srv *s, bool was_ready)
{
    bool asked_for = s->fall_status == E_CANCELLED;
    if (was_ready && mcpc_now(s->m) - s->ready_at > GOOD_MS)
        s->fall_row = 0;
    unsigned doublings = s->fall_row < BACKOFF_DOUBLINGS ? s->fall_row : BACKOFF_DOUBLINGS;
    int64_t pause = asked_for ? 0 : s->m->args.backoff_ms << doublings;
    s->fall_row += !asked_for;
    s->fall_count += !asked_for;
    s->state = MCPC_WAITING;
    s->due_at = mcpc_now(s->m) + pause;
    s->timer.fn = next_try;
    (void)timer_start(timers(s), &s->timer, pause);
}

static void fell(struct timer *t)
{
    struct mcpc_srv *s = t->user;
    bool was_ready = s->state == MCPC_IS_READY;
    if (s->freed && s->call_count) { // their ends come first
        (void)timer_start(timers(s), &s->falls, 1);
        return;
    }
    link_down(s);
    s->falling = false;
    if (s->freed) {
        mcpc_srv_free(s);
        return;
    }
    if (s->m->stopping || s->state == MCPC_STOPPED) {
        s->state = MCPC_STOPPED;
        if (s->saying_bye)
            mcpc_gone(s);
        return;
    }
    if (s->state == MCPC_LOGS_IN) // mcpc_login says when it goes on
        return;
    if (!was_ready)
        mcpc_calls_end(s, true, E_UNAVAILABLE, &s->fall);
    pause_of(s, was_ready);
    mcpc_event(s, MCPC_DOWN, bytes_of(s->fall.text));
}

static void begin_fall(struct mcpc_srv *s)
{
    s->falling = true;
    s->falls.fn = fell;
    s->falls.user = s;
    (void)timer_start(timers(s), &s->falls, 0);
}

void mcpc_fall(struct mcpc_srv *s, int status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct err e = {0};
    (void)err_set(&e, status, "%s", text);
    mcpc_fall_err(s, status, &e);
}

void mcpc_fall_err(struct mcpc_srv *s, int status, const struct err *e)
{
    if (s->falling && !s->freed)
        return;
    struct buf shown;
    buf_init(&shown, ERR_TEXT_MAX - 1);
    (void)mcpc_show(&shown, bytes_of(e->text));
    s->fall_status = status;
    s->fall = (struct err){0};
    (void)err_set(&s->fall, status, "MCP server %s: %s", s->conf.name, buf_cstr(&shown));
    buf_fini(&shown);
    begin_fall(s);
}

void mcpc_srv_free(struct mcpc_srv *s)
{
    struct timer *const all[] = {&s->timer, &s->probe, &s->falls, &s->fresh};
    for (size_t i = 0; i < 4 && timers(s); i++)
        timer_stop(timers(s), all[i]);
    s->falling = true; // nothing goes out any more, and no fall begins
    s->freed = false;
    if (s->client)
        mcp_client_end(s->client, E_CANCELLED, &s->fall);
    s->way->close(s);
    mcp_client_free(s->client);
    s->client = NULL;
    mcpc_list_clear(s);
    mcpc_calls_free(s);
    mcpc_defs_free(s);
    mcpc_login_free(s);
    s->way->free(s);
    for (int i = 0; i < MCPC_LISTS; i++)
        val_unref(s->items[i]);
    val_unref(s->capabilities);
    buf_fini(&s->server);
    buf_fini(&s->words);
    buf_fini(&s->cursor);
    arena_free(s->memory);
    mem_free(s);
}
