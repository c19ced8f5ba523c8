// proto_wire.c: the wire format (protobuf.dev, "Encoding"): cut into fields, and messages made of
// them and into them.
// SPDX-License-Identifier: Apache-2.0
#include "text/proto_priv.h"

#include "base/alloc.h"

#include <string.h>

#define BYTES_OUT_MAX ((size_t)1 << 30)

int proto_varint(struct bytes *rest, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 10 && i < rest->n; i++) {
        unsigned char c = (unsigned char)rest->p[i];
        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c < 0x80) {
            *ret = v;
            *rest = bytes_from(*rest, i + 1);
            return 0;
        }
    }
    return E_PARSE;
}

static uint64_t little(const char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

// What is in a group, up to its end; *rest after it.
static int group(struct bytes *rest, struct proto_slice *ret, int depth, struct err *e)
{
    struct proto_slice s;
    const char *begin = rest->p;
    uint32_t number = ret->number;
    if (depth >= PROTO_DEPTH_MAX)
        return err_set(e, E_TOOBIG, "groups are nested too deep");
    for (;;) {
        const char *before = rest->p;
        if (!rest->n)
            return err_set(e, E_PARSE, "a group does not end");
        int rc = proto_next(rest, &s, depth + 1, e);
        if (rc)
            return rc;
        if (s.wire != PROTO_EGROUP)
            continue;
        if (s.number != number || depth < 0)
            return err_set(e, E_PARSE, "a group ends that did not begin");
        ret->data = (struct bytes){begin, (size_t)(before - begin)};
        return 0;
    }
}

int proto_next(struct bytes *rest, struct proto_slice *ret, int depth, struct err *e)
{
    uint64_t key, n = 0;
    *ret = (struct proto_slice){.number = 0};
    if (proto_varint(rest, &key) || key >> 3 == 0 || key >> 3 > PROTO_NUMBER_MAX)
        return err_set(e, E_PARSE, "no field's key");
    ret->number = (uint32_t)(key >> 3);
    ret->wire = (enum proto_wire)(key & 7);
    switch (key & 7) {
    case PROTO_VARINT:
        if (proto_varint(rest, &ret->scalar))
            return err_set(e, E_PARSE, "field %u: no number", ret->number);
        return 0;
    case PROTO_I64: n = 8; break;
    case PROTO_I32: n = 4; break;
    case PROTO_LEN:
        if (proto_varint(rest, &n) || n > rest->n)
            return err_set(e, E_PARSE, "field %u is cut", ret->number);
        ret->data = bytes_first(*rest, (size_t)n);
        *rest = bytes_from(*rest, (size_t)n);
        return 0;
    case PROTO_SGROUP: return group(rest, ret, depth, e);
    case PROTO_EGROUP:
        return depth > 0 ? 0 : err_set(e, E_PARSE, "a group ends that did not begin");
    default: return err_set(e, E_PARSE, "field %u has no kind", ret->number);
    }
    if (n > rest->n)
        return err_set(e, E_PARSE, "field %u is cut", ret->number);
    ret->scalar = little(rest->p, (size_t)n);
    *rest = bytes_from(*rest, (size_t)n);
    return 0;
}

void proto_put_varint(struct buf *out, uint64_t v)
{
    char t[10];
    size_t n = 0;
    while (v >= 0x80) {
        t[n++] = (char)(v | 0x80);
        v >>= 7;
    }
    t[n++] = (char)v;
    (void)buf_add(out, t, n);
}

void proto_put_key(struct buf *out, uint32_t number, enum proto_wire wire)
{
    proto_put_varint(out, (uint64_t)number << 3 | wire);
}

// ---- decoding -----------------------------------------------------------------------------------

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "no memory for a message");
}

static enum proto_wire wire_of(enum proto_type t)
{
    switch (t) {
    case PROTO_DOUBLE:
    case PROTO_FIXED64:
    case PROTO_SFIXED64: return PROTO_I64;
    case PROTO_FLOAT:
    case PROTO_FIXED32:
    case PROTO_SFIXED32: return PROTO_I32;
    case PROTO_STRING:
    case PROTO_MESSAGE:
    case PROTO_BYTES: return PROTO_LEN;
    case PROTO_GROUP: return PROTO_SGROUP;
    case PROTO_UNKNOWN:
    case PROTO_INT64:
    case PROTO_UINT64:
    case PROTO_INT32:
    case PROTO_BOOL:
    case PROTO_UINT32:
    case PROTO_ENUM:
    case PROTO_SINT32:
    case PROTO_SINT64: break;
    }
    return PROTO_VARINT;
}

static struct val *text_i64(int64_t v)
{
    struct buf b;
    buf_init(&b, 32);
    (void)buf_i64(&b, v);
    struct val *s = val_str(buf_bytes(&b));
    buf_fini(&b);
    return s;
}

static struct val *text_u64(uint64_t v)
{
    struct buf b;
    buf_init(&b, 32);
    (void)buf_u64(&b, v);
    struct val *s = val_str(buf_bytes(&b));
    buf_fini(&b);
    return s;
}

static struct val *of_double(double d)
{
    if (d != d)
        return val_cstr("NaN");
    if (d > 1.7976931348623157e308 || d < -1.7976931348623157e308)
        return val_cstr(d > 0 ? "Infinity" : "-Infinity");
    return val_num(d);
}

static struct val *of_base64(struct bytes data)
{
    struct buf b;
    buf_init(&b, BYTES_OUT_MAX);
    proto_base64_put(&b, data);
    struct val *s = b.failed ? NULL : val_str(buf_bytes(&b));
    buf_fini(&b);
    return s;
}

static struct val *of_enum(const struct proto_enum *n, int32_t number)
{
    for (size_t i = 0; n && i < n->count; i++)
        if (n->values[i].number == number)
            return val_str(n->values[i].name);
    return val_int(number);
}

static int64_t zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

int proto_scalar_decode(const struct proto_field *f, const struct proto_slice *s, int depth,
                        struct val **ret, struct err *e)
{
    struct val *v = NULL;
    double d;
    float x;
    uint32_t low = (uint32_t)s->scalar;
    switch (f->type) {
    case PROTO_DOUBLE:
        memcpy(&d, &s->scalar, sizeof d);
        v = of_double(d);
        break;
    case PROTO_FLOAT:
        memcpy(&x, &low, sizeof x);
        v = of_double((double)x);
        break;
    case PROTO_INT64:
    case PROTO_SFIXED64: v = text_i64((int64_t)s->scalar); break;
    case PROTO_UINT64:
    case PROTO_FIXED64: v = text_u64(s->scalar); break;
    case PROTO_INT32:
    case PROTO_SFIXED32: v = val_int((int32_t)low); break;
    case PROTO_UINT32:
    case PROTO_FIXED32: v = val_int(low); break;
    case PROTO_SINT32: v = val_int((int32_t)zigzag(low)); break;
    case PROTO_SINT64: v = text_i64(zigzag(s->scalar)); break;
    case PROTO_BOOL: v = val_bool(s->scalar != 0); break;
    case PROTO_ENUM: v = of_enum(f->enumeration, (int32_t)low); break;
    case PROTO_STRING:
        if (!bytes_is_utf8(s->data))
            return err_set(e, E_PARSE, "field %.*s: not UTF-8", BYTES_FMT(f->name));
        v = val_str(s->data);
        break;
    case PROTO_BYTES: v = of_base64(s->data); break;
    case PROTO_MESSAGE: return proto_decode_at(f->message, s->data, depth + 1, ret, e);
    case PROTO_UNKNOWN:
    case PROTO_GROUP: return err_set(e, E_UNSUPPORTED, "field %.*s", BYTES_FMT(f->name));
    }
    if (!v)
        return no_memory(e);
    *ret = v;
    return 0;
}

static bool is_default(const struct proto_field *f, const struct proto_slice *s)
{
    if (wire_of(f->type) == PROTO_LEN)
        return s->data.n == 0;
    return s->scalar == 0 || (f->type == PROTO_BOOL && !s->scalar);
}

// The value an absent field has, for the values of map entries.
static struct val *default_of(const struct proto_field *f, int depth)
{
    struct val *v = NULL;
    struct proto_slice none = {.data = BYTES("")};
    (void)proto_scalar_decode(f, &none, depth, &v, NULL);
    return v;
}

static int decode_entry(const struct proto_message *m, struct bytes wire, int depth,
                        struct val **into, struct err *e)
{
    AUTO(val) key = NULL;
    AUTO(val) value = NULL;
    struct proto_slice s;
    while (wire.n) {
        int rc = proto_next(&wire, &s, 0, e);
        if (rc)
            return rc;
        struct val **to = s.number == 1 ? &key : s.number == 2 ? &value : NULL;
        if (!to || s.wire != wire_of(m->fields[s.number - 1].type))
            continue;
        struct val *v = NULL;
        if ((rc = proto_scalar_decode(&m->fields[s.number - 1], &s, depth, &v, e)))
            return rc;
        val_unref(*to);
        *to = v;
    }
    if (!key)
        key = default_of(&m->fields[0], depth);
    if (!value)
        value = default_of(&m->fields[1], depth);
    if (!key || !value)
        return no_memory(e);
    struct buf name;
    buf_init(&name, BYTES_OUT_MAX);
    if (val_is(key, JSON_STR))
        (void)buf_put(&name, val_bytes(key));
    else
        (void)val_write(&name, key);
    *into =
        name.failed ? (val_unref(*into), NULL) : val_put(*into, buf_bytes(&name), steal(&value));
    buf_fini(&name);
    return *into ? 0 : no_memory(e);
}

// Takes old, the value of the field up to now: lists and maps grow, messages are merged as the
// wire format asks (a field that comes twice: the later one), which JSON cannot: later wins.
static int decode_field(const struct proto_field *f, const struct proto_slice *s, int depth,
                        struct val **slot, struct err *e)
{
    struct val *v = NULL;
    int rc = 0;
    if (f->message && f->message->map_entry && f->repeated) {
        if (s->wire != PROTO_LEN)
            return 0;
        if (!*slot && !(*slot = val_obj()))
            return no_memory(e);
        return depth > PROTO_DEPTH_MAX ? err_set(e, E_TOOBIG, "nested too deep")
                                       : decode_entry(f->message, s->data, depth + 1, slot, e);
    }
    if (f->repeated && s->wire == PROTO_LEN && proto_packable(f->type)) {
        if (!*slot && !(*slot = val_arr()))
            return no_memory(e);
        enum proto_wire w = wire_of(f->type);
        for (struct bytes rest = s->data; rest.n;) {
            struct proto_slice item = {.number = s->number, .wire = w};
            size_t n = w == PROTO_I64 ? 8 : 4;
            if (w == PROTO_VARINT ? proto_varint(&rest, &item.scalar) : rest.n < n)
                return err_set(e, E_PARSE, "field %.*s is cut", BYTES_FMT(f->name));
            if (w != PROTO_VARINT) {
                item.scalar = little(rest.p, n);
                rest = bytes_from(rest, n);
            }
            if ((rc = proto_scalar_decode(f, &item, depth, &v, e)))
                return rc;
            if (!(*slot = val_push(*slot, v)))
                return no_memory(e);
        }
        return 0;
    }
    if (s->wire != wire_of(f->type)) // as an unknown field
        return 0;
    if (!f->repeated && !f->presence && is_default(f, s)) {
        val_unref(*slot);
        *slot = NULL;
        return 0;
    }
    if ((rc = proto_scalar_decode(f, s, depth, &v, e)))
        return rc;
    if (f->repeated) {
        if (!*slot && !(*slot = val_arr())) {
            val_unref(v);
            return no_memory(e);
        }
        *slot = val_push(*slot, v);
        return *slot ? 0 : no_memory(e);
    }
    val_unref(*slot);
    *slot = v;
    return 0;
}

static void drop_oneof(const struct proto_message *m, const struct proto_field *f,
                       struct val **slots)
{
    for (size_t i = 0; f->oneof >= 0 && i < m->count; i++)
        if (m->fields[i].oneof == f->oneof && &m->fields[i] != f) {
            val_unref(slots[i]);
            slots[i] = NULL;
        }
}

#define FIELDS_MAX 512

static int gather(const struct proto_message *m, struct val **slots, struct val **ret,
                  struct err *e)
{
    struct val *o = val_obj();
    for (size_t i = 0; o && i < m->count; i++)
        if (slots[i])
            o = val_put(o, m->fields[i].json, val_ref(slots[i]));
    if (!o)
        return no_memory(e);
    *ret = o;
    return 0;
}

int proto_decode_at(const struct proto_message *m, struct bytes wire, int depth, struct val **ret,
                    struct err *e)
{
    if (depth > PROTO_DEPTH_MAX)
        return err_set(e, E_TOOBIG, "messages are nested too deep");
    if (m->known != PROTO_PLAIN)
        return proto_known_decode(m, wire, depth, ret, e);
    if (m->count > FIELDS_MAX)
        return err_set(e, E_UNSUPPORTED, "%.*s has too many fields", BYTES_FMT(m->name));
    struct val *slots[m->count ? m->count : 1];
    struct proto_slice s;
    int rc = 0;
    memset(slots, 0, sizeof slots);
    while (!rc && wire.n) {
        rc = proto_next(&wire, &s, 0, e);
        const struct proto_field *f = rc ? NULL : proto_field_numbered(m, s.number);
        if (!f)
            continue;
        rc = decode_field(f, &s, depth, &slots[f - m->fields], e);
        drop_oneof(m, f, slots);
        if (rc)
            (void)err_wrap(e, "%.*s", BYTES_FMT(f->json));
    }
    if (!rc)
        rc = gather(m, slots, ret, e);
    for (size_t i = 0; i < m->count; i++)
        val_unref(slots[i]);
    return rc;
}

int proto_decode(const struct proto_message *m, struct bytes wire, struct val **ret, struct err *e)
{
    int rc = proto_decode_at(m, wire, 0, ret, e);
    if (rc)
        (void)err_wrap(e, "%.*s", BYTES_FMT(m->name));
    return rc;
}
