// md5.h: MD5 (RFC 1321) and SHA-1 (FIPS 180-4), our own. Broken as hashes: only where a protocol
// asks for them (HTTP Digest, the WebSocket handshake). SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_MD5_H
#define PLEXUS_CRYPTO_MD5_H

#include "base/bytes.h"

#define CRYPTO_MD5_LEN 16
#define CRYPTO_SHA1_LEN 20

void crypto_md5(struct bytes text, uint8_t ret[CRYPTO_MD5_LEN]);
void crypto_sha1(struct bytes text, uint8_t ret[CRYPTO_SHA1_LEN]);

#endif
