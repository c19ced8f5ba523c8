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
    char host[256], url[300], token[33]; // where it listens; where this node itself finds it
    bool used, ending;
    bool old;   // a server that knows no sync_interval (before 2.10)
    bool ready; // it has said so: from then on it reads its configuration again when asked to
    bool stale; // the configuration was written anew since it read it
};

// Where the bus is. GIVEN: as the configuration says, for good. The others: bus.engine nats without
// a url. OWN: a server of this node, for this machine alone; SERVE: the same for the whole mesh,
// on the node that holds its authority; FOLLOW: that server, from the other nodes.
enum node_bus_way {
    NODE_BUS_NOWHERE,
    NODE_BUS_GIVEN,
    NODE_BUS_OWN,
    NODE_BUS_SERVE,
    NODE_BUS_FOLLOW
};

struct node_bus {
    struct node *node;
    struct bus *bus; // NULL: not yet, or not any more
    struct net_tls *tls;
    struct timer heartbeat, look, patience; // patience: for the first word of a server
    struct node_bus_child child;
    enum node_bus_way way;
    char server[64];   // the node whose server it is: SERVE, FOLLOW
    char address[300]; // FOLLOW: where the bus goes; "": that is not known yet
    uint64_t identity, members; // hashes of what is in use
    int64_t port_until_ms; // SERVE: so long the port of the last life is waited for
    bool closing, complained, reopen, failing;
    bool judged; // GIVEN: the server took the credentials, or is not there now
};

int node_bus_open_at(struct node_bus *b, const char *url, const char *token, struct err *e);
int node_bus_child_ready(struct node_bus *b, const char *url, const char *token, struct err *e);
// node_bus_child.c
// Where it listens is set: port of 127.0.0.1 with a token, or host, port and url of the mesh. When
// it runs, it ends and is started again. E_NOTFOUND: no nats-server here.
int node_bus_child_start(struct node_bus *b, struct err *e);
int node_bus_child_own(struct node_bus *b, struct err *e); // sets: this machine alone
void node_bus_child_reload(struct node_bus *b); // what it is told has changed
int node_bus_child_port(const char *host, uint16_t *port, struct err *e); // is it free? 0: any
void node_bus_child_seen(struct node_bus *b); // the bus is connected to it
void node_bus_child_stop(struct node_bus *b);
void node_bus_child_free(struct node_bus *b);
// node_bus_mesh.c
int node_bus_mesh_start(struct node_bus *b, struct err *e);
void node_bus_mesh_look_soon(struct node_bus *b, int64_t ms);
void node_bus_mesh_conf(struct node_bus *b, struct buf *out); // who may come, and TLS

#endif
