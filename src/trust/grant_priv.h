// grant_priv.h: small things that grants, members and the authority share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_GRANT_PRIV_H
#define PLEXUS_TRUST_GRANT_PRIV_H

#include "crypto/hash.h"
#include "text/json.h"
#include "trust/grant.h"

#define GRANT_WORDS "1 to 63 letters, digits, '.', '-' and '_'"
bool grant_word_ok(struct bytes word); // a role, an environment
// "dev" of "dev.aipc.node1"; empty when it is no word.
struct bytes grant_environment(struct bytes context);
// A JSON list of words into the arena, NULL-terminated; absent: empty. E_PARSE, E_NOMEM.
int grant_words(struct arena *a, const struct json *v, const char *const **ret, struct err *e);
void grant_put_words(struct json_w *w, const char *key, const char *const *words);
void grant_put64(struct json_w *w, const char *key, const void *p, size_t n);
bool grant_get64(const struct json *v, void *ret, size_t n); // exactly n bytes
// What keys sign, each with its own first line, so that no text passes for another.
// "plexus join 1\n" SHA-256(csr) token-id ed25519-public node '\n' context
int grant_join_text(struct buf *out, struct bytes csr, const uint8_t token[8],
                    const uint8_t ed25519[ED25519_PUBLIC_LEN], struct bytes node,
                    struct bytes context);
// "plexus renew 1\n" SHA-256(csr) node '\n' epoch '\n' wall_ms
int grant_renew_text(struct buf *out, struct bytes csr, struct bytes node, uint64_t epoch,
                     int64_t wall_ms);
// A buffer that held a secret.
void grant_fini_secret(struct buf *b);

#endif
