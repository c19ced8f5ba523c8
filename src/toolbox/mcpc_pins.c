// mcpc_pins.c: what a tool says of itself is pinned when it is first seen; when it says something
// else, it waits until a person looked at it. In data/tools/mcp-pins.json:
// {"SERVER":{"TOOL":"SHA-256 in hex"}}. SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)16 << 20)

// ---- the file ----------------------------------------------------------------------------------

static bool path_of(const struct mcpc *m, char *path, size_t size)
{
    int n = m->args.folder ? snprintf(path, size, "%s/mcp-pins.json", m->args.folder) : -1;
    return n > 0 && (size_t)n < size;
}

int mcpc_pins_load(struct mcpc *m, struct err *e)
{
    char path[4096];
    struct buf text;
    m->pins = val_obj();
    if (!m->pins)
        return err_set(e, E_NOMEM, "out of memory");
    if (!path_of(m, path, sizeof path))
        return 0;
    buf_init(&text, FILE_BYTES_MAX);
    struct val *v = NULL;
    int rc = file_read(path, &text, e);
    if (rc == E_NOTFOUND) {
        buf_fini(&text);
        if (e)
            *e = (struct err){0};
        return 0;
    }
    if (rc == 0)
        rc = val_parse(&v, buf_bytes(&text), e);
    buf_fini(&text);
    if (rc == 0 && !val_is(v, JSON_OBJ))
        rc = err_set(e, E_PARSE, "no object");
    if (rc < 0) { // without it every change would pass: so no server starts
        val_unref(v);
        return err_wrap(e, "%s", path);
    }
    val_unref(m->pins);
    m->pins = v;
    return 0;
}

int mcpc_pins_save(struct mcpc *m, struct err *e)
{
    char path[4096];
    struct buf text;
    if (!path_of(m, path, sizeof path))
        return 0;
    buf_init(&text, FILE_BYTES_MAX);
    (void)val_write_sorted(&text, m->pins);
    (void)buf_chr(&text, '\n');
    int rc = text.failed ? err_set(e, text.failed, "the pins do not fit")
                         : file_mkdirs(m->args.folder, 0700, e);
    if (rc == 0)
        rc = file_write_atomic(path, buf_bytes(&text), 0600, e);
    buf_fini(&text);
    return rc;
}

void mcpc_tool_hash(const struct val *item, char hash[2 * SHA256_LEN + 1])
{
    static const char *const parts[] = {"name",        "title",        "description",
                                        "inputSchema", "outputSchema", "annotations"};
    struct sha256 h;
    uint8_t sum[SHA256_LEN];
    sha256_init(&h);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct buf text;
        buf_init(&text, MAX_ALLOCATION_BYTES);
        (void)buf_fmt(&text, "%s=", parts[i]);
        (void)val_write_sorted(&text, val_get_cstr(item, parts[i]));
        (void)buf_chr(&text, '\n');
        sha256_add(&h, text.p, text.n);
        buf_fini(&text);
    }
    sha256_end(&h, sum);
    crypto_hex(sum, sizeof sum, hash);
}

// ---- judging -----------------------------------------------------------------------------------

// "*" stands for any letters, at the end or the start.
static bool fits(struct bytes pattern, struct bytes name)
{
    if (bytes_ends(pattern, BYTES("*")))
        return bytes_starts(name, bytes_first(pattern, pattern.n - 1));
    if (bytes_starts(pattern, BYTES("*")))
        return bytes_ends(name, bytes_from(pattern, 1));
    return bytes_eq(pattern, name);
}

static void grants_of(const struct mcpc_srv *s, struct mcpc_def *d)
{
    d->granted = d->named = false;
    for (size_t i = 0; s->conf.grants && s->conf.grants[i]; i++) {
        struct bytes pattern = bytes_of(s->conf.grants[i]);
        bool full = fits(pattern, bytes_of(d->theirs)) || fits(pattern, bytes_of(d->name));
        d->granted = d->granted || full;
        d->named = d->named || (full && bytes_chr(pattern, '*') < 0);
    }
    if (!d->granted && s->m->args.allowed)
        d->granted = s->m->args.allowed(s->m->args.user, d->name);
}

static int pin_put(struct mcpc *m, const char *server, const struct mcpc_def *d, const char *hash)
{
    struct val *mine = val_get_cstr(m->pins, server);
    mine = mine ? val_ref(mine) : val_obj();
    mine =
        hash ? val_put_cstr(mine, d->theirs, val_cstr(hash)) : val_del(mine, bytes_of(d->theirs));
    m->pins = val_put_cstr(m->pins, server, mine);
    return m->pins ? 0 : E_NOMEM;
}

void mcpc_defs_judge(struct mcpc_srv *s)
{
    struct mcpc *m = s->m;
    bool first = !val_get_cstr(m->pins, s->conf.name), put = false;
    struct err e = {0};
    for (size_t i = 0; i < s->def_count; i++) {
        struct mcpc_def *d = s->defs[i];
        const struct val *pin = val_get_cstr(val_get_cstr(m->pins, s->conf.name), d->theirs);
        grants_of(s, d);
        if (s->conf.dial) // a node of the mesh: its certificate says who it is
            d->pin = MCPC_PINNED;
        else if (pin)
            d->pin = bytes_is(val_bytes(pin), d->hash) ? MCPC_PINNED : MCPC_DIFFERS;
        else
            // What comes later than the first list is new, whatever a pattern says: it must be
            // named, or looked at. What hides characters must be looked at in any case.
            d->pin = !d->flagged && (first || d->named) ? MCPC_PINNED : MCPC_NEW;
        if (!pin && d->pin == MCPC_PINNED && !s->conf.dial)
            put = pin_put(m, s->conf.name, d, d->hash) == 0 || put;
        d->granted = d->granted && d->pin == MCPC_PINNED && d->usable;
        if (d->pin == MCPC_DIFFERS && !d->told)
            mcpc_event(s, MCPC_CHANGED, bytes_of(d->name));
        if (d->flagged && d->pin != MCPC_PINNED && !d->told)
            mcpc_event(s, MCPC_FLAGGED, bytes_of(d->name));
        d->told = d->pin != MCPC_PINNED;
    }
    if (first && !put && m->pins) { // seen, even if nothing could be pinned
        m->pins = val_put_cstr(m->pins, s->conf.name, val_obj());
        put = true;
    }
    if (!m->pins || (put && mcpc_pins_save(m, &e) < 0))
        mcpc_fall(s, m->pins ? e.code : E_NOMEM, "pins: %s", m->pins ? e.text : "out of memory");
    if (!m->pins)
        m->pins = val_obj();
}

void mcpc_judge(struct mcpc *m)
{
    for (size_t i = 0; i < m->count; i++)
        mcpc_defs_judge(m->servers[i]);
    m->tools.epoch++;
}

static int def_of(struct mcpc *m, const char *tool, struct mcpc_def **ret, struct err *e)
{
    *ret = mcpc_row(m, bytes_of(tool));
    return *ret ? 0 : err_set(e, E_NOTFOUND, "there is no tool %s of an MCP server", tool);
}

static int repin(struct mcpc *m, struct mcpc_def *d, const char *hash, struct err *e)
{
    struct val *before = val_ref(m->pins);
    int rc = pin_put(m, d->srv->conf.name, d, hash);
    rc = rc < 0 ? err_set(e, rc, "out of memory") : mcpc_pins_save(m, e);
    if (rc < 0) {
        val_unref(m->pins);
        m->pins = before;
        return rc;
    }
    val_unref(before);
    mcpc_defs_judge(d->srv);
    m->tools.epoch++;
    return 0;
}

int mcpc_approve(struct mcpc *m, const char *tool, const char *hash, struct err *e)
{
    struct mcpc_def *d;
    int rc = def_of(m, tool, &d, e);
    if (rc < 0)
        return rc;
    if (strcmp(d->hash, hash) != 0)
        return err_set(e, E_CONFLICT, "%s says something else by now: look at it again", tool);
    return repin(m, d, d->hash, e);
}

int mcpc_unpin(struct mcpc *m, const char *tool, struct err *e)
{
    struct mcpc_def *d;
    int rc = def_of(m, tool, &d, e);
    // An empty hash fits nothing: the tool stands as changed until it is approved.
    return rc < 0 ? rc : repin(m, d, "", e);
}

void mcpc_review(struct mcpc *m, const char *server,
                 void (*each)(void *user, const struct mcpc_tool *t), void *user)
{
    for (size_t i = 0; i < m->row_count; i++) {
        const struct mcpc_def *d = m->rows[i];
        if (server && strcmp(server, d->srv->conf.name) != 0)
            continue;
        struct mcpc_tool t = {.server = d->srv->conf.name,
                              .name = d->name,
                              .theirs = bytes_of(d->theirs),
                              .title = buf_bytes(&d->title),
                              .description = buf_bytes(&d->description),
                              .hash = d->hash,
                              .pin = d->pin,
                              .granted = d->granted,
                              .flagged = d->flagged,
                              .usable = d->usable,
                              .why = d->why};
        each(user, &t);
    }
}
