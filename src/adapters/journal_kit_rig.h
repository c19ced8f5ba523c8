// journal_kit_rig.h: the cases of the kit; part of journal_rig.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_KIT_RIG_H
#define PLEXUS_ADAPTERS_JOURNAL_KIT_RIG_H

// Every field of a row comes back as it was given, also after the journal was opened again.
static void kit_rows(void **state)
{
    struct kit *k = *state;
    struct journal_run full = {.namespace = BYTES("n\xc3\xa4me'space"),
                               .name = BYTES("a \"b\"\n"),
                               .version = BYTES("1.2.3"),
                               .plan = BYTES("h1"),
                               .status = BYTES("waiting"),
                               .open = true,
                               .busy = true,
                               .started_ms = 1234567890123,
                               .closed_ms = 0,
                               .wake_ms = 4000000000001,
                               .listens = BYTES("[1]"),
                               .parent = BYTES("p"),
                               .parent_ticket = 77,
                               .label = BYTES("internal"),
                               .by = BYTES("someone"),
                               .queue = BYTES("q"),
                               .note = BYTES("{}"),
                               .chapter = 1};
    struct journal_run bare = row_of("bare", "running", true);
    assert_int_equal(create(k, "full", &full), 0);
    assert_int_equal(create(k, "bare", &bare), 0);
    for (int turn = 0; turn < 2; turn++) {
        struct got g = got_new(0);
        assert_int_equal(list_on(k, k->j, (struct journal_list){.busy_only = true}, &g), 0);
        assert_string_equal(buf_cstr(&g.text), "full ");
        got_free(&g);
        expect_runs(k, (struct journal_list){.open_only = true}, "bare full ");
        kit_reopen(k);
    }
    full.busy = false;
    full.open = false;
    full.closed_ms = 99;
    full.note = BYTES_NONE;
    full.wake_ms = TIME_NEVER;
    assert_int_equal(append(k, "full", 1, "x", &full), 0);
    expect_runs(k, (struct journal_list){.busy_only = true}, "");
    expect_runs(k, (struct journal_list){.closed_only = true}, "full ");
}

struct seen_row {
    struct journal_run want;
    unsigned seen;
};

static bool check_row(void *user, const struct journal_run *r)
{
    struct seen_row *s = user;
    const struct journal_run *w = &s->want;
    s->seen++;
    assert_true(bytes_eq(r->id, w->id) && bytes_eq(r->namespace, w->namespace));
    assert_true(bytes_eq(r->name, w->name) && bytes_eq(r->version, w->version));
    assert_true(bytes_eq(r->plan, w->plan) && bytes_eq(r->status, w->status));
    assert_true(bytes_eq(r->listens, w->listens) && bytes_eq(r->parent, w->parent));
    assert_true(bytes_eq(r->label, w->label) && bytes_eq(r->by, w->by));
    assert_true(bytes_eq(r->queue, w->queue) && bytes_eq(r->note, w->note));
    assert_true(bytes_eq(r->owner, w->owner));
    assert_int_equal(r->open, w->open);
    assert_int_equal(r->busy, w->busy);
    assert_int_equal(r->started_ms, w->started_ms);
    assert_int_equal(r->closed_ms, w->closed_ms);
    assert_int_equal(r->wake_ms, w->wake_ms);
    assert_int_equal(r->parent_ticket, w->parent_ticket);
    assert_int_equal(r->chapter, w->chapter);
    assert_int_equal(r->last, w->last);
    return true;
}

static void expect_row(struct kit *k, const struct journal_run *want)
{
    struct seen_row s = {*want, 0};
    struct told t = told_new();
    struct err e = {0};
    struct journal_list a = {.on_run = check_row, .user = &s};
    assert_int_equal(journal_list(k->j, &a, &t.r, &e), 0);
    kit_until(k, t.dones);
    assert_int_equal(t.status, 0);
    assert_int_equal(s.seen, 1);
}

static void kit_fields(void **state)
{
    struct kit *k = *state;
    struct journal_run row = {.namespace = BYTES("n\xc3\xa4me'space"),
                              .name = BYTES("a \"b\"\n"),
                              .version = BYTES("1.2.3"),
                              .plan = BYTES("h1"),
                              .status = BYTES("waiting"),
                              .open = true,
                              .busy = true,
                              .started_ms = 1234567890123,
                              .wake_ms = 4000000000001,
                              .listens = BYTES("[1]"),
                              .parent = BYTES("p"),
                              .parent_ticket = UINT64_MAX >> 1,
                              .label = BYTES("internal"),
                              .by = BYTES("someone"),
                              .queue = BYTES("q"),
                              .note = BYTES("{}"),
                              .chapter = 1};
    assert_int_equal(create(k, "r", &row), 0);
    row.id = BYTES("r");
    row.owner = BYTES("kit");
    row.last = 1;
    expect_row(k, &row);
    kit_reopen(k);
    expect_row(k, &row);
    row = row_of("other", "completed", false);
    assert_int_equal(append(k, "r", 1, "2", &row), 0);
    row.id = BYTES("r");
    row.owner = BYTES("kit");
    row.last = 2;
    expect_row(k, &row);
    assert_int_equal(append(k, "r", 2, "3", NULL), 0); // only last changes
    row.last = 3;
    expect_row(k, &row);
    kit_reopen(k);
    expect_row(k, &row);
}

static void kit_entries(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes some[] = {BYTES("b"), BYTES("c"), {"\0\xff\r", 3}, BYTES("")};
    struct journal_change c = {.run = BYTES("r"), .expect = 1, .entries = some, .entry_count = 4};
    assert_int_equal(create(k, "r", &row), 0);
    assert_int_equal(write_now(k, &(struct journal_write){.changes = &c, .change_count = 1}), 0);
    assert_int_equal(append(k, "r", 5, "f", NULL), 0);
    expect_entries(k, "r", 2, 3, "2=b 3=c ");
    expect_entries(k, "r", 5, 0, "5= 6=f ");
    expect_entries(k, "r", 6, 99, "6=f ");
    expect_entries(k, "r", 7, 0, "");
    expect_entries(k, "r", 3, 2, "");
    struct got g = got_new(2); // enough after two
    assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r"), .from = 1}, &g), 0);
    assert_text(g, "1={\"t\":\"begin\"} 2=b ");
    row.chapter = 5;
    assert_int_equal(append(k, "r", 6, "g", &row), 0);
    expect_entries(k, "r", 0, 0, "5= 6=f 7=g ");
    kit_reopen(k);
    expect_entries(k, "r", 0, 0, "5= 6=f 7=g ");
    expect_entries(k, "r", 1, 1, "1={\"t\":\"begin\"} ");
    g = got_new(0);
    struct journal_read none = {.run = BYTES("none")};
    assert_int_equal(read_on(k, k->j, none, &g), E_NOTFOUND);
    assert_text(g, "");
    g = got_new(0);
    struct journal_read four = {.run = BYTES("r"), .from = 4, .to = 4};
    assert_int_equal(read_on(k, k->j, four, &g), 0);
    assert_int_equal(g.text.n, 6);
    assert_memory_equal(g.text.p, "4=\0\xff\r ", 6);
    got_free(&g);
}

static void kit_fences(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes entry = BYTES("e");
    struct told t[4];
    assert_int_equal(create(k, "r", &row), 0);
    assert_int_equal(create(k, "r", &row), E_EXISTS);
    assert_int_equal(append(k, "r", 0, "x", NULL), E_CONFLICT);
    assert_int_equal(append(k, "r", 2, "x", NULL), E_CONFLICT);
    assert_int_equal(append(k, "gone", 0, "x", NULL), E_CONFLICT);
    expect_entries(k, "r", 2, 0, "");
    // Ahead of the commits: one that fits, one that does not, one that fits after the first.
    const uint64_t expect[] = {1, 1, 2, 3};
    for (unsigned i = 0; i < 4; i++) {
        struct journal_change c = {
            .run = BYTES("r"), .expect = expect[i], .entries = &entry, .entry_count = 1};
        struct journal_write w = {.changes = &c, .change_count = 1};
        assert_int_equal(begin_write(k, k->j, &w, &t[i]), 0);
    }
    kit_until(k, t[3].dones);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(t[i].dones, 1);
        assert_int_equal(t[i].status, i == 1 ? E_CONFLICT : 0);
        assert_true(i == 0 || t[i].order > t[i - 1].order);
    }
    assert_true(strstr(t[1].why, "r") != NULL);
    expect_entries(k, "r", 2, 0, "2=e 3=e 4=e ");
}

// A write of several changes is kept whole or not at all.
static void kit_atomic(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true), closed = row_of("a", "completed", false);
    struct bytes e1 = BYTES("one"), e2 = BYTES("two");
    struct journal_put p[] = {{BYTES("key"), BYTES("value")}, {BYTES("old"), BYTES_NONE}};
    assert_int_equal(create(k, "a", &row), 0);
    assert_int_equal(put(k, "old", "1"), 0);
    struct journal_change c[] = {
        {.run = BYTES("b"), .create = true, .entries = &e1, .entry_count = 1, .row = &row},
        {.run = BYTES("a"), .expect = 1, .entries = &e2, .entry_count = 1, .row = &closed},
        {.run = BYTES("b"), .expect = 1, .entries = &e2, .entry_count = 1},
        {.run = BYTES("a"), .expect = 9, .entries = &e2, .entry_count = 1}};
    struct journal_write w = {.changes = c,
                              .change_count = 4,
                              .puts = p,
                              .put_count = 2,
                              .doc_hash = BYTES("h"),
                              .doc = BYTES("text")};
    char text[32];
    assert_int_equal(write_now(k, &w), E_CONFLICT);
    expect_runs(k, (struct journal_list){.limit = 0}, "a ");
    expect_runs(k, (struct journal_list){.open_only = true}, "a ");
    expect_entries(k, "a", 1, 0, "1={\"t\":\"begin\"} ");
    expect_keys(k, "", "old=1 ");
    assert_int_equal(doc(k, "h", text, sizeof text), E_NOTFOUND);
    c[3] = (struct journal_change){.run = BYTES("b"), .create = true, .row = &row};
    assert_int_equal(write_now(k, &w), E_EXISTS);
    expect_runs(k, (struct journal_list){.limit = 0}, "a ");
    w.change_count = 3;
    assert_int_equal(write_now(k, &w), 0);
    for (int turn = 0; turn < 2; turn++) {
        expect_runs(k, (struct journal_list){.limit = 0}, "b a ");
        expect_runs(k, (struct journal_list){.open_only = true}, "b ");
        expect_entries(k, "a", 2, 0, "2=two ");
        expect_entries(k, "b", 1, 0, "1=one 2=two ");
        expect_keys(k, "", "key=value ");
        assert_int_equal(doc(k, "h", text, sizeof text), 0);
        assert_string_equal(text, "text");
        kit_reopen(k);
    }
}

static void kit_lists(void **state)
{
    struct kit *k = *state;
    static const struct {
        const char *id, *name, *status, *parent;
        bool open, busy;
        int64_t wake_ms;
    } rows[] = {{"r1", "a", "running", "", true, true, TIME_NEVER},
                {"r2", "b", "waiting", "r1", true, false, 500},
                {"r3", "a", "completed", "r1", false, false, TIME_NEVER},
                {"r4", "b", "faulted", "", false, false, TIME_NEVER},
                {"r5", "a", "waiting", "r2", true, false, 400}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct journal_run row = row_of(rows[i].name, rows[i].status, rows[i].open);
        row.parent = bytes_of(rows[i].parent);
        row.busy = rows[i].busy;
        row.wake_ms = rows[i].wake_ms;
        row.namespace = i < 3 ? BYTES("kit") : BYTES("other");
        assert_int_equal(create(k, rows[i].id, &row), 0);
    }
#define LIST(expected, ...) expect_runs(k, (struct journal_list){__VA_ARGS__}, expected)
    LIST("r5 r4 r3 r2 r1 ", .limit = 0);
    LIST("r1 r2 r3 r4 r5 ", .oldest_first = true);
    LIST("r5 r4 ", .limit = 2);
    LIST("r3 r2 ", .limit = 2, .after = BYTES("r4"));
    LIST("r1 ", .limit = 2, .after = BYTES("r2"));
    LIST("", .limit = 2, .after = BYTES("r1"));
    LIST("r4 r5 ", .limit = 2, .after = BYTES("r3"), .oldest_first = true);
    LIST("r5 r2 r1 ", .open_only = true);
    LIST("r4 r3 ", .closed_only = true);
    LIST("r1 ", .busy_only = true);
    LIST("r5 r3 r1 ", .name = BYTES("a"));
    LIST("r5 ", .name = BYTES("a"), .namespace = BYTES("other"));
    LIST("r5 r4 ", .namespace = BYTES("other"));
    LIST("r5 r2 ", .status = BYTES("waiting"));
    LIST("r3 r2 ", .parent = BYTES("r1"));
    LIST("r5 ", .wake_before_ms = 500);
    LIST("r5 r2 ", .wake_before_ms = 501);
    LIST("", .wake_before_ms = 400);
    LIST("r2 ", .status = BYTES("waiting"), .limit = 1, .after = BYTES("r5"));
    LIST("", .name = BYTES("' OR 1=1 --"));
    LIST("r5 r4 r3 r2 r1 ", .mine = true);
#undef LIST
    struct got g = got_new(2);
    assert_int_equal(list_on(k, k->j, (struct journal_list){.limit = 0}, &g), 0);
    assert_text(g, "r5 r4 ");
    g = got_new(0);
    assert_int_equal(list_on(k, k->j, (struct journal_list){.after = BYTES("none")}, &g),
                     E_NOTFOUND);
    assert_int_equal(
        list_on(k, k->j, (struct journal_list){.open_only = true, .closed_only = true}, &g),
        E_INVALID);
    assert_text(g, "");
}

static void kit_values(void **state)
{
    struct kit *k = *state;
    assert_int_equal(put(k, "s/b", "2"), 0);
    assert_int_equal(put(k, "s/a", "1"), 0);
    assert_int_equal(put(k, "s", "0"), 0);
    assert_int_equal(put(k, "t%", "3"), 0);
    assert_int_equal(put(k, "s/\xff", "9"), 0);
    expect_keys(k, "s/", "s/a=1 s/b=2 s/\xff=9 ");
    expect_keys(k, "", "s=0 s/a=1 s/b=2 s/\xff=9 t%=3 ");
    expect_keys(k, "s/a", "s/a=1 ");
    expect_keys(k, "%", "");
    expect_keys(k, "s/\xff", "s/\xff=9 ");
    assert_int_equal(put(k, "s/a", "one"), 0);
    assert_int_equal(put(k, "s/b", ""), 0); // empty is not removed
    assert_int_equal(put(k, "s/\xff", NULL), 0);
    assert_int_equal(put(k, "never", NULL), 0);
    kit_reopen(k);
    expect_keys(k, "s/", "s/a=one s/b= ");
    struct journal_put p[] = {{BYTES("x"), BYTES("1")},
                              {BYTES("x"), BYTES_NONE},
                              {BYTES("y"), BYTES_NONE},
                              {BYTES("y"), BYTES("2")}};
    assert_int_equal(write_now(k, &(struct journal_write){.puts = p, .put_count = 4}), 0);
    expect_keys(k, "x", "");
    expect_keys(k, "y", "y=2 ");
    // Documents: the first text of a hash stays, as all of one hash are the same.
    struct journal_write w = {.doc_hash = BYTES("h"), .doc = BYTES("text")};
    char text[16];
    assert_int_equal(write_now(k, &w), 0);
    assert_int_equal(write_now(k, &w), 0);
    assert_int_equal(doc(k, "h", text, sizeof text), 0);
    assert_string_equal(text, "text");
    assert_int_equal(doc(k, "i", text, sizeof text), E_NOTFOUND);
}

static void kit_prune(void **state)
{
    struct kit *k = *state;
    static const char *const plans[] = {"used", "old", "open", "old", "value"};
    char id[16], text[16];
    for (int i = 0; i < 5; i++) {
        struct journal_run row = row_of("a", i == 2 ? "running" : "completed", i == 2);
        struct bytes entry = BYTES("e");
        row.plan = bytes_of(plans[i]);
        row.closed_ms = i == 2 ? 0 : 1000 - i;
        (void)snprintf(id, sizeof id, "r%d", i);
        struct journal_change c = {
            .run = bytes_of(id), .create = true, .entries = &entry, .entry_count = 1, .row = &row};
        assert_int_equal(write_now(k, &(struct journal_write){.changes = &c,
                                                              .change_count = 1,
                                                              .doc_hash = bytes_of(plans[i]),
                                                              .doc = BYTES("d")}),
                         0);
    }
    assert_int_equal(put(k, "documents/x", "{\"hash\":\"value\"}"), 0);
    assert_int_equal(prune(k, 996, 0, true), 0);
    assert_int_equal(prune(k, 997, 0, true), 1);
    assert_int_equal(prune(k, 5000, 0, true), 4);
    assert_int_equal(prune(k, 5000, 3, true), 3);
    expect_runs(k, (struct journal_list){.limit = 0}, "r4 r3 r2 r1 r0 ");
    assert_int_equal(prune(k, 5000, 2, false), 2); // those that closed first
    expect_runs(k, (struct journal_list){.limit = 0}, "r2 r1 r0 ");
    assert_int_equal(doc(k, "old", text, sizeof text), 0);   // r1 has it
    assert_int_equal(doc(k, "value", text, sizeof text), 0); // documents/x has it
    assert_int_equal(prune(k, 1000, 0, false), 1);
    assert_int_equal(doc(k, "old", text, sizeof text), E_NOTFOUND);
    assert_int_equal(doc(k, "used", text, sizeof text), 0);
    assert_int_equal(doc(k, "open", text, sizeof text), 0);
    kit_reopen(k);
    expect_runs(k, (struct journal_list){.limit = 0}, "r2 r0 ");
    struct got g = got_new(0);
    assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r1")}, &g), E_NOTFOUND);
    got_free(&g);
    expect_entries(k, "r0", 1, 0, "1=e ");
    struct journal_run row = row_of("a", "running", true);
    assert_int_equal(create(k, "r1", &row), 0); // its name is free again, its past is gone
    expect_entries(k, "r1", 1, 0, "1={\"t\":\"begin\"} ");
    assert_int_equal(put(k, "documents/x", NULL), 0);
    assert_int_equal(prune(k, 0, 0, false), 0);
    assert_int_equal(doc(k, "value", text, sizeof text), E_NOTFOUND);
}

// Many runs at once, ahead of the disk: all are told, in order, and all is there.
static void kit_many(void **state)
{
    enum { RUNS = 40, STEPS = 25 };
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct told *t = calloc(RUNS * STEPS, sizeof *t);
    char id[16], text[16];
    unsigned from = told_order;
    uint64_t commits = stats(k).commits;
    for (unsigned s = 0; s < STEPS; s++) {
        for (unsigned r = 0; r < RUNS; r++) {
            (void)snprintf(id, sizeof id, "r%u", r);
            (void)snprintf(text, sizeof text, "%u.%u", r, s);
            struct bytes entry = bytes_of(text);
            struct journal_change c = {.run = bytes_of(id),
                                       .create = s == 0,
                                       .expect = s,
                                       .entries = &entry,
                                       .entry_count = 1,
                                       .row = &row};
            struct journal_write w = {.changes = &c, .change_count = 1};
            assert_int_equal(begin_write(k, k->j, &w, &t[s * RUNS + r]), 0);
        }
        if (s % 8 == 7)
            kit_round(k);
    }
    memset(id, 'x', sizeof id); // all was copied
    memset(text, 'x', sizeof text);
    kit_until(k, told_order - from == RUNS * STEPS);
    for (unsigned i = 0; i < RUNS * STEPS; i++) {
        assert_int_equal(t[i].status, 0);
        assert_int_equal(t[i].order, from + i + 1);
    }
    assert_true(stats(k).commits - commits < RUNS * STEPS / 10); // many share one
    assert_int_equal(stats(k).waiting, 0);
    assert_int_equal(stats(k).writes, RUNS * STEPS);
    assert_int_equal(stats(k).entries, RUNS * STEPS);
    kit_reopen(k);
    for (unsigned r = 0; r < RUNS; r++) {
        struct got g = got_new(0);
        (void)snprintf(id, sizeof id, "r%u", r);
        assert_int_equal(read_on(k, k->j, (struct journal_read){.run = bytes_of(id)}, &g), 0);
        assert_int_equal(g.rows, STEPS);
        (void)snprintf(text, sizeof text, "1=%u.0 ", r);
        assert_true(bytes_starts(buf_bytes(&g.text), bytes_of(text)));
        got_free(&g);
    }
    free(t);
}

// More rows than one piece of an answer, and larger ones.
static void kit_large(void **state)
{
    enum { ENTRIES = 3000, BIG = 5 << 20 };
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes *entries = calloc(ENTRIES, sizeof *entries);
    char *big = malloc(BIG);
    assert_true(entries && big);
    memset(big, 'b', BIG);
    for (unsigned i = 0; i < ENTRIES; i++)
        entries[i] = (struct bytes){big, i % 700};
    entries[ENTRIES / 2] = (struct bytes){big, BIG};
    struct journal_change c = {
        .run = BYTES("r"), .create = true, .entries = entries, .entry_count = ENTRIES, .row = &row};
    assert_int_equal(write_now(k, &(struct journal_write){.changes = &c, .change_count = 1}), 0);
    struct got g = got_new(0);
    assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r")}, &g), 0);
    assert_int_equal(g.rows, ENTRIES);
    assert_true(g.text.n > BIG + ENTRIES * 300u);
    got_free(&g);
    free(entries);
    free(big);
}

// Who has heard enough before the end leaves nothing behind for the next.
static void kit_enough(void **state)
{
    enum { KEYS = 1500 };
    struct kit *k = *state;
    static char names[KEYS][12];
    static struct journal_put puts[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%05u", i);
        puts[i] = (struct journal_put){bytes_of(names[i]), BYTES("v")};
    }
    assert_int_equal(write_now(k, &(struct journal_write){.puts = puts, .put_count = KEYS}), 0);
    for (unsigned most = 1; most < KEYS; most += 299) {
        struct got g = got_new(most);
        struct told t = told_new();
        struct err e = {0};
        struct journal_keys a = {BYTES("k"), got_put, &g};
        assert_int_equal(journal_keys(k->j, &a, &t.r, &e), 0);
        kit_until(k, t.dones);
        assert_int_equal(t.status, 0);
        assert_int_equal(g.rows, most);
        got_free(&g);
        expect_keys(k, "k0149",
                    "k01490=v k01491=v k01492=v k01493=v k01494=v k01495=v k01496=v "
                    "k01497=v k01498=v k01499=v ");
    }
}

static void kit_limits(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true), other = row;
    char *big = malloc(1 << 20), long_id[300];
    struct told t[64];
    struct err e = {0};
    unsigned n = 0;
    kit_close_one(k, k->j);
    struct journal_args a = kit_args(k);
    a.waiting_bytes_max = 4 << 20;
    assert_int_equal(k->open(&a, &k->j, &e), 0);
    memset(big, 'b', 1 << 20);
    memset(long_id, 'i', sizeof long_id);
    struct journal_put p = {BYTES("k"), {big, 1 << 20}};
    struct journal_write w = {.puts = &p, .put_count = 1};
    for (; n < 64; n++) {
        t[n] = told_new();
        int rc = journal_write(k->j, &w, &t[n].r, &e);
        if (rc) {
            assert_int_equal(rc, E_FULL);
            break;
        }
    }
    if (!k->lossy)
        assert_int_equal(n, 3); // three, and what each costs besides
    assert_int_equal(stats(k).waiting, n);
    kit_until(k, !n || t[n - 1].dones);
    assert_int_equal(write_now(k, &w), 0); // there is room again
    struct bytes five[5] = {p.value, p.value, p.value, p.value, p.value};
    struct bytes lines = BYTES("{\n}");
    struct journal_change c = {
        .run = BYTES("r"), .create = true, .entries = five, .entry_count = 5, .row = &row};
    w = (struct journal_write){.changes = &c, .change_count = 1};
    assert_int_equal(write_now(k, &w), E_TOOBIG);
    c.entry_count = 1;
    other.id = BYTES("another");
    const struct journal_change bad[] = {
        {.run = BYTES(""), .create = true, .row = &row},
        {.run = {long_id, 257}, .create = true, .row = &row},
        {.run = BYTES("r"), .create = true},
        {.run = BYTES("r"), .create = true, .row = &row, .expect = 1},
        {.run = BYTES("r"), .create = true, .row = &other},
        {.run = BYTES("r"), .expect = UINT32_MAX, .entries = five, .entry_count = 1},
        {.run = BYTES("r"), .create = true, .row = &row, .entries = &lines, .entry_count = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        w.changes = &bad[i];
        assert_int_equal(write_now(k, &w), E_INVALID);
    }
    assert_int_equal(write_now(k, &(struct journal_write){.change_count = 0}), E_INVALID);
    struct journal_put long_key = {{big, 513}, BYTES("v")}, no_key = {BYTES(""), BYTES("v")};
    assert_int_equal(write_now(k, &(struct journal_write){.puts = &long_key, .put_count = 1}),
                     E_INVALID);
    assert_int_equal(write_now(k, &(struct journal_write){.puts = &no_key, .put_count = 1}),
                     E_INVALID);
    assert_int_equal(write_now(k, &(struct journal_write){.doc = BYTES("d")}), E_INVALID);
    expect_runs(k, (struct journal_list){.limit = 0}, "");
    free(big);
}

// What waits is told before it closes; after that nothing is taken.
static void kit_close(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct journal_change c = {.run = BYTES("r"), .create = true, .row = &row};
    struct journal_write w = {.changes = &c, .change_count = 1};
    struct told t, u = told_new();
    struct err e = {0};
    struct got g = got_new(0);
    bool closed = false;
    assert_int_equal(begin_write(k, k->j, &w, &t), 0);
    struct journal_list a = {.on_run = got_run, .user = &g};
    assert_int_equal(journal_list(k->j, &a, &u.r, &e), 0);
    journal_close(k->j, kit_closed, &closed);
    assert_false(closed || t.dones || u.dones);
    assert_int_equal(journal_write(k->j, &w, &t.r, &e), E_CLOSED);
    assert_int_equal(journal_list(k->j, &a, &u.r, &e), E_CLOSED);
    kit_until(k, closed);
    assert_int_equal(t.dones, 1);
    assert_int_equal(t.status, 0);
    assert_int_equal(u.dones, 1);
    got_free(&g);
    k->j = kit_open_as(k, "kit");
    expect_runs(k, (struct journal_list){.limit = 0}, "r ");
}

// Several nodes on one journal; or one only, which says so.
static void kit_owners(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true), closed = row_of("a", "completed", false);
    struct bytes entry = BYTES("e");
    struct journal_change c = {.run = BYTES("r"), .expect = 1, .entries = &entry, .entry_count = 1};
    struct journal_write w = {.changes = &c, .change_count = 1};
    assert_int_equal(create(k, "r", &row), 0);
    assert_int_equal(create(k, "done", &closed), 0);
    if (!k->several) {
        assert_int_equal(take(k, k->j, "other"), E_UNSUPPORTED);
        return;
    }
    struct journal *b = kit_open_as(k, "b");
    assert_int_equal(write_on(k, b, &w), E_CONFLICT); // it is kit's
    struct got g = got_new(0);
    assert_int_equal(list_on(k, b, (struct journal_list){.mine = true}, &g), 0);
    assert_text(g, "");
    assert_int_equal(take(k, b, "nobody"), 0);
    assert_int_equal(write_on(k, b, &w), E_CONFLICT);
    assert_int_equal(append(k, "r", 1, "a", NULL), 0);
    c.expect = 2;
    assert_int_equal(take(k, b, "kit"), 0);
    assert_int_equal(append(k, "r", 2, "x", NULL), E_CONFLICT);
    assert_true(stats(k).stopped);
    assert_int_equal(create(k, "new", &row), E_CONFLICT); // its fence is raised
    assert_int_equal(write_on(k, b, &w), 0);
    g = got_new(0);
    assert_int_equal(list_on(k, b, (struct journal_list){.mine = true}, &g), 0);
    assert_text(g, "r "); // what was closed stays where it was
    kit_reopen(k); // it comes again, with nothing
    assert_int_equal(append(k, "r", 3, "x", NULL), E_CONFLICT);
    assert_false(stats(k).stopped);
    assert_int_equal(create(k, "new", &row), 0);
    expect_runs(k, (struct journal_list){.mine = true}, "new done ");
    // The same name twice: the elder one is out.
    struct journal *c2 = kit_open_as(k, "b");
    c.expect = 3;
    assert_int_equal(write_on(k, b, &w), E_CONFLICT);
    assert_int_equal(write_on(k, c2, &w), 0);
    kit_close_one(k, b);
    kit_close_one(k, c2);
}

#define KIT_TEST(fn, kit) {#fn, fn, kit_setup, kit_teardown, kit}
#define KIT_TESTS(kit)                                                                             \
    KIT_TEST(kit_rows, kit), KIT_TEST(kit_fields, kit), KIT_TEST(kit_entries, kit),                \
        KIT_TEST(kit_fences, kit), KIT_TEST(kit_atomic, kit), KIT_TEST(kit_lists, kit),            \
        KIT_TEST(kit_values, kit), KIT_TEST(kit_prune, kit), KIT_TEST(kit_many, kit),              \
        KIT_TEST(kit_large, kit), KIT_TEST(kit_enough, kit), KIT_TEST(kit_limits, kit),            \
        KIT_TEST(kit_close, kit), KIT_TEST(kit_owners, kit)

#endif
