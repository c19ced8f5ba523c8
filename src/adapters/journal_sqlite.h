// journal_sqlite.h: for the doctor: is the file of a journal whole?
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_SQLITE_H
#define PLEXUS_ADAPTERS_JOURNAL_SQLITE_H

#include "base/err.h"

// Reads all of it, also while a node has it open: waits for the disk, so not on a loop. E_NOTFOUND:
// there is none. E_VERSION: made by a newer plexus. E_INVALID: of another program. E_IO: damaged,
// with the mend.
int journal_sqlite_check(const char *path, struct err *e);

#endif
