// node_bus_child.c: a nats-server of the node's own, as a supervised child: its configuration and
// store are in data/nats. It serves this machine, or the mesh (node_bus_mesh.c).
// SPDX-License-Identifier: Apache-2.0
#include "app/node_bus_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/sys.h"
#include "base/time.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define START_MS 30000
#define KILL_AFTER_MS 10000
#define PAUSE_MS 500       // before it is started again; doubles up to ...
#define PAUSE_MOST_MS 30000

static int64_t now(const struct node_bus *b)
{
    return timers_now_ms(loop_timers(b->node->loop));
}

int node_bus_child_port(const char *host, uint16_t *port, struct err *e)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(*port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    bool six = inet_pton(AF_INET6, host, &in6.sin6_addr) == 1;
    if (!six)
        (void)inet_pton(AF_INET, host, &in4.sin_addr); // a name: any address
    struct sockaddr *at = six ? (struct sockaddr *)(void *)&in6 : (struct sockaddr *)(void *)&in4;
    socklen_t n = six ? sizeof(in6) : sizeof(in4);
    int fd = sys_socket(six ? AF_INET6 : AF_INET), yes = 1;
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
              bind(fd, at, n) == 0 && listen(fd, 1) == 0 && getsockname(fd, at, &n) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (!ok)
        return err_set(e, E_INUSE, "port %u of %s is not free", *port, host);
    *port = ntohs(six ? in6.sin6_port : in4.sin_port);
    return 0;
}

// ---- its configuration --------------------------------------------------------------------------

static void put_string(struct buf *out, const char *text)
{
    (void)buf_json_str(out, bytes_of(text)); // NATS's form is JSON's, for what a path holds
}

static int write_conf(struct node_bus *b, struct err *e)
{
    struct node_bus_child *c = &b->child;
    const struct node *n = b->node;
    char path[4200];
    struct buf out;
    (void)snprintf(path, sizeof(path), "%s/nats/store", n->paths.data);
    int status = file_mkdirs(path, 0700, e);
    if (status < 0)
        return status;
    buf_init(&out, 64 << 10);
    (void)buf_str(&out, "# Made by plexus at each start: do not edit.\nhost: ");
    put_string(&out, c->host);
    (void)buf_fmt(&out, "\nport: %u\nserver_name: ", c->port);
    put_string(&out, n->config->node_name);
    (void)buf_fmt(&out, "\nmax_payload: %u\n", 2u << 20);
    if (b->way == NODE_BUS_SERVE)
        node_bus_mesh_conf(b, &out);
    else
        (void)buf_fmt(&out, "authorization { token: \"%s\" }\n", c->token);
    (void)buf_str(&out, "jetstream {\n  store_dir: ");
    put_string(&out, path);
    uint64_t room = n->config->bus_keep_bytes * 2 + ((uint64_t)64 << 20);
    (void)buf_str(&out, "\n  max_memory_store: 0\n  max_file_store: ");
    (void)buf_u64(&out, room);
    (void)buf_chr(&out, '\n');
    if (!c->old)
        (void)buf_str(&out, "  sync_interval: always\n"); // what was acknowledged is on the disk
    (void)buf_str(&out, "}\n");
    (void)snprintf(path, sizeof(path), "%s/nats/server.conf", n->paths.data);
    status = out.failed ? err_set(e, out.failed, "%s", path)
                        : file_write_atomic(path, buf_bytes(&out), 0600, e);
    if (out.p)
        mem_wipe(out.p, out.cap); // the token
    buf_fini(&out);
    return status;
}

// ---- its life -----------------------------------------------------------------------------------

static void apply(struct node_bus *b, unsigned effects);

static void on_line(void *user, int fd, struct bytes line)
{
    struct node_bus *b = user;
    sup_line(&b->child.sup, line);
    if (bytes_find(line, BYTES("unknown field \"sync_interval\"")) >= 0)
        b->child.old = true; // started again without
    if (bytes_find(line, BYTES("Server is ready")) >= 0) {
        b->child.ready = true;
        if (b->child.stale)
            node_bus_child_reload(b);
    }
    log_event_quiet(LOG_INFO, "bus.line", LOG_STR("engine", "nats"), LOG_INT("fd", fd),
                    LOG_BYTES("line", line));
}

static void on_exit_of(void *user, const struct proc_exit *exit)
{
    struct node_bus *b = user;
    apply(b, sup_exit(&b->child.sup, exit, now(b)));
}

static int spawn(struct node_bus *b, struct err *e)
{
    struct node_bus_child *c = &b->child;
    struct procs *procs = loop_procs(b->node->loop);
    char conf[4200];
    int status = write_conf(b, e);
    if (status < 0)
        return status;
    c->ready = c->stale = false;
    (void)snprintf(conf, sizeof(conf), "%s/nats/server.conf", b->node->paths.data);
    const char *argv[] = {"nats-server", "-c", conf, NULL};
    struct proc_args args = {.argv = argv, .on_line = on_line, .on_exit = on_exit_of, .user = b};
    (void)sup_start(&c->sup, START_MS, KILL_AFTER_MS, now(b));
    c->sup.what = "nats-server";
    status = procs->ops->spawn(procs, &args, &c->proc, e);
    if (status < 0) {
        sup_init(&c->sup);
        return status;
    }
    apply(b, sup_spawned(&c->sup, now(b)));
    return 0;
}

static void on_again(struct timer *t)
{
    struct node_bus *b = t->user;
    struct err e = {0};
    if (b->child.ending || spawn(b, &e) == 0)
        return;
    log_event(LOG_ERROR, "bus.server", LOG_STR("what", "nats-server cannot be started"),
              LOG_STR("why", e.text));
    (void)timer_start(loop_timers(b->node->loop), t, PAUSE_MOST_MS);
}

static void down(struct node_bus *b)
{
    struct node_bus_child *c = &b->child;
    struct timers *timers = loop_timers(b->node->loop);
    struct procs *procs = loop_procs(b->node->loop);
    struct buf why;
    timer_stop(timers, &c->timer);
    if (c->proc)
        procs->ops->free(c->proc);
    c->proc = NULL;
    c->ready = false;
    if (c->ending) {
        node_check_ended(b->node);
        return;
    }
    buf_init(&why, 8192);
    sup_why(&c->sup, NULL, &why);
    bool known =
        c->old && c->pause_ms == 0; // told by its first line: at once, without sync_interval
    if (!known && !c->sup.asked_to_stop)
        log_event(LOG_WARN, "bus.server", LOG_STR("what", "nats-server ended"),
                  LOG_BYTES("why", buf_bytes(&why)));
    buf_fini(&why);
    int64_t pause = known || c->sup.asked_to_stop ? 1 : c->pause_ms ? c->pause_ms : PAUSE_MS;
    c->pause_ms = pause * 2 < PAUSE_MOST_MS ? pause * 2 : PAUSE_MOST_MS;
    (void)timer_start(timers, &c->again, pause);
}

static void apply(struct node_bus *b, unsigned effects)
{
    struct node_bus_child *c = &b->child;
    struct timers *timers = loop_timers(b->node->loop);
    const struct procs_ops *ops = loop_procs(b->node->loop)->ops;
    struct bus_stats st = {.status = BUS_CONNECTING};
    struct err e = {0};
    int64_t next = sup_next_ms(&c->sup);
    if (next == TIME_NEVER)
        timer_stop(timers, &c->timer);
    else
        (void)timer_start(timers, &c->timer, next > now(b) ? next - now(b) : 0);
    // A server that is still starting has acknowledged nothing yet, and TERM can make 2.9 hang
    // then.
    if ((effects & SUP_TERM) && c->proc)
        (c->ready ? ops->term : ops->kill)(c->proc);
    if ((effects & SUP_KILL) && c->proc)
        ops->kill(c->proc);
    if (effects & SUP_DOWN) {
        down(b);
        return;
    }
    if (!(effects & SUP_PROBE))
        return;
    // The bus dials until it is let in: that is the probe.
    if (!b->closing && node_bus_child_ready(b, c->url, c->token, &e) < 0)
        log_event(LOG_ERROR, "bus.server", LOG_STR("what", "the bus cannot be opened"),
                  LOG_STR("why", e.text));
    if (b->bus && !b->reopen) // of this server, not of another one before
        bus_stats(b->bus, &st);
    apply(b, sup_probe(&c->sup, st.status == BUS_CONNECTED, now(b)));
}

void node_bus_child_seen(struct node_bus *b)
{
    b->child.pause_ms = 0;
}

static void on_timer(struct timer *t)
{
    struct node_bus *b = t->user;
    apply(b, sup_tick(&b->child.sup, now(b)));
}

static bool is_on_path(const char *name)
{
    struct bytes rest = bytes_of(getenv("PATH"));
    char path[4096];
    while (rest.n) {
        struct bytes folder = bytes_cut(&rest, ':');
        (void)snprintf(path, sizeof(path), "%.*s/%s", BYTES_FMT(folder), name);
        if (folder.n && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

int node_bus_child_own(struct node_bus *b, struct err *e)
{
    struct node_bus_child *c = &b->child;
    c->port = 0;
    int status = node_bus_child_port("127.0.0.1", &c->port, e);
    rng_id(c->token);
    (void)snprintf(c->host, sizeof(c->host), "127.0.0.1");
    (void)snprintf(c->url, sizeof(c->url), "nats://127.0.0.1:%u", c->port);
    return status;
}

int node_bus_child_start(struct node_bus *b, struct err *e)
{
    struct node_bus_child *c = &b->child;
    if (!is_on_path("nats-server"))
        return err_set(e, E_NOTFOUND,
                       "bus.engine is nats without a url, and there is no nats-server on PATH: "
                       "apt install nats-server, or set bus.url");
    c->ending = false;
    c->pause_ms = 0;
    if (c->proc) { // again, in its new place
        apply(b, sup_stop(&c->sup, now(b)));
        return 0;
    }
    if (c->used)
        timer_stop(loop_timers(b->node->loop), &c->again);
    c->used = true;
    c->timer = (struct timer){.fn = on_timer, .user = b};
    c->again = (struct timer){.fn = on_again, .user = b};
    sup_init(&c->sup);
    return spawn(b, e);
}

// nats-server reads users and certificates again at SIGHUP; who may not come any more is cut off.
void node_bus_child_reload(struct node_bus *b)
{
    struct node_bus_child *c = &b->child;
    struct err e = {0};
    c->stale = true;
    if (!c->proc || !c->ready || c->sup.state == SUP_STOPPING)
        return;
    int64_t pid = loop_procs(b->node->loop)->ops->pid(c->proc);
    int status = pid > 0 ? write_conf(b, &e) : err_set(&e, E_UNAVAILABLE, "it has no number yet");
    if (status == 0 && kill((pid_t)pid, SIGHUP) == 0)
        c->stale = false;
    else
        log_event(LOG_ERROR, "bus.server", LOG_STR("what", "nats-server cannot be told the news"),
                  LOG_STR("why", e.text));
}

void node_bus_child_stop(struct node_bus *b)
{
    struct node_bus_child *c = &b->child;
    if (!c->used || c->ending)
        return;
    c->ending = true;
    timer_stop(loop_timers(b->node->loop), &c->again);
    if (c->proc)
        apply(b, sup_stop(&c->sup, now(b)));
}

void node_bus_child_free(struct node_bus *b)
{
    struct node_bus_child *c = &b->child;
    mem_wipe(c->token, sizeof(c->token));
}
