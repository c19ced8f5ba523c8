// cli_down.c: plexus down: drains the node and waits for its end.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_commands_priv.h"
#include <errno.h>
#include <signal.h>
#include <time.h>

#define LOOK_MS 50

static int down(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"timeout", 't', "TIME", "how long to wait for the node's end, default 60s", NULL},
    {"no-wait", 0, NULL, "ask only", NULL},
    CLI_OPTIONS_END,
};

const struct cli_command cli_down_command = {
    .name = "down",
    .summary = "end the node when its requests have finished",
    .usage = "",
    .text =
        "New requests are refused, running ones finish until the node's drain deadline, then the\n"
        "engines are stopped.",
    .options = options,
    .needs = CLI_NODE,
    .run = down,
};

// Ended, though its parent has not asked how yet.
static bool is_zombie(int64_t pid)
{
    char path[64];
    struct buf stat;
    (void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    buf_init(&stat, 4096);
    (void)file_read(path, &stat, NULL);
    bool zombie = bytes_find(buf_bytes(&stat), BYTES(") Z ")) >= 0;
    buf_fini(&stat);
    return zombie;
}

// True when the process is gone. A node elsewhere has no pid here.
static bool wait_for(int64_t pid, int64_t timeout_ms)
{
    int64_t until = timeout_ms == TIME_NEVER ? TIME_NEVER : time_mono_ms() + timeout_ms;
    while ((kill((pid_t)pid, 0) == 0 || errno == EPERM) && !is_zombie(pid)) {
        struct timespec pause = {0, LOOK_MS * 1000000L};
        if (time_mono_ms() >= until)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static int down(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf state, answer;
    int64_t timeout = 60000;
    buf_init(&state, CLI_ANSWER_MAX);
    buf_init(&answer, CLI_TEXT_MAX);
    int rc = cli_option_ms(c, "timeout", &timeout, e);
    if (!rc)
        rc = cli_request_json(c, "GET", "/api/state", BYTES_NONE, &doc, &state, e);
    if (!rc)
        rc = cli_request(c, "POST", "/api/down", BYTES_NONE, &answer, e);
    int64_t pid = json_i64(json_ptr(json_root(doc), BYTES("/node/pid")), -1);
    bool wait = !rc && !cli_option(c, "no-wait") && !cli_option(c, "node") && pid > 1;
    if (wait && !c->json)
        cli_status("the node finishes its requests ...");
    if (wait && !wait_for(pid, timeout))
        rc = err_set(e, E_TIMEOUT,
                     "the node (pid %lld) still drains; `plexus ps` shows for whom it waits",
                     (long long)pid);
    cli_status(NULL);
    if (!rc && c->json)
        (void)printf("{\"pid\":%lld,\"ended\":%s}\n", (long long)pid, wait ? "true" : "false");
    else if (!rc)
        (void)printf("%s\n", wait ? "the node has ended" : "the node drains and ends");
    json_free(doc);
    buf_fini(&state);
    buf_fini(&answer);
    return rc;
}
