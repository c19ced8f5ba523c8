// loop_plan.c: a chat request with plexus_tools: which tools the model is told of and by which
// names, what goes to it for each answer, which calls wait for a person's word. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_priv.h"
#include "toolbox/tools_all.h"

#include <stdio.h>
#include <string.h>

#define WORDS_MAX ((size_t)8 << 20)
#define DESCRIPTION_MAX 1024 // OpenAI's limit

// ---- names --------------------------------------------------------------------------------------

const struct loop_name *tools_loop_name(const struct loop_plan *p, struct bytes function)
{
    for (size_t i = 0; i < p->name_count; i++)
        if (bytes_eq(p->names[i].function, function))
            return &p->names[i];
    return NULL;
}

static bool name_add(struct loop_plan *p, struct bytes function, struct bytes tool)
{
    struct loop_name *n = &p->names[p->name_count];
    if (p->name_count == sizeof p->names / sizeof *p->names)
        return false;
    n->function = arena_dup(p->words, function);
    n->tool = tool.n ? arena_dup(p->words, tool) : BYTES_NONE;
    p->name_count += n->function.p != NULL;
    return n->function.p != NULL;
}

// A function's name has letters, digits, _ and -, at most 64. Another tool may end up with the same
// one, or the client's: then a number makes the difference.
static struct bytes function_name(struct loop_plan *p, struct bytes tool,
                                  char room[LOOP_NAME_MAX + 8])
{
    size_t n = 0;
    for (; n < tool.n && n < LOOP_NAME_MAX; n++) {
        char c = tool.p[n];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        room[n] = good ? c : '_';
    }
    for (unsigned i = 2; tools_loop_name(p, (struct bytes){room, n}); i++) {
        size_t keep = tool.n < LOOP_NAME_MAX - 4 ? tool.n : LOOP_NAME_MAX - 4;
        n = keep + (size_t)snprintf(room + keep, 8, "_%u", i);
    }
    return (struct bytes){room, n};
}

// ---- which tools --------------------------------------------------------------------------------

struct pick {
    struct loop_plan *p;
    const struct val *wanted; // array of names and patterns
    struct val *functions;
    size_t count;
    bool too_many, no_memory;
};

static bool is_pattern(struct bytes s)
{
    return bytes_chr(s, '*') >= 0;
}

// Patterns take what is granted; what would be refused only where somebody can be asked.
static bool is_wanted(const struct pick *k, const struct tool_about *a)
{
    for (size_t i = 0; i < val_len(k->wanted); i++) {
        struct bytes w = val_bytes(val_at(k->wanted, i));
        if (bytes_eq(w, a->name) || (a->urn.n && bytes_eq(w, a->urn)) ||
            (is_pattern(w) && (a->granted || k->p->confirms) && tools_fits(w, a->name)))
            return true;
    }
    return false;
}

static struct bytes cut(struct bytes text, size_t max)
{
    size_t n = text.n < max ? text.n : max;
    while (n < text.n && n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--;
    return bytes_first(text, n);
}

static void pick_one(void *user, const struct tool_about *a)
{
    struct pick *k = user;
    char room[LOOP_NAME_MAX + 8];
    if (!is_wanted(k, a))
        return;
    if (++k->count > LOOP_TOOLS_MAX) {
        k->too_many = true;
        return;
    }
    struct bytes name = function_name(k->p, a->name, room);
    struct bytes says = a->description.n ? a->description : a->title;
    struct val *f = val_put_cstr(val_obj(), "name", val_str(name));
    if (says.n)
        f = val_put_cstr(f, "description", val_str(cut(says, DESCRIPTION_MAX)));
    f = val_put_cstr(f, "parameters", val_ref((struct val *)(uintptr_t)a->input));
    f = val_put_cstr(val_put_cstr(val_obj(), "type", val_cstr("function")), "function", f);
    k->functions = val_push(k->functions, f);
    k->no_memory = k->no_memory || !name_add(k->p, name, a->name);
}

static int wanted_of(const struct val *v, struct val **ret, struct err *e)
{
    if (val_is(v, JSON_BOOL)) {
        *ret = val_bool_of(v, false) ? val_push(val_arr(), val_cstr("*")) : val_arr();
        return *ret ? 0 : err_set(e, E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < val_len(v); i++)
        if (!val_bytes(val_at(v, i)).n)
            return err_set(e, E_INVALID, "plexus_tools: names of tools, or patterns with *");
    if (!val_is(v, JSON_ARR))
        return err_set(e, E_INVALID, "plexus_tools: an array of names of tools, or true for all");
    *ret = val_ref((struct val *)(uintptr_t)v);
    return 0;
}

// Each name has to be a tool's; patterns may fit none.
static int all_there(const struct val *wanted, struct tools *tools, struct err *e)
{
    struct tool_about a;
    for (size_t i = 0; i < val_len(wanted); i++) {
        struct bytes w = val_bytes(val_at(wanted, i));
        if (!is_pattern(w) && !tools->ops->find(tools, w, &a))
            return err_set(e, E_INVALID,
                           "plexus_tools: there is no tool \"%.*s\"; plexus tool ls "
                           "lists them",
                           BYTES_FMT(cut(w, TOOL_NAME_MAX)));
    }
    return 0;
}

static int tools_of(struct loop_plan *p, const struct val *v, const struct loop_plan_args *args,
                    struct err *e)
{
    struct tools *tools = args->tools;
    AUTO(val) wanted = NULL;
    const struct val *own = val_get_cstr(p->body, "tools");
    struct pick k = {.p = p,
                     .functions =
                         val_is(own, JSON_ARR) ? val_ref((struct val *)(uintptr_t)own) : val_arr()};
    int status = wanted_of(v, &wanted, e);
    if (status == 0)
        status = all_there(wanted, tools, e);
    for (size_t i = 0; i < val_len(own) && status == 0; i++) {
        struct bytes name = val_bytes(val_ptr(val_at(own, i), BYTES("/function/name")));
        if (i == LOOP_TOOLS_MAX)
            status = err_set(e, E_INVALID, "tools: %d at most", LOOP_TOOLS_MAX);
        else if (name.n && !name_add(p, name, BYTES_NONE))
            status = err_set(e, E_NOMEM, "out of memory");
    }
    k.wanted = wanted;
    if (status == 0)
        tools->ops->list(tools, args->caller, pick_one, &k);
    if (status == 0 && k.too_many)
        status = err_set(e, E_INVALID, "plexus_tools: more than %d tools fit: name fewer",
                         LOOP_TOOLS_MAX);
    if (status == 0 && (k.no_memory || !k.functions))
        status = err_set(e, E_NOMEM, "out of memory");
    if (status == 0 && val_len(k.functions))
        p->body = val_put_cstr(p->body, "tools", val_ref(k.functions));
    val_unref(k.functions);
    return status;
}

// ---- the request --------------------------------------------------------------------------------

static int limits_of(struct loop_plan *p, const struct val *v, const struct tools_loop_limits *most,
                     struct err *e)
{
    double steps = val_dbl(val_get_cstr(v, "steps"), most->steps),
           tokens = val_dbl(val_get_cstr(v, "tokens"), (double)most->tokens),
           seconds = val_dbl(val_get_cstr(v, "seconds"), (double)most->time_ms / 1000);
    if (!(steps >= 1) || !(tokens >= 1) || !(seconds > 0))
        return err_set(e, E_INVALID,
                       "plexus_limits: steps, tokens and seconds are numbers above 0");
    p->steps_max = steps < most->steps ? (uint32_t)steps : most->steps;
    p->tokens_max = tokens < (double)most->tokens ? (uint64_t)tokens : most->tokens;
    p->time_ms = seconds * 1000 < (double)most->time_ms ? (int64_t)(seconds * 1000) : most->time_ms;
    p->time_ms = p->time_ms > 0 ? p->time_ms : 1;
    return 0;
}

static bool says_yes(const struct val *confirm)
{
    size_t at = 0;
    struct bytes id;
    struct val *v;
    bool yes = false;
    while (val_is(confirm, JSON_OBJ) && val_each(confirm, &at, &id, &v))
        yes = yes || val_bool_of(v, false);
    return yes;
}

static int read_request(struct loop_plan *p, struct val *request, const struct loop_plan_args *args,
                        const char **ret_param, struct err *e)
{
    static const char *const own[] = {"messages",       "plexus_tools", "plexus_limits",
                                      "plexus_confirm", "functions",    "function_call"};
    const struct val *confirm = val_get_cstr(request, "plexus_confirm");
    p->stream = val_bool_of(val_get_cstr(request, "stream"), false);
    p->usage = val_bool_of(val_ptr(request, BYTES("/stream_options/include_usage")), false);
    p->model = arena_dup(p->words, val_bytes(val_get_cstr(request, "model")));
    p->confirms = args->admin && (val_is(confirm, JSON_OBJ) || val_bool_of(confirm, false));
    p->confirm = val_is(confirm, JSON_OBJ) ? val_ref((struct val *)(uintptr_t)confirm) : NULL;
    p->messages = val_ref(val_get_cstr(request, "messages"));
    p->given = val_len(p->messages);
    p->body = val_ref(request);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        p->body = val_del(p->body, bytes_of(own[i]));
    *ret_param = "plexus_confirm";
    if (says_yes(confirm) && !args->admin)
        return err_set(e, E_FORBIDDEN,
                       "plexus_confirm: a tool that nobody granted is confirmed by "
                       "a key with scope admin");
    *ret_param = "n";
    if (val_i64(val_get_cstr(request, "n"), 1) != 1)
        return err_set(e, E_INVALID, "n: with plexus_tools there is one answer");
    *ret_param = "functions";
    if (val_len(val_get_cstr(request, "functions")))
        return err_set(e, E_INVALID,
                       "functions: with plexus_tools the newer form is needed: tools");
    *ret_param = "plexus_limits";
    int status = limits_of(p, val_get_cstr(request, "plexus_limits"), args->most, e);
    if (status == 0) {
        *ret_param = "plexus_tools";
        status = tools_of(p, val_get_cstr(request, "plexus_tools"), args, e);
    }
    if (p->stream && status == 0) { // the numbers of tokens are needed for the limit
        struct val *options = val_get_cstr(p->body, "stream_options");
        options = val_is(options, JSON_OBJ) ? val_ref(options) : val_obj();
        options = val_put_cstr(options, "include_usage", val_bool(true));
        p->body = val_put_cstr(p->body, "stream_options", options);
    }
    return status < 0 || (p->body && p->messages) ? status : err_set(e, E_NOMEM, "out of memory");
}

int tools_plan_new(struct loop_plan **ret, const struct loop_plan_args *args,
                   const char **ret_param, struct err *e)
{
    AUTO(val) v = NULL;
    struct loop_plan *p = mem_new(struct loop_plan);
    *ret_param = NULL;
    if (!p || !(p->words = arena_new(WORDS_MAX))) {
        mem_free(p);
        return err_set(e, E_NOMEM, "out of memory");
    }
    int status = val_parse(&v, args->request, e);
    if (status == 0 && !val_is(val_get_cstr(v, "messages"), JSON_ARR))
        status = err_set(e, E_INVALID, "messages: an array is needed");
    if (status == 0)
        status = read_request(p, v, args, ret_param, e);
    if (status < 0) {
        tools_plan_free(p);
        return status;
    }
    *ret = p;
    return 0;
}

void tools_plan_free(struct loop_plan *p)
{
    if (!p)
        return;
    val_unref(p->body);
    val_unref(p->messages);
    val_unref(p->confirm);
    arena_free(p->words);
    mem_free(p);
}

struct val *tools_plan_body(const struct loop_plan *p, bool again, bool last)
{
    struct val *body = val_put_cstr(val_ref(p->body), "messages", val_ref(p->messages));
    const struct val *choice = val_get_cstr(body, "tool_choice");
    bool forced =
        choice && !bytes_is(val_bytes(choice), "auto") && !bytes_is(val_bytes(choice), "none");
    if (last && val_get_cstr(body, "tools"))
        return val_put_cstr(body, "tool_choice", val_cstr("none"));
    if (again && forced) // it was done: forced each time, there would never be an answer
        return val_put_cstr(body, "tool_choice", val_cstr("auto"));
    return body;
}

int tools_plan_add(struct loop_plan *p, struct val *takes_message)
{
    struct val *more = takes_message ? val_push(val_ref(p->messages), takes_message) : NULL;
    if (!more)
        return E_NOMEM;
    val_unref(p->messages);
    p->messages = more;
    return 0;
}

struct val *tools_plan_added(const struct loop_plan *p)
{
    struct val *list = val_arr();
    for (size_t i = p->given; i < val_len(p->messages); i++)
        list = val_push(list, val_ref(val_at(p->messages, i)));
    return list;
}

// ---- calls that wait ----------------------------------------------------------------------------

static bool is_answered(const struct loop_plan *p, size_t from, struct bytes id)
{
    for (size_t i = from; i < val_len(p->messages); i++)
        if (bytes_eq(val_bytes(val_get_cstr(val_at(p->messages, i), "tool_call_id")), id))
            return true;
    return false;
}

bool tools_plan_pending(const struct loop_plan *p, struct loop_turn *t)
{
    size_t at = val_len(p->messages);
    while (at && bytes_is(val_bytes(val_get_cstr(val_at(p->messages, at - 1), "role")), "tool"))
        at--;
    const struct val *calls = at ? val_get_cstr(val_at(p->messages, at - 1), "tool_calls") : NULL;
    if (!p->confirm)
        return false;
    for (size_t i = 0; i < val_len(calls) && t->count < LOOP_CALLS_MAX; i++) {
        const struct val *v = val_at(calls, i);
        struct bytes id = val_bytes(val_get_cstr(v, "id")),
                     name = val_bytes(val_ptr(v, BYTES("/function/name")));
        const struct loop_name *n = tools_loop_name(p, name);
        if (!n || !n->tool.n || !id.n || id.n > LOOP_ID_MAX || is_answered(p, at, id))
            continue;
        struct loop_call *c = &t->calls[t->count++];
        c->known = c->ours = true;
        (void)buf_put(&c->id, id);
        (void)buf_put(&c->name, name);
        (void)buf_put(&c->arguments, val_bytes(val_ptr(v, BYTES("/function/arguments"))));
        t->ours++;
    }
    return t->ours > 0;
}

// ---- the same call again and again --------------------------------------------------------------

bool tools_guard_may(struct loop_guard *g, struct bytes name, struct bytes arguments)
{
    uint64_t hash = bytes_hash(name) * 31 + bytes_hash(arguments);
    size_t i = 0;
    while (i < g->count && g->hash[i] != hash)
        i++;
    if (i == sizeof g->hash / sizeof *g->hash)
        return true; // so many different ones: steps and tokens are its limits
    if (i == g->count) {
        g->hash[g->count++] = hash;
        g->times[i] = 0;
    }
    if (g->times[i] < LOOP_SAME_MAX) {
        g->times[i]++;
        return true;
    }
    g->repeats++;
    return false;
}
