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
    m->time_ms = bus_event_time(c->time);
}

// Days since 1970 of a date (Hinnant, "chrono-compatible low-level date algorithms").
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int64_t bus_event_time(struct bytes text)
{
    char s[48];
    int y, mo, d, h, mi, sec, at = 0;
    if (text.n >= sizeof s || text.n < 20)
        return 0;
    memcpy(s, text.p, text.n);
    s[text.n] = 0;
    if (sscanf(s, "%4d-%2d-%2d%*1[Tt]%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &sec, &at) != 6 || !at)
        return 0;
    int64_t ms = 0, scale = 100;
    const char *p = s + at;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
            ms += (*p - '0') * scale;
    int oh = 0, om = 0;
    if (*p == '+' || *p == '-')
        if (sscanf(p + 1, "%2d:%2d", &oh, &om) != 2)
            return 0;
    int64_t offset = (oh * 60 + om) * (*p == '-' ? -1 : 1);
    return ((days_of(y, mo, d) * 24 + h) * 60 + mi - offset) * 60000 + sec * 1000 + ms;
}
