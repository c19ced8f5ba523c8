// member.h: a node's own identity: its keys, certificate, grant, the bundle it trusts, the removals
// it knows. Pure but for the making of keys; saved as JSON text by its owner (mode 0600: it holds
// keys).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_MEMBER_H
#define PLEXUS_TRUST_MEMBER_H

#include "trust/grant.h"

#define MEMBER_TEXT_MAX (4 << 20)
#define MEMBER_SHEET_MAX (352 * 1024) // signed text of a sheet of 256 KiB
#define MEMBER_ADDRESSES_MAX 16

struct member;
// A new node: makes its keys. context: "dev.aipc.node1": its first part is the environment.
int member_make(struct member **ret, struct bytes node, struct bytes context, struct err *e);
int member_load(struct member **ret, struct bytes json_text, struct err *e);
int member_save(const struct member *m, struct buf *out);
void member_free(struct member *m);

bool member_joined(const struct member *m);
struct member_view { // borrowed until the member changes
    const char *node, *context;
    const char *domain, *id; // "" before the join
    const struct grant *grant; // NULL before the join
    struct bytes cert_pem; // chain, leaf first: net_tls_args.cert_pem
    struct bytes key_pem; // secret: net_tls_args.key_pem
    struct bytes bundle_pem;
    struct bytes grant_text;
    uint64_t epoch;
    char serial[2 * X509_SERIAL_MAX + 1]; // hex
    int64_t not_before_ms, not_after_ms; // wall, of the certificate
};
void member_view(const struct member *m, struct member_view *ret);
const struct spiffe_bundle *member_bundle(const struct member *m); // NULL before the join

// Where the authority and its standby are, kept for the next start. Copies.
int member_set_authority(struct member *m, struct bytes node, const char *const *addresses,
                         struct err *e);
const char *member_authority(const struct member *m); // "" when unknown
const char *const *member_authority_addresses(const struct member *m); // NULL-terminated

// ---- join, renewal ----

// The body for authority_join. The token's text stays out of member_save.
int member_join_body(struct member *m, struct bytes token, struct buf *out, struct err *e);
// A TLS peer that shows this chain is the authority of the token: some certificate of the chain is
// the pinned authority's and has signed the leaf; times at wall_ms. For net_tls_args.verify of a
// joiner, which has no bundle yet. Writes the peer's ID and epoch.
int member_join_peer(struct bytes token, const struct bytes *der, int count, int64_t wall_ms,
                     char *ret_id, uint64_t *ret_epoch, struct err *e);
// Takes the answer: the bundle must hold the key that the token pins, certificate and grant must be
// for our keys and name. Nothing changes on failure. E_SECURITY, E_PARSE.
int member_join_accept(struct member *m, struct bytes token, struct bytes answer, int64_t wall_ms,
                       struct err *e);
// Half of the certificate's life is over (or its start lies ahead: the clock went back).
bool member_renew_due(const struct member *m, int64_t wall_ms);
int64_t member_renew_at(const struct member *m); // wall ms of half life
// The body for authority_renew: a new P-256 key each time, which counts from the accept on.
int member_renew_body(struct member *m, int64_t wall_ms, struct buf *out, struct err *e);
int member_renew_accept(struct member *m, struct bytes answer, int64_t wall_ms, struct err *e);

// ---- sheets ----
// Signed text: base64url(payload) '.' grant (two parts) '.' base64url(Ed25519 signature over
// "plexus sheet 1\n" and all before the last dot).

int member_sheet_sign(const struct member *m, struct bytes payload, struct buf *out, struct err *e);
// Checks grant, signature, removals, and that the payload's "node" and the environment of its
// "context" are the grant's. Payload and grant live in the arena. E_PARSE; E_SECURITY: signature,
// another trust domain, removed.
int member_sheet_open(const struct member *m, struct bytes text, struct arena *a,
                      struct bytes *ret_payload, struct grant *ret_grant, struct err *e);

// ---- peers ----

// For net_tls_args.verify: X.509-SVID of our trust domain, not removed. ret_id: SPIFFE_ID_MAX + 1.
int member_check_peer(const struct member *m, const struct bytes *der, int count, int64_t wall_ms,
                      char *ret_id, uint64_t *ret_epoch, struct err *e);
// Also for links that are open: is this identity removed by now?
bool member_removed(const struct member *m, struct bytes id, uint64_t epoch);
// 1: news (save, spread, close its links), 0: known, E_PARSE, E_SECURITY. ret may be NULL.
int member_removal_add(struct member *m, struct bytes text, struct grant_removal *ret,
                       struct err *e);
const struct grant_removals *member_removals(const struct member *m);
int member_jwt_check(const struct member *m, struct bytes token, struct bytes audience,
                     int64_t wall_ms, struct spiffe_jwt *ret, struct err *e); // also removals

#endif
