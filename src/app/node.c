// node.c: `plexus up`: the node from its start to its end.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "base/alloc.h"
#include "base/sys.h"
#include "base/time.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_signal(void *user, int signum)
{
    struct node *n = user;
    if (signum == SIGHUP) {
        struct buf changes;
        struct err e = {0};
        buf_init(&changes, 1 << 20);
        if (node_reload(n, &changes, &e) == 0)
            ctl_config_changed(n->ctl, buf_bytes(&changes));
        else
            log_event(LOG_ERROR, "config.refused", LOG_STR("why", e.text));
        buf_fini(&changes);
        return;
    }
    if (signum == SIGUSR1) {
        (void)log_sink_reopen(n->log, NULL);
        if (n->access_log)
            (void)log_sink_reopen(n->access_log, NULL);
        return;
    }
    node_stop(n, signum == SIGINT ? "interrupted" : "terminated");
}

static int signals(struct node *n, struct err *e)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (loop_signal(n->loop, all[i], on_signal, n) < 0)
            return err_set(e, E_INTERNAL, "signals cannot be watched");
    return 0;
}

// Splits off a daemon: the parent waits until the node serves, then ends with its result.
static int daemonize(struct node *n, struct err *e)
{
    int ends[2];
    if (sys_pipe(ends) != 0)
        return err_errno(e, errno, "daemon: pipe");
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(e, errno, "daemon: fork");
    if (pid > 0) {
        (void)close(ends[1]);
        char text[8192];
        ssize_t got = read(ends[0], text, sizeof(text) - 1);
        if (got > 0) {
            text[got] = 0;
            (void)printf("%s", text);
            (void)fflush(stdout);
            _exit(0);
        }
        int status = 0;
        (void)waitpid(pid, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 70);
    }
    (void)close(ends[0]);
    (void)setsid();
    n->ready_fd = ends[1];
    return 0;
}

// From here on a daemon has no terminal; errors were told before.
static void detach(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        (void)dup2(null, fd);
    if (null > 2)
        (void)close(null);
}

static void ready_text(const struct node *n, struct buf *text)
{
    struct json_w w;
    buf_init(text, 32 << 10);
    if (*n->worker) {
        (void)buf_str(text, "plexus worker of");
        for (const char *const *q = n->worker; *q; q++)
            (void)buf_fmt(text, " %s", *q);
        (void)buf_fmt(text, "  (bus %s)\n", n->config->bus_engine);
        return;
    }
    if (!n->json) {
        (void)buf_fmt(text, "plexus serves at %s  (config %s, data %s)\n", n->address,
                      n->config->path, n->paths.data);
        return;
    }
    json_w_init(&w, text);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "address", n->address);
    json_w_i64(&w, "pid", getpid());
    json_w_cstr(&w, "config", n->config->path);
    json_w_cstr(&w, "data", n->paths.data);
    json_w_u64(&w, "models", n->config->model_count);
    json_w_end(&w);
    (void)buf_str(text, "\n");
}

void node_report_ready(struct node *n)
{
    struct buf text;
    ready_text(n, &text);
    log_event(LOG_INFO, "node.ready", LOG_STR("address", n->address),
              LOG_STR("config", n->config->path), LOG_STR("data", n->paths.data),
              LOG_UINT("models", n->config->model_count),
              LOG_UINT("start_us", (time_mono_ns() - n->started_mono_ns) / 1000));
    if (n->ready_fd >= 0) {
        (void)!write(n->ready_fd, text.p, text.n);
        (void)close(n->ready_fd);
        n->ready_fd = -1;
        detach();
    } else {
        (void)fwrite(text.p, 1, text.n, stdout);
        (void)fflush(stdout);
    }
    buf_fini(&text);
}

static int life(struct cli *c, struct node *n, struct err *e)
{
    n->lock_fd = n->ready_fd = -1;
    n->json = cli_json(c);
    n->started_ms = time_wall_ms();
    n->started_mono_ns = time_mono_ns();
    node_env(".env");
    int status = !*n->worker && cli_option(c, "daemon") ? daemonize(n, e) : 0;
    n->echo = n->ready_fd < 0;
    if (status == 0)
        status = node_prepare(n, c, e);
    if (status == 0)
        status = node_build(n, e);
    if (status == 0)
        status = signals(n, e);
    if (status == 0) {
        if (node_bus_judged(n))
            node_report_ready(n);
        status = loop_run(n->loop);
        if (status == 0 && n->fatal.code)
            status = err_set(e, n->fatal.code, "%s", n->fatal.text);
        log_event(LOG_INFO, "node.ended", LOG_INT("status", status));
    }
    node_unbuild(n);
    mem_free(n);
    return status;
}

int node_up(struct cli *c, struct err *e)
{
    struct node *n = mem_new(struct node);
    return n ? life(c, n, e) : err_set(e, E_NOMEM, "out of memory");
}

int node_worker(struct cli *c, struct err *e)
{
    struct node *n = mem_new(struct node);
    if (!n)
        return err_set(e, E_NOMEM, "out of memory");
    size_t max = sizeof n->worker / sizeof *n->worker - 1;
    (void)cli_option_all(c, "queue", n->worker, max);
    return life(c, n, e);
}
