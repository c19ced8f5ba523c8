// mesh_svid.c: what identities cost, in CPU of one thread: issuing one against a request (proof of
// possession checked, signed, encoded as PEM in JSON), renewing a node's, checking a peer's,
// opening a sheet. Prints the median of rounds. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/authority.h"
#include "trust/member.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WALL_MS 1800000000000LL
#define ROUNDS 21
#define TURNS 100

static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int rc, const struct err *e)
{
    if (rc >= 0)
        return;
    (void)fprintf(stderr, "mesh_svid: %s\n", e->text);
    exit(1);
}

static struct {
    struct authority *authority;
    struct member *member;
    struct buf csr, body, sheet, der, answer;
    struct arena *arena;
} rig;

static int issue(struct err *e)
{
    const struct authority_svid_args args = {.id = "agent/x", .csr_der = buf_bytes(&rig.csr)};
    buf_clear(&rig.answer);
    return authority_svid_x509(rig.authority, &args, WALL_MS, &rig.answer, e);
}

static int renew(struct err *e)
{
    buf_clear(&rig.answer);
    return authority_renew(rig.authority, buf_bytes(&rig.body), WALL_MS, &rig.answer, e);
}

static int check_at(int64_t wall_ms, struct err *e)
{
    struct bytes der = buf_bytes(&rig.der);
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch;
    return member_check_peer(rig.member, &der, 1, wall_ms, id, &epoch, e);
}

static int check_again(struct err *e)
{
    return check_at(WALL_MS, e);
}

// What was good is remembered for a minute: two minutes later, and earlier, it is looked at anew.
static int check(struct err *e)
{
    static bool odd;
    odd = !odd;
    return check_at(WALL_MS + (odd ? 120000 : 0), e);
}

static int open_sheet(struct err *e)
{
    struct bytes payload;
    struct grant g;
    arena_reset(rig.arena);
    return member_sheet_open(rig.member, buf_bytes(&rig.sheet), rig.arena, &payload, &g, e);
}

static int later(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double measure(int (*work)(struct err *e))
{
    double each[ROUNDS];
    struct err e = {0};
    for (int round = 0; round < ROUNDS; round++) {
        double from = cpu_us();
        for (int i = 0; i < TURNS; i++)
            must(work(&e), &e);
        each[round] = (cpu_us() - from) / TURNS;
    }
    qsort(each, ROUNDS, sizeof *each, later);
    return each[ROUNDS / 2];
}

static void set_up(void)
{
    static const char payload[] = "{\"node\":\"n1\",\"context\":\"dev.x.n1\",\"seq\":1}";
    char token[AUTHORITY_TOKEN_TEXT_MAX], id[17];
    const struct authority_token_args args = {0};
    struct crypto_key *key = NULL;
    struct member_view v;
    struct err e = {0};
    buf_init(&rig.csr, X509_DER_MAX);
    buf_init(&rig.der, X509_DER_MAX);
    buf_init(&rig.body, 1 << 20);
    buf_init(&rig.sheet, 1 << 20);
    buf_init(&rig.answer, 1 << 20);
    rig.arena = arena_new(1 << 20);
    must(authority_make(&rig.authority, BYTES("example.org"), 0, WALL_MS, &e), &e);
    must(authority_token_new(rig.authority, &args, WALL_MS, token, id, &e), &e);
    must(member_make(&rig.member, BYTES("n1"), BYTES("dev.x.n1"), &e), &e);
    must(member_join_body(rig.member, bytes_of(token), &rig.body, &e), &e);
    must(authority_join(rig.authority, buf_bytes(&rig.body), WALL_MS, &rig.answer, NULL, &e), &e);
    must(member_join_accept(rig.member, bytes_of(token), buf_bytes(&rig.answer), WALL_MS, &e), &e);
    buf_clear(&rig.body);
    must(member_renew_body(rig.member, WALL_MS, &rig.body, &e), &e);
    must(member_sheet_sign(rig.member, bytes_of(payload), &rig.sheet, &e), &e);
    must(crypto_key_make(&key, &e), &e);
    must(x509_csr_make(key, &rig.csr, &e), &e);
    crypto_key_free(key);
    member_view(rig.member, &v);
    struct bytes pem = v.cert_pem;
    must(x509_pem_next(&pem, "CERTIFICATE", &rig.der, &e), &e);
}

int main(void)
{
    set_up();
    (void)printf("svid_issue_ms %.3f ms\n", measure(issue) / 1e3);
    (void)printf("svid_renew_ms %.3f ms\n", measure(renew) / 1e3);
    (void)printf("svid_check_us %.1f us\n", measure(check));
    (void)printf("svid_check_again_us %.1f us\n", measure(check_again));
    (void)printf("sheet_open_us %.1f us\n", measure(open_sheet));
    authority_free(rig.authority);
    member_free(rig.member);
    arena_free(rig.arena);
    buf_fini(&rig.csr);
    buf_fini(&rig.body);
    buf_fini(&rig.sheet);
    buf_fini(&rig.der);
    buf_fini(&rig.answer);
    return 0;
}
