// node_bus_child.c: a nats-server of the node's own, as a supervised child: its configuration and
// store are in data/nats. It serves this machine until node_bus_child_tls opens it to the mesh.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_bus_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/sys.h"
#include "base/time.h"
#include <netinet/in.h>
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

static int free_port(uint16_t *ret, struct err *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    int fd = sys_socket(AF_INET);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)) == 0 &&
              getsockname(fd, (struct sockaddr *)(void *)&at, &n) == 0;
    if (fd >= 0)
        (void)close(fd);
    *ret = ntohs(at.sin_port);
    return ok ? 0 : err_set(e, E_INUSE, "no port of 127.0.0.1 is free");
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
    (void)buf_fmt(&out, "# Made by plexus at each start: do not edit.\nlisten: \"%s:%u\"\n",
                  c->host, c->port);
    (void)buf_str(&out, "server_name: ");
    put_string(&out, n->config->node_name);
    (void)buf_fmt(&out, "\nmax_payload: %u\nauthorization { token: \"%s\" }\n", 2u << 20, c->token);
    (void)buf_str(&out, "jetstream {\n  store_dir: ");
    put_string(&out, path);
    uint64_t room = n->config->bus_keep_bytes * 2 + ((uint64_t)64 << 20);
    (void)buf_str(&out, "\n  max_memory_store: 0\n  max_file_store: ");
    (void)buf_u64(&out, room);
    (void)buf_chr(&out, '\n');
    if (!c->old)
        (void)buf_str(&out, "  sync_interval: always\n"); // what was acknowledged is on the disk
    (void)buf_str(&out, "}\n");
    if (*c->cert) {
        (void)buf_str(&out, "tls {\n  cert_file: ");
        put_string(&out, c->cert);
        (void)buf_str(&out, "\n  key_file: ");
        put_string(&out, c->key);
        (void)buf_str(&out, "\n  ca_file: ");
        put_string(&out, c->ca);
        (void)buf_str(&out, "\n  verify: true\n}\n");
    }
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
    if ((effects & SUP_TERM) && c->proc)
        ops->term(c->proc);
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
    if (b->bus)
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

int node_bus_child_start(struct node_bus *b, struct err *e)
{
    struct node_bus_child *c = &b->child;
    if (!is_on_path("nats-server"))
        return err_set(e, E_NOTFOUND,
                       "bus.engine is nats without a url, and there is no nats-server on PATH: "
                       "apt install nats-server, or set bus.url");
    int status = free_port(&c->port, e);
    if (status < 0)
        return status;
    c->used = true;
    rng_id(c->token);
    (void)snprintf(c->host, sizeof(c->host), "127.0.0.1");
    (void)snprintf(c->url, sizeof(c->url), "nats://127.0.0.1:%u", c->port);
    c->timer = (struct timer){.fn = on_timer, .user = b};
    c->again = (struct timer){.fn = on_again, .user = b};
    sup_init(&c->sup);
    return spawn(b, e);
}

int node_bus_child_tls(struct node_bus *b, const char *host, const char *cert_file,
                       const char *key_file, const char *ca_file, struct net_tls *tls,
                       struct err *e)
{
    struct node_bus_child *c = &b->child;
    if (!c->used)
        return err_set(e, E_UNSUPPORTED, "this node runs no nats-server");
    if (strlen(cert_file) >= sizeof(c->cert) || strlen(key_file) >= sizeof(c->key) ||
        strlen(ca_file) >= sizeof(c->ca) || strlen(host) >= sizeof(c->host))
        return err_set(e, E_INVALID, "the path of a certificate is too long");
    memcpy(c->cert, cert_file, strlen(cert_file) + 1);
    memcpy(c->key, key_file, strlen(key_file) + 1);
    memcpy(c->ca, ca_file, strlen(ca_file) + 1);
    memcpy(c->host, host, strlen(host) + 1);
    (void)snprintf(c->url, sizeof(c->url), "nats://%.250s:%u", host, c->port);
    net_tls_free(b->tls);
    b->tls = tls;
    b->reopen = true; // the bus comes anew, by TLS
    if (b->bus)
        bus_close(b->bus);
    apply(b, sup_stop(&c->sup, now(b))); // and is started again
    return 0;
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
