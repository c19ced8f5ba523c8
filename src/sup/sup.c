// sup.c: one supervised engine as a state machine.
// SPDX-License-Identifier: Apache-2.0
#include "sup/sup.h"
#include "base/time.h"
#include "text/units.h"
#include <signal.h>
#include <string.h>

#define PROBE_FIRST_MS 2    // an engine that is ready in 10 ms should not be kept waiting for 100
#define PROBE_LONGEST_MS 100
#define MEASURE_FIRST_MS 1000
#define MEASURE_EVERY_MS 10000
#define WHY_LINES 8         // of the log, beside the telling one

static int64_t after(int64_t now_ms, int64_t ms)
{
    return ms >= TIME_NEVER - now_ms ? TIME_NEVER : now_ms + ms;
}

void sup_init(struct sup *s)
{
    memset(s, 0, sizeof *s);
    s->probe_at_ms = s->deadline_ms = s->measure_at_ms = TIME_NEVER;
}

unsigned sup_start(struct sup *s, int64_t load_timeout_ms, int64_t kill_after_ms, int64_t now_ms)
{
    if (s->state != SUP_OFF)
        return SUP_NOTHING;
    sup_init(s);
    s->state = SUP_SPAWNING;
    s->began_ms = now_ms;
    s->load_timeout_ms = load_timeout_ms;
    s->kill_after_ms = kill_after_ms;
    s->deadline_ms = after(now_ms, load_timeout_ms);
    return SUP_SPAWN;
}

unsigned sup_spawned(struct sup *s, int64_t now_ms)
{
    if (s->state != SUP_SPAWNING)
        return SUP_NOTHING;
    s->state = SUP_PROBING;
    s->probe_pause_ms = PROBE_FIRST_MS;
    s->probe_at_ms = now_ms + PROBE_FIRST_MS;
    return SUP_NOTHING;
}

static unsigned off(struct sup *s, const struct proc_exit *exit)
{
    s->state = SUP_OFF;
    s->probe_at_ms = s->deadline_ms = s->measure_at_ms = TIME_NEVER;
    s->exit = *exit;
    s->has_exit = true;
    return SUP_DOWN;
}

unsigned sup_spawn_failed(struct sup *s, const struct err *e, int64_t now_ms)
{
    struct proc_exit exit = {.code = -1, .not_started = true};
    (void)now_ms;
    if (s->state != SUP_SPAWNING)
        return SUP_NOTHING;
    struct bytes text = bytes_first((struct bytes){e->text, e->n}, sizeof exit.text - 1);
    memcpy(exit.text, text.p, text.n);
    return off(s, &exit);
}

void sup_line(struct sup *s, struct bytes line)
{
    char *to = s->line[s->lines++ % SUP_LINES];
    line = bytes_first(bytes_trim(line), SUP_LINE_BYTES - 1);
    if (line.n > 0)
        memcpy(to, line.p, line.n);
    to[line.n] = '\0';
}

unsigned sup_probe(struct sup *s, bool ok, int64_t now_ms)
{
    if (s->state != SUP_PROBING)
        return SUP_NOTHING;
    if (ok) {
        s->state = SUP_READY;
        s->probe_at_ms = s->deadline_ms = TIME_NEVER;
        s->measure_at_ms = now_ms + MEASURE_FIRST_MS;
        return SUP_UP;
    }
    s->probe_pause_ms *= 2;
    if (s->probe_pause_ms > PROBE_LONGEST_MS)
        s->probe_pause_ms = PROBE_LONGEST_MS;
    s->probe_at_ms = now_ms + s->probe_pause_ms;
    return SUP_NOTHING;
}

static unsigned stop(struct sup *s, int64_t now_ms)
{
    s->state = SUP_STOPPING;
    s->probe_at_ms = s->measure_at_ms = TIME_NEVER;
    s->deadline_ms = after(now_ms, s->kill_after_ms);
    return SUP_TERM;
}

unsigned sup_stop(struct sup *s, int64_t now_ms)
{
    if (s->state == SUP_OFF || s->asked_to_stop)
        return SUP_NOTHING;
    s->asked_to_stop = true;
    // One that is being stopped because it never got ready keeps its deadline.
    return s->state == SUP_STOPPING ? SUP_NOTHING : stop(s, now_ms);
}

unsigned sup_exit(struct sup *s, const struct proc_exit *exit, int64_t now_ms)
{
    (void)now_ms;
    return s->state == SUP_OFF ? SUP_NOTHING : off(s, exit);
}

unsigned sup_tick(struct sup *s, int64_t now_ms)
{
    switch (s->state) {
    case SUP_OFF: return SUP_NOTHING;
    case SUP_SPAWNING:
    case SUP_PROBING:
        if (now_ms >= s->deadline_ms) {
            s->timed_out = true;
            return stop(s, now_ms);
        }
        if (now_ms < s->probe_at_ms)
            return SUP_NOTHING;
        s->probe_at_ms = TIME_NEVER; // until this one's result
        s->probes++;
        return SUP_PROBE;
    case SUP_READY:
        if (now_ms < s->measure_at_ms)
            return SUP_NOTHING;
        s->measure_at_ms = now_ms + MEASURE_EVERY_MS;
        return SUP_MEASURE;
    case SUP_STOPPING:
        if (now_ms < s->deadline_ms)
            return SUP_NOTHING;
        s->deadline_ms = TIME_NEVER;
        return SUP_KILL;
    }
    return SUP_NOTHING;
}

int64_t sup_next_ms(const struct sup *s)
{
    int64_t next = s->deadline_ms;
    if (s->probe_at_ms < next)
        next = s->probe_at_ms;
    return s->measure_at_ms < next ? s->measure_at_ms : next;
}

// ---- why it went ----

static void put_reason(const struct sup *s, struct buf *out)
{
    const struct proc_exit *x = &s->exit;
    (void)buf_str(out, s->what != NULL ? s->what : "the engine");
    if (s->timed_out) {
        (void)buf_str(out, " was not ready after ");
        units_put_duration(out, s->load_timeout_ms);
    } else if (x->not_started) {
        (void)buf_fmt(out, " could not be started: %s", x->text);
    } else if (x->over_memory) {
        (void)buf_str(out, " went over its memory limit");
    } else if (x->signal == SIGILL) {
        (void)buf_str(out, " was ended by signal 4: it uses instructions that this processor "
                           "lacks (see `plexus doctor`)");
    } else if (x->signal != 0) {
        (void)buf_fmt(out, " was ended by signal %d (%s)", x->signal, strsignal(x->signal));
    } else {
        (void)buf_fmt(out, " exited with code %d", x->code);
    }
}

void sup_why(const struct sup *s, int (*blame)(const struct bytes *lines, int count),
             struct buf *out)
{
    struct bytes lines[SUP_LINES];
    int count = s->lines < SUP_LINES ? (int)s->lines : SUP_LINES;
    for (int i = 0; i < count; i++)
        lines[i] = bytes_of(s->line[(s->lines - (uint32_t)(count - i)) % SUP_LINES]);
    put_reason(s, out);
    int telling = blame != NULL && count > 0 ? blame(lines, count) : -1;
    if (telling >= 0 && telling < count) {
        (void)buf_str(out, ": ");
        (void)buf_put(out, lines[telling]);
    }
    int from = count > WHY_LINES ? count - WHY_LINES : 0;
    for (int i = from; i < count; i++) {
        if (i == telling || lines[i].n == 0)
            continue;
        (void)buf_str(out, "\n  ");
        (void)buf_put(out, lines[i]);
    }
}
