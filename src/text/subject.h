// subject.h: names of messages: {environment}.{domain}.{service}.{detail...}, and patterns over
// them as in NATS ("Subject-Based Messaging"): `*` is one token, a last `>` one or more.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_SUBJECT_H
#define PLEXUS_TEXT_SUBJECT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#define SUBJECT_BYTES_MAX 255
#define SUBJECT_TOKENS_MAX 16

// dev.nervous.cells.math.request: environment dev, domain nervous, service cells, detail
// math.request. Tokens are letters, digits, `-` and `_`; environments are dev, staging and prod; a
// domain begins with a small letter (cognitive, nervous, organs and what may come). Slices of the
// text.
struct subject {
    struct bytes environment, domain, service, detail;
    uint32_t tokens;
};
int subject_parse(struct subject *ret, struct bytes text, struct err *e); // E_INVALID, E_TOOBIG
bool subject_is_environment(struct bytes name);
bool subject_is_token(struct bytes token); // one token, not empty

// "dev.nervous.*.wave", "dev.organs.>". The first token is an environment by its name: no pattern
// reaches over two. E_INVALID, E_TOOBIG.
int subject_pattern_check(struct bytes pattern, struct err *e);
bool subject_is_exact(struct bytes pattern); // no wildcard in it
// Does the (checked) pattern name the (checked) subject?
bool subject_match(struct bytes pattern, struct bytes subject);
struct bytes subject_environment(struct bytes text); // the first token

// A name of any kind as one token: what no token may hold becomes `_`; empty becomes "_".
int subject_put_token(struct buf *out, struct bytes name);

#endif
