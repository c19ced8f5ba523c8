// prims_new.c: the source is made: folders, environment, schemas, the sandbox's options.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "prims/prims_source_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *keep(struct prims *p, char *takes)
{
    if (takes && p->owned < sizeof p->own / sizeof *p->own) {
        p->own[p->owned++] = takes;
        return takes;
    }
    mem_free(takes);
    return NULL;
}

static int take_folder(struct prims *p, const struct jail_folder *f, struct err *e)
{
    static const char *const never[] = {"/proc", "/sys", "/dev"};
    char real[PRIM_PATH_MAX + 1];
    struct stat st;
    if (f->path[0] != '/')
        return err_set(e, E_INVALID, "the granted folder %s is no absolute path", f->path);
    if (!realpath(f->path, real) || stat(real, &st) < 0)
        return err_errno(e, errno, "the granted folder %s", f->path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, E_INVALID, "the granted folder %s is no folder", f->path);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        size_t n = strlen(never[i]);
        if (strcmp(real, "/") == 0 ||
            (strncmp(real, never[i], n) == 0 && (real[n] == 0 || real[n] == '/')))
            return err_set(e, E_INVALID, "%s cannot be granted", f->path);
    }
    const char *kept = keep(p, mem_str(real));
    if (!kept)
        return err_set(e, E_NOMEM, "no memory for the folders");
    p->bare.folder[p->bare.folders++] = (struct jail_folder){kept, f->write};
    return 0;
}

static int take_env(struct prims *p, struct err *e)
{
    static const char *const plain[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp",
        "TMPDIR=/tmp", "LANG=C.UTF-8", "TERM=dumb"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        p->env[n++] = plain[i];
    const char *libraries = getenv("LD_LIBRARY_PATH"); // this binary may need it
    if (libraries) {
        size_t length = strlen(libraries) + 32;
        char *text = mem_alloc(length);
        if (text)
            (void)snprintf(text, length, "LD_LIBRARY_PATH=%s", libraries);
        if (!(p->env[n++] = keep(p, text)))
            return err_set(e, E_NOMEM, "no memory for the environment");
    }
    for (size_t i = 0; p->a.env && p->a.env[i]; i++) {
        if (i == ENV_MAX)
            return err_set(e, E_TOOBIG, "more than %d variables", ENV_MAX);
        if (!(p->env[n++] = keep(p, mem_str(p->a.env[i]))))
            return err_set(e, E_NOMEM, "no memory for the environment");
    }
    p->env[n] = NULL;
    return 0;
}

static void defaults(struct prims_args *a)
{
    a->output_bytes = a->output_bytes ? a->output_bytes : 65536;
    if (a->output_bytes < 1024)
        a->output_bytes = 1024;
    if (a->output_bytes > PRIM_TEXT_MAX)
        a->output_bytes = PRIM_TEXT_MAX;
    a->memory_bytes = a->memory_bytes ? a->memory_bytes : 1ULL << 30;
    a->disk_bytes = a->disk_bytes ? a->disk_bytes : 2ULL << 30;
    a->timeout_ms = a->timeout_ms > 0 ? a->timeout_ms : 120000;
    a->timeout_max_ms = a->timeout_max_ms > 0 ? a->timeout_max_ms : 3600000;
    a->calls_max = a->calls_max ? a->calls_max : 4;
    a->queue_max = a->queue_max ? a->queue_max : 64;
}

static int take_hidden(struct prims *p, struct err *e)
{
    char real[JAIL_PATH_MAX + 1];
    int rc = p->a.hidden ? jail_hide(&p->bare, p->a.hidden, real, e) : 0;
    if (rc == 0 && p->bare.hidden && !(p->bare.hidden = keep(p, mem_str(real))))
        rc = err_set(e, E_NOMEM, "no memory for the folders");
    return rc;
}

static int take_opts(struct prims *p, struct err *e)
{
    const struct prims_args *a = &p->a;
    if (a->folders == 0 || a->folders > JAIL_FOLDERS_MAX || a->ports > JAIL_PORTS_MAX)
        return err_set(e, E_INVALID, "between 1 and %d folders, at most %d ports", JAIL_FOLDERS_MAX,
                       JAIL_PORTS_MAX);
    for (size_t i = 0; i < a->folders; i++) {
        int status = take_folder(p, &a->folder[i], e);
        if (status < 0)
            return status;
    }
    int rc = take_hidden(p, e);
    if (rc < 0)
        return rc;
    struct jail_opts *o = &p->bare;
    o->require = a->require;
    o->file_bytes = a->file_bytes;
    o->memory_bytes = FILES_BYTES;
    p->shell = *o;
    o->bare = true;
    o = &p->shell;
    o->memory_bytes = a->memory_bytes;
    o->tmp_bytes = a->tmp_bytes;
    o->processes = a->processes;
    o->network = a->network;
    for (size_t i = 0; i < a->ports; i++)
        o->port[o->ports++] = a->port[i];
    rc = jail_words(&p->bare_words, &p->bare, e);
    return rc < 0 ? rc : jail_words(&p->shell_words, &p->shell, e);
}

// The table's JSON is written with ' for ".
static char *schema_text(const char *text)
{
    char *made = mem_str(text);
    for (char *p = made; p && *p; p++) {
        if (*p == '\'')
            *p = '"';
    }
    return made;
}

static int make_row(struct prims *p, const struct prim_row *row, const char *folders, struct err *e)
{
    struct tool_row *t = &p->rows[p->rows_n];
    AUTO_MEM char *input = schema_text(row->input);
    AUTO_MEM char *output = schema_text(row->output);
    *t = (struct tool_row){.row = row};
    p->rows_n++; // half made: freed with the others
    struct buf text;
    buf_init(&text, 65536);
    buf_fmt(&text, "%s %s", row->description, folders);
    t->description = buf_take(&text);
    if (!t->description || !input || !output)
        return err_set(e, E_NOMEM, "no memory for the primitives");
    int rc = val_parse(&t->input, bytes_of(input), e);
    if (rc == 0)
        rc = val_parse(&t->output, bytes_of(output), e);
    if (rc == 0)
        rc = json_parse(&t->doc, bytes_of(input), 0, e);
    if (rc == 0)
        rc = schema_new(&t->schema, &(struct schema_args){.doc = json_root(t->doc)}, e);
    return rc < 0 ? err_wrap(e, "%s", row->name) : 0;
}

static int make_rows(struct prims *p, struct err *e)
{
    struct buf folders;
    bool writes = false;
    int rc = 0;
    buf_init(&folders, 60000);
    buf_str(&folders, "Granted folders: ");
    for (size_t i = 0; i < p->bare.folders; i++) {
        const struct jail_folder *f = &p->bare.folder[i];
        buf_fmt(&folders, "%s%s%s", i ? ", " : "", f->path, f->write ? "" : " (read only)");
        writes |= f->write;
    }
    buf_chr(&folders, '.');
    for (size_t i = 0; i < prim_rows_n && rc == 0; i++) {
        const struct prim_row *row = &prim_rows[i];
        bool runs = row->effects & TOOL_RUNS;
        if (runs ? p->a.bash : writes || !(row->effects & TOOL_WRITES))
            rc = make_row(p, row, buf_cstr(&folders), e);
    }
    buf_fini(&folders);
    return rc;
}

int prims_new(struct prims **ret, const struct prims_args *args, struct err *e)
{
    AUTO(prims) p = mem_new(struct prims);
    if (!p)
        return err_set(e, E_NOMEM, "no memory for the primitives");
    p->tools.ops = &prims_ops;
    p->a = *args;
    list_init(&p->running);
    list_init(&p->waiting);
    list_init(&p->cancelled);
    list_init(&p->probes);
    defaults(&p->a);
    p->self = mem_str(args->self ? args->self : file_self());
    if (!p->self || (args->label && !(p->a.label = keep(p, mem_str(args->label)))))
        return err_set(e, E_NOMEM, "no memory for the primitives");
    int rc = take_opts(p, e);
    if (rc == 0)
        rc = take_env(p, e);
    if (rc == 0)
        rc = make_rows(p, e);
    if (rc < 0)
        return rc;
    p->a.folder = NULL; // of the caller
    p->a.hidden = NULL;
    p->a.env = NULL;
    p->a.port = NULL;
    *ret = steal(&p);
    return 0;
}

void prims_free(struct prims *p)
{
    if (!p)
        return;
    if (p->running.next) { // else not even begun
        prims_end_calls(p);
        prims_end_probes(p);
    }
    for (size_t i = 0; i < p->rows_n; i++) {
        schema_free(p->rows[i].schema);
        json_free(p->rows[i].doc);
        val_unref(p->rows[i].input);
        val_unref(p->rows[i].output);
        mem_free(p->rows[i].description);
    }
    for (size_t i = 0; i < p->owned; i++)
        mem_free(p->own[i]);
    mem_free(p->self);
    mem_free(p);
}

void prims_auto(struct prims **p)
{
    prims_free(*p);
}
