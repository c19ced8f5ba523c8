// label.h: labels on data, clearances on whoever may get it (Bell, LaPadula 1973): no read up, no
// write down. Pure.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_LABEL_H
#define PLEXUS_TRUST_LABEL_H

#include "base/buf.h"
#include "base/err.h"

enum label_level { LABEL_PUBLIC, LABEL_INTERNAL, LABEL_CONFIDENTIAL, LABEL_RESTRICTED };

// A point of the lattice: a level and a set of compartments. The same type is a clearance.
struct label {
    uint8_t level;
    uint64_t compartments; // bit i: the table's name i; all bits: every compartment ("*")
};
#define LABEL_ALL ((struct label){LABEL_RESTRICTED, UINT64_MAX})

// Names of compartments, one table a node. 63 names at most; one more is E_FULL (so refused).
struct label_names;
struct label_names *label_names_new(void);
void label_names_free(struct label_names *n);

#define LABEL_TEXT_MAX 1024 // the text of any label fits
#define LABEL_NAME_MAX 32   // a compartment: a-z 0-9, and - _ inside
// "confidential", "confidential:eng,hr", "restricted:*". E_INVALID with the mend, E_FULL. New names
// are added, all or none.
int label_parse(struct label_names *n, struct bytes text, struct label *ret, struct err *e);
// The same for texts of strangers, who must not fill the table: an unknown name is E_INVALID.
int label_parse_known(const struct label_names *n, struct bytes text, struct label *ret,
                      struct err *e);
void label_put(struct buf *out, const struct label_names *n, struct label l); // names sorted

bool label_dominates(struct label a,
                     struct label b); // a at least as high, has all compartments of b
struct label label_join(struct label a, struct label b);

#endif
