// prims_priv.h: what the parts of the child `plexus _prim` share: the call at hand, paths below the
// granted folders, files replaced whole. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PRIMS_PRIMS_PRIV_H
#define PLEXUS_PRIMS_PRIMS_PRIV_H

#include "prims/prims.h"
#include "text/json.h"

#include <sys/stat.h>

enum {
    PRIM_BLOCK = 256 << 10, // read at a time
    PRIM_REQUEST_MAX = 16 << 20, // bytes of a request
    PRIM_IMAGE_MAX = 5 << 20, // of an image file that is shown
    PRIM_TEXT_MAX = 1 << 20, // of output_bytes
    PRIM_LINES = 2000, // of a file, unless asked for more
    PRIM_PATH_MAX = 4096,
    PRIM_NAME_MAX = 256,
};

struct prim {
    const struct jail_opts *o;
    const struct jail_report *jail;
    int root[JAIL_FOLDERS_MAX]; // the granted folders
    const struct json *in; // the arguments, checked against the schema
    uint32_t output_bytes;
    int64_t timeout_ms;
    uint64_t disk_bytes;
    struct buf text; // what the model reads
    struct buf image; // base64, or empty
    const char *mime; // of the image
    struct buf more; // structured
    struct json_w w; // into more, an object is open
    bool failed; // bash: the command's own failure
};

// What a call does. 0: text and more are written. E_*: the text of e goes to the model.
typedef int prim_fn(struct prim *p, struct err *e);
prim_fn prim_read, prim_write, prim_edit, prim_list, prim_find, prim_grep, prim_bash;

// ---- the table (prims_table.c)
struct prim_row {
    const char *name, *title, *description, *input, *output; // schemas: JSON with ' for "
    unsigned effects;
    prim_fn *run;
};
extern const struct prim_row prim_rows[];
extern const size_t prim_rows_n;

// ---- arguments
const char *prim_arg_text(const struct prim *p, const char *key, const char *fallback);
uint64_t prim_arg_u64(const struct prim *p, const char *key, uint64_t fallback); // at most 2^53

// ---- paths (prim_path.c)
struct prim_place {
    size_t root; // which folder
    char rel[PRIM_PATH_MAX]; // below it, "." for itself
    char full[PRIM_PATH_MAX * 2]; // as it is told
};
// E_INVALID (empty, NUL in it, too long), E_FORBIDDEN: outside of all granted folders, or in one
// that is only for reading.
int prim_locate(const struct prim *p, struct bytes path, bool write, struct prim_place *ret,
                struct err *e);
// By openat2 RESOLVE_BENEATH: no link, no ".." and no race leads out of the folder. The
// descriptor, or E_*.
int prim_open(const struct prim *p, const struct prim_place *at, int flags, struct err *e);
// A regular file for reading; a pipe, device, socket or folder is E_INVALID and never waited for.
int prim_open_file(const struct prim *p, const struct prim_place *at, struct stat *ret_stat,
                   struct err *e);
// The folder of the file, and its name in it; links at the end are followed as far as they stay
// inside. make: folders that are not there are made.
int prim_open_parent(const struct prim *p, struct prim_place *at, bool make,
                     char name[PRIM_NAME_MAX], struct err *e);

// ---- whole files, replaced at once (prim_out.c)
struct prim_out {
    int dir, fd;
    char name[PRIM_NAME_MAX], temp[40];
    struct stat old;
    bool had; // there was one
    const char *told;
};
// A new file beside the one at `at`. old: what was looked at before (its content is what the new
// one is made of); NULL: whatever is there now.
int prim_out_open(struct prim_out *out, const struct prim *p, struct prim_place *at,
                  const struct stat *old, struct err *e);
int prim_out_put(struct prim_out *out, struct bytes data, struct err *e);
// In the place of the old one, with its mode. E_CONFLICT: there is another file now, or it changed
// since; nothing was replaced.
int prim_out_commit(struct prim_out *out, struct err *e);
void prim_out_fini(struct prim_out *out); // also after commit

int prim_pread(int fd, void *p, size_t n, uint64_t at, struct err *e); // until n or the end
bool prim_same_file(const struct stat *a, const struct stat *b); // also unchanged
void prim_base64(struct buf *out, struct bytes data);
const char *prim_image_type(struct bytes head); // "image/png", or NULL

// ---- patterns of names (prim_glob.c): * ? [a-z] within a name, ** over folders, {a,b}
bool prim_glob(const char *pattern, const char *path);

#endif
