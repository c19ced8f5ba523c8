// bus_event.c: messages as CloudEvents. The label travels as the extension "label", the address of
// an answer as "replyto" where the server has no place for it.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_event.h"
#include "base/time.h"
#include <stdio.h>
#include <string.h>

static bool is_text(struct bytes content)
{
    return bytes_starts(content, BYTES("text/"));
}

static bool is_json(struct bytes content)
{
    return bytes_is(content, "application/json");
}

void bus_event_of(struct bus_core *c, const struct bus_msg *m, struct bus_event *ret)
{
    struct cloudevent *v = &ret->event;
    *v = (struct cloudevent){.has_version = true};
    time_text(m->time_ms ? m->time_ms : time_wall_ms(), ret->time);
    v->time = bytes_of(ret->time);
    v->id = m->id;
    if (!m->id.n) {
        int n = snprintf(ret->id, sizeof ret->id, "%s%llu", c->made,
                         (unsigned long long)++c->made_next);
        v->id = (struct bytes){ret->id, (size_t)n};
    }
    v->source = m->source.n ? m->source : c->source;
    v->type = m->type.n ? m->type : BYTES(BUS_TYPE);
    v->content = m->content.n ? m->content : BYTES(BUS_CONTENT);
    v->subject = m->about;
    if (m->label.n)
        (void)cloudevent_add(v, "label", m->label);
    v->data = m->data;
    v->kind = is_json(v->content)                             ? CLOUDEVENT_VALUE
              : is_text(v->content) && bytes_is_utf8(m->data) ? CLOUDEVENT_TEXT
                                                              : CLOUDEVENT_BYTES;
}

void bus_event_msg(const struct cloudevent *c, struct bus_msg *m)
{
    m->id = c->id;
    m->source = c->source;
    m->type = c->type.n ? c->type : BYTES(BUS_TYPE);
    m->content = c->content.n ? c->content : BYTES(BUS_CONTENT);
    m->about = c->subject;
    m->label = cloudevent_find(c, "label");
    m->time_ms = cloudevent_time(c->time);
}
