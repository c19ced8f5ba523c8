// yaml.h: YAML 1.2 core schema to JSON, keeping where each value stood.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_YAML_H
#define PLEXUS_TEXT_YAML_H

#include "text/json.h"

struct yaml; // the JSON document and the positions

struct yaml_pos {
    uint32_t line, column; // from 1; 0: not known
};

// Limits: text 16 MiB, JSON_DEPTH_MAX levels, and after expansion 1,000,000 values or keys and
// 64 MiB of JSON (E_TOOBIG).
// One document (an empty text is null); anchors and aliases are expanded under a bound (no billion
// laughs), merge keys "<<" are honoured, duplicate keys, tags other than the core ones, and a
// second document are refused. Core schema: true/false, null/~, ints (also 0x, 0o), floats; "no",
// "yes", "on" stay strings. .inf and .nan are refused, since JSON has no such numbers; keys must be
// scalars and become strings. E_PARSE: "line L, column C: ...".
int yaml_parse(struct yaml **ret, struct bytes text, struct err *e);
void yaml_doc_free(struct yaml *y); // NULL is harmless
// libyaml has an external function of this name for itself, so ours has internal linkage.
static inline void yaml_free(struct yaml *y)
{
    yaml_doc_free(y);
}
const struct json *yaml_root(const struct yaml *y);
// Position of the value at an RFC 6901 pointer; key = true: of its key. Falls back to the nearest
// parent.
struct yaml_pos yaml_where(const struct yaml *y, struct bytes pointer, bool key);

#endif
