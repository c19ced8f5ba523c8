// node_doors.c: listeners as the config has them; a reload opens and closes only what changed.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

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
    if (!addr.unix_socket && !trusted && !n->address[0])
        (void)snprintf(n->address, sizeof(n->address), "%s://%.250s:%u", d->tls ? "https" : "http",
                       addr.host[0] && strcmp(addr.host, "0.0.0.0") != 0 ? addr.host : "127.0.0.1",
                       net_listener_port(d->listener));
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
                               .host = n->doors[i].host};
    gate_doors(n->gate, doors, NODE_DOORS_MAX);
}

static bool same_door(const struct node_door *d, const struct config_door *c)
{
    return d->used && !d->trusted && strcmp(d->address, c->address) == 0 &&
           (d->tls != NULL) == (c->tls_cert != NULL);
}

int doors_open(struct node *n, const struct config *c, struct err *e)
{
    bool keep[NODE_DOORS_MAX] = {false};
    struct node_door *opened[NODE_DOORS_MAX];
    size_t count = 0;
    for (size_t k = 0; k < c->door_count; k++) {
        struct node_door *found = NULL;
        for (int i = 0; i < NODE_DOORS_MAX && !found; i++)
            if (same_door(&n->doors[i], &c->doors[k]))
                found = &n->doors[i];
        if (!found) {
            int status = door_open(n, &c->doors[k], false, &found, e);
            if (status < 0) { // refused whole: what was opened is closed again
                while (count)
                    door_close(n, opened[--count]);
                return status;
            }
            opened[count++] = found;
        }
        found->keys_required = c->doors[k].keys_required;
        keep[found - n->doors] = true;
    }
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        if (n->doors[i].used && !n->doors[i].trusted && !keep[i])
            door_close(n, &n->doors[i]);
    doors_tell(n);
    return 0;
}
