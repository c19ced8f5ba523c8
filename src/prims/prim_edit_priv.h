// prim_edit_priv.h: an edit of a file: where it applies, found by reading the file in blocks.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PRIMS_PRIM_EDIT_PRIV_H
#define PLEXUS_PRIMS_PRIM_EDIT_PRIV_H

#include "prims/prims_priv.h"

enum { EDITS_MAX = 4096, PLACES_MAX = 200000 };

enum edit_kind {
    EDIT_UNIQUE, // old text, there exactly once
    EDIT_ALL,    // old text, each time
    EDIT_NEAR,   // old text, whole lines, the one nearest to a line (a hunk of a diff)
    EDIT_LINES,  // lines from first to last; last = first - 1: before the first
};

struct edit {
    enum edit_kind kind;
    struct bytes old, new;  // borrowed, or owned:
    char *own_old, *own_new;
    uint64_t first, last; // EDIT_LINES; EDIT_NEAR: first
    uint64_t found;       // how often
    uint64_t end;         // of the last place
};

struct edit_place {
    uint64_t at, line; // byte, line from 1
    uint64_t n;        // bytes there
    size_t edit;
};

struct edits {
    int fd;
    uint64_t size;
    const char *told; // the file's name
    struct edit *edit;
    size_t n;
    struct edit_place *place; // sorted by `at` once found
    size_t places, places_cap;
    bool crlf;          // the file's lines end so
    bool lf;            // none of them does
    bool open_end;      // its last line has no line end
    uint64_t lines;     // line ends in it
};

// prim_search.c: reads the file once; places in the order of the file. E_TOOBIG, E_IO.
int prim_edits_search(struct edits *x, struct err *e);
// prim_near.c: what is most like the old text: appends a sentence with lines of the file.
int prim_edits_nearest(const struct edits *x, struct bytes old, struct buf *out, struct err *e);

#endif
