// node_bus_priv.h: the node's bus, and the nats-server that it may run for it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_BUS_PRIV_H
#define PLEXUS_APP_NODE_BUS_PRIV_H

#include "app/node_priv.h"
#include "port/bus.h"
#include "sup/sup.h"

struct node_bus_child {
    struct sup sup;
    struct proc *proc;
    struct timer timer, again;
    int64_t pause_ms;
    uint16_t port;
    char host[256], url[300], token[33];
    char cert[4096], key[4096], ca[4096]; // TLS; empty: none
    bool used, ending;
    bool old; // a server that knows no sync_interval (before 2.10)
};

struct node_bus {
    struct node *node;
    struct bus *bus; // NULL: not yet, or not any more
    struct net_tls *tls;
    struct timer heartbeat;
    struct node_bus_child child;
    bool closing, complained, reopen;
};

int node_bus_child_ready(struct node_bus *b, const char *url, const char *token, struct err *e);
// node_bus_child.c
int node_bus_child_start(struct node_bus *b, struct err *e); // E_NOTFOUND: no nats-server here
void node_bus_child_seen(struct node_bus *b);                // the bus is connected to it
void node_bus_child_stop(struct node_bus *b);
void node_bus_child_free(struct node_bus *b);
// For other nodes too: the server listens on this address (of the mesh) with these files, PEM; who
// comes must show a certificate that ca_file vouches for. Written anew, and the server is started
// again: also after a renewal. Takes tls: what this node itself comes with.
int node_bus_child_tls(struct node_bus *b, const char *host, const char *cert_file,
                       const char *key_file, const char *ca_file, struct net_tls *tls,
                       struct err *e);

#endif
