// cli_host_priv.h: the machine looked at in process, for commands that need no node.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_HOST_PRIV_H
#define PLEXUS_CLI_HOST_PRIV_H

#include "cli/cli_priv.h"
#include "host/host.h"

struct cli_host {
    struct host_live *live;
    struct host_probe probe;
    struct host_profile *profile;
};
int cli_host_open(struct cli_host *h, struct err *e);
void cli_host_close(struct cli_host *h); // harmless twice

#endif
