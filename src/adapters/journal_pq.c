// journal_pq.c: libpq by dlopen, so that a node without PostgreSQL needs none of it.
// SPDX-License-Identifier: Apache-2.0
//
// The prototypes and numbers here are those of libpq's documentation (PostgreSQL 14 and later).
#include "adapters/journal_pq.h"
#include "base/alloc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMS_MAX = 24, STATEMENTS_MAX = 32, SENT_MAX = 512 };

// libpq's
typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
enum { CONNECTION_OK = 0 };
enum {
    PGRES_COMMAND_OK = 1,
    PGRES_TUPLES_OK = 2,
    PGRES_PIPELINE_SYNC = 10,
    PGRES_PIPELINE_ABORTED = 11,
};
enum { PG_DIAG_SQLSTATE = 'C', PG_DIAG_MESSAGE_PRIMARY = 'M' };

#define FUNCTIONS(X)                                                                               \
    X(PGconn *, PQconnectdbParams, (const char *const *, const char *const *, int))                \
    X(int, PQstatus, (const PGconn *))                                                             \
    X(char *, PQerrorMessage, (const PGconn *))                                                    \
    X(void, PQfinish, (PGconn *))                                                                  \
    X(int, PQserverVersion, (const PGconn *))                                                      \
    X(PGresult *, PQexecParams,                                                                    \
      (PGconn *, const char *, int, const unsigned *, const char *const *, const int *,            \
       const int *, int))                                                                          \
    X(PGresult *, PQexec, (PGconn *, const char *))                                                \
    X(PGresult *, PQprepare, (PGconn *, const char *, const char *, int, const unsigned *))        \
    X(int, PQsendQueryPrepared,                                                                    \
      (PGconn *, const char *, int, const char *const *, const int *, const int *, int))           \
    X(int, PQenterPipelineMode, (PGconn *))                                                        \
    X(int, PQexitPipelineMode, (PGconn *))                                                         \
    X(int, PQpipelineSync, (PGconn *))                                                             \
    X(PGresult *, PQgetResult, (PGconn *))                                                         \
    X(int, PQresultStatus, (const PGresult *))                                                     \
    X(char *, PQresultErrorField, (const PGresult *, int))                                         \
    X(void, PQclear, (PGresult *))                                                                 \
    X(int, PQntuples, (const PGresult *))                                                          \
    X(char *, PQcmdTuples, (PGresult *))                                                           \
    X(char *, PQgetvalue, (const PGresult *, int, int))                                            \
    X(int, PQgetlength, (const PGresult *, int, int))                                              \
    X(int, PQgetisnull, (const PGresult *, int, int))                                              \
    X(void *, PQsetNoticeProcessor, (PGconn *, void (*)(void *, const char *), void *))

static struct {
    void *library;
#define X(type, name, args) type(*name) args;
    FUNCTIONS(X)
#undef X
} lib;

struct pq {
    PGconn *conn;
    PGresult *rows;
    const char *const *sql;
    bool prepared[STATEMENTS_MAX], piping;
    unsigned least[SENT_MAX];
    unsigned sent;
};

// Called before there are threads of journals (open runs on the loop), or after a first success.
static int load(struct err *e)
{
    static const char *const names[] = {"libpq.so.5", "libpq.5.dylib"};
    if (lib.library)
        return 0;
    void *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!found)
        return err_set(e, E_UNSUPPORTED,
                       "journal: PostgreSQL's client library is not here (libpq.so.5); mend: "
                       "install it (Debian: apt-get install libpq5), or use sqlite");
    const struct {
        const char *name;
        void *to;
    } all[] = {
#define X(type, name, args) {#name, &lib.name},
        FUNCTIONS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        void *symbol = dlsym(found, all[i].name);
        if (!symbol) {
            (void)dlclose(found);
            return err_set(e, E_UNSUPPORTED,
                           "journal: PostgreSQL's client library is too old (it has no %s; version "
                           "14 or later is needed)",
                           all[i].name);
        }
        memcpy(all[i].to, &symbol, sizeof symbol);
    }
    lib.library = found;
    return 0;
}

// ---- errors -------------------------------------------------------------------------------------

static const struct {
    const char *state; // or its first letters
    int status;
    const char *mend;
} states[] = {
    {"08", E_UNAVAILABLE, ""},      // connection
    {"57P", E_UNAVAILABLE, ""},     // it is shut down, or starts
    {"25006", E_UNAVAILABLE, "; the server takes no writes (is it a standby?)"},
    {"53300", E_UNAVAILABLE, "; the server has too many connections"},
    {"40", E_BUSY, ""}, // serialization, deadlock
    {"23505", E_EXISTS, ""},
    {"55P03", E_LOCKED, "; another client holds the tables"},
    {"57014", E_LOCKED, "; it took too long: another client holds the tables?"},
    {"53100", E_NOSPACE, "; mend: make room on the server's disk"},
    {"53200", E_NOMEM, ""},
    {"42501", E_PERM, "; mend: grant this user the schema plexus (it must be its owner)"},
    {"28", E_PERM, ""},
    {"58", E_IO, ""}, // the server's system
    {"XX", E_IO, "; the server's data may be damaged: see its log"},
};

static int failed(struct pq *p, const PGresult *r, struct err *e)
{
    const char *state = r ? lib.PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *text = r ? lib.PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *mend = "";
    int status = pq_lost(p) || !state ? E_UNAVAILABLE : E_INTERNAL;
    for (size_t i = 0; state && i < sizeof states / sizeof *states; i++) {
        if (strncmp(state, states[i].state, strlen(states[i].state)) != 0)
            continue;
        status = states[i].status;
        mend = states[i].mend;
        break;
    }
    struct bytes words = bytes_trim(bytes_of(text ? text : lib.PQerrorMessage(p->conn)));
    return err_set(e, status, "journal: PostgreSQL: %.*s%s%s%s", BYTES_FMT(bytes_first(words, 400)),
                   state ? " " : "", state ? state : "", mend);
}

bool pq_lost(const struct pq *p)
{
    return lib.PQstatus(p->conn) != CONNECTION_OK;
}

// ---- connections --------------------------------------------------------------------------------

static void on_notice(void *user, const char *text)
{
    (void)user;
    (void)text;
}

static int settings(struct pq *p, struct err *e)
{
    int rc = pq_exec(p, "SET synchronous_commit=on", e);
    if (!rc)
        rc = pq_exec(p, "SET client_min_messages=warning", e);
    if (!rc)
        rc = pq_exec(p, "SET statement_timeout='60s'", e);
    return rc ? rc : pq_exec(p, "SET lock_timeout='10s'", e);
}

// libpq quotes an address that it cannot read, with the password in it.
static struct bytes without_address(struct bytes words)
{
    ptrdiff_t at = bytes_find(words, BYTES("://"));
    ptrdiff_t quote = bytes_chr(words, '"');
    return at < 0      ? words
           : quote < 0 ? BYTES("the address cannot be read")
                       : bytes_trim(bytes_first(words, (size_t)quote));
}

int pq_open(struct pq **ret, const struct pq_args *args, struct err *e)
{
    const char *const keys[] = {"dbname",
                                "fallback_application_name",
                                "connect_timeout",
                                "tcp_user_timeout",
                                "keepalives_idle",
                                "client_encoding",
                                "user",
                                "password",
                                NULL};
    const char *values[] = {args->url ? args->url : "",
                            "plexus",
                            "10",
                            "15000",
                            "15",
                            "UTF8",
                            args->user,
                            args->password,
                            NULL};
    int rc = load(e);
    if (rc)
        return rc;
    struct pq *p = mem_new(struct pq);
    if (!p || !(p->conn = lib.PQconnectdbParams(keys, values, 1))) {
        mem_free(p);
        return err_set(e, E_NOMEM, "journal");
    }
    p->sql = args->sql;
    if (pq_lost(p)) {
        struct bytes words = bytes_trim(bytes_of(lib.PQerrorMessage(p->conn)));
        rc = err_set(e, E_UNAVAILABLE,
                     "journal: PostgreSQL: %.*s; mend: is the server up, and are url, user and "
                     "password of flows.journal right?",
                     BYTES_FMT(bytes_first(without_address(words), 400)));
    } else {
        (void)lib.PQsetNoticeProcessor(p->conn, on_notice, NULL);
        rc = settings(p, e);
    }
    if (!rc)
        *ret = p;
    else
        pq_close(p);
    return rc;
}

void pq_close(struct pq *p)
{
    if (!p)
        return;
    if (p->rows)
        lib.PQclear(p->rows);
    lib.PQfinish(p->conn);
    mem_free(p);
}

int pq_version(const struct pq *p)
{
    return lib.PQserverVersion(p->conn);
}

// ---- one by one ---------------------------------------------------------------------------------

static int keep(struct pq *p, PGresult *r, size_t *ret_rows, struct err *e)
{
    int how = r ? lib.PQresultStatus(r) : -1;
    if (p->rows)
        lib.PQclear(p->rows);
    p->rows = r;
    if (how != PGRES_COMMAND_OK && how != PGRES_TUPLES_OK)
        return failed(p, r, e);
    if (ret_rows)
        *ret_rows = how == PGRES_TUPLES_OK ? (size_t)lib.PQntuples(r)
                                           : (size_t)strtoull(lib.PQcmdTuples(r), NULL, 10);
    return 0;
}

int pq_exec(struct pq *p, const char *sql, struct err *e)
{
    return keep(p, lib.PQexec(p->conn, sql), NULL, e);
}

struct packed {
    const char *values[PARAMS_MAX];
    int lengths[PARAMS_MAX], formats[PARAMS_MAX];
    char *text; // those that are text, ended with NUL as the library wants them
};

static int pack(struct packed *k, const struct pq_param *params, int n, struct err *e)
{
    size_t all = 1;
    for (int i = 0; i < n; i++)
        all += params[i].binary || params[i].null ? 0 : params[i].text.n + 1;
    char *to = k->text = mem_alloc(all);
    if (!to)
        return err_set(e, E_NOMEM, "journal");
    for (int i = 0; i < n; i++) {
        const struct pq_param *x = &params[i];
        k->formats[i] = x->binary;
        k->lengths[i] = (int)x->text.n;
        k->values[i] = x->null ? NULL : x->binary ? (x->text.p ? x->text.p : "") : to;
        if (x->binary || x->null)
            continue;
        if (x->text.n)
            memcpy(to, x->text.p, x->text.n);
        to[x->text.n] = 0;
        to += x->text.n + 1;
    }
    return 0;
}

int pq_ask(struct pq *p, const char *sql, const struct pq_param *params, int n, size_t *ret_rows,
           struct err *e)
{
    struct packed k;
    int rc = pack(&k, params, n, e);
    if (rc)
        return rc;
    PGresult *r = lib.PQexecParams(p->conn, sql, n, NULL, k.values, k.lengths, k.formats, 0);
    mem_free(k.text);
    return keep(p, r, ret_rows, e);
}

struct bytes pq_value(struct pq *p, size_t row, int column)
{
    if (lib.PQgetisnull(p->rows, (int)row, column))
        return BYTES_NONE;
    return (struct bytes){lib.PQgetvalue(p->rows, (int)row, column),
                          (size_t)lib.PQgetlength(p->rows, (int)row, column)};
}

int64_t pq_number(struct pq *p, size_t row, int column)
{
    return strtoll(lib.PQgetvalue(p->rows, (int)row, column), NULL, 10);
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

struct bytes pq_unhex(struct bytes hex, char *out)
{
    size_t n = 0;
    if (!bytes_starts(hex, BYTES("\\x")))
        return BYTES_NONE;
    for (size_t i = 2; i + 1 < hex.n; i += 2)
        out[n++] = (char)(digit(hex.p[i]) << 4 | digit(hex.p[i + 1]));
    return (struct bytes){out, n};
}

// ---- in a line ----------------------------------------------------------------------------------

static int prepare(struct pq *p, int statement, const char *name, struct err *e)
{
    if (p->prepared[statement])
        return 0;
    if (p->piping) { // it is prepared between two lines
        int rc = pq_wait(p, e);
        if (rc)
            return rc;
    }
    int rc = keep(p, lib.PQprepare(p->conn, name, p->sql[statement], 0, NULL), NULL, e);
    p->prepared[statement] = !rc;
    return rc;
}

int pq_send(struct pq *p, int statement, const struct pq_param *params, int n, unsigned least,
            struct err *e)
{
    char name[16];
    struct packed k;
    (void)snprintf(name, sizeof name, "q%d", statement);
    int rc = p->sent == SENT_MAX ? pq_wait(p, e) : 0;
    if (!rc)
        rc = prepare(p, statement, name, e);
    if (!rc)
        rc = pack(&k, params, n, e);
    if (rc)
        return rc;
    if (!p->piping && !lib.PQenterPipelineMode(p->conn))
        rc = failed(p, NULL, e);
    p->piping = true;
    if (!rc && !lib.PQsendQueryPrepared(p->conn, name, n, k.values, k.lengths, k.formats, 0))
        rc = failed(p, NULL, e);
    mem_free(k.text);
    if (!rc)
        p->least[p->sent++] = least;
    return rc;
}

unsigned pq_sent(const struct pq *p)
{
    return p->sent;
}

// One statement's result; the first error counts.
static int take_one(struct pq *p, unsigned least, int before, struct err *e)
{
    PGresult *r = lib.PQgetResult(p->conn);
    int how = r ? lib.PQresultStatus(r) : -1, rc = before;
    if (!r && !rc)
        rc = failed(p, NULL, e);
    if (r && !rc && how != PGRES_COMMAND_OK && how != PGRES_TUPLES_OK)
        rc = failed(p, r, e);
    if (!rc && strtoull(lib.PQcmdTuples(r), NULL, 10) < least)
        rc = err_set(e, E_BUSY, "journal: PostgreSQL: a row has gone");
    if (r)
        lib.PQclear(r);
    while (r && (r = lib.PQgetResult(p->conn)) != NULL)
        lib.PQclear(r); // the NULL that ends a statement's results
    return rc;
}

int pq_wait(struct pq *p, struct err *e)
{
    int rc = 0;
    unsigned n = p->sent;
    p->sent = 0;
    if (!p->piping)
        return 0;
    if (!lib.PQpipelineSync(p->conn))
        rc = failed(p, NULL, e);
    for (unsigned i = 0; i < n && !pq_lost(p); i++)
        rc = take_one(p, p->least[i], rc, e);
    PGresult *r = pq_lost(p) ? NULL : lib.PQgetResult(p->conn);
    if (!rc && (!r || lib.PQresultStatus(r) != PGRES_PIPELINE_SYNC))
        rc = failed(p, r, e);
    if (r)
        lib.PQclear(r);
    p->piping = false;
    if (!lib.PQexitPipelineMode(p->conn) && !rc)
        rc = failed(p, NULL, e);
    return rc;
}
