// engines_test.c: the driver with real children: the scripted engine in all its moods.
// SPDX-License-Identifier: Apache-2.0
#include "app/engines.h"
#include "base/file.h"
#include "loop/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TICKETS 64
#define DEADLINE_MS 30000

// ---- a test is a function that waits: it is called again and again by a timer until it returns
// true ----

#define BEGIN                                                                                      \
    switch (r->line) {                                                                             \
    case 0:
#define WAIT(condition)                                                                            \
    r->line = __LINE__;                                                                            \
    r->waits = #condition;                                                                         \
    __attribute__((fallthrough));                                                                  \
    case __LINE__:                                                                                 \
        if (!(condition))                                                                          \
        return false
#define END                                                                                        \
    }                                                                                              \
    return true
#define CHECK(r, condition)                                                                        \
    do {                                                                                           \
        if (!(condition) && (r)->broken[0] == '\0')                                                \
            (void)snprintf((r)->broken, sizeof(r)->broken, "line %d: %s", __LINE__, #condition);   \
    } while (0)

struct rig {
    struct loop *loop;
    struct models *models;
    struct engines *engines;
    struct model_ticket tickets[TICKETS];
    int granted, refused, closed, gone, starts, answers, status;
    struct err refusal;
    char folder[64], file[96], seen[4096]; // seen: lines of the engines
    char phases[2048];
    int grandchild, port;
    bool (*test)(struct rig *r);
    int line;
    const char *waits;
    char broken[256];
    int64_t began_ms, mark_ms;
    struct timer timer;
    bool over, failed_late;
};

static int64_t now(struct rig *r)
{
    return timers_now_ms(loop_timers(r->loop));
}

static struct model_view view(struct rig *r, const char *name)
{
    struct model_view v = {.name = NULL};
    struct model *m = models_find(r->models, bytes_of(name));
    if (m != NULL)
        model_view(r->models, m, now(r), &v);
    return v;
}

static bool is(struct rig *r, const char *name, enum model_state state)
{
    return view(r, name).name != NULL && view(r, name).state == state;
}

// ---- what the engines tell ----

static void on_changed(void *user, struct model *m)
{
    struct rig *r = user;
    struct model_view v;
    model_view(r->models, m, now(r), &v);
    size_t n = strlen(r->phases);
    if (v.phase[0] != '\0' && n + strlen(v.phase) + 2 < sizeof r->phases)
        (void)snprintf(r->phases + n, sizeof r->phases - n, "%s;", v.phase);
}

static void on_line(void *user, const char *model, const char *engine, int fd, struct bytes line)
{
    struct rig *r = user;
    size_t n = strlen(r->seen);
    char text[128];
    (void)model;
    (void)fd;
    if (n + line.n + strlen(engine) + 4 < sizeof r->seen)
        (void)snprintf(r->seen + n, sizeof r->seen - n, "%s: %.*s\n", engine, BYTES_FMT(line));
    (void)snprintf(text, sizeof text, "%.*s", BYTES_FMT(line));
    (void)sscanf(text, "grandchild %d", &r->grandchild);
    r->starts += sscanf(text, "listening %d", &r->port) == 1;
}

static void on_grant(void *user, struct model_ticket *t)
{
    t->user = user; // it runs
    ((struct rig *)user)->granted++;
}

static void on_refuse(void *user, struct model_ticket *t, const struct err *e)
{
    struct rig *r = user;
    (void)t;
    r->refused++;
    r->refusal = *e;
}

static void on_close_streams(void *user, struct model *m)
{
    struct rig *r = user;
    r->closed++;
    for (int i = 0; i < TICKETS; i++)
        if (r->tickets[i].model == m && r->tickets[i].user == r) {
            r->tickets[i].user = NULL;
            models_done(r->models, &r->tickets[i], now(r));
        }
}

static void on_gone(void *user, const char *model)
{
    (void)model;
    ((struct rig *)user)->gone++;
}

// ---- doing ----

static const char *scripted(void)
{
    const char *path = getenv("PLEXUS_SCRIPTED");
    return path != NULL ? path : "build/tests/scripted";
}

#define WORDS 16
struct model_words {
    const char *list[WORDS];
};

static struct config_model command(const char *name, const char *const *options)
{
    static struct model_words all[32]; // they must outlive the waits of a test
    static unsigned next;
    struct model_words *w = &all[next++ % 32];
    size_t n = 0;
    w->list[n++] = scripted();
    w->list[n++] = "--port";
    w->list[n++] = "{port}";
    for (; *options != NULL && n < WORDS - 1; options++)
        w->list[n++] = *options;
    w->list[n] = NULL;
    return (struct config_model){
        .name = name,
        .engine = "command",
        .kind = "chat",
        .health = "/health",
        .command = w->list,
        .queue_max = 100,
        .restarts_max = 3,
        .restart_pause_ms = 5,
        .failed_pause_ms = 100,
        .idle_ms = TIME_NEVER,
        .load_timeout_ms = 20000,
        .drain_ms = 5000,
        .first_byte_ms = 5000,
        .silence_ms = 5000,
        .fingerprint = 1,
    };
}
#define COMMAND(name, ...) command(name, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void put(struct rig *r, struct config_model c)
{
    struct err e = {0};
    CHECK(r, engines_put(r->engines, &c, now(r), &e) == 0);
    if (e.code < 0)
        (void)fprintf(stderr, "put: %s\n", e.text);
}

static int want(struct rig *r, const char *name, int ticket)
{
    struct err e = {0};
    struct model *m = models_find(r->models, bytes_of(name));
    if (m == NULL)
        return E_NOTFOUND;
    r->tickets[ticket].user = NULL;
    int rc = models_want(r->models, m, &r->tickets[ticket], now(r), &e);
    if (rc == 0)
        r->tickets[ticket].user = r;
    if (rc < 0)
        r->refusal = e;
    r->granted += rc == 0;
    engines_run(r->engines);
    return rc;
}

static void done(struct rig *r, int ticket)
{
    r->tickets[ticket].user = NULL;
    models_done(r->models, &r->tickets[ticket], now(r));
    engines_run(r->engines);
}

static void unload(struct rig *r, const char *name)
{
    CHECK(r, models_unload(r->models, models_find(r->models, bytes_of(name)), now(r), NULL) == 0);
    engines_run(r->engines);
}

static void kill_engine(struct rig *r, const char *name)
{
    int64_t pid = engines_pid(r->engines, models_find(r->models, bytes_of(name)));
    CHECK(r, pid > 1);
    if (pid > 1)
        (void)kill((pid_t)pid, SIGKILL);
}

static void call_head(struct http_call *c, const struct http_head *head)
{
    ((struct rig *)http_call_user(c))->status = head->status;
}

static void call_body(struct http_call *c, const char *p, size_t n)
{
    (void)c;
    (void)p;
    (void)n;
}

static void call_end(struct http_call *c, int status, const struct err *e)
{
    struct rig *r = http_call_user(c);
    (void)e;
    r->answers++;
    if (status < 0)
        r->status = status;
}

// A request over the model's upstream.
static void ask(struct rig *r, const char *name)
{
    static const struct http_call_handler handler = {call_head, call_body, call_end};
    const struct engine_upstream *up =
        engines_upstream(r->engines, models_find(r->models, bytes_of(name)));
    struct http_call *call = NULL;
    r->status = 0;
    CHECK(r, up != NULL);
    if (up == NULL)
        return;
    const struct http_call_args args = {
        .method = BYTES("GET"),
        .target = BYTES("/v1/models"),
        .headers = bytes_of(up->auth),
        .first_byte_ms = 5000,
        .silence_ms = 5000,
        .handler = &handler,
        .user = r,
    };
    CHECK(r, http_call_start(up->pool, &args, &call, NULL) == 0);
}

static bool gone(int pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

// ---- the tests ----

static bool t_loads_once(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a", "--health-delay-ms", "50"));
    for (int i = 0; i < 50; i++)
        CHECK(r, want(r, "a", i) == 1);
    WAIT(r->granted == 50);
    CHECK(r, r->starts == 1);
    CHECK(r, view(r, "a").loads == 1);
    CHECK(r, view(r, "a").active == 50);
    CHECK(r, engines_running(r->engines) == 1);
    ask(r, "a");
    WAIT(r->answers == 1);
    CHECK(r, r->status == 200);
    for (int i = 0; i < 50; i++)
        done(r, i);
    CHECK(r, want(r, "a", 0) == 0);
    done(r, 0);
    END;
}

static bool t_dies_loading(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a", "--die-loading"));
    CHECK(r, want(r, "a", 0) == 1);
    CHECK(r, want(r, "a", 1) == 1);
    WAIT(r->refused == 2);
    CHECK(r, r->refusal.code == E_ENGINE);
    CHECK(r, strstr(r->refusal.text, "model a failed: the engine exited with code 1: ") != NULL);
    CHECK(r, strstr(r->refusal.text, "\n  ") != NULL); // more lines of its log
    CHECK(r, view(r, "a").state == MODEL_FAILED);
    CHECK(r, view(r, "a").restarts == 3);
    CHECK(r, want(r, "a", 0) == E_ENGINE);
    WAIT(want(r, "a", 0) == 1); // after failed_pause it is tried again
    WAIT(r->refused == 3);
    END;
}

static bool t_exits_ten_times(struct rig *r)
{
    static struct config_model c;
    BEGIN;
    c = COMMAND("a", "--exit-while", r->file);
    c.restarts_max = 20;
    c.restart_pause_ms = 1;
    CHECK(r, file_write_atomic(r->file, BYTES("x"), 0600, NULL) == 0);
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(view(r, "a").restarts == 10);
    (void)unlink(r->file);
    WAIT(r->granted == 1);
    CHECK(r, r->starts == 1);
    CHECK(r, view(r, "a").failure[0] == '\0');
    done(r, 0);
    END;
}

static bool t_hangs(struct rig *r)
{
    static struct config_model c;
    BEGIN;
    c = COMMAND("a", "--hang-health");
    c.load_timeout_ms = 300;
    c.restarts_max = 1;
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->refused == 1);
    CHECK(r, strstr(r->refusal.text, "the engine was not ready after 300 ms") != NULL);
    CHECK(r, engines_running(r->engines) == 0);
    c = COMMAND("b", "--refuse-port");
    c.load_timeout_ms = 200;
    c.restarts_max = 1;
    put(r, c);
    CHECK(r, want(r, "b", 0) == 1);
    WAIT(r->refused == 2);
    CHECK(r,
          strstr(r->refusal.text, "model b failed: the engine was not ready after 200 ms") != NULL);
    END;
}

static bool t_death_in_warm(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a"));
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    r->mark_ms = now(r);
    kill_engine(r, "a");
    WAIT(!is(r, "a", MODEL_WARM));
    CHECK(r,
          now(r) - r->mark_ms < 1000); // 50 ms is the mark of the bench; here the machine is shared
    CHECK(r, view(r, "a").deaths == 1);
    CHECK(r, strstr(view(r, "a").failure, "signal 9") != NULL);
    CHECK(r, engines_upstream(r->engines, models_find(r->models, BYTES("a"))) == NULL);
    CHECK(r, want(r, "a", 1) == 1);
    WAIT(r->granted == 2);
    ask(r, "a");
    WAIT(r->answers == 1);
    CHECK(r, r->status == 200);
    CHECK(r, view(r, "a").stale == 1);
    done(r, 0);
    CHECK(r, view(r, "a").active == 1);
    done(r, 1);
    END;
}

static bool t_pinned_comes_back(struct rig *r)
{
    static struct config_model c;
    BEGIN;
    c = COMMAND("a");
    c.pinned = true;
    put(r, c);
    WAIT(is(r, "a", MODEL_WARM));
    kill_engine(r, "a");
    WAIT(view(r, "a").loads == 2 && is(r, "a", MODEL_WARM));
    END;
}

static bool t_idle(struct rig *r)
{
    static struct config_model c;
    BEGIN;
    c = COMMAND("a");
    c.idle_ms = 60;
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    r->mark_ms = now(r);
    WAIT(now(r) - r->mark_ms > 120);
    CHECK(r, is(r, "a", MODEL_WARM)); // a running request keeps it
    done(r, 0);
    r->mark_ms = now(r);
    WAIT(is(r, "a", MODEL_UNLOADED));
    CHECK(r, now(r) - r->mark_ms >= 60);
    CHECK(r, engines_running(r->engines) == 0);
    END;
}

static bool t_evicts(struct rig *r)
{
    static struct config_model c[3];
    static const char *const names[] = {"a", "b", "c"};
    BEGIN;
    models_limits(r->models, &(struct models_args){.memory_bytes = (uint64_t)2500 << 20}, now(r));
    for (int i = 0; i < 3; i++) {
        c[i] = COMMAND(names[i]);
        c[i].memory_bytes = (uint64_t)1000 << 20;
        put(r, c[i]);
    }
    CHECK(r, want(r, "a", 0) == 1);
    CHECK(r, want(r, "b", 1) == 1);
    WAIT(r->granted == 2);
    done(r, 1);
    r->mark_ms = now(r);
    WAIT(now(r) > r->mark_ms);
    done(r, 0);
    CHECK(r, want(r, "c", 2) == 1);
    WAIT(r->granted == 3);
    CHECK(r, is(r, "b", MODEL_UNLOADED));
    CHECK(r, is(r, "a", MODEL_WARM));
    CHECK(r, view(r, "b").evictions == 1);
    done(r, 2);
    END;
}

static bool t_grandchild(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a", "--grandchild"));
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1 && r->grandchild > 0);
    CHECK(r, !gone(r->grandchild));
    done(r, 0);
    unload(r, "a");
    WAIT(is(r, "a", MODEL_UNLOADED));
    CHECK(r, gone(r->grandchild));
    END;
}

static bool t_ignores_term(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a", "--ignore-term"));
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    done(r, 0);
    r->mark_ms = now(r);
    unload(r, "a");
    CHECK(r, is(r, "a", MODEL_DRAINING));
    WAIT(is(r, "a", MODEL_UNLOADED));
    CHECK(r, now(r) - r->mark_ms >= 200); // kill_after_ms of this rig
    END;
}

static bool t_drain(struct rig *r)
{
    static struct config_model c;
    BEGIN;
    c = COMMAND("a");
    c.drain_ms = 100;
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    c.fingerprint = 2;
    put(r, c);
    CHECK(r, is(r, "a", MODEL_DRAINING));
    CHECK(r, want(r, "a", 1) == 1);
    WAIT(r->granted == 2);
    CHECK(r, r->closed == 1);
    CHECK(r, view(r, "a").loads == 2);
    done(r, 1);
    engines_remove(r->engines, "a", now(r));
    WAIT(r->gone == 1);
    CHECK(r, engines_running(r->engines) == 0);
    END;
}

static bool t_makes_its_file(struct rig *r)
{
    static const char *const make[] = {"sh", "-c", "echo 50% half; sleep 0.1; echo x > $0",
                                       "{file}", NULL};
    static struct config_model c;
    BEGIN;
    c = COMMAND("a", "--model", "{file}");
    c.file = r->file;
    c.prepare = make;
    put(r, c);
    CHECK(r, is(r, "a", MODEL_UNLOADED));
    CHECK(r, strcmp(view(r, "a").phase, "fetching") == 0);
    WAIT(strcmp(view(r, "a").phase, "fetching: 50% half") == 0);
    CHECK(r, view(r, "a").share > 0.49 && view(r, "a").share < 0.51);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    CHECK(r, strstr(r->seen, "prepare: 50% half") != NULL);
    CHECK(r, access(r->file, F_OK) == 0);
    done(r, 0);
    END;
}

static bool t_cannot_make_its_file(struct rig *r)
{
    static const char *const make[] = {
        "sh", "-c", "test -e $0.ready || { echo no network; exit 7; }; echo x > $0", "{file}",
        NULL};
    static char ready[128];
    static struct config_model c;
    BEGIN;
    (void)snprintf(ready, sizeof ready, "%s.ready", r->file);
    c = COMMAND("a", "--model", "{file}");
    c.file = r->file;
    c.prepare = make;
    put(r, c);
    WAIT(is(r, "a", MODEL_FAILED));
    CHECK(r, strcmp(view(r, "a").failure, "the prepare command exited with code 7\n  no network") ==
                 0);
    WAIT(want(r, "a", 0) == 1);
    WAIT(r->refused == 1);
    CHECK(r, strstr(r->refusal.text, "no network") != NULL);
    CHECK(r, file_write_atomic(ready, BYTES(""), 0600, NULL) == 0);
    WAIT(want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    (void)unlink(ready);
    done(r, 0);
    END;
}

static bool t_no_program(struct rig *r)
{
    static const char *const none[] = {"/nowhere/engine", "{port}", NULL};
    static struct config_model c;
    BEGIN;
    c = COMMAND("a");
    c.command = none;
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->refused == 1);
    CHECK(r, strstr(r->refusal.text, "/nowhere/engine") != NULL);
    CHECK(r, view(r, "a").restarts == 1); // another try would not mend it
    c = COMMAND("b");
    c.engine = "llama.cpp";
    c.file = "/nowhere/model.gguf";
    put(r, c);
    CHECK(r, want(r, "b", 0) == 1);
    CHECK(r, r->refused == 2);
    CHECK(r, strstr(r->refusal.text, "the file /nowhere/model.gguf does not exist") != NULL);
    c.engine = "unknown";
    CHECK(r, engines_put(r->engines, &c, now(r), NULL) == E_UNSUPPORTED);
    c = COMMAND("d");
    c.engine = "remote";
    CHECK(r, engines_put(r->engines, &c, now(r), NULL) == E_INVALID);
    CHECK(r, models_find(r->models, BYTES("d")) == NULL);
    END;
}

static bool t_remote(struct rig *r)
{
    static struct config_model c;
    static char url[64];
    BEGIN;
    put(r, COMMAND("a"));
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", r->port);
    c = COMMAND("far");
    c.engine = "remote";
    c.command = NULL;
    c.url = url;
    c.key = (struct secret){"sk-1", "env K"};
    put(r, c);
    CHECK(r, want(r, "far", 1) == 0);
    ask(r, "far");
    WAIT(r->answers == 1);
    CHECK(r, r->status == 200);
    c.fingerprint = 2; // changed while in use: the old connections live until their requests end
    put(r, c);
    CHECK(r, is(r, "far", MODEL_DRAINING));
    done(r, 1);
    CHECK(r, want(r, "far", 1) == 0);
    ask(r, "far");
    WAIT(r->answers == 2);
    CHECK(r, r->status == 200);
    engines_remove(r->engines, "far", now(r));
    CHECK(r, r->gone == 0);
    done(r, 1);
    CHECK(r, r->gone == 1);
    c = COMMAND("a"); // a local one becomes remote
    c.engine = "remote";
    c.command = NULL;
    c.url = url;
    c.fingerprint = 9;
    put(r, c);
    done(r, 0);
    WAIT(is(r, "a", MODEL_WARM));
    CHECK(r, engines_running(r->engines) == 0);
    CHECK(r, engines_upstream(r->engines, models_find(r->models, BYTES("a"))) != NULL);
    c = COMMAND("a"); // and local again
    c.fingerprint = 10;
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(engines_running(r->engines) == 1 && is(r, "a", MODEL_WARM));
    ask(r, "a");
    WAIT(r->answers == 3);
    CHECK(r, r->status == 200);
    done(r, 0);
    END;
}

static bool t_without_health_path(struct rig *r)
{
    static struct config_model c;
    BEGIN;
    c = COMMAND("a");
    c.health = NULL;
    put(r, c);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->granted == 1);
    ask(r, "a");
    WAIT(r->answers == 1);
    CHECK(r, r->status == 200);
    done(r, 0);
    END;
}

static bool t_measures(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a", "--memory", "20"));
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(view(r, "a").memory_measured);
    CHECK(r, view(r, "a").memory_bytes > (uint64_t)20 << 20);
    CHECK(r, models_memory_used(r->models) == view(r, "a").memory_bytes);
    done(r, 0);
    END;
}

static bool t_stop_while_loading(struct rig *r)
{
    BEGIN;
    put(r, COMMAND("a", "--health-delay-ms", "60000"));
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->starts == 1);
    unload(r, "a");
    CHECK(r, r->refused == 1);
    WAIT(is(r, "a", MODEL_UNLOADED));
    CHECK(r, engines_running(r->engines) == 0);
    CHECK(r, want(r, "a", 0) == 1);
    WAIT(r->starts == 2);
    END; // the rig stops it with a request waiting
}

// ---- the rig ----

static void on_tick(struct timer *t)
{
    struct rig *r = t->user;
    bool late = now(r) - r->began_ms > DEADLINE_MS;
    if (!r->over && (r->broken[0] != '\0' || late || r->test(r))) {
        r->over = true;
        if (late && r->broken[0] == '\0')
            (void)snprintf(r->broken, sizeof r->broken, "line %d: waited for %s", r->line,
                           r->waits);
        models_stopping(r->models, now(r));
        for (int i = 0; i < TICKETS; i++)
            models_cancel(r->models, &r->tickets[i], now(r));
        engines_run(r->engines);
        r->began_ms = now(r);
    }
    late = r->over && now(r) - r->began_ms > DEADLINE_MS;
    if (late && r->broken[0] == '\0')
        (void)snprintf(r->broken, sizeof r->broken, "the engines do not end");
    if (late || (r->over && models_idle(r->models) && engines_running(r->engines) == 0))
        loop_stop(r->loop);
    else
        (void)timer_start(loop_timers(r->loop), t, 1);
}

static void run(bool (*test)(struct rig *r))
{
    struct rig *r = calloc(1, sizeof *r);
    struct err e = {0};
    (void)snprintf(r->folder, sizeof r->folder, "/tmp/engines_test.XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    (void)snprintf(r->file, sizeof r->file, "%s/file", r->folder);
    assert_int_equal(loop_new(&r->loop, &(struct loop_args){.linger_ms = 100}, &e), 0);
    r->models = models_new(&(struct models_args){0});
    const struct engines_args args = {
        .models = r->models,
        .procs = loop_procs(r->loop),
        .timers = loop_timers(r->loop),
        .net = loop_net(r->loop),
        .kill_after_ms = 200,
        .on_changed = on_changed,
        .on_line = on_line,
        .on_grant = on_grant,
        .on_refuse = on_refuse,
        .on_close_streams = on_close_streams,
        .on_gone = on_gone,
        .user = r,
    };
    assert_int_equal(engines_new(&r->engines, &args, &e), 0);
    r->test = test;
    r->began_ms = now(r);
    r->timer.fn = on_tick;
    r->timer.user = r;
    (void)timer_start(loop_timers(r->loop), &r->timer, 0);
    (void)loop_run(r->loop);
    engines_free(r->engines);
    loop_free(r->loop);
    models_free(r->models);
    (void)unlink(r->file);
    (void)rmdir(r->folder);
    char broken[256], seen[1024];
    (void)snprintf(broken, sizeof broken, "%s", r->broken);
    (void)snprintf(seen, sizeof seen, "%.1000s", r->seen);
    free(r);
    if (broken[0] != '\0')
        fail_msg("%s\n%s", broken, seen);
}

#define TEST(name)                                                                                 \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        run(t_##name);                                                                             \
    }
TEST(loads_once)
TEST(dies_loading)
TEST(exits_ten_times)
TEST(hangs)
TEST(death_in_warm)
TEST(pinned_comes_back)
TEST(idle)
TEST(evicts)
TEST(grandchild)
TEST(ignores_term)
TEST(drain)
TEST(makes_its_file)
TEST(cannot_make_its_file)
TEST(no_program)
TEST(remote)
TEST(without_health_path)
TEST(measures)
TEST(stop_while_loading)

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "_guard") == 0) // the children's guard is this very program
        return loop_guard_main(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_once),
        cmocka_unit_test(dies_loading),
        cmocka_unit_test(exits_ten_times),
        cmocka_unit_test(hangs),
        cmocka_unit_test(death_in_warm),
        cmocka_unit_test(pinned_comes_back),
        cmocka_unit_test(idle),
        cmocka_unit_test(evicts),
        cmocka_unit_test(grandchild),
        cmocka_unit_test(ignores_term),
        cmocka_unit_test(drain),
        cmocka_unit_test(makes_its_file),
        cmocka_unit_test(cannot_make_its_file),
        cmocka_unit_test(no_program),
        cmocka_unit_test(remote),
        cmocka_unit_test(without_health_path),
        cmocka_unit_test(measures),
        cmocka_unit_test(stop_while_loading),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
