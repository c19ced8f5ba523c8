// spiffe.h: SPIFFE IDs (SPIFFE-ID standard, sections 2.1 to 2.3): spiffe://trust-domain/path.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_SPIFFE_H
#define PLEXUS_TRUST_SPIFFE_H

#include "base/buf.h"
#include "base/err.h"

#define SPIFFE_ID_MAX 2048
#define SPIFFE_DOMAIN_MAX 255
#define SPIFFE_NODE_MAX 63 // of a node's name: one path segment

struct spiffe_id { // slices of the text
    struct bytes text, domain;
    struct bytes path; // "/node/a", or empty
};
// Strict: lower-case scheme and trust domain of [a-z0-9._-], segments of [a-zA-Z0-9._-] that are
// neither empty nor "." nor "..", no slash at the end, no query, fragment, port, user or percent
// sign. E_INVALID says what is wrong.
int spiffe_parse(struct spiffe_id *ret, struct bytes text, struct err *e);
int spiffe_domain_check(struct bytes name, struct err *e); // "example.org", no scheme
int spiffe_path_check(struct bytes path, struct err *e);   // "" or "/a/b"
int spiffe_node_check(struct bytes name, struct err *e);   // a node's name: a segment, at most 63
// Writes spiffe://domain/a/b from "a/b" or "/a/b" or a whole ID of that domain. E_INVALID.
int spiffe_put(struct buf *out, struct bytes domain, struct bytes path, struct err *e);

// The name in /node/NAME or /node/NAME/...; empty for other paths.
struct bytes spiffe_node(const struct spiffe_id *id);
// The first segment: "node", "agent", "flow", "user".
struct bytes spiffe_kind(const struct spiffe_id *id);
bool spiffe_below(const struct spiffe_id *id, const struct spiffe_id *above); // strictly

#endif
