// cli_priv.h: what the files of this room share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_PRIV_H
#define PLEXUS_CLI_PRIV_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/time.h"
#include "cli/cli.h"
#include "http/http.h"
#include "loop/loop.h"
#include "text/json.h"
#include <stdio.h>

#ifndef PLEXUS_VERSION
#define PLEXUS_VERSION "0"
#endif

#define CLI_ANSWER_MAX ((size_t)64 << 20) // ceiling of one answer of a node
#define CLI_TEXT_MAX ((size_t)4 << 20)
#define CLI_OPTIONS_MAX 64
#define CLI_DEPTH_MAX 3 // models → load

// ---- cli_options.c ------------------------------------------------------------------------------

struct cli_given {
    const struct cli_option *option;
    const char *value; // "" for flags
};

struct cli_parsed {
    struct cli_given given[CLI_OPTIONS_MAX];
    size_t given_count;
    const char **words; // room for argc
    size_t word_count;
    bool only_words; // after "--"
};
// Reads argv from *at on against the option tables (NULL-ended list). stop: ends before the first
// word; else all words are gathered. E_USAGE names the option, what is wrong and the nearest one.
bool cli_option_needs(const struct cli_option *o); // a value; "[=X]": it may have one
int cli_parse(const struct cli_option *const *tables, int argc, char **argv, int *at, bool stop,
              struct cli_parsed *p, struct err *e);

// ---- cli.c --------------------------------------------------------------------------------------

struct cli {
    const struct cli_command *const *commands;
    const struct cli_command *path[CLI_DEPTH_MAX]; // models, load
    size_t depth;
    struct cli_parsed parsed;
    bool json, color; // color: of stdout
    char address[300]; // of the node, for messages; filled by cli_node_open
};
extern const struct cli_option cli_global_options[];
const struct cli_command *cli_find(const struct cli_command *const *commands, const char *name);
// E_USAGE with the nearest name.
int cli_unknown(const char *what, const char *name, const char *const *names, size_t count,
                struct err *e);
const struct cli_command *cli_sub(const struct cli_command *command, const char *name);
int cli_up_run(struct cli *c, struct err *e);
// The value of a number or duration option; fallback when it is not given.
int cli_option_u64(const struct cli *c, const char *name, uint64_t least, uint64_t most,
                   uint64_t *value, struct err *e);
int cli_option_ms(const struct cli *c, const char *name, int64_t *value, struct err *e);

// ---- cli_help.c ---------------------------------------------------------------------------------

void cli_help_overview(const struct cli *c, FILE *to);
void cli_help_command(const struct cli *c, const struct cli_command *const *path, size_t depth,
                      FILE *to);

// ---- cli_out.c: tables for people ---------------------------------------------------------------

enum cli_paint {
    PAINT_NONE,
    PAINT_BOLD,
    PAINT_DIM,
    PAINT_GREEN,
    PAINT_YELLOW,
    PAINT_RED,
    PAINT_CYAN
};

struct cli_table; // rows of cells; columns as wide as their widest cell
// columns: names, NULL-ended; a name that starts with '>' is aligned to the right.
struct cli_table *cli_table_new(const struct cli *c, const char *const *columns);
void cli_cell(struct cli_table *t, enum cli_paint paint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void cli_table_end(struct cli_table *t, FILE *to); // prints and frees
// Adds its lines to out, each cut after so many columns, and frees.
void cli_table_put(struct cli_table *t, size_t columns_max, struct buf *out);
void cli_paint_put(const struct cli *c, enum cli_paint paint, const char *text, FILE *to);
void cli_paint_add(const struct cli *c, enum cli_paint paint, const char *text, struct buf *out);
enum cli_paint cli_state_paint(const char *state);
size_t cli_width(struct bytes text); // columns on a terminal
// Text into a fixed array, for printf.
struct cli_text {
    char s[48];
};
struct cli_text cli_size(uint64_t bytes); // "1.4 GiB"
struct cli_text cli_duration(int64_t ms); // "5m"; "-" when negative
int cli_print(struct bytes text, FILE *to); // with a newline at its end; E_IO
int cli_pretty(struct buf *out, const struct json *v); // indented JSON
// A line from outside without control characters.
void cli_put_safe(struct buf *out, struct bytes text);
// One status line on stderr that is rewritten; only on a terminal. NULL wipes it.
void cli_status(const char *text);

// ---- cli_http.c: the node over HTTP -------------------------------------------------------------

struct cli_node {
    struct cli *cli;
    struct loop *loop;
    struct http_pool *pool;
    struct net_tls *tls;
    char headers[512]; // Authorization
    struct timer end;
    bool interrupted; // Ctrl-C
    void (*on_interrupt)(void *user);
    void *user;
};
// A node, or the one of --node. Then start calls, cli_node_run, cli_node_close.
int cli_node_open(struct cli_node *n, struct cli *c, struct err *e);
int cli_node_run(struct cli_node *n); // until cli_node_stop
void cli_node_stop(struct cli_node *n);
void cli_node_close(struct cli_node *n);
// Ctrl-C calls fn instead of ending the program.
int cli_node_interrupt(struct cli_node *n, void (*fn)(void *user), void *user);

struct cli_call {
    const char *method, *target;
    struct bytes body; // JSON
    void (*on_data)(void *user, struct bytes part); // a good answer's body as it comes; or NULL
    void (*on_end)(void *user, int code, const struct err *e);
    void *user;
    struct cli_node *node;
    struct http_call *call; // NULL: not running
    int status;
    struct buf answer; // the body when there is no on_data, or when it is an error
};
// The caller keeps x until on_end. code: 0, or E_* with the node's own message.
int cli_call_start(struct cli_node *n, struct cli_call *x, struct err *e);
void cli_call_cancel(struct cli_call *x);
void cli_call_fini(struct cli_call *x);

// One request from start to end; ret gets the answer's body, also an error's (caller's buf_init).
int cli_request(struct cli *c, const char *method, const char *target, struct bytes body,
                struct buf *ret, struct err *e);
int cli_request_json(struct cli *c, const char *method, const char *target, struct bytes body,
                     struct json_doc **ret, struct buf *raw, struct err *e);
// An answer that goes on until its end or Ctrl-C (then 0).
int cli_follow(struct cli *c, const char *target, void (*on_data)(void *user, struct bytes part),
               void *user, struct err *e);
bool cli_no_node(int code); // the error says that no node answers
// "/api/models/NAME/load" with the name encoded.
int cli_model_target(struct buf *out, const char *model, const char *action, struct err *e);

// ---- cli_live.c: a view that is drawn anew when the node tells something ------------------------

struct cli_view {
    // An event of GET /api/events, data parsed. True: what is shown has changed.
    bool (*take)(void *user, struct bytes event, const struct json *data);
    // Lines that end in newline; the view cuts what is below the last row.
    void (*draw)(void *user, size_t columns, size_t rows, struct buf *out);
    void *user;
};
// On a terminal: the whole screen until q, Ctrl-C or the end of the node, then the screen is as it
// was. Else: what is drawn, one after the other, at each change.
int cli_live(struct cli *c, const struct cli_view *v, struct err *e);

// ---- cli_place.c: where the node is -------------------------------------------------------------

// Path of the node's socket: --socket, else run/plexus.sock below --data, PLEXUS_DATA, the config's
// data, ./data.
int cli_socket(const struct cli *c, char path[256], struct err *e);
const char *
cli_config_path(const struct cli *c); // --config, PLEXUS_CONFIG, ./plexus.yaml; NULL: none

// ---- cli_line.c: a line editor ------------------------------------------------------------------

enum cli_key { KEY_MORE, KEY_ENTER, KEY_EOF, KEY_CANCEL, KEY_UP, KEY_DOWN, KEY_REDRAW };
struct cli_line {
    struct buf text;
    size_t at; // cursor, a byte offset between characters
    uint8_t escape[8]; // an escape sequence in pieces
    size_t escape_n;
};
void cli_line_init(struct cli_line *l);
void cli_line_fini(struct cli_line *l);
void cli_line_set(struct cli_line *l, struct bytes text);
enum cli_key cli_line_byte(struct cli_line *l, unsigned char byte); // pure: one byte of input
struct cli_history;
struct cli_history *cli_history_new(size_t lines_max);
void cli_history_free(struct cli_history *h);
// 1: a line in ret (without newline), 0: end of input, E_CANCELLED: Ctrl-C, E_IO.
int cli_line_read(struct cli_history *h, const char *prompt, struct buf *ret);

// ---- cli_chat.c: talking to a model -------------------------------------------------------------

// ---- cli_chat_tools.c: tools that the model calls meanwhile
// --------------------------------------

struct cli_tools { // of one conversation
    const char *names; // with commas between; "": all
    bool asks; // a person is there: asked about what nobody granted
    bool waits; // the answer ended for that; cli_tools_ask, then go on
    struct buf added; // messages of this answer, commas between
    struct buf confirm; // what the person said: members of an object
    struct buf always; // ";name;": tools that need no question any more
    struct buf done; // calls with their results, commas between
    struct buf pending; // JSON array
};
void cli_tools_init(struct cli_tools *t, const char *names);
void cli_tools_fini(struct cli_tools *t);
void cli_tools_put(const struct cli_tools *t, struct json_w *w); // members of a request
void cli_tools_take(struct cli_tools *t, const struct json *plexus); // an event: shown, kept
int cli_tools_ask(struct cli_tools *t, struct err *e); // E_CANCELLED: Ctrl-C

struct cli_chat_args {
    struct cli_tools *tools; // NULL: none
    const char *model, *system;
    uint64_t max_tokens; // 0: the engine's
    double temperature; // < 0: the engine's
    int64_t seed; // < 0: none
    bool print; // write the text as it comes
};
struct cli_chat_stats {
    int64_t first_ms, total_ms;
    uint64_t tokens_in, tokens_out;
    char finish[32];
};
// messages: JSON objects with commas between. The answer's text is added to ret.
int cli_chat(struct cli *c, const struct cli_chat_args *args, struct bytes messages,
             struct buf *ret, struct cli_chat_stats *stats, struct err *e);
void cli_chat_message(struct buf *messages, const char *role, struct bytes text);

#endif
