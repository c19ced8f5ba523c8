// jws_priv.h: signed tokens in their compact form (RFC 7515, 7519): cut, and the checks that every
// kind of them needs. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_JWS_PRIV_H
#define PLEXUS_TRUST_JWS_PRIV_H

#include "base/buf.h"
#include "base/err.h"
#include "text/json.h"

#define JWS_MAX 8192

struct jws {
    struct bytes signing_input; // of the token
    struct buf header, claims, sign; // decoded
};
int jws_open(struct jws *ret, struct bytes token, struct err *e); // E_UNAUTH; jws_fini all the same
void jws_fini(struct jws *p);
// Is it signed by a key of this kid (BYTES_NONE: none is named)?
typedef bool (*jws_signed_fn)(const void *user, const struct jws *p, struct bytes kid, bool rsa);
// alg ES256 or RS256, typ one of types or absent, no crit; then the signature. nobody: the reason
// when no key fits.
int jws_head(const struct jws *p, const char *const *types, jws_signed_fn fn, const void *user,
             const char *nobody, struct err *e);
bool jws_audience(const struct json *aud, struct bytes audience);
// exp is needed, not past, at most most_ms ahead; nbf and iat, where they are, not in the future.
int jws_times(const struct json *claims, int64_t wall_ms, int64_t most_ms, int64_t *ret_expires,
              struct err *e);
unsigned jws_scopes(const struct json *scope); // SCOPE_* out of words with blanks between

#endif
