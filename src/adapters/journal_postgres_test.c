// journal_postgres_test.c: the journal in a real PostgreSQL: the kit, and a server that is killed,
// stopped, slow, full of others. Skipped where there is no server.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_server_rig.h"
#include "adapters/journal_postgres_priv.h"
#include "adapters/journal_torture_rig.h"

#include <glob.h>
#include <pwd.h>

static struct server one;
static char bin[128], url[256];
static const char *const password = "correct horse";

// ---- the server ---------------------------------------------------------------------------------

static bool find_server(void)
{
    glob_t g;
    bool found = glob("/usr/lib/postgresql/*/bin", 0, NULL, &g) == 0 && g.gl_pathc > 0;
    if (found)
        (void)snprintf(bin, sizeof bin, "%s", g.gl_pathv[g.gl_pathc - 1]);
    globfree(&g);
    return found && (geteuid() != 0 || getpwnam("postgres"));
}

#define AS "setpriv --reuid=postgres --regid=postgres --clear-groups "

static void server_make(struct server *s)
{
    char command[1200], conf[512];
    bool root = geteuid() == 0;
    server_folder(s);
    s->port = server_free_port();
    (void)snprintf(conf, sizeof conf, "%s/pw", s->folder);
    server_write(conf, password);
    if (root)
        (void)snprintf(command, sizeof command, "chown -R postgres '%s'", s->folder);
    assert_int_equal(root ? system(command) : 0, 0);
    (void)snprintf(command, sizeof command,
                   "cd / && %s'%s/initdb' -D '%s/data' -U plexus -E UTF8 --locale=C "
                   "--auth=scram-sha-256 --pwfile='%s/pw' >'%s/log' 2>&1",
                   root ? AS : "", bin, s->folder, s->folder, s->folder);
    if (system(command) != 0)
        fail_msg("initdb failed: %s/log", s->folder);
    (void)snprintf(command, sizeof command,
                   "cd / && %sopenssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                   "-keyout '%s/data/server.key' -out '%s/data/server.crt' -days 2 -subj /CN=test "
                   "-addext subjectAltName=IP:127.0.0.1 2>>'%s/log' && cp '%s/data/server.crt' "
                   "'%s/ca.pem' && chmod a+rx '%s' && chmod a+r '%s/ca.pem'",
                   root ? AS : "", s->folder, s->folder, s->folder, s->folder, s->folder, s->folder,
                   s->folder);
    if (system(command) != 0)
        fail_msg("openssl failed: %s/log", s->folder);
    static char program[160], data[96], port[40], sockets[96];
    (void)snprintf(program, sizeof program, "%s/postgres", bin);
    (void)snprintf(data, sizeof data, "%s/data", s->folder);
    (void)snprintf(port, sizeof port, "--port=%u", s->port);
    (void)snprintf(sockets, sizeof sockets, "--unix_socket_directories=%s", s->folder);
    const char *const as_root[] = {"/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres",
                                   "--clear-groups", "--pdeathsig=KILL"};
    size_t n = 0;
    for (size_t i = 0; root && i < sizeof as_root / sizeof *as_root; i++)
        s->argv[n++] = as_root[i];
    s->argv[n++] = program;
    s->argv[n++] = "-D";
    s->argv[n++] = data;
    s->argv[n++] = port;
    s->argv[n++] = sockets;
    s->argv[n++] = "--listen_addresses=127.0.0.1";
    s->argv[n++] = "--shared_buffers=16MB";
    s->argv[n++] = "--ssl=on";
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%u/postgres", s->port);
}

static struct pq *session(void)
{
    static const char *const none[] = {NULL};
    static struct pq_args a;
    struct pq *p = NULL;
    struct err e = {0};
    a = (struct pq_args){.url = url, .user = "plexus", .password = password, .sql = none};
    if (pq_open(&p, &a, &e))
        fail_msg("%s", e.text);
    return p;
}

static void sql(const char *text)
{
    struct pq *p = session();
    struct err e = {0};
    if (pq_exec(p, text, &e))
        fail_msg("%s", e.text);
    pq_close(p);
}

// It answers connections before it takes sessions.
static void until_ready(void)
{
    static const char *const none[] = {NULL};
    struct pq_args a = {.url = url, .user = "plexus", .password = password, .sql = none};
    struct pq *p = NULL;
    struct err e = {0};
    for (int i = 0; i < 500 && pq_open(&p, &a, &e); i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (!p)
        fail_msg("%s", e.text);
    pq_close(p);
}

static void start_again(void)
{
    server_start(&one);
    until_ready();
}

static int start(void **state)
{
    (void)state;
    server_make(&one);
    start_again();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_remove(&one);
    return 0;
}

static void tables_up(struct kit *k)
{
    sql("DROP SCHEMA IF EXISTS plexus CASCADE");
    k->writer = loop_work_new(k->loop, "journal", 1, 16);
    assert_non_null(k->writer);
}

static void alone_again(struct kit *k)
{
    (void)k;
    struct pq *p = session(); // also after a test that failed half way
    struct err e = {0};
    if (pq_exec(p, "ALTER SYSTEM RESET synchronous_standby_names", &e) ||
        pq_exec(p, "SELECT pg_reload_conf()", &e))
        print_error("%s\n", e.text);
    pq_close(p);
}

static void tables_args(struct kit *k, struct journal_args *a)
{
    // Each journal its own writer's thread, as nodes have.
    a->writer = loop_work_new(k->loop, "journal", 1, 16);
    a->url = url;
    a->user_name = "plexus";
    a->password = password;
}

static struct kit postgres = {.open = journal_postgres_open,
                              .args = tables_args,
                              .setup = tables_up,
                              .teardown = alone_again,
                              .several = true};

// ---- more than the kit --------------------------------------------------------------------------

static void test_open(void **state)
{
    struct kit *k = *state;
    struct journal_args a = kit_args(k);
    struct journal *j = NULL;
    struct err e = {0};
    assert_ptr_equal(journal_engine_find("postgres")->open, journal_postgres_open);
    assert_true(strncmp(stats(k).engine, "PostgreSQL 1", 12) == 0);
    a.password = "wrong";
    assert_int_equal(k->open(&a, &j, &e), E_UNAVAILABLE);
    assert_non_null(strstr(e.text, "password"));
    assert_non_null(strstr(e.text, "mend:"));
    assert_null(strstr(e.text, "wrong"));
    a = kit_args(k);
    a.url = "postgresql://127.0.0.1:1/postgres";
    assert_int_equal(k->open(&a, &j, &e), E_UNAVAILABLE);
    a = kit_args(k);
    a.url = "postgresql://someone:sesame@[::1/postgres";
    assert_int_equal(k->open(&a, &j, &e), E_UNAVAILABLE);
    assert_null(strstr(e.text, "sesame"));
    a.url = "postgresql://someone:sesame@127.0.0.1:x/postgres";
    assert_int_equal(k->open(&a, &j, &e), E_UNAVAILABLE);
    assert_null(strstr(e.text, "sesame"));
    a = kit_args(k);
    a.writer = NULL;
    assert_int_equal(k->open(&a, &j, &e), E_INVALID);
    sql("UPDATE plexus.journal SET version=99");
    a = kit_args(k);
    assert_int_equal(k->open(&a, &j, &e), E_VERSION);
    assert_non_null(strstr(e.text, "newer plexus (version 99"));
    sql("UPDATE plexus.journal SET version=1");
    sql("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'guest'");
    a.user_name = a.password = "guest";
    assert_int_equal(k->open(&a, &j, &e), E_PERM);
    assert_non_null(strstr(e.text, "mend:"));
    assert_null(j);
}

static void test_texts(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    row.note = (struct bytes){"a\0b", 3};
    assert_int_equal(create(k, "r", &row), E_INVALID);
    row.note = BYTES("\xff");
    assert_int_equal(create(k, "r", &row), E_INVALID);
    row.note = BYTES("{\"\\\\'");
    assert_int_equal(create(k, "r\xfe", &row), E_INVALID);
    assert_int_equal(create(k, "r\"\\,{}'", &row), 0);
    expect_runs(k, (struct journal_list){.limit = 0}, "r\"\\,{}' ");
    assert_int_equal(append(k, "r\"\\,{}'", 1, "x", &row), 0);
    kit_reopen(k);
    assert_int_equal(append(k, "r\"\\,{}'", 2, "y", NULL), 0);
    expect_entries(k, "r\"\\,{}'", 2, 0, "2=x 3=y ");
    expect_runs(k, (struct journal_list){.name = BYTES("\xff")}, "");
}

// The server is killed in the middle of it all: what was told is there, and it goes on when the
// server is back; so fast that nothing has failed.
static void test_server_killed(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    uint64_t last = 1;
    assert_int_equal(create(k, "r", &row), 0);
    for (int turn = 0; turn < 6; turn++) {
        struct told t[20];
        struct bytes entry = BYTES("x");
        for (unsigned i = 0; i < 20; i++) {
            struct journal_change c = {.run = BYTES("r"),
                                       .expect = last + i,
                                       .entries = &entry,
                                       .entry_count = 1,
                                       .row = &row};
            struct journal_write w = {.changes = &c, .change_count = 1};
            assert_int_equal(begin_write(k, k->j, &w, &t[i]), 0);
            if (i < (unsigned)turn)
                kit_until(k, t[i].dones);
        }
        int64_t until = time_mono_ms() + turn * 3;
        while (time_mono_ms() < until)
            kit_round(k);
        server_kill(&one);
        start_again();
        kit_until(k, t[19].dones);
        for (unsigned i = 0; i < 20; i++)
            if (t[i].status)
                fail_msg("turn %d, write %u: %s", turn, i, t[i].why);
        last += 20;
        struct got g = got_new(0);
        assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r"), .from = 1}, &g),
                         0);
        assert_int_equal(g.rows, last);
        got_free(&g);
    }
    assert_false(stats(k).stopped);
}

// Sessions are ended by the server (a failover does that): no one notices.
static void test_sessions_ended(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    assert_int_equal(create(k, "r", &row), 0);
    for (uint64_t i = 1; i < 6; i++) {
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid<>pg_backend_pid() AND backend_type='client backend'");
        assert_int_equal(append(k, "r", i, "x", NULL), 0);
        expect_runs(k, (struct journal_list){.open_only = true}, "r ");
    }
}

// The connection ends in the middle of COMMIT, which was not made: it is made again, once.
static void test_commit_undone(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    sql("CREATE SEQUENCE plexus.tries; GRANT ALL ON SEQUENCE plexus.tries TO PUBLIC;"
        "CREATE FUNCTION plexus.hang_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('plexus.tries')=1 THEN PERFORM pg_terminate_backend(pg_backend_pid());"
        " PERFORM pg_sleep(1); END IF; RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER hang_up AFTER INSERT ON plexus.entries DEFERRABLE INITIALLY "
        "DEFERRED FOR EACH ROW EXECUTE FUNCTION plexus.hang_up()");
    assert_int_equal(create(k, "r", &row), 0);
    expect_entries(k, "r", 1, 0, "1={\"t\":\"begin\"} ");
    struct pq *p = session();
    struct err e = {0};
    size_t rows = 0;
    assert_int_equal(pq_ask(p, "SELECT last_value FROM plexus.tries", NULL, 0, &rows, &e), 0);
    assert_int_equal(pq_number(p, 0, 0), 2);
    pq_close(p);
}

// It ends after COMMIT was made and before that was told: it is not made twice.
static void test_commit_untold(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes entry = BYTES("x");
    struct journal_change c = {.run = BYTES("r"), .expect = 0, .entries = &entry, .entry_count = 1};
    struct journal_write w = {.changes = &c, .change_count = 1};
    struct told t = told_new();
    struct pq *p = session();
    struct err e = {0};
    size_t ended = 0;
    char text[32];
    assert_int_equal(create(k, "r", &row), 0);
    // A standby that does not exist is waited for, after the commit is on this disk.
    assert_int_equal(pq_exec(p, "ALTER SYSTEM SET synchronous_standby_names='nobody'", &e), 0);
    assert_int_equal(pq_exec(p, "SELECT pg_reload_conf()", &e), 0);
    for (int64_t until = time_mono_ms() + 20000; !ended && time_mono_ms() < until; kit_round(k)) {
        if (!c.expect || t.dones) { // the server takes its new setting when it comes to it
            c.expect++;
            assert_int_equal(begin_write(k, k->j, &w, &t), 0);
        }
        assert_int_equal(pq_ask(p,
                                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                " WHERE wait_event='SyncRep' AND backend_type='client backend'",
                                NULL, 0, &ended, &e),
                         0);
    }
    assert_int_equal(ended, 1);
    assert_int_equal(pq_exec(p, "ALTER SYSTEM RESET synchronous_standby_names", &e), 0);
    assert_int_equal(pq_exec(p, "SELECT pg_reload_conf()", &e), 0);
    pq_close(p);
    kit_until(k, t.dones);
    assert_int_equal(t.status, 0);
    (void)snprintf(text, sizeof text, "%llu=x ", (unsigned long long)c.expect + 1);
    expect_entries(k, "r", c.expect + 1, 0, text);
    assert_int_equal(append(k, "r", c.expect + 1, "y", NULL), 0);
}

// A server that stays away: the writes fail with a word, nothing of them is kept, and all goes on
// when it is back.
static void test_server_away(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct got g = got_new(0);
    uint64_t last = 1;
    char text[32];
    assert_int_equal(create(k, "r", &row), 0);
    ((struct journal_postgres *)(void *)k->j)->patience_ms = 300;
    server_kill(&one);
    int64_t until = time_mono_ms() + KIT_WAIT_MS;
    int rc = 0;
    for (; !rc && time_mono_ms() < until; last += !rc) // its children may outlive it a little
        rc = append(k, "r", last, "x", NULL);
    assert_int_equal(rc, E_UNAVAILABLE);
    assert_int_equal(append(k, "r", last, "x", NULL), E_UNAVAILABLE);
    assert_int_equal(list_on(k, k->j, (struct journal_list){.limit = 0}, &g), E_UNAVAILABLE);
    got_free(&g);
    assert_false(stats(k).stopped);
    start_again();
    assert_int_equal(append(k, "r", last, "y", NULL), 0);
    (void)snprintf(text, sizeof text, "%llu=y ", (unsigned long long)last + 1);
    expect_entries(k, "r", last + 1, 0, text);
}

static void test_tls(void **state)
{
    struct kit *k = *state;
    struct journal_args a = kit_args(k);
    struct journal *j = NULL;
    struct err e = {0};
    char secure[400];
    kit_close_one(k, k->j);
    (void)snprintf(secure, sizeof secure,
                   "postgresql://127.0.0.1:%u/postgres?sslmode=verify-full&sslrootcert=%s/ca.pem",
                   one.port, one.folder);
    a.url = secure;
    if (k->open(&a, &k->j, &e))
        fail_msg("%s", e.text);
    struct pq *p = session();
    size_t rows = 0;
    assert_int_equal(pq_ask(p,
                            "SELECT 1 FROM pg_stat_ssl JOIN pg_stat_activity USING(pid)"
                            " WHERE ssl AND application_name='plexus' AND pid<>pg_backend_pid()",
                            NULL, 0, &rows, &e),
                     0);
    pq_close(p);
    assert_int_equal(rows, 1);
    // Another name than the certificate's.
    (void)snprintf(secure, sizeof secure,
                   "postgresql://localhost:%u/postgres?sslmode=verify-full&sslrootcert=%s/ca.pem",
                   one.port, one.folder);
    a = kit_args(k);
    a.url = secure;
    assert_int_equal(k->open(&a, &j, &e), E_UNAVAILABLE);
    assert_non_null(strstr(e.text, "certificate"));
}

// Two nodes create the same run at the same time: one does.
static void test_races(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct journal *b = kit_open_as(k, "b");
    unsigned wins[2] = {0, 0};
    for (int i = 0; i < 60; i++) {
        char id[16];
        struct told t[2];
        (void)snprintf(id, sizeof id, "r%d", i);
        struct journal_change c = {.run = bytes_of(id), .create = true, .row = &row};
        struct journal_write w = {
            .changes = &c, .change_count = 1, .doc_hash = BYTES("h"), .doc = BYTES("d")};
        assert_int_equal(begin_write(k, i % 2 ? b : k->j, &w, &t[i % 2]), 0);
        assert_int_equal(begin_write(k, i % 2 ? k->j : b, &w, &t[1 - i % 2]), 0);
        kit_until(k, t[0].dones && t[1].dones);
        for (int n = 0; n < 2; n++) {
            assert_true(t[n].status == 0 || t[n].status == E_EXISTS);
            wins[n] += t[n].status == 0;
        }
    }
    assert_int_equal(wins[0] + wins[1], 60);
    kit_close_one(k, b);
}

// Killed writers, as with a file; here the fence keeps what an elder one may still have under way.
static void test_kill(void **state)
{
    struct kit *k = *state;
    uint64_t told[TORTURE_RUNS] = {0};
    struct rng rng;
    const char *text = getenv("JOURNAL_KILLS");
    unsigned n = text ? (unsigned)atoi(text) : 20;
    rng_init(&rng, 3);
    for (unsigned i = 0; i < n; i++) {
        struct torture_child c = torture_start(url, TORTURE_WAIT, 0, i);
        int how = torture_watch(c, 2 + rng_below(&rng, 60), told);
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        if (i % 5 == 4)
            torture_check(k, told);
    }
    assert_true(told[0] > n / 10);
}

int main(int argc, char **argv)
{
    if (argc == 6 && !strcmp(argv[1], "_writer"))
        return torture_main(journal_postgres_open, argv, "plexus", password);
    if (!find_server()) {
        (void)printf("SKIP no PostgreSQL server here (/usr/lib/postgresql)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        KIT_TESTS(&postgres),
        KIT_TEST(test_open, &postgres),
        KIT_TEST(test_texts, &postgres),
        KIT_TEST(test_server_killed, &postgres),
        KIT_TEST(test_sessions_ended, &postgres),
        KIT_TEST(test_commit_undone, &postgres),
        KIT_TEST(test_commit_untold, &postgres),
        KIT_TEST(test_server_away, &postgres),
        KIT_TEST(test_tls, &postgres),
        KIT_TEST(test_races, &postgres),
        KIT_TEST(test_kill, &postgres),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
