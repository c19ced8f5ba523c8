// file.h: whole files: read with a ceiling, written so that a crash or a full disk leaves either
// the old content or the new, never a part.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_FILE_H
#define PLEXUS_BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include <sys/types.h>

// Appends the file to ret; its ceiling (buf_init) is the file's. Only regular files, so that a pipe
// cannot hold the caller. E_NOTFOUND, E_PERM, E_TOOBIG, E_INVALID (no regular file), E_NOMEM, E_IO;
// on failure ret has what it had before.
int file_read(const char *path, struct buf *ret, struct err *e);
// As file_read, but only the first max bytes of it. *ret_size (may be NULL): the whole size.
int file_read_part(const char *path, size_t max, struct buf *ret, uint64_t *ret_size,
                   struct err *e);
// Into PATH.new in the same folder, fsync, rename over PATH, fsync of the folder. One writer at a
// time. E_NOSPACE, E_PERM, E_NOTFOUND (the folder), E_IO: the old file is intact, PATH.new is gone.
int file_write_atomic(const char *path, struct bytes content, mode_t mode, struct err *e);
// Makes a folder and those above it; one that is there already is left as it is. E_EXISTS:
// something else stands in the way.
int file_mkdirs(const char *path, mode_t mode, struct err *e);

// The path that starts this binary once more; on Linux also after its file was replaced. "": not
// known. Valid as long as the calling thread.
const char *file_self(void);

#ifdef PLEXUS_FAULTS
// Fault shim of test builds: asked before each step; a value other than 0 is the step's errno.
// Steps: "open", "write", "fsync", "rename", "fsync folder", "mkdir", "read".
// NULL: none.
void file_fault_set(int (*fault)(const char *step));
#endif

#endif
