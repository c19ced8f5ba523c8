// prims_probe.c: children of the source, and the one that tells what the sandbox is made of.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/prims_source_priv.h"

int prims_spawn(struct prims *p, const struct jail_words *words, const char *verb, bool shell,
                struct proc_args *args, struct proc **ret, struct err *e)
{
    const char *argv[JAIL_WORDS_MAX + 4];
    size_t n = 0;
    argv[n++] = p->self;
    argv[n++] = verb;
    for (size_t i = 0; i < words->n; i++)
        argv[n++] = words->word[i];
    argv[n] = NULL;
    args->argv = argv;
    args->env = p->env;
    args->cwd = "/";
    args->limits.memory_bytes = shell ? p->a.memory_bytes : FILES_BYTES;
    args->input = true;
    args->input_bytes_max = PRIM_REQUEST_MAX;
    return p->a.procs->ops->spawn(p->a.procs, args, ret, e);
}

// ---- what the sandbox is made of

struct probe {
    struct list link;
    struct prims *p;
    struct proc *proc;
    struct buf out, said;
    void (*done)(void *user, const struct jail_report *r, const struct err *e);
    void *user;
};

static void probe_free(struct probe *b)
{
    if (b->proc)
        b->p->a.procs->ops->free(b->proc);
    list_del(&b->link);
    buf_fini(&b->out);
    buf_fini(&b->said);
    mem_free(b);
}

static void probe_bytes(void *user, int fd, struct bytes part)
{
    struct probe *b = user;
    (void)buf_put(fd == 2 ? &b->said : &b->out, part); // too long: it will not parse
}

static void probe_exit(void *user, const struct proc_exit *x)
{
    struct probe *b = user;
    struct prims *p = b->p;
    struct err e = {0};
    struct jail_report r;
    int rc = x->not_started ? err_set(&e, E_UNAVAILABLE, "%s", x->text)
             : x->code != 0 ? err_set(&e, E_SECURITY, "%s", buf_cstr(&b->said))
                            : jail_report_parse(&r, buf_bytes(&b->out), &e);
    if (rc == 0) {
        p->report = r;
        p->reported = true;
    }
    void (*done)(void *, const struct jail_report *, const struct err *) = b->done;
    void *done_user = b->user;
    probe_free(b);
    done(done_user, rc == 0 ? &p->report : NULL, &e);
}

int prims_probe(struct prims *p,
                void (*done)(void *user, const struct jail_report *r, const struct err *e),
                void *user, struct err *e)
{
    struct jail_opts o = p->a.bash ? p->shell : p->bare;
    struct jail_words words;
    o.require = false; // the report is wanted, whatever it says
    o.report = true;
    int rc = jail_words(&words, &o, e);
    struct probe *b = rc == 0 ? mem_new(struct probe) : NULL;
    if (!b)
        return rc < 0 ? rc : err_set(e, E_NOMEM, "no memory to look at the sandbox");
    *b = (struct probe){.p = p, .done = done, .user = user};
    list_init(&b->link);
    buf_init(&b->out, 16384);
    buf_init(&b->said, SAID_MAX);
    struct proc_args args = {.on_bytes = probe_bytes, .on_exit = probe_exit, .user = b};
    rc = prims_spawn(p, &words, "_jail", false, &args, &b->proc, e);
    if (rc < 0) {
        probe_free(b);
        return rc;
    }
    list_add_tail(&p->probes, &b->link);
    return 0;
}

const struct jail_report *prims_report(const struct prims *p)
{
    return p->reported ? &p->report : NULL;
}

void prims_end_probes(struct prims *p)
{
    while (!list_empty(&p->probes))
        probe_free(container_of(p->probes.next, struct probe, link));
}
