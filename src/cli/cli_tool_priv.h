// cli_tool_priv.h: what the files of `plexus tool` share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_TOOL_PRIV_H
#define PLEXUS_CLI_TOOL_PRIV_H

#include "cli/cli_commands_priv.h"
#include "tool/tool.h"

int cli_tool_call(struct cli *c, struct err *e);    // cli_tool_call.c
int cli_tool_grant(struct cli *c, struct err *e);   // cli_tool_hand.c
int cli_tool_add(struct cli *c, struct err *e);
int cli_tool_rm(struct cli *c, struct err *e);
int cli_tool_revoke(struct cli *c, struct err *e);
int cli_tool_publish(struct cli *c, struct err *e);
int cli_tool_eval(struct cli *c, struct err *e);
int cli_tool_promote(struct cli *c, struct err *e);
int cli_tool_servers(struct cli *c, struct err *e); // cli_tool_servers.c
int cli_tool_new(struct cli *c, struct err *e);     // cli_tool_make.c
int cli_tool_build(struct cli *c, struct err *e);

// "/api/tools/NAME/call"; name NULL: all, action NULL: the tool itself.
int cli_tool_target(struct buf *out, const char *name, const char *action, struct err *e);
// "  - talks to api.example.org over the network" for each.
void cli_tool_put_words(struct buf *out, const struct json *permissions);
// Yes or no of a person at the terminal; E_USAGE without one (then --yes says it).
int cli_tool_sure(struct cli *c, const char *question, struct err *e);
// What became of a publication: "URN DONE", or that it is kept and why.
// What an evaluation found: its cases and how many passed; 1 when one failed. raw: for --json.
int cli_tool_tell_cases(struct cli *c, const struct json *r, struct bytes raw);
void cli_tool_tell_published(const struct json *r, const char *done); // cli_tool_hand.c
// The package at an address (http, https).
int cli_tool_fetch(const char *address, struct buf *ret, struct err *e); // cli_tool_fetch.c

#endif
