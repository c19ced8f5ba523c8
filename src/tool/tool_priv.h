// tool_priv.h: what the files of this room share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOL_PRIV_H
#define PLEXUS_TOOL_PRIV_H

#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "tool/tool.h"

struct bytes embed_tool_manifest(void);
const struct embed_file *embed_tool_templates(size_t *ret_count);

void tool_hash(struct bytes text, char ret[MANIFEST_HASH_LEN + 1]);
bool tool_is_hash(struct bytes text); // 64 lower-case hex digits
// v without its member "signature" is what was signed by key (base64url). E_SECURITY.
int tool_verify(const struct val *v, struct bytes key, struct bytes signature, struct err *e);
// Adds "signature" to v (takes it), writes the canonical text.
int tool_sign(struct buf *out, struct val *takes, const struct manifest_key *key, struct err *e);

#endif
