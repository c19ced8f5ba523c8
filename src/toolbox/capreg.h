// capreg.h: registries of capabilities: a folder, an HTTP registry (a plexus node serves one), an
// OCI registry; and the server's side of the second. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_CAPREG_H
#define PLEXUS_TOOLBOX_CAPREG_H

#include "http/http.h"
#include "port/clock.h"
#include "port/net.h"
#include "tool/tool.h"

struct capreg;

struct capreg_req { // caller-owned until done
    // Once, later, never from inside. 0 of a get: manifest and code are checked against each other,
    // signed, and of the URN that was asked for; a promotion and its evidence are there or not, and
    // checked too. Borrowed until it returns. pack is NULL for put.
    // E_NOTFOUND, E_SECURITY, E_MANIFEST (another hash), E_TOOBIG, E_CONFLICT (the URN has other
    // bytes there), E_UNAUTH, E_FORBIDDEN, E_TIMEOUT, E_REFUSED, E_CLOSED, E_UPSTREAM.
    void (*done)(struct capreg_req *r, int status, const struct manifest_pack *pack,
                 const struct err *e);
    void *user;
    void *priv;
    struct list link;
};

struct capreg_ops {
    const char *name; // "folder", "http", "oci"
    int (*get)(struct capreg *g, struct bytes urn, struct capreg_req *r, struct err *e);
    // pack is borrowed until done. The same bytes again: 0.
    int (*put)(struct capreg *g, const struct manifest_pack *pack, struct capreg_req *r,
               struct err *e);
    void (*cancel)(struct capreg *g, struct capreg_req *r); // done comes, E_CANCELLED
    void (*free)(struct capreg *g); // nothing may run
};
struct capreg {
    const struct capreg_ops *ops;
};

struct capreg_args {
    struct bytes url; // file:///FOLDER, http://HOST:PORT, https://..., oci://HOST[:PORT]/PREFIX
    struct bytes key; // API key there, or empty
    struct net *net;
    struct timers *timers;
    const char *ca_file; // for https: NULL: the system's
    int64_t timeout_ms; // of each request, 0: 60 s
};
int capreg_new(struct capreg **ret, const struct capreg_args *args, struct err *e); // E_INVALID
void capreg_free(struct capreg *g);

// ---- the folder, as others use it ---------------------------------------------------------------

// FOLDER/caps/URN names hashes, FOLDER/blobs/HASH has the bytes. All are written whole or not at
// all; a blob is checked by its hash when it is read.
int capreg_folder_put(const char *folder, const struct manifest_pack *pack, struct err *e);
int capreg_folder_get(const char *folder, struct bytes urn, struct arena *a,
                      struct manifest_pack *ret, struct err *e);
// One blob, E_NOTFOUND, E_IO when its bytes have another hash.
int capreg_folder_blob(const char *folder, struct bytes hash, struct buf *ret, struct err *e);
// URNs after the given one, sorted: array of strings, at most max.
int capreg_folder_list(const char *folder, struct bytes after, size_t max, struct val **ret,
                       struct err *e);

// ---- the server ---------------------------------------------------------------------------------

// GET /v1/caps?after=&limit=, /v1/caps/URN, /v1/promotions/URN, /v1/evidence/URN, /v1/blobs/HASH;
// POST /v1/caps with a package. docs/TOOLS.md has them.
struct capreg_server;
struct capreg_server_args {
    const char *folder;
    // May this request publish? 0, E_UNAUTH, E_FORBIDDEN; NULL: nobody may.
    int (*may_publish)(void *user, const struct http_exchange *x, struct err *e);
    // Somebody published, or tried: status 0 or E_*. NULL: not told.
    void (*on_publish)(void *user, const struct http_exchange *x, struct bytes urn, int status,
                       const struct err *e);
    const char *const *publishers; // whose signatures are taken; NULL: anybody's
    void *user;
};
int capreg_server_new(struct capreg_server **ret, const struct capreg_server_args *args,
                      struct err *e);
void capreg_server_free(struct capreg_server *s);
// For http_routes: on_head's answer, and on_request.
int capreg_server_head(struct capreg_server *s, struct http_exchange *x);
void capreg_server_request(struct capreg_server *s, struct http_exchange *x);

#endif
