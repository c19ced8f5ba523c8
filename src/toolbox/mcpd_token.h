// mcpd_token.h: access tokens of OAuth 2.1 authorization servers, checked here: JWTs (RFC 9068) by
// their issuer's public keys (RFC 7517), made for this server alone (RFC 8707). Pure: the wall time
// comes in. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_MCPD_TOKEN_H
#define PLEXUS_TOOLBOX_MCPD_TOKEN_H

#include "base/bytes.h"
#include "base/err.h"

#define MCPD_TOKEN_MAX 16384 // bytes of a token
#define MCPD_ISSUERS_MAX 16
#define MCPD_ISSUER_KEYS_MAX 32 // of one issuer
#define MCPD_TOKEN_SKEW_MS 60000 // clocks may differ by this much where a token begins

struct mcpd_tokens;
struct mcpd_tokens *mcpd_tokens_new(void); // NULL: no memory
void mcpd_tokens_free(struct mcpd_tokens *t);
// issuer: as tokens name it; audience: what they must be made for; jwks: a JWK set's text, of which
// P-256 and RSA keys for signatures are taken. Copies. E_PARSE, E_INVALID (no such key), E_FULL.
int mcpd_tokens_add(struct mcpd_tokens *t, const char *issuer, const char *audience,
                    struct bytes jwks, struct err *e);

struct mcpd_token {
    char issuer[256], subject[256]; // together: who it is
    char scope[1024]; // as it stands there: words with spaces between
    int64_t expires_ms; // wall
};
// ES256 or RS256; typ at+jwt, JWT or absent; iss one of the issuers, aud holds its audience, sub
// there, exp there and not past, nbf and iat not in the future. E_UNAUTH with the reason, which
// never has a part of the token.
int mcpd_tokens_check(const struct mcpd_tokens *t, struct bytes token, int64_t wall_ms,
                      struct mcpd_token *ret, struct err *e);
bool mcpd_token_has(const struct mcpd_token *k, const char *scope); // one of its words

#endif
