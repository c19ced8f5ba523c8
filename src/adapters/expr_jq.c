// expr_jq.c: libjq behind dlopen: our own table of the functions of its public C API (jq.h, jv.h),
// so that plexus is built and runs without it.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_jq.h"
#include "base/alloc.h"
#include "text/jq.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

// jv.h: a value, passed by value: 16 bytes.
struct jv {
    unsigned char kind_flags, pad;
    unsigned short offset;
    int size;
    union {
        void *ptr;
        double number;
    } u;
};
_Static_assert(sizeof(struct jv) == 16, "jv is two words");
enum { JV_INVALID, JV_NULL, JV_FALSE, JV_TRUE, JV_NUMBER, JV_STRING, JV_ARRAY, JV_OBJECT };

typedef void jq_error_fn(void *data, struct jv message);

struct libjq {
    void *(*jq_init)(void);
    void (*jq_set_error_cb)(void *jq, jq_error_fn *fn, void *data);
    int (*jq_compile)(void *jq, const char *program);
    void (*jq_start)(void *jq, struct jv input, int flags);
    struct jv (*jq_next)(void *jq);
    void (*jq_teardown)(void **jq);
    int (*jv_get_kind)(struct jv v);
    struct jv (*jv_copy)(struct jv v);
    void (*jv_free)(struct jv v);
    int (*jv_invalid_has_msg)(struct jv v);
    struct jv (*jv_invalid_get_msg)(struct jv v);
    struct jv (*jv_parse_sized)(const char *text, int n);
    struct jv (*jv_dump_string)(struct jv v, int flags);
    const char *(*jv_string_value)(struct jv v);
    int (*jv_string_length_bytes)(struct jv v);
};
#define LIBJQ_FUNCTION(name) {#name, offsetof(struct libjq, name)}
static const struct {
    const char *name;
    size_t at;
} functions[] = {
    LIBJQ_FUNCTION(jq_init),
    LIBJQ_FUNCTION(jq_set_error_cb),
    LIBJQ_FUNCTION(jq_compile),
    LIBJQ_FUNCTION(jq_start),
    LIBJQ_FUNCTION(jq_next),
    LIBJQ_FUNCTION(jq_teardown),
    LIBJQ_FUNCTION(jv_get_kind),
    LIBJQ_FUNCTION(jv_copy),
    LIBJQ_FUNCTION(jv_free),
    LIBJQ_FUNCTION(jv_invalid_has_msg),
    LIBJQ_FUNCTION(jv_invalid_get_msg),
    LIBJQ_FUNCTION(jv_parse_sized),
    LIBJQ_FUNCTION(jv_dump_string),
    LIBJQ_FUNCTION(jv_string_value),
    LIBJQ_FUNCTION(jv_string_length_bytes),
};

enum { PROGRAMS_MAX = 64, TEXT_MAX = 256 << 10, VARS_MAX = 64 };

struct compiled {
    char *text; // with what stands before it
    void *jq;
    uint64_t used;
};
struct expr_jq {
    struct libjq lib;
    void *handle;
    char version[64];
    struct compiled programs[PROGRAMS_MAX];
    uint64_t turn;
    char message[512]; // of the compiler
};

static void on_message(void *data, struct jv message)
{
    struct expr_jq *x = data;
    const struct libjq *l = &x->lib;
    if (!x->message[0] && l->jv_get_kind(message) == JV_STRING)
        (void)snprintf(x->message, sizeof x->message, "%s", l->jv_string_value(message));
    l->jv_free(message);
}

static bool load(struct expr_jq *x)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *fn = dlsym(x->handle, functions[i].name);
        if (!fn)
            return false;
        memcpy((char *)&x->lib + functions[i].at, &fn, sizeof fn);
    }
    return true;
}

int expr_jq_open(struct expr_jq **ret, struct err *e)
{
    static const char *const names[] = {"libjq.so.1", "libjq.1.dylib"};
    AUTO(expr_jq) x = mem_new(struct expr_jq);
    if (!x)
        return err_set(e, E_NOMEM, "no memory for libjq");
    for (size_t i = 0; i < sizeof names / sizeof *names && !x->handle; i++)
        x->handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!x->handle || !load(x))
        return err_set(e, E_UNAVAILABLE,
                       "this expression needs libjq, which is not there: apt install libjq1");
    // It tells its version only since 1.8; what it exports tells the rest.
    const char *(*version)(void) = NULL;
    void *fn = dlsym(x->handle, "jq_get_version");
    memcpy(&version, &fn, sizeof fn);
    (void)snprintf(x->version, sizeof x->version, "libjq %.40s",
                   version                                      ? version()
                   : dlsym(x->handle, "jv_number_with_literal") ? "1.7"
                                                                : "1.6");
    *ret = steal(&x);
    return 0;
}

static void forget(struct expr_jq *x, struct compiled *p)
{
    if (p->jq)
        x->lib.jq_teardown(&p->jq);
    mem_free(p->text);
    *p = (struct compiled){0};
}

void expr_jq_free(struct expr_jq *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < PROGRAMS_MAX; i++)
        forget(x, &x->programs[i]);
    if (x->handle)
        (void)dlclose(x->handle);
    mem_free(x);
}

void expr_jq_auto(struct expr_jq **x)
{
    expr_jq_free(*x);
}

const char *expr_jq_version(const struct expr_jq *x)
{
    return x->version;
}

// ---- programs ----

// Before a program stands what binds its variables (so that one compiled program serves all their
// values), gives `now`, and hides what reaches outside (jq_check refused it already).
static int wrapped(struct buf *text, struct bytes program, const struct val *vars, struct err *e)
{
    static const char hidden[] =
        "def env: error(\"env is not allowed\"); def input: error(\"input is not allowed\"); "
        "def inputs: empty; def debug: .; def stderr: .; def input_filename: null; "
        "def input_line_number: 0; def halt: error(\"halt is not allowed\"); def halt_error: halt; "
        "def halt_error(f): halt; def get_search_list: []; def localtime: gmtime; "
        "def strflocaltime(f): strftime(f); def modulemeta: {}; ";
    size_t at = 0;
    struct bytes name;
    struct val *value;
    (void)buf_str(text, ". as [$__plexus_in, $__plexus_now");
    while (val_each(vars, &at, &name, &value)) {
        for (size_t i = 0; i < name.n; i++) {
            char c = name.p[i];
            bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                        (i > 0 && c >= '0' && c <= '9');
            if (!good || at > VARS_MAX)
                return err_set(e, E_INVALID, "jq: \"%.*s\" cannot be a variable",
                               BYTES_FMT(bytes_first(name, 64)));
        }
        (void)buf_fmt(text, ", $%.*s", BYTES_FMT(name));
    }
    (void)buf_str(text, "] | ");
    (void)buf_str(text, hidden);
    (void)buf_str(text, "def now: $__plexus_now; $__plexus_in | (\n");
    (void)buf_put(text, program);
    (void)buf_str(text, "\n)");
    return text->failed ? err_set(e, E_TOOBIG, "jq: the program is too long") : 0;
}

static struct compiled *compiled(struct expr_jq *x, const char *text, struct err *e)
{
    struct compiled *oldest = &x->programs[0];
    for (size_t i = 0; i < PROGRAMS_MAX; i++) {
        struct compiled *p = &x->programs[i];
        if (p->text && strcmp(p->text, text) == 0) {
            p->used = ++x->turn;
            return p;
        }
        if (p->used < oldest->used)
            oldest = p;
    }
    forget(x, oldest);
    oldest->jq = x->lib.jq_init();
    oldest->text = mem_str(text);
    if (!oldest->jq || !oldest->text) {
        forget(x, oldest);
        (void)err_set(e, E_NOMEM, "no memory for a jq program");
        return NULL;
    }
    x->lib.jq_set_error_cb(oldest->jq, on_message, x);
    x->message[0] = 0;
    if (!x->lib.jq_compile(oldest->jq, text)) {
        forget(x, oldest);
        (void)err_set(e, E_PARSE, "jq: %.300s", x->message[0] ? x->message : "it does not compile");
        return NULL;
    }
    oldest->used = ++x->turn;
    return oldest;
}

// ---- run ----

// The input of a wrapped program: [input, now, variables...].
static int input_of(struct buf *text, struct bytes input, const struct val *vars, int64_t now_ms,
                    struct err *e)
{
    size_t at = 0;
    struct bytes name;
    struct val *value;
    (void)buf_chr(text, '[');
    (void)buf_put(text, input.n ? input : BYTES("null"));
    (void)buf_fmt(text, ",%.14g", (double)now_ms / 1000); // newer jq keeps a number's digits
    while (val_each(vars, &at, &name, &value)) {
        (void)buf_chr(text, ',');
        (void)val_write(text, value);
    }
    (void)buf_chr(text, ']');
    return text->failed ? err_set(e, text->failed, "jq: the input is too large") : 0;
}

// Takes v.
static void put_dump(struct expr_jq *x, struct buf *out, struct jv v)
{
    struct jv text = x->lib.jv_dump_string(v, 0);
    size_t n = (size_t)x->lib.jv_string_length_bytes(x->lib.jv_copy(text)); // it takes
    (void)buf_add(out, x->lib.jv_string_value(text), n);
    x->lib.jv_free(text);
}

// Takes v, which is invalid. 0: nothing more comes.
static int ended(struct expr_jq *x, struct jv v, struct err *e)
{
    const struct libjq *l = &x->lib;
    if (!l->jv_invalid_has_msg(l->jv_copy(v))) {
        l->jv_free(v);
        return 0;
    }
    struct jv message = l->jv_invalid_get_msg(v);
    if (l->jv_get_kind(message) == JV_STRING) {
        int rc = err_set(e, E_INVALID, "jq: %.800s", l->jv_string_value(message));
        l->jv_free(message);
        return rc;
    }
    struct buf text;
    buf_init(&text, 1 << 20);
    put_dump(x, &text, message);
    int rc = err_set(e, E_INVALID, "jq: error (not a string): %.800s", buf_cstr(&text));
    buf_fini(&text);
    return rc;
}

// input ends in NUL: what libjq 1.6 says about text that is not JSON reads up to there.
static int run(struct expr_jq *x, struct compiled *p, struct bytes input, struct buf *out,
               struct err *e)
{
    const struct libjq *l = &x->lib;
    struct jv in = l->jv_parse_sized(input.p, (int)input.n);
    if (l->jv_get_kind(in) == JV_INVALID) {
        int rc = ended(x, in, e);
        return rc ? rc : err_set(e, E_INVALID, "jq: the input is not JSON");
    }
    l->jq_start(p->jq, in, 0);
    (void)buf_chr(out, '[');
    for (bool first = true;; first = false) {
        struct jv v = l->jq_next(p->jq);
        if (l->jv_get_kind(v) == JV_INVALID) {
            int rc = ended(x, v, e);
            (void)buf_chr(out, ']');
            if (rc == 0 && out->failed)
                rc = err_set(e, out->failed, "jq: the result is too large");
            return rc;
        }
        if (!first)
            (void)buf_chr(out, ',');
        put_dump(x, out, v);
        if (out->failed)
            return err_set(e, out->failed, "jq: the result is too large");
    }
}

int expr_jq_eval(struct expr_jq *x, struct bytes program, struct bytes input, struct bytes vars,
                 int64_t now_ms, struct buf *out, struct err *e)
{
    AUTO(val) bound = NULL;
    struct buf text, in;
    int rc = jq_check(program, e);
    if (rc == 0)
        rc = val_parse(&bound, vars.n ? vars : BYTES("{}"), e);
    if (rc < 0)
        return rc;
    buf_init(&text, TEXT_MAX);
    buf_init(&in, (size_t)INT32_MAX);
    rc = wrapped(&text, program, bound, e);
    struct compiled *p = rc == 0 ? compiled(x, buf_cstr(&text), e) : NULL;
    if (rc == 0 && !p)
        rc = e ? e->code : E_PARSE;
    if (rc == 0)
        rc = input_of(&in, input, bound, now_ms, e);
    if (rc == 0)
        rc = run(x, p, (struct bytes){buf_cstr(&in), in.n}, out, e);
    buf_fini(&text);
    buf_fini(&in);
    return rc;
}
