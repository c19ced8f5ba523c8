// embed.h: a file that the binary carries; tools/embed.py makes the C files that hold them.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_EMBED_H
#define PLEXUS_BASE_EMBED_H

#include "base/bytes.h"

// A row of a table made with --table NAME: const struct embed_file *embed_NAME(size_t *ret_count),
// sorted by path. A single file made as NAME=FILE is struct bytes embed_NAME(void). Whoever uses
// one declares that function in a private header.
struct embed_file {
    const char *path; // as given to embed.py, without a folder when none was given
    const char *mime; // media type, with charset for text
    struct bytes data;
    const char *etag; // strong, with its quotes
};

#endif
