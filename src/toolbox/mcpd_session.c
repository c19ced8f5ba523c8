// mcpd_session.c: sessions of the revisions that begin with a handshake: who made one owns it; the
// longest unused goes when there are too many. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"
#include <string.h>

bool mcpd_session_busy(const struct mcpd_session *s)
{
    if (s->calls)
        return true;
    list_each (it, &s->outs) {
        if (container_of(it, struct mcpd_out, link)->x)
            return true;
    }
    return false;
}

// Makes room: the longest unused of this caller when it has too many, else of all.
static bool evict(struct mcpd *m, const struct mcpd_who *who, bool own)
{
    list_each_safe (it, &m->sessions) {
        struct mcpd_session *s = container_of(it, struct mcpd_session, link);
        if (mcpd_session_busy(s) || (own && strcmp(s->who.name, who->name) != 0))
            continue;
        mcpd_session_end(s);
        return true;
    }
    return false;
}

int mcpd_session_new(struct mcpd *m, const struct mcpd_who *who, enum mcp_rev rev,
                     struct val *capabilities, struct mcpd_session **ret)
{
    size_t own = 0;
    list_each (it, &m->sessions)
        own += strcmp(container_of(it, struct mcpd_session, link)->who.name, who->name) == 0;
    if (own >= m->lim.sessions_each_max && !evict(m, who, true))
        return E_RATE;
    if (m->session_count >= m->lim.sessions_max && !evict(m, who, false))
        return E_FULL;
    struct mcpd_session *s = mem_new(struct mcpd_session);
    if (!s)
        return E_NOMEM;
    rng_id(s->id);
    s->m = m;
    s->who = *who;
    s->rev = rev;
    s->level = MCP_INFO;
    s->capabilities = val_ref(capabilities);
    s->used_ms = timers_now_ms(m->args.timers);
    list_init(&s->outs);
    list_init(&s->asks);
    list_init(&s->link);
    int rc = map_put(m->by_id, bytes_of(s->id), s, NULL);
    s->own = rc == 0 ? mcpd_out_new(m, s, NULL, OUT_SESSION) : NULL;
    if (!s->own) {
        (void)map_del(m->by_id, bytes_of(s->id));
        val_unref(s->capabilities);
        mem_free(s);
        return rc < 0 ? rc : E_NOMEM;
    }
    list_add_tail(&m->sessions, &s->link);
    m->session_count++;
    mcpd_wake(m);
    *ret = s;
    return 0;
}

void mcpd_session_end(struct mcpd_session *s)
{
    struct mcpd *m = s->m;
    (void)map_del(m->by_id, bytes_of(s->id));
    list_del(&s->link);
    m->session_count--;
    list_each_safe (it, &m->calls) {
        struct mcpd_call *c = container_of(it, struct mcpd_call, all);
        if (c->s != s)
            continue;
        c->s = NULL; // tasks go on: their owner may come back in another session
        s->calls--;
        if (!c->task)
            mcpd_call_cancel(c, true);
    }
    while (!list_empty(&s->asks))
        mcpd_asking_orphan(container_of(s->asks.next, struct mcpd_asking, session_link));
    while (!list_empty(&s->outs))
        mcpd_out_free(container_of(s->outs.next, struct mcpd_out, link));
    map_free(s->uris);
    val_unref(s->capabilities);
    mem_free(s);
}

struct mcpd_session *mcpd_session_find(struct mcpd *m, struct bytes id, const struct mcpd_who *who)
{
    struct mcpd_session *s = id.n ? map_get(m->by_id, id) : NULL;
    if (!s || strcmp(s->who.name, who->name) != 0) // another's: as if it were not there
        return NULL;
    s->used_ms = timers_now_ms(m->args.timers);
    list_del(&s->link);
    list_add_tail(&m->sessions, &s->link);
    return s;
}

void mcpd_session_tick(struct mcpd *m, int64_t now_ms)
{
    list_each_safe (it, &m->sessions) {
        struct mcpd_session *s = container_of(it, struct mcpd_session, link);
        mcpd_asks_tick(s, now_ms);
        list_each_safe (jt, &s->outs)
            (void)mcpd_out_tick(container_of(jt, struct mcpd_out, link), now_ms);
        if (now_ms - s->used_ms >= m->lim.session_idle_ms && !mcpd_session_busy(s))
            mcpd_session_end(s);
    }
}
