// usage.h: finds the "usage" object in an answer that passes by, without parsing or keeping it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_USAGE_H
#define PLEXUS_TEXT_USAGE_H

#include "base/bytes.h"

// A raw "usage" member name cannot stand inside a JSON string (its quotes would be escaped), so a
// scan for the name followed by an object is exact for JSON and for SSE data lines. The last one
// with numbers wins, field by field; "usage":null is skipped. prompt_tokens and completion_tokens
// are OpenAI's names; input_tokens and output_tokens count as the same. Without total_tokens the
// total is the sum. Zeroed at the start.
struct usage_scan {
    uint8_t state;
    uint8_t matched; // bytes of the name matched so far
    uint8_t depth;   // of braces and brackets inside the object
    uint8_t part;    // what the object's own level expects now: a key, a colon, a value
    bool found;
    bool in_string, escaped;
    bool digits, bad; // the value so far has digits; it is no whole number
    uint8_t keylen;
    uint8_t seen; // bit f: field f is in the object at hand
    char keybuf[24];
    uint64_t number;
    uint64_t fields[3]; // of the object at hand
    uint64_t prompt_tokens, completion_tokens, total_tokens;
};
void usage_scan_feed(struct usage_scan *u, const char *p, size_t n);

#endif
