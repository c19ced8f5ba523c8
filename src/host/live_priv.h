// live_priv.h: facts of the running machine, by name (facts.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HOST_LIVE_PRIV_H
#define PLEXUS_HOST_LIVE_PRIV_H

#include "host/host.h"

int host_live_fact(void *self, const char *name, struct buf *out);

// One line of /proc/net/tcp or tcp6: 1: it listens, and not on loopback; 0: on loopback; E_INVALID:
// it does not listen. Pure.
int host_listen_line(struct bytes line, uint64_t *ret_inode, char ret[HOST_ADDRESS_MAX]);

#endif
