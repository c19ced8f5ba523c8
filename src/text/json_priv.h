// json_priv.h: what the JSON parts of text share: the doors to yyjson's values and numbers.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_JSON_PRIV_H
#define PLEXUS_TEXT_JSON_PRIV_H

#include "text/json.h"

// How a number is held.
enum json_num_kind {
    JSON_NUM_U64,  // not negative
    JSON_NUM_I64,  // negative
    JSON_NUM_REAL, // double
    JSON_NUM_RAW, // source digits: an integer over 64 bits, or a value over the range of a double
};
struct json_num {
    enum json_num_kind kind;
    uint64_t u;
    int64_t i;
    double d; // always set; RAW: nearest double, perhaps infinite
    struct bytes raw;
};
// v must be a number.
struct json_num json_number(const struct json *v);

// Shortest text that reads back as d, without NUL: "0.1", "1e21", "-0.0". d must be finite.
// Returns its length, or E_NOMEM.
#define JSON_REAL_MAX 40
int json_real_text(double d, char text[JSON_REAL_MAX]);

// Decimal digits of a finite double in shortest round-trip form: |d| = 0.DIGITS * 10^point.
// Returns the number of digits (1 to 17; "0" for zero), or E_NOMEM.
int json_real_digits(double d, char digits[JSON_REAL_MAX], int *ret_point);

// Order of two numbers by value: < 0, 0, > 0. Exact among 64-bit integers and doubles.
int json_num_cmp(const struct json_num *a, const struct json_num *b);

// As json_equal, but gives up when *work (decremented once per value or key looked at) is spent:
// returns 1, 0 or E_TOOBIG.
int json_equal_work(const struct json *a, const struct json *b, uint64_t *work);

// Members in a row: key, value. i must be in range. For the fast paths of the schema check:
// json_first(v) is the first element (array) or first key (object); json_next(element) follows it.
// In an object the value lies right behind its key: json_value_of(key).
const struct json *json_first(const struct json *v);
const struct json *json_next(const struct json *v);
const struct json *json_value_of(const struct json *key);
// Position of a value or key in its document's row of values: the root is 0, then in source order.
size_t json_index(const struct json *root, const struct json *v);

#endif
