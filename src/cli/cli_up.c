// cli_up.c: plexus up: the node itself; app brings what it runs.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"

static const struct cli_option options[] = {
    {"config", 'c', "FILE",
     "the config (else PLEXUS_CONFIG, ./plexus.yaml, or one made from what is found)", "file"},
    {"context", 0, "CONTEXT",
     "environment.class.node of this machine (else PLEXUS_CONTEXT, node.context)", NULL},
    {"daemon", 'd', NULL, "go to the background when the node is ready", NULL},
    {"log-level", 0, "LEVEL", "debug, info, warn or error", "debug|info|warn|error"},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus up",
                                       "the node in the foreground; Ctrl-C ends it",
                                       "plexus up --config plexus.yaml --data /var/lib/plexus",
                                       "config and data folder named",
                                       "plexus up --daemon",
                                       "in the background; `plexus down` ends it",
                                       NULL};

const struct cli_command cli_up_command = {
    .name = "up",
    .summary = "start the node",
    .usage = "",
    .text =
        "Without a config the node makes one from what it finds: GGUF files in ./models and in "
        "the\n"
        "caches of Hugging Face, llama.cpp and Ollama. SIGHUP or `plexus config reload` reads the\n"
        "config again.",
    .options = options,
    .examples = examples,
    .needs = CLI_NONE,
    .run = cli_up_run,
};
