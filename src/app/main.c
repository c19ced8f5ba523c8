// main.c: the program's door: helpers that plexus starts of itself, then the command line.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_child.h"
#include "app/node.h"
#include "cli/cli.h"
#include "host/host.h"
#include "jail/jail.h"
#include "loop/loop.h"
#include "prims/prims.h"
#include "temporal/temporal.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

// Who starts us may have closed them: the next file opened would take their place, and get what is
// meant for the terminal.
static void standard_descriptors(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        continue;
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    standard_descriptors();
    if (argc > 1 && strcmp(argv[1], "_guard") == 0)
        return loop_guard_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_jail") == 0)
        return jail_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_prim") == 0)
        return prim_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_expr") == 0)
        return expr_child_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_gpu") == 0)
        return host_nvml_main();
    (void)signal(SIGPIPE, SIG_IGN);
    cli_set_up(node_up);
    cli_set_worker(node_worker);
    cli_set_replay(temporal_replay);
    return cli_main(NULL, argc, argv);
}
