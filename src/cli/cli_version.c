// cli_version.c: plexus version.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"

static int version(struct cli *c, struct err *e)
{
    (void)e;
    if (c->json)
        (void)printf("{\"version\":\"%s\",\"compiler\":\"%s\"}\n", PLEXUS_VERSION, __VERSION__);
    else
        (void)printf("plexus %s\n", PLEXUS_VERSION);
    return 0;
}

const struct cli_command cli_version_command = {
    .name = "version",
    .summary = "the version of this program",
    .usage = "",
    .needs = CLI_NONE,
    .run = version,
};
