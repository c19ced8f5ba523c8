// engines_conf.c: a model's configuration: copied, as the models see it, as its engine sees it.
// SPDX-License-Identifier: Apache-2.0
#include "app/engines_priv.h"
#include "base/alloc.h"
#include "base/sys.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// ---- a copy ----

static bool copy_text(struct arena *a, const char **at)
{
    return *at == NULL || (*at = arena_str(a, bytes_of(*at))) != NULL;
}

static bool copy_list(struct arena *a, const char *const **at)
{
    size_t n = 0;
    if (*at == NULL)
        return true;
    while ((*at)[n] != NULL)
        n++;
    const char **list = arena_zalloc(a, (n + 1) * sizeof *list);
    for (size_t i = 0; list != NULL && i < n; i++) {
        list[i] = (*at)[i];
        if (!copy_text(a, &list[i]))
            return false;
    }
    *at = list;
    return list != NULL;
}

int engine_conf_copy(struct arena *a, struct config_model *to, const struct config_model *from)
{
    *to = *from;
    const char **const texts[] = {&to->name,   &to->engine,     &to->kind,           &to->file,
                                  &to->url,    &to->health,     &to->upstream_model, &to->program,
                                  &to->source, &to->key.value_, &to->key.from,       &to->tier,
                                  &to->role,   &to->label,      &to->clearance};
    const char *const **const lists[] = {&to->aliases, &to->command, &to->args, &to->env,
                                         &to->prepare};
    bool ok = true;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ok = ok && copy_text(a, texts[i]);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        ok = ok && copy_list(a, lists[i]);
    return ok ? 0 : E_NOMEM;
}

int engine_labels_of(struct engine_labels *ret, struct label_names *names,
                     const struct config_model *c, struct err *e)
{
    struct engine_labels l = {.clearance = LABEL_ALL};
    int rc = 0;
    l.cloud = strcmp(c->tier != NULL                    ? c->tier
                     : strcmp(c->engine, "remote") == 0 ? "cloud"
                                                        : "",
                     "cloud") == 0;
    l.has_clearance = c->clearance != NULL;
    if (names == NULL && (c->label != NULL || c->clearance != NULL))
        rc = err_set(e, E_UNSUPPORTED, "models have no labels here");
    if (rc == 0 && c->label != NULL)
        rc = label_parse(names, bytes_of(c->label), &l.label, e);
    if (rc == 0 && c->clearance != NULL)
        rc = label_parse(names, bytes_of(c->clearance), &l.clearance, e);
    if (rc == 0)
        *ret = l;
    return rc;
}

// ---- as others see it ----

struct engine_spec engine_spec_of(const struct engine *x)
{
    const struct config_model *c = &x->conf;
    return (struct engine_spec){
        .model = c->name,
        .engine = c->engine,
        .kind = c->kind,
        .file = c->file,
        .command = c->command,
        .args = c->args,
        .env = c->env,
        .health = c->health,
        .url = c->url,
        .key = secret_reveal(&c->key),
        .upstream_model = c->upstream_model,
        .context = c->context,
        .slots = c->slots,
        .threads = c->threads,
        .program = c->program,
        .search = x->all->args.search,
    };
}

// In the configuration 0 means at once; to models it means their default.
static int64_t at_least_one(int64_t ms)
{
    return ms > 0 ? ms : 1;
}

void engine_model_spec(struct model_spec *to, const struct config_model *c,
                       const struct engine_plan *p)
{
    *to = (struct model_spec){
        .name = c->name,
        .kind = c->kind != NULL ? c->kind : p->kind,
        .engine = c->engine,
        .aliases = c->aliases,
        .memory_bytes = c->memory_bytes != 0 ? c->memory_bytes : p->memory_bytes,
        .context = c->context != 0 ? c->context : p->context,
        .idle_ms = c->idle_ms,
        .pinned = c->pinned,
        .preload = c->preload,
        .remote = !p->child,
        .slots = c->slots != 0 ? c->slots : p->slots,
        .queue_max = c->queue_max,
        .restarts_max = c->restarts_max > 0 ? c->restarts_max : 1,
        .restart_pause_ms = at_least_one(c->restart_pause_ms),
        .failed_pause_ms = at_least_one(c->failed_pause_ms),
        .load_timeout_ms = c->load_timeout_ms,
        .drain_ms = at_least_one(c->drain_ms),
        .generation = c->fingerprint,
    };
}

// ---- a start's surroundings ----

// The same words as the proc port's own: what a child gets that has no environment of its own.
static bool looks_secret(struct bytes name)
{
    static const char *const words[] = {"KEY",    "TOKEN",      "SECRET",    "PASSWORD",
                                        "PASSWD", "CREDENTIAL", "PASSPHRASE"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (size_t at = 0; at < name.n; at++)
            if (bytes_iis(bytes_first(bytes_from(name, at), strlen(words[i])), words[i]))
                return true;
    return false;
}

static struct bytes name_of(const char *variable)
{
    struct bytes rest = bytes_of(variable);
    return bytes_cut(&rest, '=');
}

const char *const *engine_environment(struct arena *a, const char *const *more)
{
    extern char **environ;
    size_t n = 0, count = 0, added = 0;
    while (environ[n] != NULL)
        n++;
    while (more != NULL && more[added] != NULL)
        added++;
    const char **list = arena_zalloc(a, (n + added + 1) * sizeof *list);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        bool keep = !looks_secret(name_of(environ[i]));
        for (size_t k = 0; k < added; k++)
            keep = keep && !bytes_eq(name_of(environ[i]), name_of(more[k]));
        if (keep)
            list[count++] = environ[i];
    }
    for (size_t k = 0; k < added; k++)
        list[count++] = more[k];
    return list;
}

void engine_plan_drop(struct engine *x)
{
    if (x->plan.auth != NULL && x->plan.auth[0] != '\0')
        mem_wipe((char *)(uintptr_t)x->plan.auth, strlen(x->plan.auth));
    memset(&x->plan, 0, sizeof x->plan);
    arena_free(x->plan_arena);
    x->plan_arena = NULL;
}

static bool is_given(const struct engines *e, uint16_t port)
{
    list_each (it, &e->all)
        if (container_of(it, struct engine, link)->plan.port == port)
            return true;
    return false;
}

int engine_free_port(const struct engines *e, uint16_t *ret, struct err *err)
{
    for (int tries = 0; tries < 16; tries++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t n = sizeof at;
        int fd = sys_socket(AF_INET);
        bool ok = fd >= 0 && bind(fd, (struct sockaddr *)(void *)&at, sizeof at) == 0 &&
                  getsockname(fd, (struct sockaddr *)(void *)&at, &n) == 0;
        if (fd >= 0)
            (void)close(fd);
        if (ok && !is_given(e, ntohs(at.sin_port))) {
            *ret = ntohs(at.sin_port);
            return 0;
        }
    }
    return err_set(err, E_INUSE, "no port of 127.0.0.1 is free");
}
