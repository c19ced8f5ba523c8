// bearer.h: access tokens of an authorization server outside (OAuth 2.1; RFC 9068, RFC 7519):
// signed by one of its public keys, made for this node and nobody else. Pure: wall time comes in.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_BEARER_H
#define PLEXUS_TRUST_BEARER_H

#include "base/bytes.h"
#include "base/err.h"

#define BEARER_KEYS_MAX 32
#define BEARER_WHO_MAX 200

struct bearer; // one issuer
struct bearer_said {
    char who[BEARER_WHO_MAX + 1]; // claim "sub"
    unsigned scopes;              // SCOPE_* of trust.h that claim "scope" names; 0: none
    int64_t expires_ms;           // wall
};

// jwks: RFC 7517, keys of kind EC P-256 and RSA; others are passed over. E_PARSE, E_INVALID: none
// is left. issuer and audience are copied.
int bearer_open(struct bearer **ret, struct bytes issuer, struct bytes audience, struct bytes jwks,
                struct err *e);
void bearer_free(struct bearer *b);
const char *bearer_issuer(const struct bearer *b);
// Is this text a token that names this issuer? Nothing is checked yet.
bool bearer_names(const struct bearer *b, struct bytes token);
// ES256 or RS256 by a key of the set; typ at+jwt, JWT or absent; iss and aud as they must be; exp
// needed, at most a day ahead. E_UNAUTH with the reason (never the token).
int bearer_check(const struct bearer *b, struct bytes token, int64_t wall_ms,
                 struct bearer_said *ret, struct err *e);

#endif
