// span.h: where a member of a JSON object stands in its text, and a text with another value there.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GATE_SPAN_H
#define PLEXUS_GATE_SPAN_H

#include "base/buf.h"
#include "base/err.h"

// text must be a valid JSON object, key an ASCII word (in the text it may be spelled with \u). Span
// of the value of the top-level member key. E_NOTFOUND; E_INVALID when the member is there twice.
int span_find(struct bytes text, const char *key, struct bytes *ret_value, struct err *e);
// Fills the empty buf with text in which that value is the string value; all else byte for byte.
int span_rewrite(struct buf *out, struct bytes text, const char *key, const char *value,
                 struct err *e);

#endif
