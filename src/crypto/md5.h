// md5.h: MD5 (RFC 1321), our own. Broken as a hash: only where a protocol asks for it (HTTP Digest).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_MD5_H
#define PLEXUS_CRYPTO_MD5_H

#include "base/bytes.h"

#define CRYPTO_MD5_LEN 16

void crypto_md5(struct bytes text, uint8_t ret[CRYPTO_MD5_LEN]);

#endif
