// capreg_priv.h: what the files of registries share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_CAPREG_PRIV_H
#define PLEXUS_TOOLBOX_CAPREG_PRIV_H

#include "base/alloc.h"
#include "base/time.h"
#include "text/url.h"
#include "toolbox/capreg.h"

#define CAPREG_MS 60000
#define CAPREG_PATH_MAX 1024
#define CAPREG_HASH_PREFIX "sha256:"

int capreg_folder_new(struct capreg **ret, const struct capreg_args *args, struct err *e);
int capreg_http_new(struct capreg **ret, const struct capreg_args *args, struct err *e);
int capreg_oci_new(struct capreg **ret, const struct capreg_args *args, struct err *e);

// A package of this URN (or "sha256:HASH"; empty: any): signed, whole, its promotion about it. Or a
// flow that was promoted: {"plexus_flow":1,"urn":...,"document":TEXT} without code.
// publishers NULL: anybody's.
int capreg_check(const struct manifest_pack *p, struct bytes urn, const char *const *publishers,
                 struct err *e);
bool capreg_is_flow(struct bytes manifest);
// What a package is called, and the hash of its manifest; of one that was checked.
int capreg_name(const struct manifest_pack *p, char ret_urn[URN_MAX + 1],
                char ret_hash[MANIFEST_HASH_LEN + 1], struct err *e);
void capreg_hash(struct bytes data, char ret[MANIFEST_HASH_LEN + 1]);
bool capreg_is_hash(struct bytes text);

// ---- capreg_fetch.c: one request to an address ----

struct capreg_fetch;
struct capreg_fetch_args {
    struct net *net;
    struct timers *timers;
    const char *ca_file;
    int64_t timeout_ms; // for all of it
    const char *method;
    struct bytes url, headers; // copied
    struct buf *body;          // taken, also on failure; or NULL
    size_t answer_max;               // E_TOOBIG, before it is read
    // Once, later. status: E_*, or 0 and the HTTP status, whatever it is.
    void (*done)(void *user, int status, int http, struct bytes body, struct bytes location,
                 const struct err *e);
    void *user;
};
int capreg_fetch_start(struct capreg_fetch **ret, const struct capreg_fetch_args *args,
                       struct err *e);
void capreg_fetch_cancel(struct capreg_fetch *f); // no done comes
// What a status says; 0 for 2xx.
int capreg_status(int http, struct bytes url, struct bytes body, struct err *e);

#endif
