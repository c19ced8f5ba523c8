// proto_encode.c: JSON values into the wire format.
// SPDX-License-Identifier: Apache-2.0
#include "text/proto_priv.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int bad(struct err *e, const struct proto_field *f, const char *what)
{
    return err_set(e, E_INVALID, "field %.*s: %s", BYTES_FMT(f->json), what);
}

// A whole number given as a JSON number or as text.
static bool whole(const struct val *v, bool is_signed, uint64_t *ret)
{
    if (val_is_int(v)) {
        int64_t i = val_i64(v, 0);
        *ret = (uint64_t)i;
        return is_signed || i >= 0;
    }
    if (val_is(v, JSON_NUM)) {
        double d = val_dbl(v, 0);
        if (d != floor(d) || d < (is_signed ? -9223372036854775808.0 : 0) ||
            d >= (is_signed ? 9223372036854775808.0 : 18446744073709551616.0))
            return false;
        *ret = is_signed ? (uint64_t)(int64_t)d : (uint64_t)d;
        return true;
    }
    struct bytes t = val_bytes(v);
    bool minus = is_signed && t.n && *t.p == '-';
    uint64_t u;
    if (!bytes_u64(bytes_from(t, minus), &u) || (is_signed && u > (uint64_t)INT64_MAX + minus))
        return false;
    *ret = minus ? 0 - u : u;
    return true;
}

static bool floating(const struct val *v, double *ret)
{
    if (val_is(v, JSON_NUM)) {
        *ret = val_dbl(v, 0);
        return true;
    }
    struct bytes t = val_bytes(v);
    if (bytes_is(t, "NaN"))
        *ret = (double)NAN;
    else if (bytes_is(t, "Infinity") || bytes_is(t, "-Infinity"))
        *ret = *t.p == '-' ? -HUGE_VAL : HUGE_VAL;
    else {
        char *end = NULL;
        *ret = t.n ? strtod(t.p, &end) : 0;
        return t.n && end == t.p + t.n && t.p[0] != ' ';
    }
    return true;
}

static bool enum_number(const struct proto_enum *n, const struct val *v, uint64_t *ret)
{
    if (val_is_int(v)) {
        *ret = (uint64_t)val_i64(v, 0);
        return val_i64(v, 0) >= INT32_MIN && val_i64(v, 0) <= INT32_MAX;
    }
    for (size_t i = 0; val_is(v, JSON_STR) && i < n->count; i++)
        if (bytes_eq(n->values[i].name, val_bytes(v))) {
            *ret = (uint64_t)(int64_t)n->values[i].number;
            return true;
        }
    return false;
}

static int number_of(const struct proto_field *f, const struct val *v, uint64_t *ret, struct err *e)
{
    double d = 0;
    float x;
    uint32_t low = 0;
    int64_t i;
    switch (f->type) {
    case PROTO_DOUBLE:
    case PROTO_FLOAT:
        if (!floating(v, &d))
            return bad(e, f, "not a number");
        x = (float)d;
        memcpy(&low, &x, sizeof low);
        *ret = low;
        if (f->type == PROTO_DOUBLE)
            memcpy(ret, &d, sizeof d);
        return 0;
    case PROTO_BOOL:
        if (!val_is(v, JSON_BOOL))
            return bad(e, f, "neither true nor false");
        *ret = val_truthy(v);
        return 0;
    case PROTO_ENUM:
        return enum_number(f->enumeration, v, ret) ? 0 : bad(e, f, "none of its values");
    case PROTO_UINT64:
    case PROTO_FIXED64: return whole(v, false, ret) ? 0 : bad(e, f, "not a natural number");
    case PROTO_UINT32:
    case PROTO_FIXED32:
        return whole(v, false, ret) && *ret <= UINT32_MAX
                   ? 0
                   : bad(e, f, "not a natural number of 32 bits");
    case PROTO_INT64:
    case PROTO_SFIXED64:
    case PROTO_SINT64:
    case PROTO_INT32:
    case PROTO_SFIXED32:
    case PROTO_SINT32:
        if (!whole(v, true, ret))
            return bad(e, f, "not an integer");
        i = (int64_t)*ret;
        if ((f->type == PROTO_INT32 || f->type == PROTO_SFIXED32 || f->type == PROTO_SINT32) &&
            (i < INT32_MIN || i > INT32_MAX))
            return bad(e, f, "not an integer of 32 bits");
        if (f->type == PROTO_SINT32 || f->type == PROTO_SINT64)
            *ret = (uint64_t)i << 1 ^ (i < 0 ? UINT64_MAX : 0);
        return 0;
    case PROTO_UNKNOWN:
    case PROTO_STRING:
    case PROTO_GROUP:
    case PROTO_MESSAGE:
    case PROTO_BYTES: break;
    }
    return bad(e, f, "is no number");
}

static enum proto_wire put_number(const struct proto_field *f, uint64_t n, struct buf *out)
{
    char t[8];
    size_t size = 0;
    enum proto_wire wire = PROTO_VARINT;
    if (f->type == PROTO_DOUBLE || f->type == PROTO_FIXED64 || f->type == PROTO_SFIXED64)
        size = 8, wire = PROTO_I64;
    else if (f->type == PROTO_FLOAT || f->type == PROTO_FIXED32 || f->type == PROTO_SFIXED32)
        size = 4, wire = PROTO_I32;
    for (size_t i = 0; i < size; i++)
        t[i] = (char)(n >> (8 * i));
    if (out && size)
        (void)buf_add(out, t, size);
    else if (out)
        proto_put_varint(out, n);
    return wire;
}

// A length before what comes after it: written when that is known.
static void close_length(struct buf *out, size_t before)
{
    char t[10];
    size_t n = 0, length;
    if (out->failed)
        return;
    length = out->n - before;
    for (uint64_t v = length;; v >>= 7) {
        t[n++] = (char)(v < 0x80 ? v : v | 0x80);
        if (v < 0x80)
            break;
    }
    if (!buf_room(out, n))
        return;
    memmove(out->p + before + n, out->p + before, length);
    memcpy(out->p + before, t, n);
    out->n += n;
}

static int put_value(const struct proto_field *f, const struct val *v, int depth, struct buf *out,
                     struct err *e)
{
    uint64_t n = 0;
    int rc = 0;
    size_t before;
    if (proto_packable(f->type)) {
        if ((rc = number_of(f, v, &n, e)))
            return rc;
        proto_put_key(out, f->number, put_number(f, n, NULL));
        (void)put_number(f, n, out);
        return 0;
    }
    proto_put_key(out, f->number, PROTO_LEN);
    before = out->n;
    if (f->type == PROTO_MESSAGE) {
        rc = proto_encode_at(f->message, v, depth + 1, out, e);
        if (rc)
            (void)err_wrap(e, "%.*s", BYTES_FMT(f->json));
    } else if (!val_is(v, JSON_STR))
        rc = bad(e, f, "not a text");
    else if (f->type == PROTO_STRING)
        (void)buf_put(out, val_bytes(v));
    else if (proto_base64_get(out, val_bytes(v)) == E_PARSE)
        rc = bad(e, f, "not base64");
    close_length(out, before);
    return rc;
}

static bool is_default(const struct proto_field *f, const struct val *v)
{
    uint64_t n = 1;
    if (f->type == PROTO_STRING || f->type == PROTO_BYTES)
        return val_is(v, JSON_STR) && val_bytes(v).n == 0;
    return proto_packable(f->type) && !number_of(f, v, &n, NULL) && !n;
}

static int put_entry(const struct proto_field *f, struct bytes key, const struct val *value,
                     int depth, struct buf *out, struct err *e)
{
    const struct proto_field *k = &f->message->fields[0];
    AUTO(val)
    name = k->type == PROTO_BOOL && bytes_is(key, "true")    ? val_bool(true)
           : k->type == PROTO_BOOL && bytes_is(key, "false") ? val_bool(false)
                                                             : val_str(key);
    if (!name)
        return err_set(e, E_NOMEM, "no memory for a map");
    proto_put_key(out, f->number, PROTO_LEN);
    size_t before = out->n;
    int rc = put_value(k, name, depth + 1, out, e);
    if (!rc)
        rc = put_value(&f->message->fields[1], value, depth + 1, out, e);
    close_length(out, before);
    return rc;
}

static int put_list(const struct proto_field *f, const struct val *v, int depth, struct buf *out,
                    struct err *e)
{
    uint64_t n = 0;
    int rc = 0;
    size_t before = 0;
    if (!val_is(v, JSON_ARR))
        return bad(e, f, "not a list");
    if (f->packed && val_len(v)) {
        proto_put_key(out, f->number, PROTO_LEN);
        before = out->n;
    }
    for (size_t i = 0; !rc && i < val_len(v); i++) {
        if (f->packed) {
            rc = number_of(f, val_at(v, i), &n, e);
            if (!rc)
                (void)put_number(f, n, out);
        } else
            rc = put_value(f, val_at(v, i), depth, out, e);
        if (rc)
            (void)err_wrap(e, "item %zu", i);
    }
    if (f->packed && val_len(v))
        close_length(out, before);
    return rc;
}

static int put_field(const struct proto_field *f, const struct val *v, int depth, struct buf *out,
                     struct err *e)
{
    struct bytes key;
    struct val *item;
    int rc = 0;
    if (f->repeated && f->message && f->message->map_entry) {
        if (!val_is(v, JSON_OBJ))
            return bad(e, f, "not an object");
        for (size_t at = 0; !rc && val_each(v, &at, &key, &item);)
            rc = put_entry(f, key, item, depth, out, e);
        return rc;
    }
    if (f->repeated)
        return put_list(f, v, depth, out, e);
    if (!f->presence && is_default(f, v))
        return 0;
    return put_value(f, v, depth, out, e);
}

int proto_encode_at(const struct proto_message *m, const struct val *v, int depth, struct buf *out,
                    struct err *e)
{
    struct bytes key;
    struct val *item;
    int rc = 0;
    if (depth > PROTO_DEPTH_MAX)
        return err_set(e, E_TOOBIG, "messages are nested too deep");
    if (m->known != PROTO_PLAIN)
        return proto_known_encode(m, v, depth, out, e);
    if (!val_is(v, JSON_OBJ))
        return err_set(e, E_INVALID, "%.*s: not an object", BYTES_FMT(m->name));
    for (size_t at = 0; val_each(v, &at, &key, &item);)
        if (!proto_field_named(m, key))
            return err_set(e, E_INVALID, "%.*s has no field %.*s", BYTES_FMT(m->name),
                           BYTES_FMT(key));
    for (size_t i = 0; !rc && i < m->count; i++) {
        const struct proto_field *f = &m->fields[i];
        item = val_get(v, f->json);
        if (!item)
            item = val_get(v, f->name);
        if (item && (!val_is(item, JSON_NULL) ||
                     (f->message && f->message->known == PROTO_VALUE && !f->repeated)))
            rc = put_field(f, item, depth, out, e);
    }
    return rc;
}

int proto_encode(const struct proto_message *m, const struct val *v, struct buf *out, struct err *e)
{
    int rc = proto_encode_at(m, v, 0, out, e);
    if (!rc && out->failed)
        rc = err_set(e, out->failed, "the message is too large");
    if (rc)
        (void)err_wrap(e, "%.*s", BYTES_FMT(m->name));
    return rc;
}
