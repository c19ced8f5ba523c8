// dgram.h: UDP datagrams. All calls and callbacks happen on the loop thread. One implementation is
// room loop, another the simulator.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_DGRAM_H
#define PLEXUS_PORT_DGRAM_H

#include "port/net.h"

struct dgram; // one bound socket

#define DGRAM_BYTES_MAX 1400 // larger ones are refused: no fragments

struct dgram_args {
    struct net_addr addr; // a numeric address (IPv4 or IPv6); port 0: the kernel picks
    // Borrows data until return. from: numeric address and port.
    void (*on_data)(void *user, const struct net_addr *from, struct bytes data);
    void *user;
};

int dgram_open(struct net *n, const struct dgram_args *args, struct dgram **ret,
               struct err *e); // E_INUSE, E_PERM, E_INVALID
uint16_t dgram_port(const struct dgram *d);
// Hands it to the kernel at once or not at all; nothing is queued. to: numeric. 0; E_FULL (the
// kernel's buffer), E_TOOBIG, E_IO (no route, refused), E_INVALID.
int dgram_send(struct dgram *d, const struct net_addr *to, struct bytes data);
void dgram_close(struct dgram *d); // no callback comes any more

#endif
