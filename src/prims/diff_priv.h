// diff_priv.h: unified diffs (POSIX.1-2024, diff -u; GNU diffutils, "Detailed Description of
// Unified Format"), pure: text in, hunks out. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PRIMS_DIFF_PRIV_H
#define PLEXUS_PRIMS_DIFF_PRIV_H

#include "base/buf.h"
#include "base/err.h"

enum { DIFF_HUNKS_MAX = 4096 };

struct diff_hunk {
    uint64_t old_line, old_count, new_line, new_count; // lines from 1, as the header says
    size_t old_at, old_n; // the old lines with their line ends, in diff.text
    size_t new_at, new_n; // the new ones
};
struct diff {
    struct diff_hunk *hunk;
    size_t n;
    struct buf text;
};
// One file's diff: headers ("---", "+++", "diff", "index" ...) are passed over. E_PARSE names the
// line; E_INVALID: more than one file, no hunk; E_TOOBIG, E_NOMEM. Counts of headers must be true.
int diff_parse(struct diff *ret, struct bytes text, struct err *e);
void diff_fini(struct diff *d);

#endif
