// cli_test_rig.h: what the tests of commands share: a small server of our own in a child process,
// and a command from argv to output and exit code. Outputs are held against the files in golden/
// (GOLDEN_WRITE=1 writes them). SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_TEST_RIG_H
#define PLEXUS_CLI_TEST_RIG_H

#include "base/file.h"
#include "cli/cli_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 15

// ---- the server ---------------------------------------------------------------------------------

struct answer {
    const char *method, *path;
    int status;
    const char *type, *body;
    const char *want; // the request's body or query must hold it, else the next row that fits is
                      // taken, and 400 when there is none; or NULL
};
static const struct answer *the_answers; // ends with method NULL; set before set_up

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
    return 0;
}

static void on_request(void *user, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    (void)user;
    struct bytes body = http_body(x);
    const char *wanted = NULL;
    for (const struct answer *a = the_answers; a->method; a++) {
        if (!bytes_is(h->method, a->method) || !bytes_is(h->path, a->path))
            continue;
        if (!a->want || bytes_find(body, bytes_of(a->want)) >= 0 ||
            bytes_find(h->query, bytes_of(a->want)) >= 0) {
            http_reply(x, a->status, a->type, BYTES_NONE, bytes_of(a->body));
            return;
        }
        wanted = wanted ? wanted : a->want;
    }
    http_reply_error(x, wanted ? E_INVALID : E_NOTFOUND, wanted ? wanted : "nothing here", NULL,
                     -1);
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    (void)peer;
    (void)code;
    (void)why;
}

static char the_folder[64], the_data[80];
static pid_t the_server;

static void serve(int ready)
{
    struct loop *loop;
    struct http_server *server;
    struct net_listener *listener;
    struct net_listen_args listen = {.addr = {.unix_socket = true}, .queue_bytes_max = 1 << 20};
    struct err e = {0};
    (void)snprintf(listen.addr.host, sizeof listen.addr.host, "%s/run/plexus.sock", the_data);
    if (loop_new(&loop, NULL, &e))
        _exit(1);
    struct http_server_args args = {.net = loop_net(loop),
                                    .timers = loop_timers(loop),
                                    .routes = {on_head, on_request, on_refused, NULL}};
    if (http_server_new(&server, &args, &e) ||
        http_server_listen(server, &listen, 0, &listener, &e))
        _exit(1);
    if (write(ready, "r", 1) != 1)
        _exit(1);
    (void)loop_run(loop);
    _exit(0);
}

static int set_up(void **state)
{
    char run[100], byte;
    int ready[2];
    (void)state;
    (void)snprintf(the_folder, sizeof the_folder, "/tmp/cli-test-XXXXXX");
    if (!mkdtemp(the_folder) || pipe(ready))
        return -1;
    (void)snprintf(the_data, sizeof the_data, "%s/data", the_folder);
    (void)snprintf(run, sizeof run, "%s/run", the_data);
    if (file_mkdirs(run, 0700, NULL))
        return -1;
    the_server = fork();
    if (the_server == 0)
        serve(ready[1]);
    (void)close(ready[1]);
    ssize_t n = read(ready[0], &byte, 1);
    (void)close(ready[0]);
    return n == 1 && setenv("PLEXUS_DATA", the_data, 1) == 0 && unsetenv("PLEXUS_API_KEY") == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"data/run/plexus.sock", "out", "err", "bad.yaml",
                                        "good.yaml"};
    static const char *const folders[] = {"data/run", "data", ""};
    char path[160];
    (void)state;
    (void)kill(the_server, SIGKILL);
    (void)waitpid(the_server, NULL, 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", the_folder, files[i]);
        (void)unlink(path);
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", the_folder, folders[i]);
        (void)rmdir(path);
    }
    return 0;
}

// ---- running a command --------------------------------------------------------------------------

static int redirect(int fd, const char *name, int flags)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s%s%s", *name == '/' ? "" : the_folder,
                   *name == '/' ? "" : "/", name);
    int was = dup(fd), to = open(path, flags, 0600);
    if (was < 0 || to < 0)
        abort();
    (void)dup2(to, fd);
    (void)close(to);
    return was;
}

static void take(const char *name, struct buf *ret)
{
    char path[160];
    struct err e = {0};
    (void)snprintf(path, sizeof path, "%s/%s", the_folder, name);
    if (file_read(path, ret, &e))
        fail_msg("%s", e.text);
}

static int run(const char *const *words, struct buf *out, struct buf *err)
{
    char *argv[ARGS_MAX + 2] = {(char *)"plexus"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    (void)fflush(stdout);
    (void)fflush(stderr);
    int in_was = redirect(0, "/dev/null", O_RDONLY);
    int out_was = redirect(1, "out", O_RDWR | O_CREAT | O_TRUNC);
    int err_was = redirect(2, "err", O_RDWR | O_CREAT | O_TRUNC);
    int code = cli_main(NULL, argc, argv);
    (void)fflush(stdout);
    (void)fflush(stderr);
    (void)dup2(in_was, 0);
    (void)dup2(out_was, 1);
    (void)dup2(err_was, 2);
    (void)close(in_was);
    (void)close(out_was);
    (void)close(err_was);
    take("out", out);
    take("err", err);
    return code;
}

// The version and the folder differ from build to build and run to run.
static void normalize(struct buf *text)
{
    static const char version[] = "plexus " PLEXUS_VERSION;
    ptrdiff_t at = bytes_find(buf_bytes(text), bytes_of(version));
    if (at < 0)
        return;
    struct buf out;
    buf_init(&out, text->max);
    (void)buf_put(&out, bytes_first(buf_bytes(text), (size_t)at));
    (void)buf_str(&out, "plexus VERSION");
    (void)buf_put(&out, bytes_from(buf_bytes(text), (size_t)at + strlen(version)));
    buf_fini(text);
    *text = out;
}

static void check_golden(const char *name, struct buf *got)
{
    char path[160];
    struct buf want;
    struct err e = {0};
    normalize(got);
    (void)snprintf(path, sizeof path, "src/cli/golden/%s", name);
    buf_init(&want, CLI_TEXT_MAX);
    if (getenv("GOLDEN_WRITE")) {
        assert_int_equal(file_write_atomic(path, buf_bytes(got), 0644, &e), 0);
    } else {
        if (file_read(path, &want, &e))
            fail_msg("%s", e.text);
        assert_string_equal(buf_cstr(got), buf_cstr(&want));
    }
    buf_fini(&want);
}

struct test_case {
    const char *argv[ARGS_MAX];
    int code;
    const char *golden; // of stdout
    const char *out, *err; // text that they hold
};

static void check_cases(const struct test_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf out, err;
        char line[256] = "";
        for (size_t k = 0; cases[i].argv[k]; k++)
            (void)snprintf(line + strlen(line), sizeof line - strlen(line), " %s",
                           cases[i].argv[k]);
        buf_init(&out, CLI_TEXT_MAX);
        buf_init(&err, CLI_TEXT_MAX);
        int code = run(cases[i].argv, &out, &err);
        if (code != cases[i].code)
            fail_msg("plexus%s: exit code %d, not %d\n%s%s", line, code, cases[i].code,
                     buf_cstr(&out), buf_cstr(&err));
        if (cases[i].out && !strstr(buf_cstr(&out), cases[i].out))
            fail_msg("plexus%s: no \"%s\" in\n%s", line, cases[i].out, buf_cstr(&out));
        if (cases[i].err && !strstr(buf_cstr(&err), cases[i].err))
            fail_msg("plexus%s: no \"%s\" in\n%s", line, cases[i].err, buf_cstr(&err));
        if (cases[i].golden)
            check_golden(cases[i].golden, &out);
        buf_fini(&out);
        buf_fini(&err);
        assert_int_equal(mem_live(), 0);
    }
}

#endif
