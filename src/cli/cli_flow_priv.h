// cli_flow_priv.h: what the files of `plexus flow` share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_FLOW_PRIV_H
#define PLEXUS_CLI_FLOW_PRIV_H

#include "cli/cli_commands_priv.h"

#define CLI_FLOW_TEXT_MAX ((size_t)32 << 20) // of a document, an input, a history
#define CLI_FLOW_CUT 100 // columns of a value in a line

// NAMESPACE/NAME:VERSION of a kept document; namespace "default" and version empty when not said.
struct cli_flow_name {
    struct bytes namespace, name, version;
};
int cli_flow_name(const char *word, struct cli_flow_name *ret, struct err *e); // cli_flow_docs.c

// The runs of the subcommands; cli_flow.c has their table.
int cli_flow_run(struct cli *c, struct err *e);     // cli_flow_run.c
int cli_flow_tail(struct cli *c, struct err *e);
int cli_flow_show(struct cli *c, struct err *e);    // cli_flow_show.c
int cli_flow_history(struct cli *c, struct err *e);
int cli_flow_hand(struct cli *c, struct err *e);    // cli_flow_hand.c
int cli_flow_signal(struct cli *c, struct err *e);
int cli_flow_event(struct cli *c, struct err *e);
int cli_flow_prune(struct cli *c, struct err *e);
int cli_flow_add(struct cli *c, struct err *e);     // cli_flow_docs.c
int cli_flow_docs(struct cli *c, struct err *e);
int cli_flow_rm(struct cli *c, struct err *e);
int cli_flow_new(struct cli *c, struct err *e);
int cli_flow_export(struct cli *c, struct err *e);
int cli_flow_eval(struct cli *c, struct err *e);   // cli_flow_eval.c
int cli_flow_promote(struct cli *c, struct err *e);
int cli_flow_check(struct cli *c, struct err *e);  // cli_flow_check.c
int cli_flow_replay(struct cli *c, struct err *e); // cli_flow_replay.c

// ---- cli_flow_text.c ----------------------------------------------------------------------------

// A file's text, or with "-" standard input's.
int cli_flow_read(const char *path, struct buf *ret, struct err *e);
// A value as people give it: text of JSON or YAML, @FILE, or - for standard input. ret: JSON.
// what: "--input", for the error.
int cli_flow_value(const char *what, const char *text, struct buf *ret, struct err *e);
// Puts it as a member when the option was given.
int cli_flow_put_value(struct cli *c, struct json_w *w, const char *key, const char *option,
                       struct err *e);
// "/api/flows/ID/retry"; action NULL: the run itself.
int cli_flow_target(struct buf *out, const char *id, const char *action, struct err *e);

struct cli_finding {
    uint32_t line, column; // 0: not known
    const char *task, *message;
};
// "file:3:5: task getPet: message", the line of the text, and a caret below the place.
void cli_flow_put_finding(struct cli *c, const char *file, struct bytes text,
                          const struct cli_finding *f, struct buf *out);
// Those in a node's error answer, to stderr. False: it has none.
bool cli_flow_tell_findings(struct cli *c, const char *file, struct bytes text,
                            struct bytes answer);

// ---- cli_flow_look.c ----------------------------------------------------------------------------

struct cli_flow_look {
    const char *state, *glyph;
    enum cli_paint paint;
};
const struct cli_flow_look *cli_flow_look(const char *state); // of a run or task; never NULL
// "each/embed" of "/do/2/each/do/0/embed": the names on the way; "fetch()" of a function.
void cli_flow_task_name(struct buf *out, struct bytes pointer);
// Of a row: what went wrong, and where; nothing when there is none.
void cli_flow_put_note(struct buf *out, const struct json *note);
// "communication 503: connection refused at each/embed"
void cli_flow_put_problem(struct buf *out, const struct json *problem);
// Milliseconds since 1970 of a time as RFC 3339 or as a number; 0: none.
int64_t cli_flow_ms(const struct json *v);
// "2026-01-31 12:00:00" or "-".
struct cli_text cli_flow_clock(const struct json *v);
// A value on one line, cut.
void cli_flow_put_value_line(struct buf *out, const struct json *v, size_t columns);

#endif
