// expr_child.c: `plexus _expr`: the process in which libjq runs programs. It has an empty
// environment, opens nothing once libjq is loaded, and dies with the node (its guard sees to it).
//
// What it reads, one after the other:  R <program> <input> <vars> <now in ms> <output bytes at
// most> and a newline, then the three texts of these lengths. What it writes: once "H <version>" or
// "N <why there is no libjq>"; for each request "A <code> <length>" and a newline, then as many
// bytes: the outputs as a JSON array (code 0), or the error's text.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_jq.h"
#include "adapters/expr_priv.h"
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static void limit(int what, rlim_t max)
{
    struct rlimit r = {max, max};
    (void)setrlimit(what, &r); // lowering cannot fail
}

// After all that must be opened is open.
static void give_up_rights(uint64_t memory_bytes)
{
    limit(RLIMIT_NOFILE, 3);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CORE, 0);
#ifdef RLIMIT_NPROC
    limit(RLIMIT_NPROC, 0);
#endif
#ifdef __linux__
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#ifdef __linux__
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    if (memory_bytes)
        limit(RLIMIT_AS, (rlim_t)memory_bytes); // an allocation fails, and libjq aborts
#else
    (void)memory_bytes; // their shadow is larger than any limit; the guard watches
#endif
}

static bool answer(int code, struct bytes text)
{
    (void)printf("A %d %zu\n", code, text.n);
    (void)fwrite(text.p, 1, text.n, stdout);
    return fflush(stdout) == 0;
}

static bool read_text(size_t n, char **ret)
{
    *ret = n < EXPR_TEXT_MAX ? mem_alloc(n + 1) : NULL;
    if (!*ret)
        return false;
    (*ret)[n] = 0;
    return fread(*ret, 1, n, stdin) == n;
}

static bool serve(struct expr_jq *jq)
{
    AUTO_MEM char *program = NULL;
    AUTO_MEM char *input = NULL;
    AUTO_MEM char *vars = NULL;
    char line[160], *at = line;
    size_t n[3];
    if (!fgets(line, sizeof line, stdin) || *at++ != 'R')
        return false;
    for (int i = 0; i < 3; i++)
        n[i] = strtoull(at, &at, 10);
    int64_t now_ms = strtoll(at, &at, 10);
    size_t max = strtoull(at, &at, 10);
    if (!read_text(n[0], &program) || !read_text(n[1], &input) || !read_text(n[2], &vars))
        return false;
    struct buf out;
    struct err e = {0};
    buf_init(&out, max);
    int rc = expr_jq_eval(jq, (struct bytes){program, n[0]}, (struct bytes){input, n[1]},
                          (struct bytes){vars, n[2]}, now_ms, &out, &e);
    bool good = answer(rc, rc ? bytes_of(e.text) : buf_bytes(&out));
    buf_fini(&out);
    return good;
}

int expr_child_main(int argc, char **argv)
{
    AUTO(expr_jq) jq = NULL;
    struct err e = {0};
    if (expr_jq_open(&jq, &e) < 0) {
        (void)printf("N %s\n", e.text);
        return 0;
    }
    give_up_rights(argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
    (void)printf("H %s\n", expr_jq_version(jq));
    (void)fflush(stdout);
    while (serve(jq))
        continue;
    return 0;
}
