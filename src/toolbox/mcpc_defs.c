// mcpc_defs.c: the tools of an MCP server as this node offers them: names with a prefix, schemas
// compiled, texts without hidden characters, pinned and granted or not.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)16 << 10) // of a description; what is more is cut
#define SCHEMA_BYTES_MAX ((size_t)1 << 20)

// ---- one tool ----------------------------------------------------------------------------------

void mcpc_def_unref(struct mcpc_def *d)
{
    if (!d || --d->refs)
        return;
    schema_free(d->in);
    schema_free(d->out);
    json_free(d->in_doc);
    json_free(d->out_doc);
    val_unref(d->item);
    buf_fini(&d->title);
    buf_fini(&d->description);
    mem_free(d->name);
    mem_free(d->theirs);
    mem_free(d);
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

// PREFIX__name of letters, digits and _ - . that is never too long: what does not fit gives way to
// eight digits of its hash.
static char *full_name(const struct mcpc_srv *s, struct bytes theirs)
{
    char text[TOOL_NAME_MAX + 1], hex[2 * SHA256_LEN + 1];
    uint8_t sum[SHA256_LEN];
    const char *prefix = s->conf.prefix;
    int n = snprintf(text, sizeof text, "%s%s", prefix, *prefix ? "__" : "");
    size_t at = (size_t)n;
    bool same = at + theirs.n <= TOOL_NAME_MAX;
    for (size_t i = 0; i < theirs.n && at < TOOL_NAME_MAX; i++, at++) {
        text[at] = name_char(theirs.p[i]) ? theirs.p[i] : '_';
        same = same && text[at] == theirs.p[i];
    }
    if (!same) {
        sha256_sum(theirs, sum);
        crypto_hex(sum, sizeof sum, hex);
        at = at > TOOL_NAME_MAX - 9 ? TOOL_NAME_MAX - 9 : at;
        (void)snprintf(text + at, sizeof text - at, "_%.8s", hex);
        at += 9;
    }
    text[at] = '\0';
    return mem_str(text);
}

static int compile(const struct val *v, struct json_doc **ret_doc, struct schema **ret,
                   struct err *e)
{
    int rc = val_to_json(ret_doc, v, e);
    if (rc < 0)
        return rc;
    // No set: a $ref leads into the schema itself or nowhere, never to an address.
    return schema_new(ret, &(struct schema_args){.doc = json_root(*ret_doc)}, e);
}

static bool too_large(const struct val *v)
{
    return v && val_size(v) > SCHEMA_BYTES_MAX;
}

static void make_usable(struct mcpc_srv *s, struct mcpc_def *d)
{
    const struct val *in = val_get_cstr(d->item, "inputSchema"),
                     *out = val_get_cstr(d->item, "outputSchema");
    struct err e = {0};
    int rc = 0;
    if (!val_is(in, JSON_OBJ) || (out && !val_is(out, JSON_OBJ)))
        rc = err_set(&e, E_SCHEMA, "a schema is no object");
    else if (too_large(in) || too_large(out))
        rc = err_set(&e, E_TOOBIG, "a schema is too large");
    else if ((rc = compile(in, &d->in_doc, &d->in, &e)) < 0)
        (void)err_wrap(&e, "inputSchema");
    else if (out && (rc = compile(out, &d->out_doc, &d->out, &e)) < 0)
        (void)err_wrap(&e, "outputSchema");
    else if (s->way == &mcpc_web)
        rc = mcp_marks_check(in, &e);
    d->usable = rc == 0;
    if (rc < 0)
        (void)snprintf(d->why, sizeof d->why, "%.255s", e.text);
}

// What a server says of its tool's effects is a hint: what it does not say counts as MCP's worst.
static unsigned effects_of(const struct mcpc_srv *s, const struct val *item)
{
    const struct val *hints = val_get_cstr(item, "annotations");
    bool reads = val_bool_of(val_get_cstr(hints, "readOnlyHint"), false);
    bool destroys = val_bool_of(val_get_cstr(hints, "destructiveHint"), true);
    bool open = val_bool_of(val_get_cstr(hints, "openWorldHint"), true);
    bool same = val_bool_of(val_get_cstr(hints, "idempotentHint"), false);
    return s->conf.effects | TOOL_READS | (reads ? 0 : TOOL_WRITES) |
           (!reads && destroys ? TOOL_DESTROYS : 0U) | (open ? TOOL_NETWORK : 0U) |
           (same ? TOOL_IDEMPOTENT : 0U);
}

static size_t shown(struct buf *out, struct bytes text)
{
    size_t cut = text.n > TEXT_MAX ? TEXT_MAX : text.n;
    while (cut < text.n && cut > 0 && ((unsigned char)text.p[cut] & 0xc0) == 0x80)
        cut--;
    size_t n = mcpc_show(out, bytes_first(text, cut));
    if (cut < text.n)
        (void)buf_str(out, " ...");
    return n;
}

static bool name_good(struct bytes n)
{
    return n.n > 0 && n.n <= 4 * TOOL_NAME_MAX;
}

// Hidden characters anywhere that a model reads: also in the schemas' texts.
static size_t hidden_in(const struct val *v)
{
    struct bytes key;
    struct val *one;
    struct buf b;
    size_t at = 0, n = 0;
    if (val_is(v, JSON_STR)) {
        buf_init(&b, 8 * val_bytes(v).n + 16);
        n = mcpc_show(&b, val_bytes(v));
        buf_fini(&b);
    } else if (val_is(v, JSON_ARR) || val_is(v, JSON_OBJ)) {
        while (val_each(v, &at, &key, &one)) {
            struct bytes name = key;
            buf_init(&b, 8 * name.n + 16);
            n += (name.n ? mcpc_show(&b, name) : 0) + hidden_in(one);
            buf_fini(&b);
        }
    }
    return n;
}

static struct mcpc_def *def_new(struct mcpc_srv *s, struct val *item)
{
    struct bytes theirs = val_bytes(val_get_cstr(item, "name"));
    struct bytes title = val_bytes(val_get_cstr(item, "title"));
    struct mcpc_def *d = mem_new(struct mcpc_def);
    if (!d)
        return NULL;
    d->refs = 1;
    d->srv = s;
    d->item = val_ref(item);
    buf_init(&d->title, 8 * TEXT_MAX);
    buf_init(&d->description, 8 * TEXT_MAX);
    d->name = full_name(s, theirs);
    d->theirs = mem_dup(theirs.p, theirs.n);
    if (!title.n)
        title = val_bytes(val_get_cstr(val_get_cstr(item, "annotations"), "title"));
    (void)shown(&d->title, bytes_first(title, 200));
    (void)shown(&d->description, val_bytes(val_get_cstr(item, "description")));
    d->flagged = hidden_in(item) > 0;
    d->effects = effects_of(s, item);
    mcpc_tool_hash(item, d->hash);
    make_usable(s, d);
    if (d->name && d->theirs && !d->title.failed && !d->description.failed)
        return d;
    mcpc_def_unref(d);
    return NULL;
}

// ---- all of a server ---------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    const struct mcpc_def *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void mcpc_defs_free(struct mcpc_srv *s)
{
    for (size_t i = 0; i < s->def_count; i++) {
        s->defs[i]->srv = NULL;
        mcpc_def_unref(s->defs[i]);
    }
    mem_free(s->defs);
    s->defs = NULL;
    s->def_count = 0;
}

// The first of each name stays.
static size_t without_twins(struct mcpc_def **defs, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(defs, n, sizeof *defs, by_name);
    for (size_t i = 0; i < n; i++)
        if (kept && strcmp(defs[kept - 1]->name, defs[i]->name) == 0)
            mcpc_def_unref(defs[i]);
        else
            defs[kept++] = defs[i];
    return kept;
}

// What was told of a tool that is still the same is not told again.
static void carry_told(const struct mcpc_srv *s, struct mcpc_def **defs, size_t n)
{
    for (size_t i = 0, k = 0; i < n && k < s->def_count;) {
        const struct mcpc_def *old = s->defs[k];
        int c = strcmp(old->name, defs[i]->name);
        if (c == 0)
            defs[i]->told = old->told && strcmp(old->hash, defs[i]->hash) == 0;
        i += c >= 0;
        k += c <= 0;
    }
}

int mcpc_defs_take(struct mcpc_srv *s, const struct val *items)
{
    size_t count = val_len(items), n = 0;
    struct mcpc_def **defs = mem_array(count + 1, sizeof *defs);
    if (!defs)
        return E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct val *item = val_at(items, i);
        if (!name_good(val_bytes(val_get_cstr(item, "name"))))
            s->left_out++;
        else if ((defs[n] = def_new(s, item)) != NULL)
            n++;
    }
    size_t kept = without_twins(defs, n);
    s->left_out += n - kept;
    carry_told(s, defs, kept);
    mcpc_defs_free(s);
    s->defs = defs;
    s->def_count = kept;
    mcpc_defs_judge(s);
    return mcpc_rows_make(s->m);
}

// What a list says, as one number.
static uint64_t fingerprint(struct mcpc_def *const *rows, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) {
        const struct mcpc_def *d = rows[i];
        for (const char *c = d->name; *c; c++)
            h = (h ^ (unsigned char)*c) * 1099511628211u;
        for (const char *c = d->hash; *c; c++)
            h = (h ^ (unsigned char)*c) * 1099511628211u;
        h = (h ^ (d->usable | d->granted << 1)) * 1099511628211u;
    }
    return h;
}

// Two servers that tell each other of changes would do so for ever if a list that was read again
// and says the same counted as one.
int mcpc_rows_make(struct mcpc *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        n += m->servers[i]->def_count;
    struct mcpc_def **rows = mem_array(n + 1, sizeof *rows);
    if (!rows)
        return E_NOMEM;
    n = 0;
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 0; k < m->servers[i]->def_count; k++)
            rows[n++] = m->servers[i]->defs[k];
    qsort(rows, n, sizeof *rows, by_name);
    mem_free(m->rows);
    m->rows = rows;
    m->row_count = n;
    uint64_t says = fingerprint(rows, n);
    m->tools.epoch += says != m->says;
    m->says = says;
    return 0;
}

struct mcpc_def *mcpc_row(const struct mcpc *m, struct bytes name)
{
    size_t low = 0, high = m->row_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = bytes_cmp(bytes_of(m->rows[mid]->name), name);
        if (c == 0)
            return m->rows[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}
