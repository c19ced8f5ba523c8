// json.h: JSON (RFC 8259) in and out. A parsed document is immutable and lives in one block.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_JSON_H
#define PLEXUS_TEXT_JSON_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct json_doc;       // owns its values and a copy of all strings
struct json;           // one value inside a document; lives as long as the document

// Deeper text is refused with E_PARSE (a 20,000-deep body is an error, never a crash).
#define JSON_DEPTH_MAX 512

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUM, JSON_STR, JSON_ARR, JSON_OBJ };

// Strict: no comments, trailing commas, NaN, invalid UTF-8, BOM, lone surrogates; depth_max as
// above. The error names line, column and offset. Numbers keep 64-bit integers exact, others as
// double; json_raw_num gives the source digits of numbers that fit neither. Duplicate keys: refused
// when JSON_UNIQUE is set, else the last one wins in json_get (all are seen by json_each).
enum { JSON_UNIQUE = 1 };
int json_parse(struct json_doc **ret_doc, struct bytes text, unsigned flags, struct err *e);
void json_free(struct json_doc *doc);
void json_doc_auto(struct json_doc **doc);
const struct json *json_root(const struct json_doc *doc);

// Readers are total: a NULL value or a wrong kind gives the fallback, so lookups chain.
enum json_kind json_kind(const struct json *v); // NULL pointer: JSON_NULL
bool json_is(const struct json *v, enum json_kind kind); // false for a NULL pointer
bool json_is_int(const struct json *v); // number without fraction (1.0 counts), any size
bool json_bool(const struct json *v, bool fallback);
int64_t json_i64(const struct json *v, int64_t fallback); // integers and integral doubles in range
double json_num(const struct json *v, double fallback);
struct bytes json_raw_num(const struct json *v); // source digits of a number that fits neither
struct bytes json_str(const struct json *v); // not a string: BYTES_NONE. May contain NUL bytes.
const char *json_cstr(const struct json *v, const char *fallback); // NUL-terminated
size_t json_len(const struct json *v); // elements or members; 0 else
const struct json *json_at(const struct json *v, size_t i);
const struct json *json_get(const struct json *v, const char *key);
const struct json *json_get_bytes(const struct json *v, struct bytes key);
// RFC 6901 pointer ("/a/0/b~1c"); NULL when absent.
const struct json *json_ptr(const struct json *v, struct bytes pointer);
// Walks an array or an object in order: start with a zeroed iterator.
struct json_iter {
    const void *at;
    size_t i;
};
bool json_each(const struct json *v, struct json_iter *it, struct bytes *ret_key,
               const struct json **ret_value);
// JSON Schema's equality: 1 == 1.0, objects without order.
bool json_equal(const struct json *a, const struct json *b);

// Compact text of a value (numbers in shortest form that reads back the same; NULL writes null).
int json_write(struct buf *out, const struct json *v);
// RFC 8785 canonical form (jcs.c): members sorted by UTF-16 code units, ECMAScript numbers.
// E_INVALID for lone surrogates or numbers that a double cannot hold.
int json_canonical(struct buf *out, const struct json *v, struct err *e);

// Writer of new JSON into a buf. Commas and colons are its business; a broken nesting asserts.
// Failures are the buffer's sticky ones: check out->failed at the end.
#define JSON_NEST_MAX 32
struct json_w {
    struct buf *out;
    uint32_t depth;
    uint32_t has; // bit d: level d already holds something
    uint32_t arrays; // bit d: level d is an array
};
void json_w_init(struct json_w *w, struct buf *out);
void json_w_obj(struct json_w *w, const char *key); // key NULL inside arrays and at the root
void json_w_arr(struct json_w *w, const char *key);
void json_w_end(struct json_w *w);
void json_w_str(struct json_w *w, const char *key, struct bytes v);
void json_w_cstr(struct json_w *w, const char *key, const char *v); // NULL writes null
void json_w_i64(struct json_w *w, const char *key, int64_t v);
void json_w_u64(struct json_w *w, const char *key, uint64_t v);
void json_w_num(struct json_w *w, const char *key, double v); // not finite: null
void json_w_bool(struct json_w *w, const char *key, bool v);
void json_w_null(struct json_w *w, const char *key);
void json_w_raw(struct json_w *w, const char *key, struct bytes json_text); // trusted JSON text
void json_w_val(struct json_w *w, const char *key, const struct json *v);

#endif
