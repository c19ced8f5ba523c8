// base64url.h: bytes as text for names and addresses (RFC 4648, section 5), without padding.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_BASE64URL_H
#define PLEXUS_CRYPTO_BASE64URL_H

#include "base/buf.h"

int base64url_put(struct buf *out, struct bytes data);
// Strict: no padding, no other characters, no stray bits. E_PARSE, or the buffer's failure.
int base64url_parse(struct buf *out, struct bytes text);

#endif
