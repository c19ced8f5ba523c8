// ctk_rig.h: the conformance kit of the DSL: reads its feature files (Gherkin) and judges what came
// of a scenario. Who runs the workflow, and how, is the test's own business.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_CTK_RIG_H
#define PLEXUS_FLOW_CTK_RIG_H

#include "base/alloc.h"
#include "text/suite_priv.h"
#include "text/val.h"
#include "text/yaml.h"

#define CTK_SCENARIOS_MAX 64
#define CTK_STEPS_MAX 16
#define CTK_TASKS_MAX 256

struct ctk_step {
    char text[256]; // "the workflow should complete"
    char *doc; // the text between """ and """, without its indent; or NULL
};
struct ctk_scenario {
    char feature[64], name[128];
    struct ctk_step steps[CTK_STEPS_MAX];
    size_t count;
};
// What came of a run.
struct ctk_result {
    bool completed, faulted, cancelled;
    const struct val *output, *error;
    struct {
        char name[64], end; // 'c' completed, 'f' faulted, 'x' cancelled, 0 still at work
        const struct val *output, *error; // may be NULL
    } tasks[CTK_TASKS_MAX]; // in the order in which they began
    size_t task_count;
};

static inline const char *ctk_after(const char *text, const char *start)
{
    size_t n = strlen(start);
    return strncmp(text, start, n) == 0 ? text + n : NULL;
}

// Steps begin with Given, When, Then, And: the rest is what counts.
static inline const char *ctk_step_text(const char *line)
{
    static const char *const words[] = {"Given ", "When ", "Then ", "And ", "But "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (ctk_after(line, words[i]))
            return ctk_after(line, words[i]);
    return NULL;
}

// The lines up to the closing quotes, without the indent of the opening ones.
static inline char *ctk_doc(char **lines, size_t *at, size_t count, size_t indent)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    for (; *at < count; (*at)++) {
        const char *line = lines[*at];
        size_t skip = 0;
        while (skip < indent && line[skip] == ' ')
            skip++;
        if (strncmp(line + strspn(line, " "), "\"\"\"", 3) == 0)
            break;
        (void)buf_str(&b, line + skip);
        (void)buf_chr(&b, '\n');
    }
    (*at)++;
    return buf_take(&b);
}

static inline size_t ctk_parse(const char *feature, char *text, struct ctk_scenario *all, size_t n)
{
    char *lines[4096], *rest = text, *line;
    size_t count = 0;
    while (count < 4096 && (line = strsep(&rest, "\n"))) {
        line[strcspn(line, "\r")] = '\0';
        lines[count++] = line;
    }
    for (size_t at = 0; at < count;) {
        const char *t = lines[at++];
        size_t indent = strspn(t, " ");
        t += indent;
        if (ctk_after(t, "Scenario: ") && n < CTK_SCENARIOS_MAX) {
            all[n] = (struct ctk_scenario){.count = 0};
            (void)snprintf(all[n].feature, sizeof all[n].feature, "%s", feature);
            (void)snprintf(all[n].name, sizeof all[n].name, "%s", ctk_after(t, "Scenario: "));
            n++;
        } else if (n > 0 && ctk_step_text(t) && all[n - 1].count < CTK_STEPS_MAX) {
            struct ctk_step *s = &all[n - 1].steps[all[n - 1].count++];
            (void)snprintf(s->text, sizeof s->text, "%s", ctk_step_text(t));
            size_t len = strlen(s->text);
            while (len > 0 && s->text[len - 1] == ' ')
                s->text[--len] = '\0';
        } else if (n > 0 && all[n - 1].count > 0 && strncmp(t, "\"\"\"", 3) == 0) {
            all[n - 1].steps[all[n - 1].count - 1].doc = ctk_doc(lines, &at, count, indent);
        }
    }
    return n;
}

static inline int ctk_is_feature(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && strcmp(dot, ".feature") == 0;
}

// All scenarios of a folder of feature files; 0: there are none.
static inline size_t ctk_load(const char *folder, struct ctk_scenario *all)
{
    struct dirent **names = NULL;
    int files = scandir(folder, &names, ctk_is_feature, alphasort);
    size_t n = 0;
    for (int i = 0; i < files; i++) {
        char path[SUITE_PATH_MAX * 2];
        struct buf b;
        buf_init(&b, SUITE_FILE_MAX);
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (suite_read(path, &b)) {
            char *text = buf_take(&b);
            n = ctk_parse(names[i]->d_name, text, all, n);
            mem_free(text);
        }
        buf_fini(&b);
        free(names[i]);
    }
    free(names);
    return n;
}

static inline void ctk_free(struct ctk_scenario *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < all[i].count; j++)
            mem_free(all[i].steps[j].doc);
}

static inline const char *ctk_definition(const struct ctk_scenario *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->steps[i].text, "a workflow with definition:") == 0)
            return s->steps[i].doc;
    return NULL;
}

static inline const char *ctk_input(const struct ctk_scenario *s) // YAML; NULL: none
{
    for (size_t i = 0; i < s->count; i++)
        if (ctk_after(s->steps[i].text, "given the workflow input is") ||
            ctk_after(s->steps[i].text, "the workflow input is"))
            return s->steps[i].doc;
    return NULL;
}

// ---- judging ----

static inline struct val *ctk_yaml(const char *text)
{
    struct yaml *y = NULL;
    struct val *v = yaml_parse(&y, bytes_of(text), NULL) == 0 ? val_of_json(yaml_root(y)) : NULL;
    yaml_free(y);
    return v;
}

static inline bool ctk_same(const struct val *have, const char *yaml)
{
    struct val *want = ctk_yaml(yaml);
    bool same = want && val_equal(have, want);
    val_unref(want);
    return same;
}

// An error fits when each member that is asked for is there.
static inline bool ctk_error_fits(const struct val *have, const char *yaml)
{
    struct val *want = ctk_yaml(yaml), *item;
    struct bytes key;
    bool fits = want && have;
    for (size_t at = 0; fits && val_each(want, &at, &key, &item);)
        fits = val_equal(val_get(have, key), item);
    val_unref(want);
    return fits;
}

static inline const struct val *ctk_path(const struct val *v, struct bytes path)
{
    while (v && path.n > 0)
        v = val_get(v, bytes_cut(&path, '.'));
    return v;
}

static inline bool ctk_quoted(const char **text, struct bytes *ret)
{
    const char *from = strchr(*text, '\''), *to = from ? strchr(from + 1, '\'') : NULL;
    if (!to)
        return false;
    *ret = (struct bytes){from + 1, (size_t)(to - from - 1)};
    *text = to + 1;
    return true;
}

static inline bool ctk_properties(const struct ctk_result *r, const char *text)
{
    struct bytes path;
    bool any = false;
    while (ctk_quoted(&text, &path)) {
        any = true;
        if (!ctk_path(r->output, path))
            return false;
    }
    return any;
}

static inline ptrdiff_t ctk_task(const struct ctk_result *r, struct bytes name)
{
    for (size_t i = 0; i < r->task_count; i++)
        if (bytes_is(name, r->tasks[i].name))
            return (ptrdiff_t)i;
    return -1;
}

static inline bool ctk_of_task(const struct ctk_result *r, const struct ctk_step *s, bool *ret)
{
    const char *verb = strstr(s->text, " should ");
    struct bytes name = {s->text, verb ? (size_t)(verb - s->text) : 0};
    ptrdiff_t at = verb ? ctk_task(r, name) : -1;
    if (!verb)
        return false;
    verb += strlen(" should ");
    const char *other = ctk_after(verb, "run after ");
    bool after = other != NULL;
    other = other ? other : ctk_after(verb, "run before ");
    if (strcmp(verb, "run first") == 0) {
        *ret = at == 0;
    } else if (strcmp(verb, "run last") == 0) {
        *ret = at >= 0 && at == (ptrdiff_t)r->task_count - 1;
    } else if (other) {
        ptrdiff_t than = ctk_task(r, bytes_of(other));
        *ret = at >= 0 && than >= 0 && (after ? at > than : at < than);
    } else if (ctk_after(verb, "cancel")) {
        *ret = at >= 0 && r->tasks[at].end == 'x';
    } else if (ctk_after(verb, "complete")) {
        *ret = at >= 0 && r->tasks[at].end == 'c' &&
               (!s->doc || ctk_same(r->tasks[at].output, s->doc));
    } else if (ctk_after(verb, "fault")) {
        *ret = at >= 0 && r->tasks[at].end == 'f' &&
               (!s->doc || ctk_error_fits(r->tasks[at].error, s->doc));
    } else {
        return false;
    }
    return true;
}

// false: this step is not known. *ret: it holds.
static inline bool ctk_judge(const struct ctk_result *r, const struct ctk_step *s, bool *ret)
{
    const char *t = s->text, *rest;
    struct bytes path;
    int count;
    if (ctk_after(t, "a workflow with definition") || strstr(t, "the workflow input is") ||
        strcmp(t, "the workflow is executed") == 0) {
        *ret = true;
    } else if (ctk_after(t, "the workflow should complete")) {
        *ret = r->completed && (!s->doc || ctk_same(r->output, s->doc));
    } else if (ctk_after(t, "the workflow should fault")) {
        *ret = r->faulted && (!s->doc || ctk_error_fits(r->error, s->doc));
    } else if (ctk_after(t, "the workflow should cancel")) {
        *ret = r->cancelled;
    } else if ((rest = ctk_after(t, "the workflow output should have properties "))) {
        *ret = ctk_properties(r, rest);
    } else if ((rest = ctk_after(t, "the workflow output should have a "))) {
        if (!ctk_quoted(&rest, &path))
            return false;
        const struct val *v = ctk_path(r->output, path);
        if (sscanf(rest, " property containing %d item", &count) == 1)
            *ret = val_is(v, JSON_ARR) && val_len(v) == (size_t)count;
        else if (ctk_after(rest, " property with value"))
            *ret = s->doc && v && ctk_same(v, s->doc);
        else
            return false;
    } else {
        return ctk_of_task(r, s, ret);
    }
    return true;
}

#endif
