// val.h: immutable JSON values with reference counts: made of each other without copying, as
// workflows and expressions do. One thread at a time owns a value and all it holds.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_VAL_H
#define PLEXUS_TEXT_VAL_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "text/json.h"

struct val;

// Functions that give a value return NULL when memory is out; every function takes NULL for JSON
// null where it reads, and a maker given a NULL part through "takes" returns NULL (so that makers
// chain and one check at the end is enough). "takes": the reference goes over, also on failure.
// Values nest at most JSON_DEPTH_MAX deep: what would be deeper is NULL too.
struct val *val_ref(struct val *v);  // the same, one more owner
void val_unref(struct val *v);       // NULL is harmless
void val_auto(struct val **v);       // for AUTO(val)

struct val *val_null(void);
struct val *val_bool(bool b);
struct val *val_num(double n);       // not finite: as jq does (NaN null, infinities the largest)
struct val *val_int(int64_t n);      // exact; compares and adds as jq's numbers do
struct val *val_str(struct bytes text);
struct val *val_cstr(const char *text);
struct val *val_arr(void);
struct val *val_obj(void);
// Changed in place when the caller is its only owner, else a copy (of the references) is changed.
struct val *val_push(struct val *takes_arr, struct val *takes_item);
struct val *val_set_at(struct val *takes_arr, size_t i, struct val *takes_item); // i <= length
struct val *val_put(struct val *takes_obj, struct bytes key, struct val *takes_value);
struct val *val_put_cstr(struct val *takes_obj, const char *key, struct val *takes_value);
struct val *val_del(struct val *takes_obj, struct bytes key);

enum json_kind val_kind(const struct val *v);
bool val_is(const struct val *v, enum json_kind kind); // false for NULL, as json_is
bool val_truthy(const struct val *v);                  // neither null nor false
bool val_bool_of(const struct val *v, bool fallback);
bool val_is_int(const struct val *v);
int64_t val_i64(const struct val *v, int64_t fallback);
double val_dbl(const struct val *v, double fallback);
struct bytes val_bytes(const struct val *v); // of a string, NUL-terminated; else BYTES_NONE
const char *val_text(const struct val *v, const char *fallback);
size_t val_len(const struct val *v); // items or members
// Borrowed: lives as long as v's reference. NULL: absent.
struct val *val_at(const struct val *v, size_t i);
struct val *val_get(const struct val *v, struct bytes key);
struct val *val_get_cstr(const struct val *v, const char *key);
struct val *val_ptr(const struct val *v, struct bytes pointer); // RFC 6901
// Members in the order in which they came. Start with *at = 0; keys are NULL for arrays.
bool val_each(const struct val *v, size_t *at, struct bytes *ret_key, struct val **ret_value);
unsigned val_depth(const struct val *v); // levels of arrays and objects: at most so many
size_t val_size(
    const struct val *v); // bytes of memory, all it holds, shared parts counted once each place

bool val_equal(const struct val *a, const struct val *b);
int val_cmp(const struct val *a, const struct val *b); // jq's order of all values

struct val *val_of_json(const struct json *v);
// Strict JSON (json_parse). E_PARSE, E_TOOBIG, E_NOMEM.
int val_parse(struct val **ret, struct bytes text, struct err *e);
int val_write(struct buf *out, const struct val *v); // compact; sticky failures of the buffer
int val_write_sorted(struct buf *out, const struct val *v); // members by key, at each level
// A json document of it, for schema_check and the like.
int val_to_json(struct json_doc **ret, const struct val *v, struct err *e);

#endif
