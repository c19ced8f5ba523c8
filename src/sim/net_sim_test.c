// net_sim_test.c: the simulated streams do what the real ones do: the cases of net_cases_rig.h, and
// what only a simulated kernel can be made to do.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/net_cases_rig.h"
#include "sim/sim.h"

// ---- room loop's interface over one simulated host, for the shared cases

struct loop {
    struct sim *w;
    struct sim_host *h;
};
static uint64_t seed = 1;

int loop_new(struct loop **ret, const struct loop_args *args, struct err *e)
{
    struct loop *l = mem_new(struct loop);
    (void)e;
    l->w = sim_new(&(struct sim_args){.seed = seed});
    l->h = sim_host_new(l->w, "here", "10.0.0.1");
    if (args != NULL && args->linger_ms)
        sim_linger(l->h, args->linger_ms);
    *ret = l;
    return 0;
}
void loop_free(struct loop *l)
{
    sim_free(l->w);
    mem_free(l);
}
int loop_run(struct loop *l)
{
    (void)sim_run(l->w, 3600 * SIM_S);
    if (sim_failure(l->w))
        fail_msg("%s", sim_failure(l->w));
    sim_down(l->h, SIM_EXIT);
    sim_settle(l->h);
    return 0;
}
void loop_stop(struct loop *l)
{
    sim_stop(l->w);
}
struct net *loop_net(struct loop *l)
{
    return sim_net(l->h);
}
struct timers *loop_timers(struct loop *l)
{
    return sim_timers(l->h);
}

// ---- two hosts and what is between them

struct pair {
    struct sim *w;
    struct sim_host *a, *b; // b listens
    struct net_listener *listener;
    struct rig rig; // of b: counts
    struct side { // what a's stream saw
        struct net_stream *s;
        int opened, status, ended, end_status, closed, drained;
        uint64_t opened_at, ended_at;
        size_t got;
    } side;
};

static void side_open(struct net_stream *s, int status, const struct err *e)
{
    struct pair *p = s->user;
    (void)e;
    p->side.opened++;
    p->side.status = status;
    p->side.opened_at = sim_now(p->w);
    if (status < 0)
        net_close(s, true);
    else
        net_read(s, true);
}
static void side_data(struct net_stream *s, char *p, size_t n)
{
    (void)p;
    ((struct pair *)s->user)->side.got += n;
}
static void side_end(struct net_stream *s, int status)
{
    struct pair *p = s->user;
    p->side.ended++;
    p->side.end_status = status;
    p->side.ended_at = sim_now(p->w);
    net_close(s, false);
}
static void side_drain(struct net_stream *s)
{
    ((struct pair *)s->user)->side.drained++;
}
static void side_closed(struct net_stream *s)
{
    ((struct pair *)s->user)->side.closed++;
}
static const struct net_handler side_handler = {.on_open = side_open,
                                                .on_data = side_data,
                                                .on_end = side_end,
                                                .on_drain = side_drain,
                                                .on_closed = side_closed};

static void pair_up(struct pair *p, const struct sim_link *link)
{
    memset(p, 0, sizeof *p);
    struct sim_args args = {.seed = seed, .window_bytes = 64 << 10};
    if (link != NULL)
        args.link = *link;
    p->w = sim_new(&args);
    p->a = sim_host_new(p->w, "a", "10.0.0.1");
    p->b = sim_host_new(p->w, "b", "10.0.0.2");
}
static void pair_listen(struct pair *p, void (*on_accept)(void *, struct net_stream *, bool))
{
    struct net_listen_args l = {.addr = {.host = "10.0.0.2", .port = 80},
                                .on_accept = on_accept,
                                .user = &p->rig,
                                .queue_bytes_max = 1 << 20};
    assert_int_equal(net_listen(sim_net(p->b), &l, &p->listener, NULL), 0);
}
static void pair_dial(struct pair *p, int64_t timeout_ms)
{
    struct net_connect_args c = {.addr = {.host = "10.0.0.2", .port = 80},
                                 .timeout_ms = timeout_ms,
                                 .handler = &side_handler,
                                 .queue_bytes_max = 1 << 20,
                                 .user = p};
    assert_int_equal(net_connect(sim_net(p->a), &c, &p->side.s, NULL), 0);
    assert_int_equal(p->side.opened, 0);
}
static void pair_end(struct pair *p)
{
    if (sim_failure(p->w))
        fail_msg("%s", sim_failure(p->w));
    sim_free(p->w);
    assert_int_equal(mem_live(), 0);
}

static void test_delay(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, &(struct sim_link){.delay_ns = 5 * SIM_MS});
    pair_listen(&p, echo_accept);
    pair_dial(&p, 1000);
    assert_true(sim_run(p.w, 9 * SIM_MS));
    assert_int_equal(p.side.opened, 0);
    assert_true(sim_run(p.w, 11 * SIM_MS));
    assert_int_equal(p.side.opened, 1); // SYN and SYN-ACK
    struct bytes v = BYTES("hello");
    assert_int_equal(net_write(p.side.s, &v, 1), 0);
    assert_true(sim_run(p.w, 19 * SIM_MS));
    assert_int_equal(p.side.got, 0);
    assert_true(sim_run(p.w, 30 * SIM_MS));
    assert_int_equal(p.side.got, 5);
    assert_int_equal(p.rig.accepted, 1);
    pair_end(&p);
}

static void test_no_answer(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, NULL);
    pair_listen(&p, echo_accept);
    sim_cut(p.w, p.b, p.a, true); // the SYN arrives, its answer does not
    pair_dial(&p, 2500);
    assert_true(sim_run(p.w, 10 * SIM_S));
    assert_int_equal(p.side.status, E_TIMEOUT);
    assert_in_range(p.side.opened_at / SIM_MS, 2499, 2502);
    assert_int_equal(p.side.closed, 1);
    pair_end(&p);
    pair_up(&p, NULL);
    pair_listen(&p, echo_accept);
    sim_cut(p.w, p.a, p.b, true);
    pair_dial(&p, 20000);
    assert_true(sim_run(p.w, 2 * SIM_S));
    sim_cut(p.w, p.a, p.b, false);
    assert_true(sim_run(p.w, 8 * SIM_S));
    assert_int_equal(p.side.opened, 1); // a SYN is tried again after 1, 2, 4 s
    assert_int_equal(p.side.status, 0);
    assert_in_range(p.side.opened_at / SIM_MS, 2900, 3100);
    pair_end(&p);
}

// A cut connection says nothing to anybody, and goes on where it was.
static void test_partition(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, NULL);
    pair_listen(&p, echo_accept);
    pair_dial(&p, 1000);
    assert_true(sim_run(p.w, 1 * SIM_S));
    sim_cut(p.w, p.a, p.b, true);
    static char block[100000];
    struct bytes v = {block, sizeof block};
    assert_int_equal(net_write(p.side.s, &v, 1), 1); // more than the window
    assert_int_equal(net_queued(p.side.s), sizeof block - (64 << 10));
    assert_true(sim_run(p.w, 30 * SIM_S));
    assert_int_equal(p.side.got + (size_t)p.side.ended + (size_t)p.side.drained, 0);
    sim_cut(p.w, p.a, p.b, false);
    assert_true(sim_run(p.w, 60 * SIM_S));
    assert_int_equal(p.side.got, sizeof block);
    assert_int_equal(p.side.drained, 1);
    assert_int_equal(p.side.ended, 0);
    pair_end(&p);
}

// The kernel acknowledges for a paused process; a frozen machine does nothing.
static void test_pause(void **state)
{
    (void)state;
    for (int freeze = 0; freeze < 2; freeze++) {
        struct pair p;
        pair_up(&p, NULL);
        pair_listen(&p, echo_accept);
        if (freeze)
            sim_freeze(p.b, 2 * SIM_S);
        else
            sim_pause(p.b, 2 * SIM_S);
        pair_dial(&p, 1000);
        assert_true(sim_run(p.w, 1900 * SIM_MS));
        assert_int_equal(p.side.opened, 1);
        assert_int_equal(p.side.status, freeze ? E_TIMEOUT : 0);
        assert_int_equal(p.rig.accepted, 0);
        assert_true(sim_run(p.w, 3 * SIM_S));
        assert_int_equal(p.rig.accepted, freeze ? 0 : 1);
        pair_end(&p);
    }
}

static void down_b(struct sim *w, void *user)
{
    struct pair *p = user;
    (void)w;
    sim_down(p->b, p->rig.late ? SIM_POWER : SIM_EXIT);
    sim_settle(p->b);
    p->listener = NULL;
}

static void test_down(void **state)
{
    (void)state;
    for (int power = 0; power < 2; power++) {
        struct pair p;
        pair_up(&p, NULL);
        pair_listen(&p, echo_accept);
        pair_dial(&p, 1000);
        p.rig.late = power;
        (void)sim_after(p.w, SIM_S, down_b, &p);
        assert_true(sim_run(p.w, 2 * SIM_S));
        assert_int_equal(p.rig.closed, 1); // b's own stream heard of it
        assert_int_equal(p.side.ended, power ? 0 : 1);
        assert_int_equal(p.side.end_status, 0); // a process that ends leaves a FIN
        if (power) { // it comes back, knows nothing of the connection, and says so when asked
            struct bytes v = BYTES("hello");
            assert_int_equal(net_write(p.side.s, &v, 1), 0);
            assert_true(sim_run(p.w, 5 * SIM_S));
            assert_int_equal(p.side.ended, 0);
            sim_up(p.b);
            assert_true(sim_run(p.w, 20 * SIM_S));
            assert_int_equal(p.side.ended, 1);
            assert_int_equal(p.side.end_status, E_CLOSED);
        }
        assert_int_equal(p.side.closed, 1);
        pair_end(&p);
    }
}

static void full_accept(void *user, struct net_stream *s, bool over_limit)
{
    echo_accept(user, s, over_limit);
}

static void test_over_limit(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, NULL);
    pair_listen(&p, full_accept);
    sim_files_max(p.b, 3, 2);
    struct pair others[9];
    for (int i = 0; i < 9; i++) {
        others[i] = p;
        pair_dial(&others[i], 10000);
    }
    assert_true(sim_run(p.w, 20 * SIM_S)); // some waited for a descriptor in the backlog
    assert_int_equal(p.rig.accepted, 3);
    assert_int_equal(p.rig.over, 6);
    struct net_stats st;
    net_stats(sim_net(p.b), &st);
    assert_int_equal(st.refused_over_limit, 6);
    assert_int_equal(st.connections, 3);
    assert_true(st.accept_errors > 0);
    pair_end(&p);
}

static void linger_accept(void *user, struct net_stream *s, bool over_limit)
{
    static char block[300 << 10];
    struct bytes v = {block, sizeof block};
    struct rig *r = user;
    (void)over_limit;
    s->handler = &echo_handler;
    s->user = r;
    assert_int_equal(net_write(s, &v, 1), 1);
    net_close(s, false);
}

static void test_flush_and_linger(void **state)
{
    (void)state;
    for (int reads = 0; reads < 2; reads++) {
        struct pair p;
        pair_up(&p, NULL);
        pair_listen(&p, linger_accept);
        sim_linger(p.b, 300);
        pair_dial(&p, 10000);
        if (!reads)
            sim_pause(p.a, 5 * SIM_S);
        assert_true(sim_run(p.w, 4 * SIM_S));
        assert_int_equal(p.rig.closed, 1);
        assert_true(sim_run(p.w, 6 * SIM_S));
        assert_int_equal(p.side.end_status, reads ? 0 : E_CLOSED);
        if (reads)
            assert_int_equal(p.side.got, 300 << 10);
        pair_end(&p);
    }
}

// ---- datagrams

struct mail {
    unsigned got;
    unsigned order, seen[3];
    int last;
};
static void mail_in(void *user, const struct net_addr *from, struct bytes data)
{
    struct mail *m = user;
    assert_string_equal(from->host, "10.0.0.1");
    m->got++;
    m->seen[0] += data.n == 2;
    int n = (unsigned char)data.p[0] << 8 | (unsigned char)data.p[1];
    m->order += n > m->last;
    m->last = n;
}

static void test_datagrams(void **state)
{
    (void)state;
    static const struct sim_link links[] = {
        {.delay_ns = SIM_MS},
        {.delay_ns = SIM_MS, .loss_ppm = 100000},
        {.delay_ns = SIM_MS, .dup_ppm = 100000},
        {.delay_ns = SIM_MS, .late_ppm = 100000},
        {.delay_ns = SIM_MS, .cut = true},
    };
    for (int i = 0; i < 5; i++) {
        struct pair p;
        struct mail m = {.last = -1}, none = {0};
        struct dgram *from, *to;
        pair_up(&p, &links[i]);
        struct dgram_args a = {.addr = {.host = "0.0.0.0"}, .on_data = mail_in, .user = &none};
        assert_int_equal(dgram_open(sim_net(p.a), &a, &from, NULL), 0);
        a.user = &m;
        a.addr.port = 7000;
        assert_int_equal(dgram_open(sim_net(p.b), &a, &to, NULL), 0);
        assert_int_equal(dgram_port(to), 7000);
        assert_int_equal(dgram_open(sim_net(p.b), &a, &to, NULL), E_INUSE);
        struct net_addr there = {.host = "10.0.0.2", .port = 7000};
        static char big[1401];
        assert_int_equal(dgram_send(from, &there, (struct bytes){big, sizeof big}), E_TOOBIG);
        for (int k = 0; k < 1000; k++) {
            char n[2] = {(char)(k >> 8), (char)k};
            assert_int_equal(dgram_send(from, &there, (struct bytes){n, 2}), 0);
            assert_true(sim_run(p.w, sim_now(p.w) + SIM_MS));
        }
        assert_true(sim_run(p.w, sim_now(p.w) + SIM_S));
        assert_int_equal(m.seen[0], m.got);
        switch (i) {
        case 0: assert_int_equal(m.got, 1000); break;
        case 1: assert_in_range(m.got, 850, 950); break;
        case 2: assert_in_range(m.got, 1050, 1150); break;
        case 3: assert_int_equal(m.got, 1000); break;
        case 4: assert_int_equal(m.got, 0); break;
        }
        assert_int_equal(m.order == m.got, i == 0 || i == 1 || i == 4);
        // A paused process finds what its buffer holds, not more.
        if (i == 0) {
            sim_pause(p.b, SIM_S);
            for (int k = 0; k < 1000; k++)
                (void)dgram_send(from, &there, (struct bytes){big, 1400});
            assert_true(sim_run(p.w, sim_now(p.w) + 2 * SIM_S));
            assert_int_equal(m.got, 1000 + 208 * 1024 / 1400);
        }
        dgram_close(from);
        dgram_close(to);
        pair_end(&p);
    }
}

// ---- clocks and disk

static void test_clocks_and_disk(void **state)
{
    (void)state;
    struct pair p;
    pair_up(&p, NULL);
    int64_t wall = sim_wall_ms(p.a), mono = timers_now_ms(sim_timers(p.a));
    assert_true(sim_run(p.w, 1500 * SIM_MS));
    sim_wall_shift(p.a, -3600000);
    assert_int_equal(sim_wall_ms(p.a), wall + 1500 - 3600000);
    (void)sim_enter(p.a);
    assert_int_equal(time_wall_ms(), wall + 1500 - 3600000);
    assert_int_equal(time_mono_ms(), mono + 1500);
    (void)sim_enter(NULL);
    assert_int_equal(sim_wall_ms(p.b), wall + 1500);
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(sim_file_read(p.a, "x", &b, NULL), E_NOTFOUND);
    assert_int_equal(sim_file_write(p.a, "x", BYTES("one"), NULL), 0);
    sim_disk_full(p.a, true);
    assert_int_equal(sim_file_write(p.a, "x", BYTES("two"), NULL), E_NOSPACE);
    sim_down(p.a, SIM_POWER);
    sim_settle(p.a);
    sim_up(p.a);
    assert_int_equal(sim_file_read(p.a, "x", &b, NULL), 0);
    assert_true(bytes_is(buf_bytes(&b), "one"));
    buf_fini(&b);
    pair_end(&p);
}

// The same seed, the same run: also with threads of the machine in between there is no other input.
static uint64_t hash_of_run(uint64_t s)
{
    struct pair p;
    seed = s;
    pair_up(&p, &(struct sim_link){.delay_ns = SIM_MS, .jitter_ns = SIM_MS, .loss_ppm = 50000});
    pair_listen(&p, echo_accept);
    pair_dial(&p, 60000);
    assert_true(sim_run(p.w, 10 * SIM_S));
    static char block[100000];
    struct bytes v = {block, sizeof block};
    assert_in_range(net_write(p.side.s, &v, 1), 0, 1);
    assert_true(sim_run(p.w, 60 * SIM_S));
    assert_int_equal(p.side.got, sizeof block);
    uint64_t hash = sim_hash(p.w);
    pair_end(&p);
    seed = 1;
    return hash;
}

static void test_same_seed(void **state)
{
    (void)state;
    uint64_t one = hash_of_run(1), again = hash_of_run(1), other = hash_of_run(2);
    assert_true(one == again);
    assert_true(one != other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_CASES,
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_over_limit),
        cmocka_unit_test(test_flush_and_linger),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_clocks_and_disk),
        cmocka_unit_test(test_same_seed),
    };
    if (!sim_ready())
        return 77;
    return cmocka_run_group_tests_name("net in the simulator", tests, NULL, NULL);
}
