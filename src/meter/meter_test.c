// meter_test.c: histograms and the text of all metrics, taken apart again as a scraper would.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/rng.h"
#include "meter/meter.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct hist_bounds *const both[] = {&hist_fine, &hist_coarse};

static void test_bounds(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct hist_bounds *b = both[i];
        assert_in_range(b->count, 10, HIST_BUCKETS_MAX);
        for (uint32_t k = 0; k < b->count; k++)
            assert_true(b->upper_ns[k] > (k ? b->upper_ns[k - 1] : 0));
        assert_true(b->count == HIST_BUCKETS_MAX || b->upper_ns[b->count] == 0);
    }
    assert_int_equal(hist_fine.upper_ns[0], 5000);
    assert_int_equal(hist_fine.upper_ns[hist_fine.count - 1], 100000000);
    assert_int_equal(hist_coarse.upper_ns[0], 1000000);
    assert_int_equal(hist_coarse.upper_ns[hist_coarse.count - 1], 600000000000);
}

static void test_buckets(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct hist_bounds *b = both[i];
        struct hist h = {.bounds = b};
        uint64_t sum = 0;
        for (uint32_t k = 0; k < b->count; k++) { // on a bound: below it, one more: above it
            hist_add(&h, b->upper_ns[k]);
            hist_add(&h, b->upper_ns[k] + 1);
            sum += 2 * b->upper_ns[k] + 1;
        }
        hist_add(&h, 0);
        assert_int_equal(h.buckets[0], 2);
        for (uint32_t k = 1; k < b->count; k++)
            assert_int_equal(h.buckets[k], 2);
        assert_int_equal(h.buckets[b->count], 1);
        assert_int_equal(h.count, 2 * b->count + 1);
        assert_int_equal(h.sum_ns, sum);
    }
}

static void test_quantiles(void **state)
{
    (void)state;
    struct hist h = {.bounds = &hist_fine};
    assert_int_equal(hist_quantile_ns(&h, 0.99), 0);
    for (int i = 0; i < 99; i++)
        hist_add(&h, 7000);
    hist_add(&h, 45000);
    assert_int_equal(hist_quantile_ns(&h, 0.5), 10000);
    assert_int_equal(hist_quantile_ns(&h, 0.99), 10000);
    assert_int_equal(hist_quantile_ns(&h, 0.995), 50000);
    assert_int_equal(hist_quantile_ns(&h, 1), 50000);
    hist_add(&h, UINT64_C(1) << 40);
    assert_true(hist_quantile_ns(&h, 1) == UINT64_MAX);
    // never under the true value, at most one bucket over it
    struct rng rng;
    rng_init(&rng, 2);
    struct hist x = {.bounds = &hist_coarse};
    uint64_t all[501];
    for (int i = 0; i < 501; i++) {
        all[i] = (uint64_t)(i + 1) * 1000000;
        hist_add(&x, all[i]);
    }
    for (int i = 1; i <= 500; i++) {
        uint64_t upper = hist_quantile_ns(&x, i / 501.0);
        assert_true(upper >= all[i - 1] && upper <= all[i - 1] * 5 / 2);
    }
}

// ---- the text
// ------------------------------------------------------------------------------------

struct scrape {
    struct map *types;  // metric → its "# TYPE" word
    struct map *series; // whole left side → its value as text
    size_t lines;
};

static void put(struct map *m, struct bytes key, struct bytes value)
{
    void *old;
    assert_int_equal(map_put(m, key, mem_dup(value.p, value.n), &old), 0);
    if (old)
        fail_msg("%.*s is there twice", BYTES_FMT(key));
}

static void scrape(struct scrape *s, struct bytes text)
{
    struct bytes rest = text, name = BYTES_NONE;
    *s = (struct scrape){map_new(1000), map_new(10000), 0};
    assert_true(bytes_ends(text, BYTES("\n")) && bytes_is_utf8(text));
    rest.n--;
    while (rest.p) {
        struct bytes line = bytes_cut(&rest, '\n');
        s->lines++;
        if (bytes_starts(line, BYTES("# "))) {
            struct bytes words = bytes_from(line, 2), kind = bytes_cut(&words, ' ');
            name = bytes_cut(&words, ' ');
            assert_true(bytes_starts(name, BYTES("plexus_")) && words.n);
            if (bytes_is(kind, "TYPE"))
                put(s->types, name, words);
            continue;
        }
        ptrdiff_t space = -1; // the last one: labels may hold some
        for (size_t i = 0; i < line.n; i++)
            space = line.p[i] == ' ' ? (ptrdiff_t)i : space;
        assert_true(space > 0);
        struct bytes left = bytes_first(line, (size_t)space), value = bytes_from(line, left.n + 1);
        char *end, number[64];
        (void)snprintf(number, sizeof(number), "%.*s", BYTES_FMT(value));
        (void)strtod(number, &end);
        assert_true(value.n && *end == 0);
        assert_true(bytes_starts(left, name)); // under its own head
        put(s->series, left, value);
    }
}

static double value_of(const struct scrape *s, const char *series)
{
    const char *text = map_get(s->series, bytes_of(series));
    if (!text)
        fail_msg("%s is not there", series);
    return strtod(text, NULL);
}

static void scrape_fini(struct scrape *s)
{
    for (int i = 0; i < 2; i++) {
        struct map *m = i ? s->types : s->series;
        void *value;
        for (size_t at = 0; map_each(m, &at, NULL, &value);)
            mem_free(value);
        map_free(m);
    }
}

static void test_text(void **state)
{
    (void)state;
    struct meter *m = meter_new();
    struct scrape s;
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(meter_put(&out, m), 0); // without a model
    scrape(&s, buf_bytes(&out));
    assert_true(value_of(&s, "plexus_requests_total") == 0);
    scrape_fini(&s);
    meter_node(m)->requests = 12345678901;
    meter_currency(m, "EUR");
    meter_node(m)->loop_lag_ns = 1500000;
    meter_node(m)->mesh_nodes[0] = 3; // in the order of the states
    meter_node(m)->mesh_nodes[4] = 2;
    meter_node(m)->hops_received = 41;
    meter_node(m)->tool_calls[2][3] = 5;
    meter_node(m)->mcp_servers[3] = 1;
    struct meter_model *a = meter_model(m, "tiny \"chat\"\\\n", "llamacpp"),
                       *b = meter_model(m, "b", "remote");
    assert_ptr_equal(meter_model(m, "b", "remote"), b);
    assert_ptr_equal(meter_models(m), a);
    assert_ptr_equal(a->next, b);
    a->status_2xx = 7;
    a->tokens_out = 99;
    a->cost_nano = 1250000000;
    hist_add(&a->ttft_own, 12000);
    hist_add(&a->ttft_own, UINT64_C(1) << 40);
    buf_clear(&out);
    assert_int_equal(meter_put(&out, m), 0);
    scrape(&s, buf_bytes(&out));
#define A "model=\"tiny \\\"chat\\\"\\\\\\n\",engine=\"llamacpp\""
    assert_true(value_of(&s, "plexus_requests_total") == 12345678901.0);
    assert_true(value_of(&s, "plexus_loop_lag_seconds") == 0.0015);
    assert_true(value_of(&s, "plexus_mesh_nodes{state=\"alive\"}") == 3);
    assert_true(value_of(&s, "plexus_mesh_nodes{state=\"removed\"}") == 2);
    assert_true(value_of(&s, "plexus_mesh_nodes{state=\"dead\"}") == 0);
    assert_true(value_of(&s, "plexus_mesh_requests_received_total") == 41);
    assert_true(value_of(&s, "plexus_tool_calls_total{source=\"mcp\",status=\"denied\"}") == 5);
    assert_true(value_of(&s, "plexus_tool_calls_total{source=\"other\",status=\"ok\"}") == 0);
    assert_true(value_of(&s, "plexus_mcp_servers{state=\"login\"}") == 1);
    assert_true(value_of(&s, "plexus_model_requests_total{" A ",status=\"2xx\"}") == 7);
    assert_true(value_of(&s, "plexus_model_tokens_total{" A ",direction=\"out\"}") == 99);
    assert_true(value_of(&s, "plexus_model_cost_total{" A ",currency=\"EUR\"}") == 1.25);
    assert_true(value_of(&s, "plexus_ttft_own_seconds_bucket{" A ",le=\"1e-05\"}") == 0);
    assert_true(value_of(&s, "plexus_ttft_own_seconds_bucket{" A ",le=\"1.5e-05\"}") == 1);
    assert_true(value_of(&s, "plexus_ttft_own_seconds_bucket{" A ",le=\"0.1\"}") == 1);
    assert_true(value_of(&s, "plexus_ttft_own_seconds_bucket{" A ",le=\"+Inf\"}") == 2);
    assert_true(value_of(&s, "plexus_ttft_own_seconds_count{" A "}") == 2);
    assert_null(map_get(s.series, BYTES("plexus_ttft_own_seconds_bucket{" A ",le=\"0\"}")));
    assert_string_equal(map_get(s.types, BYTES("plexus_ttft_own_seconds")), "histogram");
    assert_string_equal(map_get(s.types, BYTES("plexus_requests_total")), "counter");
    scrape_fini(&s);
    buf_fini(&out);
    buf_init(&out, 500); // a ceiling is told
    assert_int_equal(meter_put(&out, m), E_TOOBIG);
    buf_fini(&out);
    meter_free(m);
    meter_free(NULL);
    assert_int_equal(mem_live(), 0);
}

static void test_limits(void **state)
{
    (void)state;
    struct meter *m = meter_new();
    char name[300];
    size_t made = 0;
    for (int i = 0; i < 1100; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        made += meter_model(m, name, "e") != NULL;
    }
    assert_int_equal(made, 1000);
    assert_non_null(meter_model(m, "m0", "e")); // those that are there stay in reach
    meter_free(m);
    m = meter_new();
    mem_fail_after(1, 0);
    assert_null(meter_model(m, "a", "e"));
    mem_fail_after(1, 0);
    assert_null(meter_new());
    mem_fail_after(0, 0);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    struct meter_model *x = meter_model(m, name, name); // cut, and found again
    assert_non_null(x);
    assert_int_equal(strlen(x->model), sizeof(x->model) - 1);
    assert_ptr_equal(meter_model(m, name, name), x);
    meter_free(m);
    assert_int_equal(mem_live(), 0);
}

static void test_cost(void **state)
{
    static const struct {
        uint64_t in, out, price_in, price_out, nano;
    } rows[] = {
        {0, 0, 150000, 600000, 0},
        {1000000, 0, 150000, 600000, 150000000}, // 0.15 for a million
        {0, 1000000, 150000, 600000, 600000000},
        {7, 3, 150000, 600000, 2850},
        {1, 1, 499, 1, 1}, // rounded once
        {1, 0, 499, 0, 0},
        {1000000, 1000000, 0, 0, 0},
        {1000000, 1, 1000000000000, 0, 1000000000000000}, // the dearest one
        {UINT64_MAX, UINT64_MAX, 1000000000000, 1000000000000, 18446744073709552}, // nonsense
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t got = meter_cost(rows[i].in, rows[i].out, rows[i].price_in, rows[i].price_out);
        if (got != rows[i].nano)
            fail_msg("row %zu: %llu, not %llu", i, (unsigned long long)got,
                     (unsigned long long)rows[i].nano);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_quantiles), cmocka_unit_test(test_text),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
