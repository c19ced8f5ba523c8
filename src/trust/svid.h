// svid.h: SPIFFE's identity documents: X.509-SVID and JWT-SVID, checked in full against a trust
// bundle (standards X509-SVID, JWT-SVID, SPIFFE_Trust_Domain_and_Bundle). Pure: wall time comes in.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_SVID_H
#define PLEXUS_TRUST_SVID_H

#include "crypto/x509.h"
#include "trust/spiffe.h"

#define SPIFFE_JWT_MAX 8192
#define SPIFFE_JWT_TTL_MAX_MS (24 * 3600 * 1000LL)
#define SPIFFE_SKEW_MS 60000 // clocks may differ by this much where a JWT begins

// The authorities of one trust domain, made ready.
struct spiffe_bundle;
int spiffe_bundle_open(struct spiffe_bundle **ret, struct bytes domain, struct bytes pem,
                       struct err *e); // certificates in PEM, 1 to 32, each an authority of domain
void spiffe_bundle_free(struct spiffe_bundle *b);
const char *spiffe_bundle_domain(const struct spiffe_bundle *b);
// Is there an authority with this SHA-256 of its key? What a join token pins.
bool spiffe_bundle_has(const struct spiffe_bundle *b, const uint8_t key_hash[32]);
// The bundle as JWKS (x509-svid and jwt-svid keys), for clients and gateways outside.
int spiffe_bundle_jwks(const struct spiffe_bundle *b, uint64_t sequence, struct buf *out);
// A text that an authority signed with `purpose` ("grant", "removal"): base64url(payload) '.'
// base64url(ES256 signature over "plexus PURPOSE 1\n" and the first part).
int spiffe_sealed_open(const struct spiffe_bundle *b, const char *purpose, struct bytes text,
                       struct buf *ret_payload, struct err *e); // E_PARSE, E_SECURITY
int spiffe_seal(const struct crypto_key *k, const char *purpose, struct bytes payload,
                struct buf *out, struct err *e);

// A chain as the peer sent it, leaf first. Writes the ID (SPIFFE_ID_MAX + 1 bytes) and the epoch of
// the leaf's serial number. E_SECURITY with the reason, E_PARSE.
int spiffe_x509_check(const struct spiffe_bundle *b, const struct bytes *der, int count,
                      int64_t wall_ms, char *ret_id, uint64_t *ret_epoch, struct err *e);

struct spiffe_jwt {
    char id[SPIFFE_ID_MAX + 1];
    unsigned scopes; // SCOPE_* of trust.h from claim "scope"; 0: none named
    uint64_t epoch; // claim "plexus_epoch"; 0: none
    int64_t expires_ms; // wall
};
struct spiffe_jwt_args {
    const char *id; // SPIFFE ID
    const char *const *audience; // at least one; NULL-terminated
    unsigned scopes; // 0: no such claim
    uint64_t epoch; // 0: no such claim
    int64_t wall_ms, ttl_ms; // 1 s to SPIFFE_JWT_TTL_MAX_MS
};
int spiffe_jwt_make(const struct crypto_key *k, const struct spiffe_jwt_args *args, struct buf *out,
                    struct err *e); // ES256, typ JWT, kid
// ES256 (and RS256 of an RSA authority) by a key of the bundle; typ JWT, JOSE or absent; sub an ID
// of the trust domain with a path; aud holds audience; exp needed, not past, at most
// SPIFFE_JWT_TTL_MAX_MS ahead; nbf and iat, where they are, not in the future. E_UNAUTH with the
// reason (never the token).
int spiffe_jwt_check(const struct spiffe_bundle *b, struct bytes token, struct bytes audience,
                     int64_t wall_ms, struct spiffe_jwt *ret, struct err *e);

#endif
