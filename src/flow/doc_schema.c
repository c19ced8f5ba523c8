// doc_schema.c: a document against schema.json. The good case is one check; a bad document is
// looked at task by task, so that each has its own finding, in words of the DSL.
// SPDX-License-Identifier: Apache-2.0
#include "base/embed.h"
#include "flow/doc_priv.h"
#include <stdio.h>
#include <string.h>

#define URI "plexus:flow"
#define TASK "{\"$ref\":\"" URI "#/$defs/task\"}"
#define OLDER "{\"type\":[\"array\",\"object\"],\"items\":{\"type\":\"string\"}}"
#define DEPTH_MAX 256

static const char *const kinds[] = {"call",  "do",  "emit", "for",    "fork", "listen",
                                    "raise", "run", "set",  "switch", "try",  "wait"};
#define KINDS (sizeof kinds / sizeof kinds[0])

// What a keyword of the schema means, where its own message would be about the schema.
static const struct {
    const char *end, *message; // end of the keyword's pointer
} words[] = {
    {"/$defs/duration/else/pattern",
     "a duration is an ISO 8601 text as PT1H30M, an object of days, hours, minutes, seconds, "
     "milliseconds, or an expression ${ }"},
    {"/$defs/uri/pattern", "an address begins with its scheme, as in https://example.org"},
    {"/$defs/uri/format", "not an address: in braces stands one name, as in "
                          "https://example.org/{id}; what needs more is "
                          "one expression, as ${ \"https://example.org/\" + .id }"},
    {"/$defs/expression/pattern", "an expression stands in ${ } here"},
    {"/$defs/textsOrExpression/pattern", "names and texts, or one expression ${ }"},
    {"/$defs/label/pattern", "at most 63 letters, digits and hyphens, with no hyphen at an end"},
    {"/$defs/semver/pattern", "a version has three numbers, as 1.0.0 (in YAML write it in quotes "
                              "when it has only two)"},
    {"/$defs/run/properties/run/else/else/else/required",
     "run has one of container, script, shell, workflow"},
    {"/$defs/events/else/else/required", "events are chosen by one of all, any, one"},
    {"/$defs/script/oneOf", "a script has either code or source"},
    {"/$defs/schema/oneOf", "a schema has either document or resource"},
    {"/$defs/asyncapi/allOf/0/oneOf", "an asyncapi call has either operation or channel"},
    {"/$defs/asyncapi/allOf/1/oneOf", "an asyncapi call has either message or subscription"},
    {"/consume/oneOf", "consume has one of amount, while, until"},
    {"/transport/oneOf", "an MCP transport is either http or stdio"},
    {"/$defs/policy/oneOf",
     "an authentication is one of basic, bearer, digest, oauth2, oidc, or use: NAME"},
    {"/$defs/model/anyOf", "a model needs messages, a prompt, or an input"},
    {"/$defs/agent/anyOf", "an agent needs messages or a prompt"},
};

struct look {
    struct doc_work *w;
    struct schema *task;
    char *bad[FLOW_FINDINGS_MAX]; // pointers of what was found wrong, in the arena
    size_t bad_count;
};

// The keyword itself, or the branch of it that was tried first.
static bool is_at(struct bytes keyword, struct bytes end)
{
    struct bytes branch = BYTES("/0/required");
    if (bytes_ends(keyword, end))
        return true;
    return bytes_ends(keyword, branch) &&
           bytes_ends(bytes_first(keyword, keyword.n - branch.n), end);
}

static const char *meant(const struct schema_error *s)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (is_at(bytes_of(s->keyword), bytes_of(words[i].end)))
            return words[i].message;
    return NULL;
}

static void note(struct look *l, const char *pointer)
{
    if (l->bad_count < FLOW_FINDINGS_MAX)
        l->bad[l->bad_count++] = arena_str(l->w->arena, bytes_of(pointer));
}

// Was this, or what lies around it up to a task, already said?
static bool said(const struct look *l, const char *pointer)
{
    for (size_t i = 0; i < l->bad_count; i++) {
        size_t n = l->bad[i] ? strlen(l->bad[i]) : 0;
        if (n && strncmp(pointer, l->bad[i], n) == 0 && (!pointer[n] || pointer[n] == '/'))
            return true;
    }
    return false;
}

// A task without a kind: names them, and the nearest to one of its keys.
static bool no_kind(struct look *l, const struct doc_at *at, const struct json *task)
{
    char near[128] = "";
    struct json_iter it = {0};
    struct bytes key;
    if (!json_is(task, JSON_OBJ))
        return false;
    for (size_t i = 0; i < KINDS; i++)
        if (json_get(task, kinds[i]))
            return false;
    struct val *names = val_arr();
    for (size_t i = 0; i < KINDS; i++)
        names = val_push(names, val_cstr(kinds[i]));
    while (names && !near[0] && json_each(task, &it, &key, NULL)) {
        const char *best = doc_nearest(l->w, names, key);
        if (best)
            (void)snprintf(near, sizeof near, "; nearest to \"%.*s\": \"%s\"",
                           BYTES_FMT(bytes_first(key, 32)), best);
    }
    val_unref(names);
    doc_find(l->w, at, true,
             "a task is one of call, do, emit, for, fork, listen, raise, run, set, switch, try, "
             "wait%s",
             near);
    return true;
}

static void say(struct look *l, const char *pointer, const struct schema_error *s)
{
    const char *text = meant(s);
    bool key = strncmp(s->message, "unknown key", 11) == 0;
    doc_find_pointer(l->w, bytes_of(pointer), key, "%s", text ? text : s->message);
}

static void look_task(struct look *l, const struct doc_at *at, struct bytes name,
                      const struct json *task, unsigned depth);

static void look_list(struct look *l, const struct doc_at *at, const struct json *list,
                      unsigned depth)
{
    for (size_t i = 0; json_is(list, JSON_ARR) && i < json_len(list); i++) {
        const struct doc_at *here = DOC_ITEM(at, i);
        const struct json *item = json_at(list, i), *task = NULL;
        struct json_iter it = {0};
        struct bytes name = BYTES_NONE;
        char *pointer = doc_pointer_in(l->w, here);
        if (!pointer)
            return;
        if (json_is(item, JSON_OBJ) && json_len(item) == 1) {
            (void)json_each(item, &it, &name, &task);
            look_task(l, DOC_NAME(here, name), name, task, depth);
            continue;
        }
        l->w->task = NULL;
        if (json_len(item) > 1 && json_is(item, JSON_OBJ))
            doc_find(l->w, here, false,
                     "two tasks in one item: each begins with its own \"- \" (or a key of the task "
                     "is not indented below its name)");
        else
            doc_find(l->w, here, false, "an item of a list of tasks is a name and its task");
        note(l, pointer);
    }
}

static void look_inside(struct look *l, const struct doc_at *at, const struct json *task,
                        unsigned depth)
{
    static const char *const lists[][4] = {
        {"do"}, {"try"}, {"catch", "do"}, {"fork", "branches"}, {"foreach", "do"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const struct json *v = json_get(task, lists[i][0]);
        const struct doc_at *here = DOC_KEY(at, lists[i][0]);
        if (lists[i][1])
            look_list(l, DOC_KEY(here, lists[i][1]), json_get(v, lists[i][1]), depth);
        else
            look_list(l, here, v, depth);
    }
}

static void look_task(struct look *l, const struct doc_at *at, struct bytes name,
                      const struct json *task, unsigned depth)
{
    struct schema_error s;
    char *pointer = doc_pointer_in(l->w, at), *where;
    if (depth == DEPTH_MAX || !pointer || l->w->findings->count == FLOW_FINDINGS_MAX ||
        !schema_check(l->task, task, &s))
        return;
    look_inside(l, at, task, depth + 1);
    l->w->task = arena_str(l->w->arena, name);
    where = arena_fmt(l->w->arena, "%s%s", pointer, s.instance);
    if (!where || said(l, where))
        return;
    if (!no_kind(l, at, task))
        say(l, where, &s);
    note(l, pointer);
}

static void look_all(struct look *l, const struct json *root)
{
    const struct doc_at *use = DOC_KEY(NULL, "use");
    const struct json *functions = json_ptr(root, BYTES("/use/functions")), *v;
    const struct json *extensions = json_ptr(root, BYTES("/use/extensions"));
    struct json_iter it = {0};
    struct bytes name;
    look_list(l, DOC_KEY(NULL, "do"), json_get(root, "do"), 0);
    while (json_is(functions, JSON_OBJ) && json_each(functions, &it, &name, &v))
        look_task(l, DOC_NAME(DOC_KEY(use, "functions"), name), name, v, 0);
    for (size_t i = 0; i < json_len(extensions); i++) {
        const struct doc_at *here = DOC_ITEM(DOC_KEY(use, "extensions"), i);
        it = (struct json_iter){0};
        if (!json_is(json_at(extensions, i), JSON_OBJ) ||
            !json_each(json_at(extensions, i), &it, &name, &v))
            continue;
        look_list(l, DOC_KEY(DOC_NAME(here, name), "before"), json_get(v, "before"), 0);
        look_list(l, DOC_KEY(DOC_NAME(here, name), "after"), json_get(v, "after"), 0);
    }
    l->w->task = NULL;
}

struct bytes flow_document_schema(void)
{
    return embed_flow_schema();
}

// ---- the compiled schema ------------------------------------------------------------------------

struct doc_schemas {
    struct schema_set *set;
    struct json_doc *doc, *ref;
    struct schema *whole, *task; // task is made when it is first needed
};

void doc_schemas_free(struct doc_schemas *s)
{
    if (!s)
        return;
    schema_free(s->task);
    schema_free(s->whole);
    schema_set_free(s->set);
    json_free(s->ref);
    json_free(s->doc);
    mem_free(s);
}

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "no memory for the schema of flows"); // the schema itself is right
}

// Up to DSL 1.0.2 the arguments of scripts and shells had names.
static bool is_older(const struct json *root)
{
    struct bytes dsl = json_str(json_get(json_get(root, "document"), "dsl"));
    return bytes_starts(dsl, BYTES("1.0.")) && dsl.n > 4 && dsl.p[4] >= '0' && dsl.p[4] <= '2';
}

static int parse_schema(struct json_doc **ret, bool older)
{
    struct val *v = NULL, *defs, *arguments = NULL;
    if (!older)
        return json_parse(ret, embed_flow_schema(), 0, NULL);
    if (val_parse(&v, embed_flow_schema(), NULL) || val_parse(&arguments, BYTES(OLDER), NULL)) {
        val_unref(v);
        return E_NOMEM;
    }
    defs = val_put_cstr(val_ref(val_get_cstr(v, "$defs")), "arguments", arguments);
    v = val_put_cstr(v, "$defs", defs);
    int rc = v ? val_to_json(ret, v, NULL) : E_NOMEM;
    val_unref(v);
    return rc;
}

static int open_schemas(struct doc_work *w, bool older, struct err *e)
{
    struct doc_schemas *s = w->schemas = mem_new(struct doc_schemas);
    if (!s || !(s->set = schema_set_new()) || parse_schema(&s->doc, older) ||
        json_parse(&s->ref, BYTES(TASK), 0, NULL) ||
        schema_set_add(s->set, BYTES(URI), json_root(s->doc), NULL))
        return no_memory(e);
    struct schema_args args = {
        .doc = json_root(s->doc), .set = s->set, .base_uri = URI, .assert_format = true};
    return schema_new(&s->whole, &args, NULL) ? no_memory(e) : 0;
}

static int open_task(struct doc_work *w, struct err *e)
{
    struct doc_schemas *s = w->schemas;
    struct schema_args args = {
        .doc = json_root(s->ref), .set = s->set, .base_uri = "plexus:task", .assert_format = true};
    return s->task || !schema_new(&s->task, &args, NULL) ? 0 : no_memory(e);
}

// The parts beside the tasks: one mistake in them can be said.
static void look_parts(struct look *l, const struct schema_error *s)
{
    if (!said(l, s->instance) && (!l->bad_count || strncmp(s->instance, "/do/", 4) != 0))
        say(l, s->instance, s);
}

int doc_schema(struct doc_work *w, const struct json *root, struct err *e)
{
    struct look l = {.w = w};
    struct schema_error s = {.message = "the document is too large to be checked"};
    int rc = open_schemas(w, is_older(root), e);
    if (rc || !schema_check(w->schemas->whole, root, &s))
        return rc;
    rc = open_task(w, e);
    if (rc)
        return rc;
    l.task = w->schemas->task;
    look_all(&l, root);
    look_parts(&l, &s);
    return doc_findings_end(w, E_SCHEMA, e);
}

// A function that came in a document of its own.
bool doc_schema_task(struct doc_work *w, const struct doc_at *at, struct bytes name,
                     const struct val *def)
{
    struct json_doc *text = NULL;
    struct look l = {.w = w};
    const char *before = w->task;
    size_t count = w->findings->count;
    bool foreign = w->foreign;
    if (open_task(w, NULL) || val_to_json(&text, def, NULL)) {
        w->failed = E_NOMEM;
        return false;
    }
    w->foreign = true;
    l.task = w->schemas->task;
    look_task(&l, at, name, json_root(text), 0);
    w->foreign = foreign;
    w->task = before;
    json_free(text);
    return w->findings->count == count;
}
