// journal_memory.h: a journal in memory, exactly as port/journal.h says, for tests and for the
// simulator: what it keeps may outlive it, and it may fail as disks and machines do, from a seed.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_MEMORY_H
#define PLEXUS_ADAPTERS_JOURNAL_MEMORY_H

#include "port/journal.h"

// What is kept. Several journals of one process may be open on it, each with its owner's name.
struct journal_disk;
struct journal_disk *journal_disk_new(void); // NULL: no memory
void journal_disk_free(struct journal_disk *d); // after all journals on it are closed or crashed

struct journal_faults { // chances in a thousand
    uint64_t seed;
    uint32_t full; // a write is refused with E_FULL
    uint32_t delay_ms_max; // each commit and each read takes up to so long
    uint32_t stop; // a commit fails (E_IO or E_NOSPACE) and the journal stops for good; half of the
                   // times it was on the disk all the same
};
int journal_memory_open(const struct journal_args *args, struct journal **ret, struct err *e);
int journal_faulty_open(const struct journal_args *args, const struct journal_faults *faults,
                        struct journal **ret, struct err *e);
// By hand: the commit that runs, or the next, fails with this status (E_IO, E_NOSPACE), and the
// journal stops.
void journal_memory_stop(struct journal *j, int status);
// The power goes: of what is not acknowledged the first few writes are on the disk (as many as the
// seed says), the others are lost; no done comes any more, and the memory is gone at once. Not from
// inside a callback of it.
void journal_memory_crash(struct journal *j);

#endif
