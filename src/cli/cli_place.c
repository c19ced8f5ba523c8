// cli_place.c: where the node's socket is.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "config/config.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *environment(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

const char *cli_data(const struct cli *c)
{
    const char *data = cli_option(c, "data");
    return data ? data : environment("PLEXUS_DATA");
}

const char *cli_config_path(const struct cli *c)
{
    const char *path = cli_option(c, "config");
    if (!path)
        path = environment("PLEXUS_CONFIG");
    return path ? path : access("plexus.yaml", R_OK) == 0 ? "plexus.yaml" : NULL;
}

int cli_socket(const struct cli *c, char path[256], struct err *e)
{
    const char *asked = cli_option(c, "socket"), *data = cli_data(c);
    struct config *conf = NULL;
    if (!asked && !data && cli_config_path(c)) {
        struct err ignored = {0}; // a broken config is no reason not to reach a running node
        if (!config_load(&conf, cli_config_path(c), &ignored))
            data = conf->data;
    }
    int n = asked ? snprintf(path, 256, "%s", asked)
                  : snprintf(path, 256, "%s/run/plexus.sock", data ? data : "./data");
    config_free(conf);
    if (n >= 256)
        return err_set(e, E_USAGE, "the path of the node's socket is too long");
    return 0;
}
