// bus_kit_rig.h: the conformance kit of port/bus.h: what each bus must do, run on each of them by
// its x_test.c, with the real server where there is one. Included by tests only, after cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_KIT_RIG_H
#define PLEXUS_ADAPTERS_BUS_KIT_RIG_H

#include "adapters/bus_rig.h"

// ---- the tests ----------------------------------------------------------------------------------

static void kit_order(void **state)
{
    struct kit *k = *state;
    unsigned n = k->slow ? 300 : 1000;
    struct ear exact = {0}, star = {0}, all = {0}, none = {0};
    const char *a = kit_name(k, "dev.organs.order%u.a", k->serial);
    const char *b = kit_name(k, "dev.organs.order%u.b.c", k->serial);
    ear_open(&exact, k, k->other, (struct bus_sub_args){.pattern = a});
    ear_open(&star, k, k->other,
             (struct bus_sub_args){.pattern = kit_text(k, "dev.*.order%u.*", k->serial)});
    ear_open(&all, k, k->bus,
             (struct bus_sub_args){.pattern = kit_text(k, "dev.organs.order%u.>", k->serial)});
    ear_open(&none, k, k->bus,
             (struct bus_sub_args){.pattern = kit_text(k, "dev.organs.order%u.a.*", k->serial)});
    all.in_call = exact.in_call = star.in_call = true;
    for (unsigned i = 0; i < n; i++) {
        kit_publish(k, a, kit_text(k, "a%u", i));
        kit_publish(k, b, kit_text(k, "b%u", i));
        if (k->faulty)
            all.in_call = exact.in_call = star.in_call = false;
    }
    all.in_call = exact.in_call = star.in_call = false;
    kit_until(k, exact.count == n && star.count == n && all.count == 2 * n);
    unsigned at_a = 0, at_b = 0;
    for (unsigned i = 0; i < 2 * n; i++) { // order per subject
        char want[16];
        bool is_a = all.got[i].data[0] == 'a';
        (void)snprintf(want, sizeof want, "%c%u", is_a ? 'a' : 'b', is_a ? at_a++ : at_b++);
        assert_string_equal(all.got[i].data, want);
        assert_string_equal(all.got[i].subject, is_a ? a : b);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_string_equal(exact.got[i].data, kit_text(k, "a%u", i));
        assert_string_equal(star.got[i].data, exact.got[i].data);
    }
    ear_close(&exact); // and the others go on
    kit_publish(k, a, "more");
    kit_until(k, star.count == n + 1 && all.count == 2 * n + 1);
    assert_int_equal(none.count, 0);
    assert_int_equal(exact.count, n);
    ear_fini(&star);
    ear_fini(&all);
    ear_fini(&none);
    free(exact.got);
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_int_equal(st.subs, 0);
    assert_int_equal(st.published, 2 * n + 1);
    assert_int_equal(st.status, BUS_CONNECTED);
}

static void check_event(const struct got *g, const char *subject, const struct bus_msg *m)
{
    assert_string_equal(g->subject, subject);
    assert_true(bytes_is(m->data, g->data));
    assert_true(bytes_is(m->label, g->label));
    assert_true(bytes_is(m->about, g->about));
    assert_true(bytes_is(m->id, g->id));
    assert_true(bytes_is(m->type, g->type));
    assert_true(bytes_is(m->content, g->content));
    assert_true(bytes_is(m->source, g->source));
    assert_int_equal(g->time_ms, m->time_ms);
}

static void kit_event(void **state)
{
    struct kit *k = *state;
    struct ear live = {0}, kept = {0};
    const char *subject = kit_name(k, "dev.organs.event%u.x", k->serial);
    const char *id = kit_name(k, "id \"%%\" \xc3\xa4 %u", k->serial);
    struct bus_msg m = {.subject = bytes_of(subject),
                        .data = BYTES("{\"a\":\"\xc3\xa4\"}"),
                        .content = BYTES("application/json"),
                        .type = BYTES("plexus.test"),
                        .id = bytes_of(id),
                        .source = BYTES("/node/a"),
                        .label = BYTES("confidential:eng,hr"),
                        .about = BYTES("models/tiny-chat"),
                        .time_ms = 1767225600123};
    ear_open(&live, k, k->other, (struct bus_sub_args){.pattern = subject});
    int rc;
    while ((rc = bus_publish(k->bus, &m, NULL)) == E_FULL && k->faulty)
        kit_round(k);
    assert_true(rc >= 0);
    kit_until(k, live.count == 1);
    check_event(&live.got[0], subject, &m);
    assert_int_equal(live.got[0].ack, 0);
    struct wish w;
    assert_int_equal(kit_store_msg(k, &m, &w), 0);
    kit_until(k, live.count == 2); // stored ones are heard too
    check_event(&live.got[1], subject, &m);
    ear_open(&kept, k, k->other, (struct bus_sub_args){.pattern = subject, .from = BUS_START});
    kit_until(k, kept.count >= 1);
    check_event(&kept.got[0], subject, &m);
    assert_int_equal(kept.got[0].seq, w.req.seq);
    ear_close(&kept);
    // Bytes of any kind, and what is filled in.
    struct bus_msg raw = {.subject = bytes_of(subject), .data = {"\0\r\n\xff\xfe", 5}};
    while ((rc = bus_publish(k->bus, &raw, NULL)) == E_FULL && k->faulty)
        kit_round(k);
    kit_until(k, live.count == 3);
    assert_memory_equal(live.got[2].data, "\0\r\n\xff\xfe", 5);
    assert_string_equal(live.got[2].type, "plexus.message");
    assert_string_equal(live.got[2].content, "application/octet-stream");
    assert_string_equal(live.got[2].source, "/node/kit");
    assert_string_equal(live.got[2].label, "");
    assert_true(live.got[2].time_ms > 1767225600000 || live.got[2].time_ms > 0);
    // And nothing at all.
    raw.data = BYTES_NONE;
    assert_int_equal(kit_store_msg(k, &raw, &w), 0);
    kit_until(k, live.count == 4);
    assert_string_equal(live.got[3].data, "");
    ear_fini(&live);
    free(kept.got);
}

static void kit_queue(void **state)
{
    struct kit *k = *state;
    struct ear member[3] = {{0}}, plain = {0}, second = {0};
    const char *subject = kit_name(k, "dev.organs.queue%u.x", k->serial);
    const char *wild = kit_name(k, "dev.organs.queue%u.*", k->serial);
    for (int i = 0; i < 3; i++)
        ear_open(&member[i], k, i ? k->other : k->bus,
                 (struct bus_sub_args){.pattern = i == 2 ? wild : subject, .queue = "workers"});
    ear_open(&second, k, k->other, (struct bus_sub_args){.pattern = subject, .queue = "others"});
    ear_open(&plain, k, k->other, (struct bus_sub_args){.pattern = wild});
    for (int i = 0; i < 90; i++)
        kit_publish(k, subject, kit_text(k, "%d", i));
    kit_until(k, plain.count == 90 && second.count == 90 &&
                     member[0].count + member[1].count + member[2].count == 90);
    kit_pass(k, 30);
    assert_int_equal(member[0].count + member[1].count + member[2].count, 90);
    bool seen[90] = {false};
    for (int i = 0; i < 3; i++)
        for (unsigned j = 0; j < member[i].count; j++) {
            int at = atoi(member[i].got[j].data);
            assert_false(seen[at]);
            seen[at] = true;
        }
    ear_fini(&member[0]);
    ear_fini(&member[1]);
    kit_settle(k);
    kit_publish(k, subject, "last"); // the one that is left
    unsigned had = member[2].count;
    kit_until(k, member[2].count == had + 1 && second.count == 91);
    ear_fini(&member[2]);
    ear_fini(&second);
    ear_fini(&plain);
}

static void kit_request(void **state)
{
    struct kit *k = *state;
    struct ear server = {.answer = "pong"}, mute = {0}, eaves = {0};
    struct wish w;
    const char *subject = kit_name(k, "dev.organs.ask%u.x", k->serial);
    struct bus_msg m = {.subject = bytes_of(subject), .data = BYTES("ping")};
    struct err e = {0};
    // Nobody there: told at once.
    int64_t began = time_mono_ms();
    while (bus_request(k->bus, &m, wish_new(&w, 10000), &e) == E_FULL && k->faulty)
        kit_round(k);
    assert_int_equal(w.done, 0);
    kit_until(k, w.done);
    assert_int_equal(w.status, E_UNAVAILABLE);
    assert_non_null(strstr(w.text, subject));
    assert_true(time_mono_ms() - began < 3000);
    ear_open(&server, k, k->other, (struct bus_sub_args){.pattern = subject, .queue = "s"});
    ear_open(&eaves, k, k->other, (struct bus_sub_args){.pattern = "dev.>"});
    for (int i = 0; i < 20; i++) {
        while (bus_request(k->bus, &m, wish_new(&w, 10000), &e) == E_FULL && k->faulty)
            kit_round(k);
        kit_until(k, w.done);
        if (w.status)
            fail_msg("%s", w.text);
        assert_string_equal(w.text, "pong");
    }
    assert_int_equal(server.count, 20);
    kit_until(k, eaves.count == 20); // the questions, not the answers
    ear_fini(&server);
    // Somebody who does not answer: the deadline, or a change of mind.
    ear_open(&mute, k, k->other, (struct bus_sub_args){.pattern = subject});
    while (bus_request(k->bus, &m, wish_new(&w, 50), &e) == E_FULL && k->faulty)
        kit_round(k);
    kit_until(k, w.done);
    assert_int_equal(w.status, E_TIMEOUT);
    while (bus_request(k->bus, &m, wish_new(&w, TIME_NEVER), &e) == E_FULL && k->faulty)
        kit_round(k);
    bus_cancel(k->bus, &w.req);
    assert_int_equal(w.done, 0);
    kit_until(k, w.done);
    assert_int_equal(w.status, E_CANCELLED);
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_int_equal(st.reqs, 0);
    ear_fini(&mute);
    ear_fini(&eaves);
}

// Counts without those that came twice.
static unsigned distinct(const struct ear *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->count && i < KIT_KEPT; i++) {
        bool again = false;
        for (unsigned j = 0; j < i && !again; j++)
            again = r->got[i].seq == r->got[j].seq;
        n += !again;
    }
    return n;
}

static void kit_durable(void **state)
{
    struct kit *k = *state;
    struct ear r = {.ack = true};
    const char *subject = kit_name(k, "dev.organs.kept%u.x", k->serial);
    const char *pattern = kit_name(k, "dev.organs.kept%u.>", k->serial);
    const char *name = kit_name(k, "kept-%u", k->serial);
    struct bus_sub_args args = {.pattern = pattern, .from = BUS_START, .durable = name};
    for (int i = 0; i < 20; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    (void)kit_store(k, kit_text(k, "dev.organs.unkept%u.x", k->serial), "not ours");
    ear_open(&r, k, k->other, args);
    kit_until(k, distinct(&r) == 20);
    for (unsigned i = 0, at = 0; i < r.count; i++)
        if (r.got[i].deliveries == 1 && (!i || r.got[i].seq != r.got[i - 1].seq))
            assert_string_equal(r.got[i].data, kit_text(k, "%u", at++));
    kit_pass(k, 50); // the acknowledgements arrive
    ear_close(&r);
    r.count = 0;
    for (int i = 20; i < 25; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    ear_open(&r, k, k->bus, args); // goes on where it was, also from another side
    kit_until(k, distinct(&r) == 5);
    assert_string_equal(r.got[0].data, "20");
    kit_pass(k, 50);
    // The name with another pattern.
    struct bus_sub_args wrong = args;
    struct bus_sub *sub = NULL;
    struct ear bad = {0};
    wrong.pattern = "dev.organs.>";
    wrong.on_msg = ear_msg;
    wrong.on_failed = ear_failed;
    wrong.on_closed = ear_closed;
    wrong.user = &bad;
    bad.k = k;
    int rc = bus_subscribe(k->bus, &wrong, &sub, NULL);
    if (!rc) {
        bad.sub = sub;
        kit_until(k, bad.failed);
        rc = bad.status;
        bus_unsubscribe(sub);
        kit_until(k, bad.closed);
    }
    assert_int_equal(rc, E_CONFLICT);
    ear_fini(&r);
}

static void kit_credit(void **state)
{
    struct kit *k = *state;
    struct ear r = {0};
    const char *subject = kit_name(k, "dev.organs.credit%u.x", k->serial);
    ear_open(&r, k, k->other,
             (struct bus_sub_args){.pattern = subject,
                                   .from = BUS_START,
                                   .durable = kit_text(k, "credit-%u", k->serial),
                                   .max_in_flight = 4});
    for (int i = 0; i < 12; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    kit_until(k, distinct(&r) == 4);
    kit_pass(k, 100);
    assert_int_equal(distinct(&r), 4); // held back
    for (unsigned done = 0; done < 12; done++) {
        kit_until(k, distinct(&r) > done);
        unsigned at = 0; // the done-th distinct one
        for (unsigned n = 0; at < r.count; at++) {
            bool first = true;
            for (unsigned j = 0; j < at && first; j++)
                first = r.got[j].seq != r.got[at].seq;
            if (first && n++ == done)
                break;
        }
        assert_string_equal(r.got[at].data, kit_text(k, "%u", done));
        assert_int_equal(bus_ack(r.sub, r.got[at].ack, BUS_ACK, 0), 0);
        if (!k->faulty)
            assert_int_equal(bus_ack(r.sub, r.got[at].ack, BUS_ACK, 0), E_NOTFOUND);
    }
    kit_pass(k, 50);
    assert_int_equal(distinct(&r), 12);
    ear_fini(&r);
}

static void kit_redeliver(void **state)
{
    struct kit *k = *state;
    struct ear r = {0}, late = {.ack = true};
    const char *subject = kit_name(k, "dev.organs.again%u.x", k->serial);
    struct bus_sub_args args = {.pattern = subject,
                                .from = BUS_NEW,
                                .durable = kit_text(k, "again-%u", k->serial),
                                .ack_wait_ms = 300};
    (void)kit_store(k, subject, "before");
    ear_open(&r, k, k->other, args);
    (void)kit_store(k, subject, "silent");
    kit_until(k, r.count && r.got[r.count - 1].deliveries == 2); // nobody said a word
    assert_string_equal(r.got[0].data, "silent");
    assert_string_equal(r.got[r.count - 1].data, "silent");
    assert_int_equal(bus_ack(r.sub, r.got[r.count - 1].ack, BUS_ACK, 0), 0);
    r.count = 0;
    (void)kit_store(k, subject, "nak");
    kit_until(k, r.count);
    int64_t began = time_mono_ms();
    assert_int_equal(bus_ack(r.sub, r.got[0].ack, BUS_NAK, 0), 0);
    kit_until(k, r.count && r.got[r.count - 1].deliveries == 2);
    if (!k->slow)
        assert_true(time_mono_ms() - began < 280);
    assert_string_equal(r.got[r.count - 1].data, "nak");
    // Still at work: not again before the new time is over.
    for (int i = 0; i < 4; i++) {
        kit_pass(k, 150);
        assert_int_equal(bus_ack(r.sub, r.got[r.count - 1].ack, BUS_WORKING, 0), 0);
    }
    assert_int_equal(r.got[r.count - 1].deliveries, 2);
    ear_close(&r); // what it had goes to the next one
    ear_open(&late, k, k->bus, args);
    kit_until(k, late.count);
    assert_string_equal(late.got[0].data, "nak");
    ear_fini(&late);
    free(r.got);
}

static void kit_dedup(void **state)
{
    struct kit *k = *state;
    struct ear r = {0};
    struct wish w;
    const char *subject = kit_name(k, "dev.organs.once%u.x", k->serial);
    const char *id = kit_name(k, "once-%u-%llx", k->serial, (unsigned long long)time_wall_ms());
    struct bus_msg m = {.subject = bytes_of(subject), .data = BYTES("one"), .id = bytes_of(id)};
    assert_int_equal(kit_store_msg(k, &m, &w), 0);
    assert_false(w.req.duplicate);
    uint64_t seq = w.req.seq;
    m.data = BYTES("two");
    assert_int_equal(kit_store_msg(k, &m, &w), 0);
    assert_true(w.req.duplicate);
    assert_int_equal(w.req.seq, seq);
    (void)kit_store(k, subject, "three");
    ear_open(&r, k, k->other, (struct bus_sub_args){.pattern = subject, .from = BUS_START});
    kit_until(k, distinct(&r) == 2);
    assert_string_equal(r.got[0].data, "one");
    assert_string_equal(r.got[r.count - 1].data, "three");
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_int_equal(st.duplicates, 1);
    ear_fini(&r);
}

static void kit_replay(void **state)
{
    struct kit *k = *state;
    struct ear start = {0}, from = {0}, fresh = {0}, future = {0}, wide = {0};
    const char *subject = kit_name(k, "dev.organs.replay%u.x", k->serial);
    ear_open(&wide, k, k->other, (struct bus_sub_args){.pattern = "dev.>"});
    for (int i = 0; i < 5; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    kit_pass(k, 30);
    int64_t middle = time_wall_ms();
    kit_pass(k, 30);
    for (int i = 5; i < 8; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    ear_open(&start, k, k->other, (struct bus_sub_args){.pattern = subject, .from = BUS_START});
    ear_open(&from, k, k->other,
             (struct bus_sub_args){.pattern = subject, .from = BUS_TIME, .from_ms = middle});
    ear_open(&fresh, k, k->other, (struct bus_sub_args){.pattern = subject, .from = BUS_NEW});
    ear_open(&future, k, k->other,
             (struct bus_sub_args){
                 .pattern = subject, .from = BUS_TIME, .from_ms = time_wall_ms() + 60000});
    (void)kit_store(k, subject, "8");
    kit_until(k, distinct(&start) == 9 && distinct(&from) == 4 && distinct(&fresh) == 1);
    assert_string_equal(start.got[0].data, "0");
    assert_string_equal(from.got[0].data, "5");
    assert_string_equal(fresh.got[0].data, "8");
    for (unsigned i = 1; i < start.count; i++)
        assert_true(start.got[i].seq >= start.got[i - 1].seq);
    assert_int_equal(start.got[0].ack, 0);
    kit_settle(k);
    kit_until(k, wide.count >= 9);
    assert_int_equal(wide.count, 9); // not what went to who replays
    ear_fini(&wide);
    ear_fini(&start);
    ear_fini(&from);
    ear_fini(&fresh);
    ear_fini(&future);
}

static void kit_dead(void **state)
{
    struct kit *k = *state;
    struct ear r = {.ack = true, .how = BUS_NAK}, dead = {0};
    const char *subject = kit_name(k, "dev.organs.dead%u.x", k->serial);
    const char *name = kit_name(k, "dead-%u", k->serial);
    const char *grave = kit_name(k, "dev.nervous.dead.dead-%u", k->serial);
    ear_open(&dead, k, k->bus, (struct bus_sub_args){.pattern = grave, .from = BUS_START});
    ear_open(&r, k, k->other,
             (struct bus_sub_args){.pattern = subject,
                                   .from = BUS_NEW,
                                   .durable = name,
                                   .ack_wait_ms = 400,
                                   .max_deliver = 3});
    struct wish w;
    struct bus_msg m = {
        .subject = bytes_of(subject), .data = BYTES("poison"), .label = BYTES("internal")};
    assert_int_equal(kit_store_msg(k, &m, &w), 0);
    kit_until(k, distinct(&dead) == 1);
    for (unsigned i = 0; i < r.count; i++)
        assert_in_range(r.got[i].deliveries, 1, 3);
    assert_int_equal(r.got[r.count - 1].deliveries, 3);
    assert_string_equal(dead.got[0].data, "poison");
    assert_string_equal(dead.got[0].about, subject);
    assert_string_equal(dead.got[0].label, "internal");
    assert_string_equal(dead.got[0].id,
                        kit_text(k, "dead-%s-%llu", name, (unsigned long long)w.req.seq));
    unsigned had = r.count;
    r.how = BUS_TERM;
    (void)kit_store(k, subject, "refused");
    kit_until(k, distinct(&dead) == 2);
    assert_string_equal(dead.got[dead.count - 1].data, "refused");
    if (!k->faulty)
        assert_int_equal(r.count, had + 1);
    r.how = BUS_ACK; // and the next one is served as ever
    (void)kit_store(k, subject, "good");
    kit_until(k, !strcmp(r.got[r.count - 1].data, "good"));
    ear_fini(&r);
    ear_fini(&dead);
    struct bus_stats st, st2;
    bus_stats(k->other, &st);
    bus_stats(k->bus, &st2);
    if (!k->faulty)
        assert_int_equal(st.dead + (k->bus != k->other ? st2.dead : 0), 2);
}

static void kit_limits(void **state)
{
    struct kit *k = *state;
    struct err e = {0};
    int rc;
    struct wish w;
    const char *subject = kit_name(k, "dev.organs.limits%u.x", k->serial);
    char *big = calloc(1, (1 << 20) + 1);
    struct bus_msg m = {.subject = bytes_of(subject), .data = {big, (1 << 20) + 1}};
    kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
    assert_int_equal(rc, E_TOOBIG);
    kit_past_full(k, rc, bus_store(k->bus, &m, wish_new(&w, 1000), &e));
    assert_int_equal(rc, E_TOOBIG);
    kit_past_full(k, rc, bus_request(k->bus, &m, wish_new(&w, 1000), &e));
    assert_int_equal(rc, E_TOOBIG);
    m.data = BYTES("x");
    m.label = (struct bytes){big, 1025};
    memset(big, 'x', 1025);
    kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
    assert_int_equal(rc, E_TOOBIG);
    m.label = BYTES_NONE;
    free(big);
    static const char *const bad[] = {"",          "dev",         "dev.a.b",       "dev.a..b",
                                      "dev.a.b.*", "dev.a.b.c d", "dev.a.b.c\r\nx"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        m.subject = bytes_of(bad[i]);
        kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
        assert_int_equal(rc, E_INVALID);
        kit_past_full(k, rc, bus_store(k->bus, &m, wish_new(&w, 1000), &e));
        assert_int_equal(rc, E_INVALID);
        kit_past_full(k, rc, bus_request(k->bus, &m, wish_new(&w, 1000), &e));
        assert_int_equal(rc, E_INVALID);
    }
    m.subject = bytes_of(subject);
    m.reply = BYTES("no subject");
    kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
    assert_int_equal(rc, E_INVALID);
    struct bus_sub *sub = NULL;
    static const struct bus_sub_args wrong[] = {
        {.pattern = "dev.a.>.b"},
        {.pattern = "dev.a.b.c", .queue = "a b"},
        {.pattern = "dev.a.b.c", .durable = "x.y", .from = BUS_NEW},
        {.pattern = "dev.a.b.c", .durable = "x"},
        {.pattern = "dev.a.b.c", .queue = "x", .from = BUS_NEW},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(bus_subscribe(k->bus, &wrong[i], &sub, &e), E_INVALID);
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_int_equal(st.published + st.stored + st.reqs + st.subs, 0);
}

static void few_reqs(struct bus_args *a)
{
    a->reqs_max = 4;
    a->subs_max = 2;
    a->queue_bytes_max = 64 << 10;
}

static void kit_full(void **state)
{
    struct kit *k = *state;
    struct wish w[5];
    struct ear two[2] = {{0}};
    struct err e = {0};
    kit_setup_with(k, few_reqs);
    const char *subject = kit_name(k, "dev.organs.full%u.x", k->serial);
    struct bus_msg m = {.subject = bytes_of(subject), .data = BYTES("x")};
    for (int i = 0; i < 2; i++)
        ear_open(&two[i], k, k->bus, (struct bus_sub_args){.pattern = subject});
    struct bus_sub *sub = NULL;
    assert_int_equal(bus_subscribe(k->bus,
                                   &(struct bus_sub_args){.pattern = subject, .on_msg = ear_msg},
                                   &sub, &e),
                     E_FULL);
    for (int i = 0; i < 4; i++)
        while (bus_request(k->bus, &m, wish_new(&w[i], TIME_NEVER), &e) == E_FULL && k->faulty)
            kit_round(k);
    assert_int_equal(bus_request(k->bus, &m, wish_new(&w[4], 10), &e), E_FULL);
    assert_int_equal(bus_store(k->bus, &m, wish_new(&w[4], 10), &e), E_FULL);
    for (int i = 0; i < 4; i++)
        bus_cancel(k->bus, &w[i].req);
    kit_until(k, w[0].done && w[1].done && w[2].done && w[3].done);
    // Publishing without end, and without a round of the loop, is stopped.
    char *data = calloc(1, 4096);
    int rc = 0;
    unsigned warned = 0, sent = 0;
    m.data = (struct bytes){data, 4096};
    for (int n = 0; n < 200000 && (rc != E_FULL || (k->faulty && !warned)); n++) {
        rc = bus_publish(k->bus, &m, &e);
        warned += rc == 1;
        sent += rc >= 0;
        assert_true(rc >= 0 || rc == E_FULL);
    }
    assert_int_equal(rc, E_FULL);
    assert_true(warned > 0);
    kit_until(k, two[0].count >= sent); // all that was taken comes
    kit_until(k, (rc = bus_publish(k->bus, &m, &e)) >= 0);
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_true(st.full >= 2);
    free(data);
    ear_fini(&two[0]);
    ear_fini(&two[1]);
    kit_teardown(state);
}

static void few_kept(struct bus_args *a)
{
    a->keep_msgs = 50;
}

static void kit_kept(void **state)
{
    struct kit *k = *state;
    struct ear r = {0};
    kit_setup_with(k, few_kept);
    const char *subject = kit_name(k, "dev.organs.few%u.x", k->serial);
    for (int i = 0; i < 70; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    ear_open(&r, k, k->other, (struct bus_sub_args){.pattern = subject, .from = BUS_START});
    kit_until(k, r.count && !strcmp(r.got[r.count - 1].data, "69"));
    assert_int_equal(distinct(&r), 50);
    assert_string_equal(r.got[0].data, "20");
    ear_fini(&r);
    kit_teardown(state);
}

static void kit_environment(void **state)
{
    struct kit *k = *state;
    struct err e = {0};
    int rc;
    struct wish w;
    struct bus_msg m = {.subject = BYTES("prod.organs.vision.detect"), .data = BYTES("x")};
    kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
    assert_int_equal(rc, E_SECURITY);
    assert_non_null(strstr(e.text, "SecurityViolationError"));
    assert_non_null(strstr(e.text, "dev"));
    kit_past_full(k, rc, bus_store(k->bus, &m, wish_new(&w, 100), &e));
    assert_int_equal(rc, E_SECURITY);
    kit_past_full(k, rc, bus_request(k->bus, &m, wish_new(&w, 100), &e));
    assert_int_equal(rc, E_SECURITY);
    m.subject = BYTES("dev.organs.vision.detect");
    m.reply = BYTES("prod.nervous.inbox.x");
    kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
    assert_int_equal(rc, E_SECURITY);
    struct bus_sub *sub = NULL;
    static const char *const patterns[] = {"prod.>", "*.organs.>", ">", "staging.organs.vision.x"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        assert_int_equal(
            bus_subscribe(k->bus, &(struct bus_sub_args){.pattern = patterns[i]}, &sub, &e),
            E_SECURITY);
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_int_equal(st.refused, 8);
    struct bus_args a = {.timers = loop_timers(k->loop), .environment = "live"};
    struct bus *b = NULL;
    assert_int_equal(k->open(&a, &b, &e), E_INVALID);
}

static void kit_labels(void **state)
{
    struct kit *k = *state;
    struct err e = {0};
    struct wish w;
    struct ear open = {0}, cleared = {0}, group[2] = {{0}}, kept = {.ack = true};
    const char *subject = kit_name(k, "dev.organs.label%u.x", k->serial);
    struct bus_msg m = {.subject = bytes_of(subject), .label = BYTES("secret")};
    ear_open(&open, k, k->other, (struct bus_sub_args){.pattern = subject});
    ear_open(&cleared, k, k->other, (struct bus_sub_args){.pattern = subject, .who = "cleared"});
    ear_open(&kept, k, k->other,
             (struct bus_sub_args){.pattern = subject,
                                   .from = BUS_NEW,
                                   .durable = kit_text(k, "label-%u", k->serial)});
    for (int i = 0; i < 3; i++) { // remembered or not: always the same
        m.data = bytes_of(kit_text(k, "yes%d", i));
        assert_int_equal(kit_store_msg(k, &m, &w), 0);
    }
    kit_until(k, open.count == 3 && cleared.count == 3 && distinct(&kept) == 3);
    k->refuse_deliver = true;
    bus_policy_changed(k->bus);
    bus_policy_changed(k->other);
    if (!k->shared) // the one that may is found
        for (int i = 0; i < 2; i++)
            ear_open(&group[i], k, k->other,
                     (struct bus_sub_args){
                         .pattern = subject, .queue = "g", .who = i ? "cleared" : NULL});
    for (int i = 0; i < 3; i++) {
        m.data = bytes_of(kit_text(k, "half%d", i));
        assert_int_equal(kit_store_msg(k, &m, &w), 0);
    }
    kit_until(k, cleared.count == 6);
    m.label = BYTES("public");
    m.data = BYTES("free");
    assert_int_equal(kit_store_msg(k, &m, &w), 0);
    kit_until(k, open.count == 4 && distinct(&kept) == 4);
    assert_string_equal(open.got[3].data, "free");
    assert_string_equal(kept.got[kept.count - 1].data, "free");
    if (!k->shared) {
        kit_until(k, group[0].count + group[1].count == 4);
        assert_true(group[1].count >= 3);
        ear_fini(&group[0]);
        ear_fini(&group[1]);
    }
    k->refuse_publish = true;
    bus_policy_changed(k->bus);
    bus_policy_changed(k->other);
    m.label = BYTES("secret");
    int rc = 0;
    for (int i = 0; i < 3; i++) {
        kit_past_full(k, rc, bus_publish(k->bus, &m, &e));
        assert_int_equal(rc, E_SECURITY);
    }
    kit_past_full(k, rc, bus_store(k->bus, &m, wish_new(&w, 100), &e));
    assert_int_equal(rc, E_SECURITY);
    kit_past_full(k, rc, bus_request(k->bus, &m, wish_new(&w, 100), &e));
    assert_int_equal(rc, E_SECURITY);
    assert_non_null(strstr(e.text, "SecurityViolationError"));
    kit_pass(k, 20);
    assert_int_equal(cleared.count, 7);
    struct bus_stats st;
    bus_stats(k->other, &st);
    assert_true(st.refused >= 3);
    ear_fini(&open);
    ear_fini(&cleared);
    ear_fini(&kept);
}

static void kit_end(void **state)
{
    struct kit *k = *state;
    struct wish w[3];
    struct ear r = {0};
    struct err e = {0};
    kit_setup_with(k, NULL);
    const char *subject = kit_name(k, "dev.organs.end%u.x", k->serial);
    struct bus_msg m = {.subject = bytes_of(subject), .data = BYTES("x")};
    ear_open(&r, k, k->bus, (struct bus_sub_args){.pattern = subject});
    kit_publish(k, subject, "x");
    while (bus_flush(k->bus, wish_new(&w[0], 5000), &e) == E_FULL && k->faulty)
        kit_round(k);
    kit_until(k, w[0].done);
    assert_int_equal(w[0].status, 0);
    if (!k->shared)
        assert_int_equal(r.count, 1);
    kit_until(k, r.count == 1);
    while (bus_request(k->bus, &m, wish_new(&w[1], TIME_NEVER), &e) == E_FULL && k->faulty)
        kit_round(k);
    bus_close(k->bus);
    assert_int_equal(w[1].done, 0);
    assert_int_equal(bus_publish(k->bus, &m, &e), E_CLOSED);
    assert_int_equal(bus_store(k->bus, &m, wish_new(&w[2], 100), &e), E_CLOSED);
    kit_until(k, k->closed == 1);
    assert_int_equal(w[1].done, 1);
    assert_int_equal(w[1].status, E_CANCELLED);
    assert_int_equal(r.closed, 1);
    if (k->shared) {
        bus_close(k->other);
        kit_until(k, k->closed == 2);
    }
    timer_stop(loop_timers(k->loop), &k->tick);
    k->loop->running = false;
    loop_free(k->loop);
    free(r.got);
    assert_int_equal(mem_live(), 0);
}

// A server that dies and comes back: nothing that was acknowledged is lost, and what was not done
// is done then.
static void kit_restart(void **state)
{
    struct kit *k = *state;
    struct ear live = {0}, work = {.ack = true}, all = {0};
    struct wish w, many[8];
    struct err e = {0};
    const char *subject = kit_name(k, "dev.organs.restart%u.x", k->serial);
    struct bus_msg m = {.subject = bytes_of(subject), .data = BYTES("x")};
    struct bus_sub_args durable = {.pattern = subject,
                                   .from = BUS_START,
                                   .ack_wait_ms = 1000,
                                   .durable = kit_text(k, "restart-%u", k->serial)};
    ear_open(&live, k, k->other, (struct bus_sub_args){.pattern = subject});
    ear_open(&work, k, k->other, durable);
    for (int i = 0; i < 10; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    kit_until(k, work.count == 10 && live.count == 10);
    kit_pass(k, 100);
    work.ack = false;
    (void)kit_store(k, subject, "10"); // delivered, not acknowledged
    kit_until(k, work.count == 11);
    while (bus_request(k->bus, &m, wish_new(&w, TIME_NEVER), &e))
        kit_round(k);
    unsigned lost = k->lost, back = k->back;
    k->kill(k);
    unsigned sides = k->shared ? 2 : 1;
    kit_until(k, k->lost >= lost + sides && w.done); // all sides hear of it
    assert_int_equal(w.status, E_UNAVAILABLE);
    assert_int_equal(bus_publish(k->bus, &m, &e), E_UNAVAILABLE);
    for (int i = 0; i < 8; i++) { // waits for its return
        const char *text = kit_text(k, "%d", 11 + i);
        struct bus_msg late = {.subject = bytes_of(subject), .data = bytes_of(text)};
        assert_int_equal(bus_store(k->bus, &late, wish_new(&many[i], 15000), &e), 0);
    }
    assert_int_equal(bus_store(k->bus, &m, wish_new(&w, 50), &e), 0);
    kit_until(k, w.done);
    assert_int_equal(w.status, E_TIMEOUT);
    work.ack = true;
    k->start(k);
    kit_until(k, k->back >= back + sides);
    for (int i = 0; i < 8; i++) {
        kit_until(k, many[i].done);
        if (many[i].status)
            fail_msg("%s", many[i].text);
    }
    kit_until(k, distinct(&work) == 19);
    for (unsigned i = 11; i < work.count; i++) // the acknowledged ones do not come again
        if (!k->late && atoi(work.got[i].data) < 10)
            fail_msg("%s came again", work.got[i].data);
    ear_open(&all, k, k->bus, (struct bus_sub_args){.pattern = subject, .from = BUS_START});
    kit_until(k, all.count >= 19);
    for (unsigned i = 0; i < 19; i++)
        assert_string_equal(all.got[i].data, kit_text(k, "%u", i));
    kit_pass(k, 50);
    assert_int_equal(all.count, 19);
    unsigned had = live.count;
    kit_publish(k, subject, "live again");
    kit_until(k, live.count > had && !strcmp(live.got[live.count - 1].data, "live again"));
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_true(st.lost >= 1);
    ear_fini(&live);
    ear_fini(&work);
    ear_fini(&all);
}

#define KIT_TEST(test, kit) {#test, test, kit_setup, kit_teardown, kit}
#define KIT_ALONE(test, kit) {#test, test, NULL, NULL, kit} // sets up by itself
#define KIT_TESTS(kit)                                                                             \
    KIT_TEST(kit_order, kit), KIT_TEST(kit_event, kit), KIT_TEST(kit_queue, kit),                  \
        KIT_TEST(kit_request, kit), KIT_TEST(kit_durable, kit), KIT_TEST(kit_credit, kit),         \
        KIT_TEST(kit_redeliver, kit), KIT_TEST(kit_dedup, kit), KIT_TEST(kit_replay, kit),         \
        KIT_TEST(kit_dead, kit), KIT_TEST(kit_limits, kit), KIT_ALONE(kit_full, kit),              \
        KIT_TEST(kit_environment, kit), KIT_TEST(kit_labels, kit), KIT_ALONE(kit_end, kit),        \
        KIT_ALONE(kit_kept, kit) // last: it makes the store small

#endif
