// yaml.h: YAML 1.2 core schema to JSON, keeping where each value stood.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_YAML_H
#define PLEXUS_TEXT_YAML_H

#include "text/json.h"

struct yaml; // the JSON document and the positions

struct yaml_pos {
    uint32_t line, column; // from 1; 0: not known
};

// One document; anchors and aliases are expanded under a bound (no billion laughs), merge keys "<<"
// are honoured, duplicate keys, tags other than the core ones, and a second document are refused.
// Core schema: true/false, null/~, ints (also 0x, 0o), floats; "no", "yes", "on" stay strings.
// Errors: "line L, column C: ...".
int yaml_parse(struct yaml **ret, struct bytes text, struct err *e);
void yaml_free(struct yaml *y);
const struct json *yaml_root(const struct yaml *y);
// Position of the value at an RFC 6901 pointer; key = true: of its key. Falls back to the nearest parent.
struct yaml_pos yaml_where(const struct yaml *y, struct bytes pointer, bool key);

#endif
