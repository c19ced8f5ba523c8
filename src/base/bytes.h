// bytes.h: a borrowed slice of memory. It owns nothing and need not end in NUL.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_BYTES_H
#define PLEXUS_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const char *p;
    size_t n;
};

#define BYTES(literal) ((struct bytes){(literal), sizeof(literal) - 1})
#define BYTES_NONE ((struct bytes){NULL, 0})
// For printf: "%.*s", BYTES_FMT(b)
#define BYTES_FMT(b) (int)(b).n, (b).p ? (b).p : ""

struct bytes bytes_of(const char *text); // NULL gives BYTES_NONE
bool bytes_eq(struct bytes a, struct bytes b);
bool bytes_is(struct bytes a, const char *text);
bool bytes_ieq(struct bytes a, struct bytes b); // ASCII letters without case
bool bytes_iis(struct bytes a, const char *text);
bool bytes_starts(struct bytes a, struct bytes prefix);
bool bytes_ends(struct bytes a, struct bytes suffix);
int bytes_cmp(struct bytes a, struct bytes b);       // as memcmp, then the shorter first
struct bytes bytes_trim(struct bytes a);             // without spaces, tabs, CR, LF at both ends
struct bytes bytes_from(struct bytes a, size_t at);  // the rest from at on (at is clamped)
struct bytes bytes_first(struct bytes a, size_t n);  // the first n (clamped)
// Index of the first occurrence, or -1.
ptrdiff_t bytes_find(struct bytes a, struct bytes needle);
ptrdiff_t bytes_chr(struct bytes a, char c);
// Cuts *rest at the first c: returns the part before it, leaves the part after it in *rest.
// Without c returns all and leaves *rest empty (p NULL).
struct bytes bytes_cut(struct bytes *rest, char c);
uint64_t
bytes_hash(struct bytes a); // FNV-1a with a final mix: not for hostile keys (map.h seeds it)
// Whole slice as decimal number; false when empty, not only digits, or over UINT64_MAX.
bool bytes_u64(struct bytes a, uint64_t *ret_value);
bool bytes_is_utf8(struct bytes a); // RFC 3629: no surrogates, no overlong forms, at most U+10FFFF
// Compares in a time that depends on n only.
bool bytes_eq_const_time(struct bytes a, struct bytes b);

#endif
