// node_doors.c: listeners as the config has them; a reload opens and closes only what changed.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "text/url.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define QUEUE_BYTES_MAX (1 << 20) // output that one client may leave untaken before it is held back

static struct node_door *door_free(struct node *n)
{
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        if (!n->doors[i].used)
            return &n->doors[i];
    return NULL;
}

static void door_close(struct node *n, struct node_door *d)
{
    if (d->listener)
        http_server_unlisten(n->server, d->listener);
    net_tls_free(d->tls);
    *d = (struct node_door){0};
}

static int door_tls(const struct config_door *c, struct net_tls **ret, struct err *e)
{
    if (!c->tls_cert)
        return 0;
    struct net_tls_args args = {.server = true,
                                .cert_file = c->tls_cert,
                                .key_file = c->tls_key,
                                .ca_file = c->tls_client_ca};
    return net_tls_new(ret, &args, e);
}

static int door_open(struct node *n, const struct config_door *c, bool trusted,
                     struct node_door **ret, struct err *e)
{
    struct url_addr addr;
    struct node_door *d = door_free(n);
    if (!d)
        return err_set(e, E_FULL, "more than %d listeners", NODE_DOORS_MAX);
    int status = url_addr_parse(&addr, bytes_of(c->address), e);
    if (status == 0)
        status = door_tls(c, &d->tls, e);
    if (status < 0)
        return status;
    struct net_listen_args args = {
        .tls = d->tls, .mode = c->mode, .queue_bytes_max = QUEUE_BYTES_MAX, .handshake_ms = 10000};
    args.addr.unix_socket = addr.unix_socket;
    args.addr.port = addr.port;
    (void)snprintf(args.addr.host, sizeof(args.addr.host), "%s", addr.host);
    status = http_server_listen(n->server, &args, (int)(d - n->doors), &d->listener, e);
    if (status < 0) {
        net_tls_free(d->tls);
        d->tls = NULL;
        return status == E_INUSE
                   ? err_set(e, E_INUSE,
                             "%s is used by another program; stop it, or choose another address "
                             "(listen.api in the configuration)",
                             c->address)
                   : err_wrap(e, "listener %s", c->address);
    }
    d->used = true;
    d->trusted = trusted;
    d->keys_required = c->keys_required;
    (void)snprintf(d->address, sizeof(d->address), "%s", c->address);
    (void)snprintf(d->host, sizeof(d->host), "%s", addr.unix_socket ? "" : addr.host);
    (void)snprintf(d->path, sizeof(d->path), "%s", addr.unix_socket ? addr.host : "");
    *ret = d;
    return 0;
}

int door_open_socket(struct node *n, struct err *e)
{
    char address[4100];
    struct node_door *d;
    (void)snprintf(address, sizeof(address), "unix:%s", n->paths.socket);
    struct config_door c = {.address = address, .mode = 0600};
    return door_open(n, &c, true, &d, e);
}

void doors_tell(struct node *n)
{
    struct gate_door doors[NODE_DOORS_MAX];
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        doors[i] =
            (struct gate_door){.keys_required = n->doors[i].keys_required || !n->doors[i].used,
                               .trusted = n->doors[i].trusted,
                               .mesh = n->doors[i].mesh,
                               .host = n->doors[i].host};
    gate_doors(n->gate, doors, NODE_DOORS_MAX);
}

int door_reserve_mesh(struct node *n)
{
    struct node_door *d = door_free(n);
    if (!d)
        return E_FULL;
    *d = (struct node_door){.used = true, .mesh = true, .keys_required = true};
    doors_tell(n);
    return (int)(d - n->doors);
}

static struct node_door *door_of(struct node *n, const char *address)
{
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        if (n->doors[i].used && !n->doors[i].trusted && !n->doors[i].mesh &&
            strcmp(n->doors[i].address, address) == 0)
            return &n->doors[i];
    return NULL;
}

// What a change brings; all of it can be thrown away until it is put in place.
struct change {
    struct node_door *door;
    struct net_tls *tls; // for a door that was there: read anew, the files may have changed
    bool opened;
};

static int prepare(struct node *n, const struct config_door *c, struct change *ret, struct err *e)
{
    ret->door = door_of(n, c->address);
    if (ret->door)
        return door_tls(c, &ret->tls, e);
    int status = door_open(n, c, false, &ret->door, e);
    ret->opened = status == 0;
    return status;
}

static void take_back(struct node *n, struct change *changes, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        net_tls_free(changes[k].tls);
        if (changes[k].opened)
            door_close(n, changes[k].door);
    }
}

static void put_in_place(const struct config_door *c, struct change *change)
{
    struct node_door *d = change->door;
    d->keys_required = c->keys_required;
    if (change->opened)
        return;
    net_listener_tls(d->listener, change->tls);
    net_tls_free(d->tls);
    d->tls = change->tls;
    if (d->path[0] && chmod(d->path, c->mode ? c->mode : 0600) != 0)
        log_event(LOG_WARN, "door.mode", LOG_STR("address", d->address),
                  LOG_STR("why", strerror(errno)));
}

// What people are told to open: the first TCP door.
static void set_address(struct node *n, const struct config *c)
{
    n->address[0] = 0;
    for (size_t k = 0; k < c->door_count && !n->address[0]; k++) {
        const struct node_door *d = door_of(n, c->doors[k].address);
        const char *host =
            d && d->host[0] && strcmp(d->host, "0.0.0.0") != 0 ? d->host : "127.0.0.1";
        if (d && !d->path[0])
            (void)snprintf(n->address, sizeof(n->address),
                           strchr(host, ':') ? "%s://[%.250s]:%u" : "%s://%.250s:%u",
                           d->tls ? "https" : "http", host, net_listener_port(d->listener));
    }
}

int doors_open(struct node *n, const struct config *c, struct err *e)
{
    struct change changes[NODE_DOORS_MAX] = {0};
    bool keep[NODE_DOORS_MAX] = {false};
    size_t count = 0;
    if (c->door_count >= NODE_DOORS_MAX)
        return err_set(e, E_FULL, "more than %d listeners", NODE_DOORS_MAX - 1);
    for (; count < c->door_count; count++) {
        int status = prepare(n, &c->doors[count], &changes[count], e);
        if (status < 0) { // refused whole
            take_back(n, changes, count);
            return status;
        }
    }
    for (size_t k = 0; k < count; k++) {
        put_in_place(&c->doors[k], &changes[k]);
        keep[changes[k].door - n->doors] = true;
    }
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        if (n->doors[i].used && !n->doors[i].trusted && !n->doors[i].mesh && !keep[i])
            door_close(n, &n->doors[i]);
    set_address(n, c);
    doors_tell(n);
    return 0;
}
