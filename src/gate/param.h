// param.h: where a request is wrong, in the words of the OpenAI API.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GATE_PARAM_H
#define PLEXUS_GATE_PARAM_H

#include "base/buf.h"
#include "text/schema.h"

// A JSON pointer (RFC 6901) as a field: "/messages/0/role" becomes "messages[0].role"; keys that
// are no plain words stand in quotes: logit_bias["a b"]. "" stays "".
void schema_param(struct buf *out, struct bytes pointer);
// The same of a failed check; a missing key counts as the field: {"model":"x"} gives "messages".
void schema_param_of(struct buf *out, const struct schema_error *fault);

#endif
