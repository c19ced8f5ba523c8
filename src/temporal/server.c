// server.c: how Temporal's development server is started.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal.h"

#include <stdio.h>

void temporal_server(struct temporal_server *ret, const char *program, const char *folder,
                     uint16_t port, uint16_t ui_port, const char *namespace)
{
    static const char *const names[] = {"--port", "--ui-port", "--db-filename", "--namespace"};
    size_t n = 0;
    *ret = (struct temporal_server){.argv = {NULL}};
    (void)snprintf(ret->text[0], sizeof ret->text[0], "%u", port);
    (void)snprintf(ret->text[1], sizeof ret->text[1], "%u", ui_port);
    (void)snprintf(ret->text[2], sizeof ret->text[2], "%s/temporal.db", folder);
    (void)snprintf(ret->text[3], sizeof ret->text[3], "%s", namespace ? namespace : "default");
    (void)snprintf(ret->text[4], sizeof ret->text[4], "%s", program);
    ret->argv[n++] = ret->text[4];
    ret->argv[n++] = "server";
    ret->argv[n++] = "start-dev";
    ret->argv[n++] = "--ip";
    ret->argv[n++] = "127.0.0.1";
    ret->argv[n++] = "--log-level";
    ret->argv[n++] = "warn";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ret->argv[n++] = names[i];
        ret->argv[n++] = ret->text[i];
    }
}
