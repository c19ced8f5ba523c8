// cli.h: the command line: one table of commands from which parsing, help, man page and completion
// come. Every command but `up` is a client of the node's own API, or runs in process when it needs
// no node.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_CLI_H
#define PLEXUS_CLI_CLI_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct cli; // one run

struct cli_option {
    const char *name;     // "data"; a table ends with name NULL
    char letter;          // 'd', or 0
    const char *value;    // placeholder of its value, "DIR"; NULL: a flag
    const char *what;     // one sentence
    const char *complete; // "file", "dir", or words "debug|info"; NULL: nothing to offer
};

enum cli_needs { CLI_NONE, CLI_EITHER, CLI_NODE };

struct cli_command {
    const char *name;
    const char *summary;               // one sentence for lists
    const char *usage;                 // "MODEL [PROMPT]"; "" for none
    const char *text;                  // more to say in help and man page, or NULL
    const struct cli_option *options;  // or NULL
    const char *const *examples; // pairs: command line, what it does; ends with NULL; or NULL
    const struct cli_command *subs; // ends with name NULL; or NULL
    enum cli_needs needs;
    int args_min, args_max; // words after the name; max -1: any number
    const char *complete; // what its words are: "model", "node", "file", "command", "a|b"; or NULL
    // 0, E_* (told once by cli_main, exit code from the error table), or > 0: exit code, all is
    // said. NULL: only its subs can be run.
    int (*run)(struct cli *c, struct err *e);
};

// argv[0] is the program's name. Returns the exit code. commands NULL: cli_commands().
int cli_main(const struct cli_command *const *commands, int argc, char **argv);
const struct cli_command *const *cli_commands(void); // ends with NULL; cli_commands.c
// What `plexus up` runs (set by app before cli_main). It reads its options by the functions below.
void cli_set_up(int (*run)(struct cli *c, struct err *e));

// What `plexus worker` runs; it reads --queue by cli_option_all.
void cli_set_worker(int (*run)(struct cli *c, struct err *e));

// What `plexus flow replay` does with a history that Temporal gave: the run's view as JSON.
void cli_set_replay(int (*replay)(struct bytes history, struct buf *out, struct err *e));

// For run functions. Texts live as long as argv.
const char *cli_option(const struct cli *c,
                       const char *name); // last value; flags: ""; NULL: not given
// All values of an option that may be given several times, in their order; how many.
size_t cli_option_all(const struct cli *c, const char *name, const char **ret, size_t max);
size_t cli_args(const struct cli *c);
const char *cli_arg(const struct cli *c, size_t i); // NULL: not there
bool cli_json(const struct cli *c);
// The data folder as asked for by --data or PLEXUS_DATA; NULL: not said (the config's, else
// ./data).
const char *cli_data(const struct cli *c);

#endif
