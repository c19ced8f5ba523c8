// mcpc_list.c: the lists of an MCP server, page by page, and again when it says that they changed.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define LISTEN_AGAIN_MS 5000
#define RELIST_PAUSE_MS 1000 // the least between two readings
#define ITEMS_MAX 5000       // prompts, resources, templates, each

static const struct {
    const char *method, *member;
    size_t max;
} lists[MCPC_LISTS] = {{"tools/list", "tools", MCPC_TOOLS_MAX},
                       {"prompts/list", "prompts", ITEMS_MAX},
                       {"resources/list", "resources", ITEMS_MAX},
                       {"resources/templates/list", "resourceTemplates", ITEMS_MAX}};

static void page_done(struct mcp_request *r, int status, struct val *result, const struct err *e);

static void ask_page(struct mcpc_srv *s)
{
    struct val *params = NULL;
    struct err e = {0};
    if (s->cursor.n)
        params = val_put_cstr(val_obj(), "cursor", val_str(buf_bytes(&s->cursor)));
    s->list_req.done = page_done;
    s->list_req.user = s;
    s->pages++;
    int rc = mcp_client_request(s->client, &s->list_req, lists[s->listing].method, params, &e);
    if (rc < 0)
        mcpc_fall_err(s, rc, &e);
}

void mcpc_list_clear(struct mcpc_srv *s)
{
    val_unref(s->got);
    s->got = NULL;
    s->listing = -1;
    s->got_bytes = s->pages = 0;
    buf_clear(&s->cursor);
}

void mcpc_fetch(struct mcpc_srv *s)
{
    if (s->listing >= 0 || !s->client || s->falling)
        return;
    for (int i = 0; i < MCPC_LISTS; i++) {
        if (!(s->dirty & 1U << i))
            continue;
        s->dirty &= ~(1U << i);
        mcpc_list_clear(s);
        s->listing = i;
        s->got = val_arr();
        ask_page(s);
        return;
    }
    if (s->state == MCPC_STARTING)
        mcpc_ready(s);
}

static void list_end(struct mcpc_srv *s)
{
    int which = s->listing;
    bool first = s->state == MCPC_STARTING;
    int rc = 0;
    val_unref(s->items[which]);
    s->items[which] = steal(&s->got);
    if (which == 0)
        rc = mcpc_defs_take(s, s->items[0]);
    mcpc_list_clear(s);
    if (rc < 0) {
        mcpc_fall(s, rc, "out of memory");
        return;
    }
    if (!first)
        mcpc_event(s, MCPC_LIST, bytes_of(lists[which].member));
    mcpc_fetch(s);
}

static void page_take(struct mcpc_srv *s, const struct val *result)
{
    const struct val *items = val_get_cstr(result, lists[s->listing].member);
    size_t max = lists[s->listing].max;
    for (size_t i = 0; i < val_len(items); i++) {
        struct val *one = val_at(items, i);
        if (val_is(one, JSON_OBJ) && val_len(s->got) < max)
            s->got = val_push(s->got, val_ref(one));
        else if (s->listing == 0)
            s->left_out++;
    }
}

static void page_done(struct mcp_request *r, int status, struct val *result, const struct err *e)
{
    struct mcpc_srv *s = r->user;
    struct bytes next = val_bytes(val_get_cstr(result, "nextCursor"));
    bool tools = s->listing == 0;
    if (s->falling || s->listing < 0)
        return;
    if (status < 0 && tools) {
        mcpc_fall_err(s, status, e);
        return;
    }
    if (status < 0) { // says that it has them, and has not
        list_end(s);
        return;
    }
    if (tools && s->pages == 1)
        s->left_out = 0;
    page_take(s, result);
    s->got_bytes += val_size(result);
    bool more = next.n && !bytes_eq(next, buf_bytes(&s->cursor)) && next.n <= s->cursor.max &&
                s->pages < MCPC_LIST_PAGES_MAX && val_len(s->got) < lists[s->listing].max &&
                s->got_bytes < MCPC_LIST_BYTES_MAX;
    if (!s->got) {
        mcpc_fall(s, E_NOMEM, "out of memory");
    } else if (more) {
        buf_clear(&s->cursor);
        (void)buf_put(&s->cursor, next);
        ask_page(s);
    } else {
        s->left_out += tools && next.n;
        list_end(s);
    }
}

// ---- again -------------------------------------------------------------------------------------

static void list_again(struct timer *t)
{
    struct mcpc_srv *s = t->user;
    s->relists = false;
    if (s->listing < 0) {
        mcpc_fetch(s);
    } else if (mcpc_now(s->m) - s->listed_at > s->conf.start_ms) { // does the one before end?
        mcpc_fall(s, E_TIMEOUT, "%s has no answer", lists[s->listing].method);
    } else {
        s->relists = true;
        (void)timer_start(s->m->args.timers, t, RELIST_PAUSE_MS);
    }
}

void mcpc_relist(struct mcpc_srv *s, unsigned which, int64_t delay_ms)
{
    s->dirty |= which;
    if (s->state != MCPC_IS_READY || s->falling || s->relists)
        return;
    int64_t now = mcpc_now(s->m), next = s->listed_at + RELIST_PAUSE_MS;
    if (now + delay_ms < next)
        delay_ms = next - now;
    s->listed_at = now + delay_ms;
    s->relists = true;
    s->fresh.fn = list_again;
    s->fresh.user = s;
    (void)timer_start(s->m->args.timers, &s->fresh, delay_ms);
}

// ---- subscriptions/listen (2026-07-28) ---------------------------------------------------------

static void listen_again(struct timer *t)
{
    mcpc_listen(t->user);
}

static void listen_done(struct mcp_request *r, int status, struct val *result, const struct err *e)
{
    struct mcpc_srv *s = r->user;
    (void)result;
    (void)e;
    s->listening = false;
    // It may end it in good order at any time; an error means that it cannot.
    if (s->state == MCPC_IS_READY && !s->falling && (status == 0 || status == E_CLOSED)) {
        s->probe.fn = listen_again;
        s->probe.user = s;
        (void)timer_start(s->m->args.timers, &s->probe, LISTEN_AGAIN_MS);
    }
}

static struct val *filter(const struct mcpc_srv *s)
{
    static const char *const of[][2] = {{"tools", "toolsListChanged"},
                                        {"prompts", "promptsListChanged"},
                                        {"resources", "resourcesListChanged"}};
    const struct val *can = mcp_client_said(s->client, "capabilities");
    struct val *f = val_obj();
    for (size_t i = 0; i < 3; i++)
        if (val_bool_of(val_get_cstr(val_get_cstr(can, of[i][0]), "listChanged"), false))
            f = val_put_cstr(f, of[i][1], val_bool(true));
    return f;
}

void mcpc_listen(struct mcpc_srv *s)
{
    if (!s->client || s->falling || s->listening || !mcp_client_modern(s->client))
        return;
    struct val *f = filter(s);
    if (!val_len(f)) {
        val_unref(f);
        return;
    }
    s->listen.done = listen_done;
    s->listen.user = s;
    s->listening = true;
    if (mcp_client_request(s->client, &s->listen, "subscriptions/listen",
                           val_put_cstr(val_obj(), "notifications", f), NULL) < 0)
        s->listening = false;
}

void mcpc_ready(struct mcpc_srv *s)
{
    char text[500];
    s->state = MCPC_IS_READY;
    s->ready_at = s->listed_at = mcpc_now(s->m);
    s->fall = (struct err){0};
    timer_stop(s->m->args.timers, &s->timer);
    (void)snprintf(text, sizeof text, "%s, revision %s", buf_cstr(&s->server),
                   mcp_rev_text(mcp_client_rev(s->client)));
    mcpc_event(s, MCPC_READY, bytes_of(text));
    mcpc_listen(s);
    mcpc_calls_send(s);
}
