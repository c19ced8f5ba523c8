// models_test.c: the life of models, told as scripts in virtual time; and a random walk that
// checks what must always hold.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "base/time.h"
#include "models/models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define TICKETS 64
#define GIB ((uint64_t)1 << 30)

// ---- a small language: one event a row, and what came of it ----
// Events: "want M T", "done T", "cancel T", "up M", "down M WHY", "failed M WHY", "mem M MIB",
// "load M", "unload M", "pin M", "unpin M", "put M key=value ...", "remove M", "stopping", "budget
// MIB", "phase M TEXT", "tick" (nothing but the clock), "view M FIELD", "next", "used", "idle",
// "queue N". Effects: start M, stop M, close M, gone M, grant T, refuse T CODE; an event that
// returns an error says so first; views give their value.

struct row {
    int64_t at;
    const char *event, *want;
};

struct world {
    struct models *m;
    struct model_ticket tickets[TICKETS];
    int64_t now;
    char out[2048];
    size_t n;
    struct err last;
};

static void say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->n > 0)
        w->n += (size_t)snprintf(w->out + w->n, sizeof w->out - w->n, ", ");
    va_start(ap, fmt);
    w->n += (size_t)vsnprintf(w->out + w->n, sizeof w->out - w->n, fmt, ap);
    va_end(ap);
    assert_true(w->n < sizeof w->out);
}

static void tell(struct world *w, int rc, const struct err *e)
{
    if (rc < 0) {
        say(w, "%s", err_info(rc)->symbol);
        w->last = *e;
    }
}

static const char *name_of(const struct world *w, const struct model *x)
{
    struct model_view v;
    model_view(w->m, x, w->now, &v);
    return v.name;
}

static void drain(struct world *w)
{
    struct model_effect f;
    while (models_effect(w->m, &f)) {
        long t = f.ticket != NULL ? (long)(f.ticket - w->tickets) : -1;
        switch (f.kind) {
        case MODEL_START: say(w, "start %s", name_of(w, f.model)); break;
        case MODEL_STOP: say(w, "stop %s", name_of(w, f.model)); break;
        case MODEL_GRANT: say(w, "grant %ld", t); break;
        case MODEL_REFUSE:
            say(w, "refuse %ld %s", t, err_info(f.err.code)->symbol);
            w->last = f.err;
            break;
        case MODEL_CHANGED: break;
        case MODEL_CLOSE_STREAMS: say(w, "close %s", name_of(w, f.model)); break;
        case MODEL_GONE: say(w, "gone %s", name_of(w, f.model)); break;
        }
    }
}

static void view(struct world *w, const struct model *x, const char *field)
{
    struct model_view v;
    model_view(w->m, x, w->now, &v);
    if (strcmp(field, "state") == 0)
        say(w, "%s", model_state_name(v.state));
    else if (strcmp(field, "phase") == 0)
        say(w, "%s", v.phase);
    else if (strcmp(field, "failure") == 0)
        say(w, "%s", v.failure);
    else if (strcmp(field, "eta") == 0)
        say(w, "%lld", (long long)v.eta_ms);
    else if (strcmp(field, "left") == 0)
        say(w, "%lld", v.idle_left_ms == TIME_NEVER ? -1 : (long long)v.idle_left_ms);
    else if (strcmp(field, "mib") == 0)
        say(w, "%llu%s", (unsigned long long)(v.memory_bytes >> 20), v.memory_measured ? "m" : "");
    else if (strcmp(field, "counts") == 0)
        say(w, "%llu/%llu/%llu/%u", (unsigned long long)v.loads, (unsigned long long)v.evictions,
            (unsigned long long)v.deaths, v.restarts);
    else if (strcmp(field, "busy") == 0)
        say(w, "%u+%u", v.active, v.waiting);
    else
        fail_msg("no field %s", field);
}

static void put(struct world *w, const char *name, const char *words)
{
    struct model_spec s = {
        .name = name, .kind = "chat", .engine = "fake", .idle_ms = TIME_NEVER, .queue_max = 256};
    const char *aliases[2] = {NULL, NULL};
    char alias[32];
    struct err e = {0};
    for (char word[64]; sscanf(words, " %63s", word) == 1;
         words = strstr(words, word) + strlen(word)) {
        long v = strchr(word, '=') ? strtol(strchr(word, '=') + 1, NULL, 10) : 1;
        if (strncmp(word, "mib=", 4) == 0)
            s.memory_bytes = (uint64_t)v << 20;
        else if (strncmp(word, "idle=", 5) == 0)
            s.idle_ms = v;
        else if (strncmp(word, "slots=", 6) == 0)
            s.slots = (uint32_t)v;
        else if (strncmp(word, "queue=", 6) == 0)
            s.queue_max = (uint32_t)v;
        else if (strncmp(word, "gen=", 4) == 0)
            s.generation = (uint64_t)v;
        else if (strncmp(word, "drain=", 6) == 0)
            s.drain_ms = v;
        else if (strncmp(word, "tries=", 6) == 0)
            s.restarts_max = (uint32_t)v;
        else if (strcmp(word, "pinned") == 0)
            s.pinned = true;
        else if (strcmp(word, "preload") == 0)
            s.preload = true;
        else if (strcmp(word, "remote") == 0)
            s.remote = true;
        else if (sscanf(word, "alias=%31s", alias) == 1)
            aliases[0] = alias;
        else
            fail_msg("no key %s", word);
    }
    if (aliases[0] != NULL)
        s.aliases = aliases;
    tell(w, models_put(w->m, &s, w->now, &e), &e);
}

// Events that speak of a model; false: no such word.
static bool model_event(struct world *w, const char *word, const char *name, const char *rest)
{
    struct model *x = models_find(w->m, bytes_of(name));
    struct err e = {0};
    int64_t now = w->now;
    if (strcmp(word, "put") == 0) {
        put(w, name, rest);
        return true;
    }
    if (x == NULL) // one that is on its way out can still hear from its engine
        fail_msg("no model %s", name);
    if (strcmp(word, "want") == 0) {
        int rc = models_want(w->m, x, &w->tickets[atoi(rest)], now, &e);
        say(w, "%s", rc == 0 ? "at once" : rc > 0 ? "waits" : err_info(rc)->symbol);
        w->last = rc < 0 ? e : w->last;
    } else if (strcmp(word, "up") == 0)
        models_up(w->m, x, now);
    else if (strcmp(word, "down") == 0)
        models_down(w->m, x, bytes_of(rest), now);
    else if (strcmp(word, "failed") == 0)
        models_failed(w->m, x, bytes_of(rest), now);
    else if (strcmp(word, "requeue") == 0)
        models_requeue(w->m, x, now);
    else if (strcmp(word, "mem") == 0)
        models_memory(w->m, x, (uint64_t)atoi(rest) << 20, now);
    else if (strcmp(word, "load") == 0)
        tell(w, models_load(w->m, x, now, &e), &e);
    else if (strcmp(word, "unload") == 0)
        tell(w, models_unload(w->m, x, now, &e), &e);
    else if (strcmp(word, "pin") == 0 || strcmp(word, "unpin") == 0)
        models_pin(w->m, x, word[0] == 'p', now);
    else if (strcmp(word, "remove") == 0)
        models_remove(w->m, x, now);
    else if (strcmp(word, "phase") == 0)
        models_phase(w->m, x, rest, 0.5, now);
    else if (strcmp(word, "view") == 0)
        view(w, x, rest);
    else
        return false;
    return true;
}

static void event(struct world *w, const char *text)
{
    char word[16] = "", name[16] = "", rest[128] = "";
    (void)sscanf(text, "%15s %15s %127[^\n]", word, name, rest);
    if (strcmp(word, "done") == 0)
        models_done(w->m, &w->tickets[atoi(name)], w->now);
    else if (strcmp(word, "cancel") == 0)
        models_cancel(w->m, &w->tickets[atoi(name)], w->now);
    else if (strcmp(word, "stopping") == 0)
        models_stopping(w->m, w->now);
    else if (strcmp(word, "budget") == 0)
        models_limits(w->m, &(struct models_args){.memory_bytes = (uint64_t)atoi(name) << 20},
                      w->now);
    else if (strcmp(word, "queue") == 0)
        models_limits(w->m,
                      &(struct models_args){.memory_bytes = models_memory_budget(w->m),
                                            .queue_max = (uint32_t)atoi(name)},
                      w->now);
    else if (strcmp(word, "used") == 0)
        say(w, "%llu", (unsigned long long)(models_memory_used(w->m) >> 20));
    else if (strcmp(word, "idle") == 0)
        say(w, "%d", models_idle(w->m));
    else if (strcmp(word, "next") == 0)
        say(w, "%lld", models_next_ms(w->m) == TIME_NEVER ? -1 : (long long)models_next_ms(w->m));
    else if (strcmp(word, "text") == 0)
        say(w, "%s", w->last.text);
    else if (strcmp(word, "tick") != 0 && !model_event(w, word, name, rest))
        fail_msg("no event %s", text);
}

// Lets the clock run as a driver would: to each due time in turn, never twice to the same.
static void until(struct world *w, int64_t at)
{
    for (int64_t next; (next = models_next_ms(w->m)) <= at;) {
        if (next > w->now)
            w->now = next;
        models_tick(w->m, w->now);
        drain(w);
        if (models_next_ms(w->m) <= w->now)
            fail_msg("after a tick at %lld the next is %lld", (long long)w->now,
                     (long long)models_next_ms(w->m));
    }
    w->now = at;
}

static void play(const char *what, uint64_t budget_mib, const struct row *rows, size_t count)
{
    struct world *w = calloc(1, sizeof *w);
    w->m = models_new(&(struct models_args){.memory_bytes = budget_mib << 20});
    for (size_t i = 0; i < count; i++) {
        w->n = 0;
        w->out[0] = '\0';
        until(w, rows[i].at);
        event(w, rows[i].event);
        drain(w);
        if (strcmp(w->out, rows[i].want) != 0)
            fail_msg("%s, row %zu, %lld \"%s\": \"%s\", expected \"%s\"", what, i,
                     (long long)rows[i].at, rows[i].event, w->out, rows[i].want);
    }
    models_free(w->m);
    free(w);
}
#define PLAY(what, budget, ...)                                                                    \
    do {                                                                                           \
        static const struct row rows_[] = {__VA_ARGS__};                                           \
        play(what, budget, rows_, COUNT(rows_));                                                   \
    } while (0)

// ---- scripts ----

static void loads_once(void **state)
{
    (void)state;
    PLAY("however many ask", 0, {0, "put a mib=100", ""}, {0, "view a state", "UNLOADED"},
         {0, "view a eta", "709"}, {5, "want a 0", "waits, start a"}, {6, "want a 1", "waits"},
         {6, "want a 2", "waits"}, {7, "view a state", "LOADING"}, {7, "view a phase", "starting"},
         {8, "phase a loading weights", ""}, {8, "view a phase", "loading weights"},
         {9, "cancel 1", ""}, {105, "up a", "grant 0, grant 2"}, {105, "view a state", "WARM"},
         {105, "view a phase", ""}, {106, "want a 3", "at once"}, {106, "view a busy", "3+0"},
         {107, "done 0", ""}, {107, "done 2", ""}, {108, "done 3", ""}, {108, "next", "-1"},
         {109, "unload a", "stop a"}, {109, "view a state", "DRAINING"}, {109, "used", "100"},
         {110, "down a x", ""}, {110, "used", "0"}, {110, "view a state", "UNLOADED"},
         {110, "view a eta", "100"}, {120, "want a 4", "waits, start a"}, {150, "view a eta", "70"},
         {250, "view a eta", "43"}, {260, "up a", "grant 4"}, {260, "view a counts", "2/0/0/0"});
    PLAY("all who waited left: the load goes on", 0, {0, "put a mib=1 idle=1000", ""},
         {0, "want a 0", "waits, start a"}, {1, "cancel 0", ""}, {9, "up a", ""},
         {9, "next", "1009"}, {1009, "tick", "stop a"});
    PLAY("aliases and names", 0, {0, "put a alias=b", ""}, {0, "put b", "E_EXISTS"},
         {0, "put c alias=a", "E_EXISTS"},
         {0, "text", "the alias a of model c is taken by model a"},
         {0, "want b 0", "waits, start a"}, {1, "put a alias=c", ""}, {1, "put b", ""},
         {2, "want b 1", "waits, start b"}, {3, "want c 2", "waits"},
         {4, "up a", "grant 0, grant 2"});
}

static void estimates(void **state)
{
    (void)state;
    PLAY("time left", 0, {0, "put a", ""}, {0, "want a 0", "waits, start a"}, {50, "phase a x", ""},
         {50, "view a eta", "50"}, {100, "up a", "grant 0"}, {100, "view a eta", "0"},
         {100, "done 0", ""}, {100, "unload a", "stop a"}, {100, "view a eta", "-1"},
         {100, "down a x", ""}, {100, "want a 0", "waits, start a"}, {600, "phase a x", ""},
         {600, "view a eta", "500"}, {600, "up a", "grant 0"}, {600, "done 0", ""},
         {600, "unload a", "stop a"}, {600, "down a x", ""}, {600, "view a eta", "200"});
    PLAY("a healthy life is no failed start", 0, {0, "put a tries=1", ""},
         {0, "want a 0", "waits, start a"}, {1, "up a", "grant 0"}, {2, "done 0", ""},
         {3, "down a x", ""}, {3, "view a state", "UNLOADED"}, {3, "want a 0", "waits"},
         {253, "tick", "start a"}, {254, "up a", "grant 0"}, {255, "down a x", ""},
         {255, "view a state", "FAILED"});
}

static void queues(void **state)
{
    (void)state;
    PLAY("slots and order", 0, {0, "put a slots=2", ""}, {0, "want a 0", "waits, start a"},
         {0, "want a 1", "waits"}, {0, "want a 2", "waits"}, {1, "up a", "grant 0, grant 1"},
         {1, "want a 3", "waits"}, {1, "view a busy", "2+2"}, {2, "done 1", "grant 2"},
         {2, "cancel 3", ""}, {2, "done 0", ""}, {2, "want a 4", "at once"},
         {3, "want a 5", "waits"}, {3, "done 2", "grant 5"});
    PLAY("none may wait", 0, {0, "put a queue=0 slots=1", ""},
         {0, "want a 0", "E_LOADING, start a"},
         {0, "text", "model a is loading, and none may wait for it (queue: 0)"},
         {1, "want a 0", "E_FULL"},
         {1, "text", "model a has no free slot now, and none may wait (queue: 0)"}, {2, "up a", ""},
         {3, "want a 0", "at once"}, {4, "want a 1", "E_FULL"}, {5, "done 0", ""},
         {6, "want a 1", "at once"});
    PLAY("bounds", 0, {0, "put a queue=2", ""}, {0, "put b", ""}, {0, "want a 0", "waits, start a"},
         {0, "want a 1", "waits"}, {0, "want a 2", "E_FULL"},
         {0, "text", "2 requests wait for model a already, the limit is 2"}, {0, "queue 3", ""},
         {0, "want b 3", "waits, start b"}, {0, "want b 4", "E_FULL"},
         {0, "text", "3 requests wait for models already, the limit is 3"}, {1, "cancel 0", ""},
         {1, "want b 4", "waits"});
}

static void memory(void **state)
{
    (void)state;
    PLAY("least recently used idle leaves", 100, {0, "put a mib=40", ""}, {0, "put b mib=40", ""},
         {0, "put c mib=40", ""}, {0, "want a 0", "waits, start a"},
         {0, "want b 1", "waits, start b"}, {1, "up a", "grant 0"}, {1, "up b", "grant 1"},
         {2, "done 1", ""}, {3, "done 0", ""}, {4, "want c 2", "waits, stop b"},
         {4, "view c phase", "waiting for memory"}, {4, "used", "80"}, {5, "down b x", "start c"},
         {5, "used", "80"}, {5, "view b counts", "1/1/0/0"}, {6, "up c", "grant 2"});
    PLAY("several leave, the needless stay", 100, {0, "put a mib=10", ""}, {0, "put b mib=50", ""},
         {0, "put c mib=30", ""}, {0, "put d mib=55", ""}, {0, "load a", "start a"},
         {0, "load b", "start b"}, {0, "load c", "start c"}, {1, "up a", ""}, {2, "up b", ""},
         {3, "up c", ""}, {4, "want d 0", "waits, stop b"}, {5, "down b x", "start d"},
         {6, "up d", "grant 0"}, {6, "done 0", ""}, {7, "want b 1", "waits, stop d"},
         {8, "down d x", "start b"});
    PLAY("never active, never pinned", 100, {0, "put a mib=60 idle=10", ""},
         {0, "put p mib=30 pinned idle=10", "start p"}, {0, "put c mib=50", ""}, {0, "up p", ""},
         {0, "want a 0", "waits, start a"}, {1, "up a", "grant 0"}, {2, "want c 1", "waits"},
         {3, "next", "5002"}, {4, "done 0", "stop a"}, {5, "down a x", "start c"},
         {6, "up c", "grant 1"}, {7, "view p state", "WARM"}, {8, "put e mib=80", ""},
         {8, "want e 2", "E_TOOBIG"},
         {8, "text", "model e needs 80 MiB, the budget is 100 MiB, of which 30 MiB is pinned"},
         {9, "unpin p", ""}, {9, "want e 2", "waits"}, {19, "done 1", "stop p, stop c"});
    PLAY("can never fit", 100, {0, "put a mib=101", ""}, {0, "want a 0", "E_TOOBIG"},
         {0, "text", "model a needs 101 MiB, the budget is 100 MiB"}, {0, "load a", "E_TOOBIG"},
         {0, "view a state", "UNLOADED"}, {1, "budget 200", ""}, {1, "want a 0", "waits, start a"},
         {2, "put b mib=150", ""}, {2, "want b 1", "waits"}, {3, "budget 140", "refuse 1 E_TOOBIG"},
         {3, "view b state", "FAILED"}, {4, "budget 300", ""}, {4, "want b 1", "waits, start b"});
    PLAY("measured", 100, {0, "put a mib=20", ""}, {0, "put b mib=20", ""}, {0, "put u", ""},
         {0, "load a", "start a"}, {0, "up a", ""}, {0, "load b", "start b"}, {1, "up b", ""},
         {1, "mem a 30", ""}, {1, "used", "50"}, {1, "view a mib", "30m"}, {2, "mem a 10", ""},
         {2, "used", "50"}, {2, "mem b 80", "stop a"}, {3, "down a x", ""}, {3, "used", "80"},
         {4, "want u 0", "waits, start u"}, {5, "up u", "grant 0"}, {6, "mem u 150", "stop b"},
         {6, "down b x", ""}, {6, "used", "150"}, {7, "done 0", ""},
         {8, "want a 1", "waits, stop u"}, {8, "down u x", "start a"}, {9, "up a", "grant 1"},
         {9, "done 1", ""}, {9, "want u 2", "waits, stop a"}, {9, "down a x", "start u"});
    PLAY("a preload lets nobody leave", 100, {0, "put a mib=60 preload", "start a"},
         {0, "put b mib=60 preload", ""}, {0, "view b state", "UNLOADED"}, {1, "up a", ""},
         {1, "put p mib=60 pinned", "stop a"}, {2, "down a x", "start p"});
    PLAY("a belief that grows", 100, {0, "put a", ""}, {0, "put b mib=60", ""},
         {0, "want a 0", "waits, start a"}, {1, "up a", "grant 0"}, {1, "put a mib=50", ""},
         {2, "used", "50"}, {2, "want b 1", "waits"}, {3, "done 0", "stop a"},
         {4, "down a x", "start b"}, {5, "up b", "grant 1"});
    PLAY("a pin loads", 0, {0, "put a", ""}, {1, "put a pinned", "start a"}, {2, "up a", ""},
         {3, "put a pinned idle=9", ""}, {4, "view a state", "WARM"});
    PLAY("a budget that shrinks", 100, {0, "put a mib=40", ""}, {0, "put b mib=40", ""},
         {0, "load a", "start a"}, {0, "load b", "start b"}, {1, "up a", ""}, {2, "up b", ""},
         {3, "want a 0", "at once"}, {4, "budget 50", "stop b"}, {5, "budget 30", ""},
         {6, "done 0", "stop a"});
    PLAY("two pinned that do not fit together", 100, {0, "put a mib=60 pinned", "start a"},
         {0, "put b mib=60 pinned", ""}, {0, "view b state", "FAILED"},
         {0, "view b failure",
          "model b needs 60 MiB, the budget is 100 MiB, of which 60 MiB is pinned"},
         {1, "up a", ""}, {2, "down a x", ""}, {252, "tick", "start a"});
}

static void no_starvation(void **state)
{
    (void)state;
    PLAY("a big one behind small ones", 100, {0, "put s mib=40", ""}, {0, "put t mib=40", ""},
         {0, "put u mib=10", ""}, {0, "put big mib=90", ""}, {0, "want s 0", "waits, start s"},
         {0, "want t 1", "waits, start t"}, {0, "up s", "grant 0"}, {0, "up t", "grant 1"},
         {100, "want big 2", "waits"}, {200, "want s 3", "at once"}, {300, "done 0", ""},
         {300, "want u 4", "waits, start u"}, {301, "up u", "grant 4"}, {302, "done 4", ""},
         {400, "next", "5100"}, {5100, "want s 5", "waits"}, {5100, "want t 6", "waits"},
         {5200, "done 3", ""}, {5300, "done 1", "stop s, stop t"}, {5301, "down s x", ""},
         {5302, "down t x", "start big"}, {5303, "up big", "grant 2"},
         // and back: the big one is spared for a while, then must share
         {5400, "want big 7", "at once"}, {5401, "done 2", ""}, {10303, "want big 8", "waits"},
         {10400, "done 7", "stop big"}, {10401, "down big x", "start s, start t"},
         {10402, "up s", "grant 5"}, {10402, "up t", "grant 6"}, {10403, "done 5", ""},
         {10403, "done 6", "stop s, stop t"});
    PLAY("the claim ends with its reason", 100, {0, "put s mib=60 slots=1", ""},
         {0, "put big mib=90", ""}, {0, "want s 0", "waits, start s"}, {0, "up s", "grant 0"},
         {0, "want big 1", "waits"}, {6000, "want s 2", "waits"}, {6001, "done 0", "stop s"},
         {6002, "down s x", "start big"}, {6003, "up big", "grant 1"}, {6004, "done 1", "stop big"},
         {6005, "down big x", "start s"}, {6006, "up s", "grant 2"}, {6007, "want big 3", "waits"},
         {11500, "want s 4", "waits"}, {11501, "cancel 3", ""}, {11502, "done 2", "grant 4"});
}

static void failures(void **state)
{
    (void)state;
    PLAY("growing pauses, a limit, the last lines", 0, {0, "put a", ""},
         {0, "want a 0", "waits, start a"}, {10, "down a no such file", ""},
         {10, "view a phase", "restarting"}, {10, "next", "260"}, {20, "want a 1", "waits"},
         {260, "tick", "start a"}, {270, "down a no such file", ""}, {270, "next", "770"},
         {770, "tick", "start a"},
         {780, "down a no such file", "refuse 0 E_ENGINE, refuse 1 E_ENGINE"},
         {780, "text", "model a failed: no such file"}, {780, "view a state", "FAILED"},
         {780, "next", "-1"}, {790, "want a 2", "E_ENGINE"},
         {790, "text", "model a failed: no such file"}, {10780, "want a 2", "waits, start a"},
         {10790, "up a", "grant 2"}, {10790, "view a failure", ""});
    PLAY("the last pause is 30 s", 0, {0, "put a tries=20", ""}, {0, "want a 0", "waits, start a"},
         {0, "down a x", ""}, {250, "down a x", "start a"}, {750, "down a x", "start a"},
         {1750, "down a x", "start a"}, {3750, "down a x", "start a"},
         {7750, "down a x", "start a"}, {15750, "down a x", "start a"},
         {31750, "down a x", "start a"}, {31750, "next", "61750"}, {61750, "down a x", "start a"},
         {61750, "next", "91750"});
    PLAY("nobody waits any more", 0, {0, "put a", ""}, {0, "want a 0", "waits, start a"},
         {1, "cancel 0", ""}, {2, "down a x", ""}, {2, "view a state", "UNLOADED"},
         {3, "want a 0", "waits"}, {3, "next", "252"}, {4, "cancel 0", ""},
         {4, "view a state", "UNLOADED"}, {5, "load a", "start a"});
    PLAY("cannot be started at all", 0, {0, "put a", ""}, {0, "want a 0", "waits, start a"},
         {1, "failed a no program", "refuse 0 E_ENGINE"}, {2, "view a state", "FAILED"},
         {3, "load a", "start a"}, {4, "failed a ", ""},
         {4, "view a failure", "the engine ended without a word"}, {5, "unload a", ""},
         {5, "view a state", "UNLOADED"});
    PLAY("a file that must be made", 100, {0, "put a", ""}, {0, "put b mib=60", ""},
         {0, "put c", ""}, {0, "load b", "start b"}, {1, "up b", ""}, {1, "want b 1", "at once"},
         {2, "want a 0", "waits, start a"}, {3, "put a mib=70", ""}, {3, "requeue a", ""},
         {3, "view a phase", "waiting for memory"}, {4, "done 1", "stop b"},
         {5, "down b x", "start a"}, {5, "used", "70"}, {6, "failed a x", "refuse 0 E_ENGINE"},
         {6, "want c 2", "waits, start c"}, {6, "cancel 2", ""}, {6, "requeue c", ""},
         {6, "view c state", "UNLOADED"}, {7, "failed c cannot fetch", ""},
         {7, "view c state", "FAILED"}, {7, "requeue c", ""}, {8, "want c 3", "E_ENGINE"},
         {8, "load a", "start a"}, {8, "down a x", ""}, {9, "failed a x", ""},
         {9, "view a state", "FAILED"}, {9, "load a", "start a"}, {9, "up a", ""},
         {9, "want a 5", "at once"}, {9, "want b 4", "waits"},
         {9, "failed b x", "refuse 4 E_ENGINE"});
    PLAY("death in WARM", 0, {0, "put a slots=1", ""}, {0, "want a 0", "waits, start a"},
         {1, "up a", "grant 0"}, {1, "want a 1", "waits"}, {20001, "down a crashed", ""},
         {20001, "view a state", "LOADING"}, {20001, "view a busy", "1+1"},
         {20251, "tick", "start a"}, {20252, "up a", "grant 1"}, {20253, "done 0", ""},
         {20253, "view a busy", "1+0"}, {20254, "done 1", ""}, {20255, "down a crashed", ""},
         {20255, "view a state", "UNLOADED"}, {20255, "view a counts", "2/0/2/1"},
         {21000, "want a 2", "waits, start a"});
    PLAY("pinned comes back", 0, {0, "put a pinned", "start a"}, {1, "up a", ""},
         {2, "down a x", ""}, {252, "tick", "start a"}, {253, "up a", ""}, {254, "down a x", ""},
         {754, "tick", "start a"}, {755, "up a", ""}, {756, "down a x", ""},
         {757, "view a state", "FAILED"});
}

static void leaving(void **state)
{
    (void)state;
    PLAY("idle", 0, {0, "put a idle=1000", ""}, {0, "want a 0", "waits, start a"},
         {1, "up a", "grant 0"}, {5000, "next", "-1"}, {5000, "done 0", ""}, {5000, "next", "6000"},
         {5999, "view a left", "1"}, {5999, "want a 1", "at once"}, {6500, "done 1", ""},
         {7500, "tick", "stop a"}, {7501, "down a x", ""}, {7501, "view a state", "UNLOADED"});
    PLAY("pinned does not idle out", 0, {0, "put a idle=10 pinned", "start a"}, {1, "up a", ""},
         {50, "next", "-1"}, {60, "unpin a", ""}, {60, "next", "70"}, {70, "tick", "stop a"},
         {71, "down a x", ""}, {72, "pin a", "start a"});
    PLAY("drain with a deadline", 0, {0, "put a drain=500", ""}, {0, "want a 0", "waits, start a"},
         {0, "want a 1", "waits"}, {1, "up a", "grant 0, grant 1"}, {2, "unload a", ""},
         {2, "view a phase", "draining"}, {3, "done 0", ""}, {4, "want a 2", "waits"},
         {502, "tick", "close a"}, {503, "done 1", "stop a"}, {504, "down a x", "start a"},
         {505, "up a", "grant 2"}, {506, "unload a", ""}, {1006, "tick", "close a"},
         {2005, "tick", ""}, {2006, "tick", "stop a"}, {2007, "down a x", ""},
         {2008, "done 2", ""});
    PLAY("died while draining", 0, {0, "put a", ""}, {0, "want a 0", "waits, start a"},
         {1, "up a", "grant 0"}, {2, "unload a", ""}, {3, "down a x", ""},
         {3, "view a state", "UNLOADED"}, {4, "done 0", ""}, {4, "view a counts", "1/0/0/0"});
    PLAY("unload while loading", 0, {0, "put a", ""}, {0, "want a 0", "waits, start a"},
         {1, "unload a", "stop a, refuse 0 E_BUSY"}, {2, "want a 1", "waits"}, {3, "up a", ""},
         {4, "down a x", "start a"}, {5, "up a", "grant 1"});
    PLAY("changed", 0, {0, "put a gen=1", ""}, {0, "want a 0", "waits, start a"},
         {1, "up a", "grant 0"}, {2, "put a gen=1 idle=5000", ""}, {2, "view a state", "WARM"},
         {3, "put a gen=2", ""}, {3, "view a state", "DRAINING"}, {4, "want a 1", "waits"},
         {5, "done 0", "stop a"}, {6, "down a x", "start a"}, {7, "up a", "grant 1"},
         {8, "done 1", ""}, {9, "put a gen=3", "stop a"}, {10, "down a x", ""},
         {10, "view a state", "UNLOADED"}, {11, "put a gen=4 pinned", "start a"},
         {12, "put a gen=5 pinned", "stop a"}, {13, "down a x", "start a"},
         {14, "failed a bad", ""}, {15, "put a gen=6 pinned", "start a"});
    PLAY("removed", 0, {0, "put a", ""}, {0, "put b", ""}, {0, "put r remote", ""},
         {0, "want a 0", "waits, start a"}, {0, "want r 5", "at once"},
         {1, "remove a", "stop a, refuse 0 E_NOTFOUND"}, {2, "remove b", "gone b"},
         {3, "remove r", ""}, {4, "done 5", "gone r"}, {5, "put b", ""}, {6, "idle", "0"});
    PLAY("the node ends", 0, {0, "put a", ""}, {0, "put b slots=1", ""}, {0, "put r remote", ""},
         {0, "put p pinned", "start p"}, {0, "want a 0", "waits, start a"},
         {0, "want b 1", "waits, start b"}, {1, "up b", "grant 1"}, {1, "want b 2", "waits"},
         {2, "stopping", "stop a, stop p, refuse 0 E_BUSY, refuse 2 E_BUSY"},
         {3, "want b 3", "E_BUSY"}, {3, "load a", "E_BUSY"}, {3, "idle", "0"},
         {4, "done 1", "stop b"}, {5, "down a x", ""}, {5, "down p x", ""}, {5, "idle", "0"},
         {6, "down b x", ""}, {6, "idle", "1"}, {6, "next", "-1"});
    PLAY("remote", 10, {0, "put r remote slots=1", ""}, {0, "view r state", "WARM"},
         {0, "want r 0", "at once"}, {0, "want r 1", "waits"}, {1, "unload r", "E_UNSUPPORTED"},
         {1, "load r", ""}, {2, "done 0", "grant 1"}, {3, "put r gen=2 mib=5", ""},
         {3, "view r state", "DRAINING"}, {4, "want r 2", "waits"}, {5, "done 1", "start r"},
         {6, "up r", "grant 2"}, {6, "done 2", ""}, {7, "put r gen=3 remote", "stop r"},
         {8, "down r x", ""}, {8, "view r state", "WARM"}, {8, "used", "0"});
}

static void names(void **state)
{
    (void)state;
    struct world w = {.m = models_new(&(struct models_args){0})};
    put(&w, "tiny-chat", "alias=small");
    put(&w, "minilm", "");
    assert_string_equal(models_nearest(w.m, BYTES("tiny-chta")), "tiny-chat");
    assert_string_equal(models_nearest(w.m, BYTES("smal")), "small");
    assert_null(models_nearest(w.m, BYTES("quite-different")));
    assert_null(models_find(w.m, BYTES("mini")));
    struct model *a = models_each(w.m, NULL), *b = models_each(w.m, a);
    assert_ptr_equal(a, models_find(w.m, BYTES("small")));
    assert_ptr_equal(b, models_find(w.m, BYTES("minilm")));
    assert_null(models_each(w.m, b));
    model_set_user(a, &w);
    assert_ptr_equal(model_user(a), &w);
    models_remove(w.m, a, 0);
    assert_ptr_equal(models_each(w.m, NULL), b);
    assert_null(models_find(w.m, BYTES("small")));
    drain(&w);
    models_free(w.m);
    models_free(NULL);
}

// Memory is out at the n-th allocation: an error, and nothing of the half-made model stays.
static void no_memory(void **state)
{
    const char *const aliases[] = {"x", "y", NULL};
    const struct model_spec spec = {.name = "a", .kind = "chat", .aliases = aliases};
    (void)state;
    for (int change = 0; change < 2; change++) {
        int rc = E_NOMEM;
        for (uint64_t n = 1; rc != 0; n++) {
            struct world w = {.m = models_new(&(struct models_args){0})};
            if (change)
                put(&w, "a", "alias=z");
            mem_fail_after(n, 1);
            rc = models_put(w.m, &spec, 0, NULL);
            mem_fail_after(0, 0);
            assert_true(rc == 0 || rc == E_NOMEM);
            if (rc < 0 && !change)
                assert_null(models_find(w.m, BYTES("a")));
            assert_true(models_find(w.m, BYTES("y")) == NULL || rc == 0);
            drain(&w);
            models_free(w.m);
            assert_true(n < 100);
        }
    }
}

// ---- a random walk ----
#define WALK_MODELS 5
enum engine { OFF, ON, READY, ENDING };

struct walk {
    struct models *m;
    struct rng rng;
    struct model *models[WALK_MODELS];
    enum engine engine[WALK_MODELS];
    struct model_ticket tickets[TICKETS];
    char held[TICKETS]; // 0 free, 'w' waiting, 'g' granted, 'd' its engine died
    uint64_t seed;
    int64_t now;
    char log[8192];
    size_t n;
};

static void note(struct walk *w, const char *what, long a)
{
    if (w->n + 40 > sizeof w->log) {
        memmove(w->log, w->log + 4096, w->n - 4096);
        w->n -= 4096;
    }
    w->n += (size_t)snprintf(w->log + w->n, 40, "%lld:%s%ld ", (long long)w->now, what, a);
}

#define MUST(w, what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            fail_msg("seed %llu at %lld: %s\n%s", (unsigned long long)(w)->seed,                   \
                     (long long)(w)->now, #what, (w)->log + ((w)->n > 800 ? (w)->n - 800 : 0));    \
    } while (0)

static int index_of(const struct walk *w, const struct model *x)
{
    for (int i = 0; i < WALK_MODELS; i++)
        if (w->models[i] == x)
            return i;
    return -1;
}

static void walk_stop(struct walk *w, int i)
{
    MUST(w, w->engine[i] == ON || w->engine[i] == READY);
    for (int t = 0; t < TICKETS; t++)
        MUST(w, w->held[t] != 'g' || w->tickets[t].model != w->models[i]);
    w->engine[i] = ENDING;
}

static void walk_drain(struct walk *w)
{
    struct model_effect f;
    while (models_effect(w->m, &f)) {
        long t = f.ticket != NULL ? (long)(f.ticket - w->tickets) : -1;
        int i = index_of(w, f.model);
        switch (f.kind) {
        case MODEL_START:
            note(w, "start", i);
            MUST(w, w->engine[i] == OFF);
            w->engine[i] = ON;
            break;
        case MODEL_STOP:
            note(w, "stop", i);
            walk_stop(w, i);
            break;
        case MODEL_GRANT:
            note(w, "grant", t);
            MUST(w, w->held[t] == 'w');
            MUST(w, w->engine[i] == READY);
            w->held[t] = 'g';
            break;
        case MODEL_REFUSE:
            note(w, "refuse", t);
            MUST(w, w->held[t] == 'w');
            MUST(w, f.err.code < 0 && f.err.n > 0);
            w->held[t] = 0;
            break;
        case MODEL_CLOSE_STREAMS: // as the gate does: its requests end at once
            note(w, "close", i);
            for (int k = 0; k < TICKETS; k++)
                if (strchr("gd", w->held[k]) && w->held[k] && w->tickets[k].model == f.model) {
                    w->held[k] = 0;
                    models_done(w->m, &w->tickets[k], w->now);
                }
            break;
        case MODEL_CHANGED: break;
        case MODEL_GONE: MUST(w, !"nothing was removed"); break;
        }
    }
    MUST(w, models_memory_used(w->m) <= models_memory_budget(w->m));
    for (int i = 0; i < WALK_MODELS && w->models[i] != NULL; i++) {
        struct model_view v;
        model_view(w->m, w->models[i], w->now, &v);
        if (v.state == MODEL_WARM)
            MUST(w, w->engine[i] == READY);
        if (v.pinned)
            MUST(w, v.evictions == 0);
    }
}

static void walk_want(struct walk *w, int i)
{
    struct err e = {0};
    for (int t = 0; t < TICKETS; t++) {
        if (w->held[t] != 0)
            continue;
        int rc = models_want(w->m, w->models[i], &w->tickets[t], w->now, &e);
        note(w, "want", i);
        MUST(w, rc >= 0 || e.code == rc);
        w->held[t] = rc == 0 ? 'g' : rc > 0 ? 'w' : 0;
        if (rc == 0)
            MUST(w, w->engine[i] == READY);
        return;
    }
}

static void walk_end(struct walk *w, int t)
{
    if (w->held[t] == 0)
        return;
    note(w, w->held[t] == 'w' ? "cancel" : "done", t);
    if (w->held[t] != 'w')
        models_done(w->m, &w->tickets[t], w->now);
    else
        models_cancel(w->m, &w->tickets[t], w->now);
    w->held[t] = 0;
}

// Something an engine may do now.
static void walk_engine(struct walk *w, int i, bool well)
{
    if (w->engine[i] == ENDING || (w->engine[i] != OFF && !well)) {
        note(w, "down", i);
        w->engine[i] = OFF;
        for (int t = 0; t < TICKETS; t++)
            if (w->held[t] == 'g' && w->tickets[t].model == w->models[i])
                w->held[t] = 'd';
        models_down(w->m, w->models[i], BYTES("gone"), w->now);
    } else if (w->engine[i] == ON) {
        note(w, "up", i);
        w->engine[i] = READY;
        models_up(w->m, w->models[i], w->now);
    }
}

static void walk_clock(struct walk *w, int64_t to)
{
    for (int64_t next; (next = models_next_ms(w->m)) <= to;) {
        if (next > w->now)
            w->now = next;
        models_tick(w->m, w->now);
        walk_drain(w);
        MUST(w, models_next_ms(w->m) > w->now);
    }
    w->now = to;
}

static void walk_put(struct walk *w, int i, bool change)
{
    static const char *const called[WALK_MODELS] = {"a", "b", "c", "d", "e"};
    struct model_spec s = {
        .name = called[i],
        .kind = "chat",
        .engine = "fake",
        .queue_max = 20,
        .memory_bytes = (10 + rng_below(&w->rng, 60)) << 20,
        .idle_ms = rng_below(&w->rng, 2) ? TIME_NEVER : (int64_t)rng_below(&w->rng, 3000) + 1,
        .slots = (uint32_t)rng_below(&w->rng, 4),
        .pinned = i == 0 && rng_below(&w->rng, 4) == 0,
        .preload = rng_below(&w->rng, 4) == 0,
        .drain_ms = (int64_t)rng_below(&w->rng, 2000) + 1,
        .generation = change ? rng_next(&w->rng) : 1,
    };
    struct model_view v;
    if (w->models[i] != NULL) {
        model_view(w->m, w->models[i], w->now, &v);
        s.pinned = v.pinned; // so that "pinned was never evicted" can be asked at any time
    }
    note(w, "put", i);
    MUST(w, models_put(w->m, &s, w->now, NULL) == 0);
    w->models[i] = models_find(w->m, bytes_of(called[i]));
}

static void walk_step(struct walk *w)
{
    int i = (int)rng_below(&w->rng, WALK_MODELS);
    switch (rng_below(&w->rng, 16)) {
    case 0: walk_engine(w, i, false); break;
    case 1:
    case 2:
    case 3:
    case 4: walk_engine(w, i, true); break;
    case 5:
        note(w, "load", i);
        (void)models_load(w->m, w->models[i], w->now, NULL);
        break;
    case 6:
        note(w, "unload", i);
        (void)models_unload(w->m, w->models[i], w->now, NULL);
        break;
    case 7:
        if (rng_below(&w->rng, 4) == 0)
            walk_put(w, i, true);
        break;
    case 8: walk_clock(w, w->now + (int64_t)rng_below(&w->rng, 8000)); break;
    case 9:
    case 10:
    case 11: walk_end(w, (int)rng_below(&w->rng, TICKETS)); break;
    default: walk_want(w, i); break;
    }
    walk_drain(w);
    walk_clock(w, w->now + (int64_t)rng_below(&w->rng, 50));
}

// Engines come up and go as told, requests end: whoever waits must be served or refused.
static void walk_calm(struct walk *w)
{
    for (int round = 0; round < 400; round++) {
        bool waits = false;
        for (int t = 0; t < TICKETS; t++) {
            if (w->held[t] == 'g' || w->held[t] == 'd')
                walk_end(w, t);
            waits = waits || w->held[t] == 'w';
        }
        walk_drain(w);
        for (int i = 0; i < WALK_MODELS; i++)
            if (w->engine[i] == ON || w->engine[i] == ENDING)
                walk_engine(w, i, true);
        walk_drain(w);
        if (!waits)
            return;
        walk_clock(w, w->now + 500);
    }
    MUST(w, !"somebody still waits");
}

static void walk(uint64_t seed)
{
    static struct walk w;
    memset(&w, 0, sizeof w);
    w.seed = seed;
    rng_init(&w.rng, seed);
    w.m = models_new(&(struct models_args){.memory_bytes = (uint64_t)100 << 20});
    for (int i = 0; i < WALK_MODELS; i++) {
        walk_put(&w, i, false);
        walk_drain(&w);
    }
    for (int i = 0; i < 120; i++)
        walk_step(&w);
    walk_calm(&w);
    models_stopping(w.m, w.now);
    walk_drain(&w);
    walk_calm(&w);
    walk_clock(&w, w.now + 60000);
    walk_calm(&w);
    MUST(&w, models_idle(w.m));
    MUST(&w, models_memory_used(w.m) == 0);
    models_free(w.m);
}

static void random_walks(void **state)
{
    const char *seed = getenv("SEED");
    (void)state;
    if (seed != NULL) {
        walk(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t s = 1; s <= 10000; s++)
        walk(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_once),    cmocka_unit_test(estimates),
        cmocka_unit_test(queues),        cmocka_unit_test(memory),
        cmocka_unit_test(no_starvation), cmocka_unit_test(failures),
        cmocka_unit_test(leaving),       cmocka_unit_test(names),
        cmocka_unit_test(no_memory),     cmocka_unit_test(random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
