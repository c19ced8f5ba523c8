// registry_core.c: what every registry does the same.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/registry_priv.h"
#include "text/subject.h"
#include <stdio.h>
#include <string.h>

#define TTL_MS 30000
#define TTL_LEAST_MS 1000
#define TTL_MOST_MS (3600 * 1000)
#define NODES_MAX 4096
#define TEXT_MAX (352 * 1024) // trust/member.h, MEMBER_SHEET_MAX

struct registry_node {
    int64_t due_ms;
};

// A key of NATS (ADR-8): neither begins nor ends with a dot, nor has two of them together.
bool registry_name_good(struct bytes name)
{
    bool dot = true;
    if (!name.n || name.n > REGISTRY_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        if (!word && (c != '.' || dot))
            return false;
        dot = c == '.';
    }
    return !dot;
}

static const char *copy(const char *text, bool *failed)
{
    char *own = mem_str(text);
    *failed |= text && !own;
    return own;
}

static int check(const struct registry_args *a, struct err *e)
{
    if (!registry_name_good(bytes_of(a->node)))
        return err_set(e, E_INVALID,
                       "registry: a node of the name \"%.63s\" cannot be told there: letters, "
                       "digits, '-', '_' and single dots between them",
                       a->node);
    if (!subject_is_environment(bytes_of(a->environment)))
        return err_set(e, E_INVALID, "registry: %.32s is no environment: dev, staging or prod",
                       a->environment);
    if (a->ttl_ms && (a->ttl_ms < TTL_LEAST_MS || a->ttl_ms > TTL_MOST_MS))
        return err_set(e, E_INVALID, "registry: ttl is from 1s to 1h");
    return 0;
}

int registry_core_init(struct registry_core *c, const struct registry_ops *ops,
                       const struct registry_args *args, struct err *e)
{
    bool failed = false;
    int status = check(args, e);
    if (status < 0)
        return status;
    c->base.ops = ops;
    c->args = *args;
    struct registry_args *a = &c->args;
    a->ttl_ms = a->ttl_ms ? a->ttl_ms : TTL_MS;
    a->nodes_max = a->nodes_max ? a->nodes_max : NODES_MAX;
    a->text_bytes_max = a->text_bytes_max ? a->text_bytes_max : TEXT_MAX;
    a->node = copy(args->node, &failed);
    a->environment = copy(args->environment, &failed);
    a->url = a->user_name = a->password = a->token = NULL; // the connection's
    buf_init(&c->own, a->text_bytes_max);
    c->nodes = map_new(a->nodes_max);
    c->stats.status = REGISTRY_CONNECTING;
    if (!failed && c->nodes)
        return 0;
    registry_core_fini(c);
    return err_set(e, E_NOMEM, "registry");
}

void registry_core_fini(struct registry_core *c)
{
    void *value;
    for (size_t at = 0; c->nodes && map_each(c->nodes, &at, NULL, &value);)
        mem_free(value);
    map_free(c->nodes);
    buf_fini(&c->own);
    mem_free((void *)(uintptr_t)c->args.node);
    mem_free((void *)(uintptr_t)c->args.environment);
    c->nodes = NULL;
    c->args.node = c->args.environment = NULL;
}

int registry_core_put(struct registry_core *c, struct bytes text, struct err *e)
{
    if (c->closed)
        return err_set(e, E_CLOSED, "the registry is closed");
    if (!text.n)
        return err_set(e, E_INVALID, "registry: the text is empty");
    if (text.n > c->args.text_bytes_max)
        return err_set(e, E_TOOBIG, "registry: a text of %zu bytes, at most %u", text.n,
                       c->args.text_bytes_max);
    buf_clear(&c->own);
    if (buf_put(&c->own, text) < 0) {
        c->has_own = false;
        return err_set(e, E_NOMEM, "registry");
    }
    c->has_own = true;
    c->renew_ms = 0;
    return 0;
}

bool registry_core_due(struct registry_core *c, int64_t now)
{
    if (!c->has_own || now < c->renew_ms)
        return false;
    c->renew_ms = now + c->args.ttl_ms / 3;
    return true;
}

void registry_core_seen(struct registry_core *c, struct bytes node, struct bytes text)
{
    if (c->closed || bytes_is(node, c->args.node))
        return;
    struct registry_node *n = registry_name_good(node) ? map_get(c->nodes, node) : NULL;
    bool good = registry_name_good(node) && text.n && text.n <= c->args.text_bytes_max;
    if (good && !n && (n = mem_new(struct registry_node)) != NULL &&
        map_put(c->nodes, node, n, NULL) < 0) {
        mem_free(n);
        n = NULL;
    }
    if (!good || !n) {
        c->stats.dropped++;
        return;
    }
    n->due_ms = timers_now_ms(c->args.timers) + c->args.ttl_ms;
    c->stats.seen++;
    c->args.seen(c->args.user, node, text);
}

static void gone(struct registry_core *c, struct bytes node, bool expired)
{
    char name[REGISTRY_NAME_MAX + 1]; // the map's own goes with its entry
    struct registry_node *n = c->closed ? NULL : map_get(c->nodes, node);
    if (!n)
        return;
    memcpy(name, node.p, node.n);
    node.p = name;
    mem_free(map_del(c->nodes, node));
    *(expired ? &c->stats.expired : &c->stats.deleted) += 1;
    c->args.gone(c->args.user, node, expired);
}

void registry_core_gone(struct registry_core *c, struct bytes node)
{
    gone(c, node, false);
}

void registry_core_expire(struct registry_core *c)
{
    int64_t now = timers_now_ms(c->args.timers);
    struct bytes name;
    void *value;
    for (size_t at = 0; !c->closed && map_each(c->nodes, &at, &name, &value);) {
        if (((struct registry_node *)value)->due_ms > now)
            continue;
        gone(c, name, true);
        at = 0; // the map has changed
    }
}

void registry_core_status(struct registry_core *c, enum registry_status status, const struct err *e)
{
    c->stats.status = status == REGISTRY_BACK ? REGISTRY_CONNECTED : status;
    c->stats.lost += status == REGISTRY_LOST;
    if (status == REGISTRY_CONNECTED || status == REGISTRY_BACK)
        c->stats.note[0] = 0;
    registry_core_note(c, e);
    if (c->args.on_status)
        c->args.on_status(c->args.user, status, e);
}

void registry_core_note(struct registry_core *c, const struct err *e)
{
    if (e && e->n)
        (void)snprintf(c->stats.note, sizeof c->stats.note, "%.190s", e->text);
}
