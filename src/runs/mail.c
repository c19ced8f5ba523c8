// mail.c: from run to run: a child is to begin, to be cancelled, or has ended. The sender's write
// has the mail, the receiver's removes it: so it comes once, whatever dies in between.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"

void runs_mail_free(struct mail *m)
{
    if (!m)
        return;
    list_del(&m->link);
    list_del(&m->plan.link);
    runs_mail_free(m->then);
    mem_free(m->key);
    val_unref(m->value);
    mem_free(m);
}

// kind: "1" begin, "2" a hand, "3" an answer; in this order they are read again.
static struct mail *mail_new(struct runs *s, const char *kind, struct bytes unique,
                             struct val *takes_value)
{
    struct mail *m = takes_value ? mem_new(struct mail) : NULL;
    struct buf key;
    if (!m) {
        val_unref(takes_value);
        return NULL;
    }
    list_init(&m->link);
    list_init(&m->plan.link);
    m->s = s;
    m->value = takes_value;
    buf_init(&key, 2048);
    (void)buf_fmt(&key, "mail/%s/%s/%.*s", s->node, kind, BYTES_FMT(unique));
    m->key = key.failed ? NULL : buf_take(&key);
    buf_fini(&key);
    if (m->key)
        return m;
    runs_mail_free(m);
    return NULL;
}

static struct val *head(const char *kind, struct bytes run, uint64_t id)
{
    struct val *v = val_put_cstr(val_obj(), "k", val_cstr(kind));
    v = val_put_cstr(v, "run", val_str(run));
    return id ? val_put_cstr(v, "id", val_int((int64_t)id)) : v;
}

static int add(struct write *w, struct mail *m)
{
    if (!m)
        return E_NOMEM;
    list_add_tail(&w->mails, &m->link);
    return 0;
}

static int64_t depth_of(const struct val *meta)
{
    return val_i64(val_get_cstr(val_get_cstr(meta, "parent"), "depth"), 0);
}

static void pass_on(struct val **v, const struct val *meta, const char *key)
{
    struct val *item = val_get_cstr(meta, key);
    if (item)
        *v = val_put_cstr(*v, key, val_ref(item));
}

// What a child begins with.
static struct val *child_value(const struct val *meta, struct bytes run, const struct flow_event *c,
                               struct bytes child)
{
    struct val *v = head("begin", child, c->id);
    v = val_put_cstr(v, "parent", val_str(run));
    v = val_put_cstr(v, "depth", val_int(depth_of(meta) + 1));
    v = val_put_cstr(v, "data", val_ref(c->data));
    pass_on(&v, meta, "by");
    pass_on(&v, meta, "label");
    pass_on(&v, meta, "namespace");
    return v;
}

struct mail *runs_mail_begin(struct runs *s, const struct val *meta, struct bytes run,
                             const struct flow_event *child)
{
    struct mail *m = NULL;
    struct buf id;
    buf_init(&id, 2 * RUNS_ID_MAX);
    (void)buf_fmt(&id, "%.*s.%llu", BYTES_FMT(run), (unsigned long long)child->id);
    struct bytes name = buf_bytes(&id);
    if (!id.failed && (depth_of(meta) >= RUNS_DEPTH_MAX || name.n > RUNS_ID_MAX)) {
        struct val *v = head("answer", run, child->id);
        v = val_put_cstr(v, "error",
                         runs_problem("runtime", 500, "Flows are nested too deep",
                                      "a flow runs flows at most 32 deep"));
        m = mail_new(s, "3", name, v);
    } else if (!id.failed) {
        m = mail_new(s, "1", name, child_value(meta, run, child, name));
    }
    buf_fini(&id);
    return m;
}

int runs_mail_child(struct write *w, const struct flow_event *command)
{
    struct run *r = w->run;
    return add(w, runs_mail_begin(w->s, r->meta, r->spot->id, command));
}

static struct val *hand_value(struct bytes run, const char *action)
{
    return val_put_cstr(head("hand", run, 0), "action", val_cstr(action));
}

int runs_mail_cancel(struct write *w, uint64_t id, struct bytes child)
{
    (void)id;
    return add(w, mail_new(w->s, "2", child, hand_value(child, "cancel")));
}

struct mail *runs_mail_hand(struct runs *s, struct bytes run, const char *action)
{
    return mail_new(s, "2", run, hand_value(run, action));
}

int runs_mail_end(struct write *w, const struct val *data)
{
    struct run *r = w->run;
    const struct val *parent = val_get_cstr(r->meta, "parent");
    struct val *output = val_get_cstr(data, "output"), *error = val_get_cstr(data, "error");
    const char *status = val_text(val_get_cstr(data, "status"), "");
    if (!val_bool_of(val_get_cstr(parent, "await"), false))
        return 0;
    struct val *v = head("answer", val_bytes(val_get_cstr(parent, "run")),
                         (uint64_t)val_i64(val_get_cstr(parent, "id"), 0));
    if (bytes_is(bytes_of(status), "completed"))
        v = val_put_cstr(v, "output", output ? val_ref(output) : val_null());
    else
        v = val_put_cstr(v, "error",
                         error ? val_ref(error)
                               : runs_problem("runtime", 500, "The flow was ended", status));
    return add(w, mail_new(w->s, "3", r->spot->id, v));
}

// ---- delivery -----------------------------------------------------------------------------------

static struct post *with_mail(struct post *p, struct mail *m)
{
    if (!p)
        return NULL;
    p->mail = bytes_of(steal(&m->key));
    return p;
}

// Without memory it stays in the journal and comes in the next life.
static void post_to(struct mail *m, struct post *p)
{
    struct runs *s = m->s;
    struct err e = {0};
    struct run *r = p ? runs_get(s, val_bytes(val_get_cstr(m->value, "run")), &e) : NULL;
    if (r) {
        runs_post(r, with_mail(p, m));
    } else if (p) {
        runs_post_fail(s, p, e.code, &e);
    }
    runs_mail_free(m);
}

static struct post *answer_post(const struct val *v)
{
    struct val *output = val_get_cstr(v, "output"), *error = val_get_cstr(v, "error");
    struct val *data =
        error ? val_put_cstr(val_obj(), "error", val_ref(error))
              : val_put_cstr(val_obj(), "output", output ? val_ref(output) : val_null());
    uint64_t id = (uint64_t)val_i64(val_get_cstr(v, "id"), 0);
    return data ? runs_post_new(error ? FLOW_FAILED : FLOW_DONE, id, data) : NULL;
}

// The child did not begin: its parent is told, in the name of the same mail.
static void refuse(struct mail *m, const char *kind, const char *title, const struct err *e)
{
    struct val *v = m->value;
    uint64_t id = (uint64_t)val_i64(val_get_cstr(v, "id"), 0);
    struct val *answer = head("answer", val_bytes(val_get_cstr(v, "parent")), id);
    answer =
        val_put_cstr(answer, "error", runs_problem(kind, err_info(e->code)->http, title, e->text));
    if (!answer)
        return;
    val_unref(m->value);
    m->value = answer;
    post_to(m, answer_post(answer));
}

static void go_then(struct mail *m)
{
    struct mail *then = steal(&m->then);
    if (then)
        runs_mail_go(then);
}

static void on_begun(struct post *p, int status, const struct err *e)
{
    struct mail *m = p->user;
    struct runs *s = m->s;
    const struct val *v = m->value;
    if (!status) {
        bool await = val_bool_of(val_get_cstr(val_get_cstr(v, "data"), "await"), true);
        struct mail *then = steal(&m->then);
        if (!await) { // its answer was written with the beginning
            struct val *a = head("answer", val_bytes(val_get_cstr(v, "parent")),
                                 (uint64_t)val_i64(val_get_cstr(v, "id"), 0));
            struct val *output = val_put_cstr(val_obj(), "run", val_ref(val_get_cstr(v, "run")));
            a = val_put_cstr(a, "output", output);
            struct mail *answer = mail_new(s, "3", val_bytes(val_get_cstr(v, "run")), a);
            if (answer)
                runs_mail_go(answer);
        }
        runs_mail_free(m);
        if (then)
            runs_mail_go(then);
        return;
    }
    if (!runs_down(s, NULL)) {
        m->key = (char *)(uintptr_t)p->mail.p; // it is done with by the parent
        p->mail = BYTES_NONE;
        go_then(m);
        list_del(&m->link);
        refuse(m, "runtime", "The flow cannot begin", e);
        return;
    }
    runs_mail_free(m);
}

static struct val *child_puts(struct mail *m)
{
    const struct val *v = m->value;
    struct bytes child = val_bytes(val_get_cstr(v, "run"));
    if (val_bool_of(val_get_cstr(val_get_cstr(v, "data"), "await"), true))
        return NULL;
    struct val *a = head("answer", val_bytes(val_get_cstr(v, "parent")),
                         (uint64_t)val_i64(val_get_cstr(v, "id"), 0));
    a = val_put_cstr(a, "output", val_put_cstr(val_obj(), "run", val_str(child)));
    struct mail *answer = mail_new(m->s, "3", child, a);
    if (!answer)
        return NULL;
    struct val *puts = val_put(val_obj(), bytes_of(answer->key), val_ref(answer->value));
    runs_mail_free(answer);
    return puts;
}

static void on_plan(struct plan_wait *w, struct flow_plan *plan, const struct err *e)
{
    struct mail *m = container_of(w, struct mail, plan);
    const struct val *v = m->value, *data = val_get_cstr(v, "data");
    struct val *parent = val_put_cstr(val_obj(), "run", val_ref(val_get_cstr(v, "parent")));
    struct err why = {0};
    bool await = val_bool_of(val_get_cstr(data, "await"), true);
    if (!plan) {
        val_unref(parent);
        go_then(m);
        list_del(&m->link);
        refuse(m, "configuration", "The flow's document cannot be read", e);
        return;
    }
    parent = val_put_cstr(parent, "id", val_ref(val_get_cstr(v, "id")));
    parent = val_put_cstr(parent, "depth", val_ref(val_get_cstr(v, "depth")));
    parent = val_put_cstr(parent, "await", val_bool(await));
    struct begin b = {.plan = plan,
                      .id = val_bytes(val_get_cstr(v, "run")),
                      .input = val_get_cstr(data, "input"),
                      .parent = parent,
                      .by = val_bytes(val_get_cstr(v, "by")),
                      .label = val_bytes(val_get_cstr(v, "label")),
                      .mail = bytes_of(m->key),
                      .takes_puts = child_puts(m),
                      .done = on_begun,
                      .user = m};
    int rc = runs_begin(m->s, &b, &why);
    val_unref(parent);
    if (!rc)
        return;
    go_then(m);
    list_del(&m->link);
    refuse(m, "runtime", "The flow cannot begin", &why);
}

static void begin_child(struct mail *m)
{
    struct runs *s = m->s;
    const struct val *v = m->value, *data = val_get_cstr(v, "data");
    struct val *namespace = val_get_cstr(data, "namespace");
    struct bytes name = val_bytes(val_get_cstr(data, "name"));
    struct bytes version = val_bytes(val_get_cstr(data, "version"));
    if (bytes_is(version, "latest"))
        version = BYTES_NONE;
    if (!namespace)
        namespace = val_get_cstr(v, "namespace");
    struct doc *d = runs_doc_find(s, val_bytes(namespace), name, version);
    struct err e = {0};
    if (!d) {
        (void)err_set(&e, E_NOTFOUND, "no document %.*s/%.*s%s%.*s is registered: plexus flow add",
                      BYTES_FMT(val_bytes(namespace)), BYTES_FMT(name), version.n ? ":" : "",
                      BYTES_FMT(version));
        refuse(m, "configuration", "The flow's document is not registered", &e);
        return;
    }
    list_add_tail(&s->mails, &m->link);
    m->plan.done = on_plan;
    runs_plan_load(s, d->hash, &m->plan);
}

static struct mail *beginning(struct runs *s, struct bytes run)
{
    list_each (it, &s->mails) {
        struct mail *m = container_of(it, struct mail, link);
        if (bytes_eq(val_bytes(val_get_cstr(m->value, "run")), run))
            return m;
    }
    return NULL;
}

void runs_mail_go(struct mail *takes_m)
{
    struct mail *m = takes_m;
    struct runs *s = m->s;
    struct bytes kind = val_bytes(val_get_cstr(m->value, "k"));
    if (bytes_is(kind, "begin")) {
        begin_child(m);
        return;
    }
    if (bytes_is(kind, "answer")) {
        post_to(m, answer_post(m->value));
        return;
    }
    struct mail *first = beginning(s, val_bytes(val_get_cstr(m->value, "run")));
    if (first && !first->then) {
        first->then = m;
        return;
    }
    struct val *data = val_put_cstr(val_obj(), "action", val_ref(val_get_cstr(m->value, "action")));
    post_to(m, runs_post_new(FLOW_HAND, 0, data));
}

// ---- of the last life ---------------------------------------------------------------------------

static bool on_mail(void *user, struct bytes key, struct bytes value)
{
    struct runs *s = user;
    struct mail *m = mem_new(struct mail);
    if (!m || val_parse(&m->value, value, NULL)) {
        mem_free(m);
        return true;
    }
    list_init(&m->plan.link);
    m->s = s;
    m->key = mem_dup(key.p, key.n);
    list_add_tail(&s->old_mails, &m->link);
    return m->key != NULL;
}

static void on_mails(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    if (status) {
        list_each_safe (it, &s->old_mails)
            runs_mail_free(container_of(it, struct mail, link));
        runs_start_failed(s, runs_mails_start, status, e);
        return;
    }
    s->mails_read = true;
    while (!list_empty(&s->old_mails)) {
        struct mail *m = container_of(s->old_mails.next, struct mail, link);
        list_del(&m->link);
        runs_mail_go(m);
    }
    runs_table_start(s);
    runs_soon(s);
}

static bool on_left(void *user, struct bytes key, struct bytes value)
{
    struct runs *s = user;
    size_t before = 0;
    list_each (it, &s->old_mails)
        before++;
    if (before > 1000)
        return false; // the others another time
    return on_mail(user, key, value);
}

// Hands and answers may come twice; what is to begin is not lost, and is under way.
static void on_lefts(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    (void)e;
    while (!list_empty(&s->old_mails)) {
        struct mail *m = container_of(s->old_mails.next, struct mail, link);
        list_del(&m->link);
        if (status || runs_down(s, NULL) ||
            bytes_is(val_bytes(val_get_cstr(m->value, "k")), "begin"))
            runs_mail_free(m);
        else
            runs_mail_go(m);
    }
    if (status && !runs_down(s, NULL))
        runs_mails_again(s);
}

static void on_again(struct timer *t)
{
    struct runs *s = t->user;
    struct op *o = runs_op(s, on_lefts, s);
    struct buf prefix;
    buf_init(&prefix, 512);
    (void)buf_fmt(&prefix, "mail/%s/", s->node);
    struct journal_keys a = {.prefix = buf_bytes(&prefix), .on_put = on_left, .user = s};
    if (!o || journal_keys(s->args.journal, &a, &o->req, NULL)) {
        runs_op_free(o);
        runs_mails_again(s);
    }
    buf_fini(&prefix);
}

void runs_mails_again(struct runs *s)
{
    s->mail_again.fn = on_again;
    s->mail_again.user = s;
    (void)timer_start(s->args.timers, &s->mail_again, 10000);
}

void runs_mails_start(struct runs *s)
{
    struct op *o = runs_op(s, on_mails, s);
    struct err e = {0};
    struct buf prefix;
    buf_init(&prefix, 512);
    (void)buf_fmt(&prefix, "mail/%s/", s->node);
    struct journal_keys a = {.prefix = buf_bytes(&prefix), .on_put = on_mail, .user = s};
    int rc = o ? journal_keys(s->args.journal, &a, &o->req, &e)
               : err_set(&e, E_NOMEM, "the list of what is under way");
    buf_fini(&prefix);
    if (!rc)
        return;
    runs_op_free(o);
    runs_start_failed(s, runs_mails_start, rc, &e);
}
