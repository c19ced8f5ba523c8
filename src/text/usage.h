// usage.h: finds the "usage" object in an answer that passes by, without parsing or keeping it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_USAGE_H
#define PLEXUS_TEXT_USAGE_H

#include "base/bytes.h"

// A raw "usage" member name cannot stand inside a JSON string (its quotes would be escaped), so a
// scan for the name followed by an object is exact for JSON and for SSE data lines. The last one
// with numbers wins; "usage":null is skipped. Zeroed at the start.
struct usage_scan {
    uint8_t state;
    uint8_t matched; // bytes of the name or key matched so far
    uint8_t depth;
    uint8_t key;
    bool found;
    bool in_string, escaped;
    char keybuf[24];
    uint8_t keylen;
    uint64_t number;
    uint64_t prompt_tokens, completion_tokens, total_tokens;
};
void usage_scan_feed(struct usage_scan *u, const char *p, size_t n);

#endif
