// tools_all.h: everything that can be called on this node as one source of tools, and the one way
// to call it: grant, label, arguments' schema, time, size of the answer, record.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_TOOLS_ALL_H
#define PLEXUS_TOOLBOX_TOOLS_ALL_H

#include "base/buf.h"
#include "port/clock.h"
#include "port/tool.h"

struct tools_all;

#define TOOLS_WHO_MAX 96
#define TOOLS_SOURCE_MAX 96
#define TOOLS_WHY_MAX 256

struct tools_record { // one call
    uint64_t serial;  // 1, 2, ... of this node's life
    int64_t at_ms;    // wall clock, when it began
    char who[TOOLS_WHO_MAX], tool[TOOL_NAME_MAX + 1], source[TOOLS_SOURCE_MAX];
    char why[TOOLS_WHY_MAX]; // the error's text, or ""
    int status;              // 0, E_*
    bool denied;             // E_FORBIDDEN, E_SECURITY: nothing was called
    bool is_error;           // the tool says that it failed
    bool confirmed;          // a person said yes to this one
    unsigned effects;        // enum tool_effect
    uint64_t took_us, memory_bytes, bytes_in, bytes_out; // bytes: about that much JSON
};

struct tools_counts { // of one tool, or of all
    uint64_t calls, failed, denied, timeouts, tool_errors; // calls: all of them, ended
    uint64_t took_us, bytes_in, bytes_out;                 // sums
    uint64_t running;
};

enum tools_event {
    TOOLS_BEGAN, // handed to its source
    TOOLS_ENDED, // also of calls that were refused: denied, or status alone
};

struct tools_all_args {
    struct timers *timers;
    int64_t (*wall_ms)(void *user); // NULL: the machine's
    // May this caller call it without being asked? NULL: about->granted says so.
    bool (*granted)(void *user, const struct tool_about *a, const struct tool_caller *c);
    // Labels, both ways, before anything happens: the arguments go to the tool, its answer to the
    // caller. 0, or E_SECURITY and why. NULL: no labels here.
    int (*label)(void *user, const struct tool_about *a, const struct tool_caller *c,
                 struct err *e);
    void (*on_call)(void *user, enum tools_event ev, const struct tools_record *r); // or NULL
    void (*on_changed)(void *user); // the list did (see tools_all_look); or NULL
    void *user;
    int64_t timeout_ms;      // of a call that names none, and at most: 0: 10 min
    size_t output_bytes_max; // of an answer: content and structured; 0: MAX_ALLOCATION_BYTES
    unsigned running_max;    // 0: 256
    unsigned records_max;    // the last so many are kept; 0: 256
};
int tools_all_new(struct tools_all **ret, const struct tools_all_args *args, struct err *e);
// What runs ends with E_CANCELLED before it returns. Sources must live until their own calls ended.
void tools_all_free(struct tools_all *t);
// All of them as one source: the list in order of names, each with its source's prefix. start
// copies its arguments (a reference of the input), callers need not keep them. start: E_*
// at once for what is refused (then done does not come), as port/tool.h has it; E_MANIFEST also
// when an answer does not fit the tool's own schema. each() of a list must not call tools.
struct tools *tools_all_tools(struct tools_all *t);

// Adds a source (borrowed until removed). prefix "files_" or "": stands before its names. Of two
// tools with the same whole name the source that was added first has it. E_EXISTS, E_INVALID.
int tools_all_add(struct tools_all *t, struct tools *source, struct bytes prefix, struct err *e);
void tools_all_remove(struct tools_all *t, struct tools *source); // its calls are cancelled
// A source may have another list now: counts epochs anew, calls on_changed. Also done by each
// list, find and start.
void tools_all_look(struct tools_all *t);

// The last calls: back 0 is the newest. NULL: no more are kept. Borrowed until the next call.
const struct tools_record *tools_all_record(const struct tools_all *t, size_t back);
void tools_all_total(const struct tools_all *t, struct tools_counts *ret);
// Counters of each tool that was called (at most 20,000 names): start with *at = 0.
bool tools_all_counts(const struct tools_all *t, size_t *at, struct bytes *ret_name,
                      struct tools_counts *ret);

bool tools_all_count(const struct tools_all *t, struct bytes name, struct tools_counts *ret);

// "writes, runs programs": of enum tool_effect, for people; "only computes" for none.
void tools_effects_put(struct buf *out, unsigned effects);
// A name, or a pattern with * for any characters.
bool tools_fits(struct bytes pattern, struct bytes name);
// About how many bytes of JSON: strings by their length, anything else by a small number.
uint64_t tools_bytes(const struct val *v);

#endif
