// val_priv.h: how values lie in memory: for the parts of text that make and read them (val, jq).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_VAL_PRIV_H
#define PLEXUS_TEXT_VAL_PRIV_H

#include "text/val.h"

#define VAL_IMMORTAL UINT32_MAX // owners of a constant: never counted

struct val {
    uint32_t refs;
    uint8_t kind;   // enum json_kind
    uint8_t sub;    // bool: its value; number: 1 is a double, 0 an integer; string: see jq_ops.c
    uint16_t depth; // of containers: levels below and with it, perhaps too many after a removal
};
struct val_num {
    struct val v;
    union {
        int64_t i;
        double d;
    };
};
struct val_str {
    struct val v;
    size_t n;
    char p[]; // n bytes and a NUL
};
struct val_arr {
    struct val v;
    uint32_t n, cap;
    struct val **items; // first[], until it grows
    struct val *first[];
};
struct val_member {
    struct val_str *key;
    struct val *value;
};
struct val_obj {
    struct val v;
    uint32_t n, cap;
    struct val_member *members; // first[], until it grows
    uint32_t *slots; // hash index: member + 1, 0 is free; NULL while there are few members
    uint32_t mask;   // of slots
    struct val_member first[];
};

// Never written to: who holds them counts nothing.
extern const struct val val_null_const, val_false_const, val_true_const;
#define val_null_ (*(struct val *)(uintptr_t)&val_null_const)
#define val_false_ (*(struct val *)(uintptr_t)&val_false_const)
#define val_true_ (*(struct val *)(uintptr_t)&val_true_const)

static inline bool val_sole(const struct val *v)
{
    return v->refs == 1;
}
static inline struct val *val_keep(struct val *v) // val_ref of what is not NULL
{
    if (v->refs != VAL_IMMORTAL)
        v->refs++;
    return v;
}
static inline struct val_num *val_as_num(const struct val *v)
{
    return (struct val_num *)(uintptr_t)v;
}
static inline struct val_str *val_as_str(const struct val *v)
{
    return (struct val_str *)(uintptr_t)v;
}
static inline struct val_arr *val_as_arr(const struct val *v)
{
    return (struct val_arr *)(uintptr_t)v;
}
static inline struct val_obj *val_as_obj(const struct val *v)
{
    return (struct val_obj *)(uintptr_t)v;
}
static inline double val_d(const struct val *v) // v is a number
{
    return v->sub ? val_as_num(v)->d : (double)val_as_num(v)->i;
}

struct val *val_real(double n); // also what is not finite; writers and val_num mend it
struct val *val_str_room(size_t n); // a string to be filled by its only owner
struct val *val_arr_room(size_t n); // empty, with room
struct val *val_obj_room(size_t n);
struct val *val_slice(const struct val *arr, size_t from, size_t to); // from <= to <= length
// Takes the item out of an array or object whose only owner the caller is: null stands there
// meanwhile. So it can be changed in place and put back.
struct val *val_lift_at(struct val *arr, size_t i);
struct val *val_lift(struct val *obj, struct bytes key); // NULL: absent
// Before item goes into v: false when that would nest too deep.
bool val_deepen(struct val *v, struct val *item);
// As val_put with a string value as key.
struct val *val_put_key(struct val *takes_obj, struct val *takes_key, struct val *takes_value);
// -1: absent.
ptrdiff_t val_find(const struct val_obj *o, struct bytes key);
// Of an object: indices of the members in the order of their keys. NULL: no memory; mem_free.
uint32_t *val_sorted(const struct val *obj);

#define VAL_NUM_MAX 32
size_t val_num_text(const struct val *num, char text[VAL_NUM_MAX]); // as jq writes it

#endif
