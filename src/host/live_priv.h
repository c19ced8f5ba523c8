// live_priv.h: facts of the running machine, by name (facts.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HOST_LIVE_PRIV_H
#define PLEXUS_HOST_LIVE_PRIV_H

#include "base/buf.h"

int host_live_fact(void *self, const char *name, struct buf *out);

#endif
