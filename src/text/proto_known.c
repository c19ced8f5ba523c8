// proto_known.c: google.protobuf's well-known types, which JSON shows in a way of their own:
// times, durations, Any, Struct, wrappers, field masks.
// SPDX-License-Identifier: Apache-2.0
#include "text/proto_priv.h"

#include "base/alloc.h"

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "no memory for a message");
}

static int text_done(struct buf *b, struct val **ret, struct err *e)
{
    struct val *v = b->failed ? NULL : val_str(buf_bytes(b));
    buf_fini(b);
    if (!v)
        return no_memory(e);
    *ret = v;
    return 0;
}

// ---- Timestamp, Duration ------------------------------------------------------------------------

#define SECONDS_MIN (-62135596800) // 0001-01-01T00:00:00Z
#define SECONDS_MAX 253402300799   // 9999-12-31T23:59:59Z
#define DURATION_MAX 315576000000  // 10,000 years, as duration.proto says

static int decode_seconds(const struct proto_message *m, struct bytes wire, struct val **ret,
                          struct err *e)
{
    struct proto_slice s;
    int64_t seconds = 0;
    int32_t ns = 0;
    struct buf b;
    while (wire.n) {
        int rc = proto_next(&wire, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 1)
            seconds = (int64_t)s.scalar;
        if (s.number == 2)
            ns = (int32_t)s.scalar;
    }
    bool time = m->known == PROTO_TIMESTAMP;
    if (ns > 999999999 || ns < (time ? 0 : -999999999) ||
        seconds < (time ? SECONDS_MIN : -DURATION_MAX) ||
        seconds > (time ? SECONDS_MAX : DURATION_MAX) || (!time && seconds > 0 && ns < 0) ||
        (!time && seconds < 0 && ns > 0))
        return err_set(e, E_PARSE, "%s out of range", time ? "a time" : "a duration");
    buf_init(&b, 64);
    if (time)
        proto_time_put(&b, seconds, ns);
    else
        proto_duration_put(&b, seconds, ns);
    return text_done(&b, ret, e);
}

static int encode_seconds(const struct proto_message *m, const struct val *v, struct buf *out,
                          struct err *e)
{
    int64_t s;
    int32_t ns;
    bool time = m->known == PROTO_TIMESTAMP;
    if (time ? proto_time_get(val_bytes(v), &s, &ns) : proto_duration_get(val_bytes(v), &s, &ns))
        return err_set(e, E_INVALID, time ? "no time in RFC 3339" : "no duration like \"3.5s\"");
    if (s) {
        proto_put_key(out, 1, PROTO_VARINT);
        proto_put_varint(out, (uint64_t)s);
    }
    if (ns) {
        proto_put_key(out, 2, PROTO_VARINT);
        proto_put_varint(out, (uint64_t)(int64_t)ns);
    }
    return 0;
}

static void put_fraction(struct buf *out, uint32_t ns)
{
    if (!ns)
        return;
    if (ns % 1000000 == 0)
        (void)buf_fmt(out, ".%03u", ns / 1000000);
    else if (ns % 1000 == 0)
        (void)buf_fmt(out, ".%06u", ns / 1000);
    else
        (void)buf_fmt(out, ".%09u", ns);
}

// Days since 1970 ↔ civil date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

void proto_time_put(struct buf *out, int64_t s, int32_t ns)
{
    int64_t days = s / 86400 - (s % 86400 < 0), rest = s - days * 86400, z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    (void)buf_fmt(out, "%04lld-%02u-%02uT%02u:%02u:%02u",
                  (long long)yoe + (long long)era * 400 + (month <= 2), month,
                  doy - (153 * mp + 2) / 5 + 1, (unsigned)(rest / 3600), (unsigned)(rest / 60 % 60),
                  (unsigned)(rest % 60));
    put_fraction(out, (uint32_t)ns);
    (void)buf_chr(out, 'Z');
}

static bool digits(struct bytes *in, size_t n, unsigned *ret)
{
    *ret = 0;
    if (in->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (in->p[i] < '0' || in->p[i] > '9')
            return false;
        *ret = *ret * 10 + (unsigned)(in->p[i] - '0');
    }
    *in = bytes_from(*in, n);
    return true;
}

static bool literal(struct bytes *in, char c)
{
    if (!in->n || (*in->p != c && (c < 'A' || *in->p != c + 32)))
        return false;
    *in = bytes_from(*in, 1);
    return true;
}

static bool fraction(struct bytes *in, int32_t *ret_ns) // ".5", at most 9 digits
{
    size_t n = 0;
    int32_t v = 0;
    *ret_ns = 0;
    if (!in->n || *in->p != '.')
        return true;
    *in = bytes_from(*in, 1);
    for (; in->n && *in->p >= '0' && *in->p <= '9'; n++, *in = bytes_from(*in, 1))
        if (n < 9)
            v = v * 10 + (*in->p - '0');
    for (size_t i = n; i < 9; i++)
        v *= 10;
    *ret_ns = v;
    return n >= 1 && n <= 9;
}

int proto_time_get(struct bytes in, int64_t *ret_s, int32_t *ret_ns)
{
    unsigned y, mo, d, h, mi, s, oh = 0, om = 0;
    int32_t ns;
    static const unsigned char length[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!digits(&in, 4, &y) || !literal(&in, '-') || !digits(&in, 2, &mo) || !literal(&in, '-') ||
        !digits(&in, 2, &d) || !literal(&in, 'T') || !digits(&in, 2, &h) || !literal(&in, ':') ||
        !digits(&in, 2, &mi) || !literal(&in, ':') || !digits(&in, 2, &s) || !fraction(&in, &ns) ||
        !in.n)
        return E_PARSE;
    char zone = *in.p;
    in = bytes_from(in, 1);
    if (zone == '+' || zone == '-') {
        if (!digits(&in, 2, &oh) || !literal(&in, ':') || !digits(&in, 2, &om))
            return E_PARSE;
    } else if (zone != 'Z' && zone != 'z')
        return E_PARSE;
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (in.n || !y || !mo || mo > 12 || !d || d > length[mo - 1] || (mo == 2 && d == 29 && !leap) ||
        h > 23 || mi > 59 || s > 59 || oh > 23 || om > 59)
        return E_PARSE;
    int64_t offset = (int64_t)(oh * 3600 + om * 60) * (zone == '-' ? -1 : 1);
    int64_t t = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset;
    if (t < SECONDS_MIN || t > SECONDS_MAX)
        return E_PARSE;
    *ret_s = t;
    *ret_ns = ns;
    return 0;
}

void proto_duration_put(struct buf *out, int64_t s, int32_t ns)
{
    if (s < 0 || ns < 0)
        (void)buf_chr(out, '-');
    (void)buf_u64(out, (uint64_t)(s < 0 ? -s : s));
    put_fraction(out, (uint32_t)(ns < 0 ? -ns : ns));
    (void)buf_chr(out, 's');
}

int proto_duration_get(struct bytes in, int64_t *ret_s, int32_t *ret_ns)
{
    bool minus = in.n && *in.p == '-';
    size_t n = 0;
    uint64_t s;
    int32_t ns;
    in = bytes_from(in, minus);
    while (n < in.n && in.p[n] >= '0' && in.p[n] <= '9')
        n++;
    if (!bytes_u64(bytes_first(in, n), &s) || s > DURATION_MAX)
        return E_PARSE;
    in = bytes_from(in, n);
    if (!fraction(&in, &ns) || !bytes_is(in, "s"))
        return E_PARSE;
    *ret_s = minus ? -(int64_t)s : (int64_t)s;
    *ret_ns = minus ? -ns : ns;
    return 0;
}

// ---- Any ----------------------------------------------------------------------------------------

static const struct proto_message *any_type(const struct proto_message *m, struct bytes url)
{
    for (ptrdiff_t at; (at = bytes_chr(url, '/')) >= 0;)
        url = bytes_from(url, (size_t)at + 1);
    return proto_message(m->set, url);
}

static int decode_any(const struct proto_message *m, struct bytes wire, int depth, struct val **ret,
                      struct err *e)
{
    struct proto_slice s;
    struct bytes url = BYTES_NONE, data = BYTES_NONE;
    AUTO(val) inside = NULL;
    while (wire.n) {
        int rc = proto_next(&wire, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 1)
            url = s.data;
        if (s.number == 2)
            data = s.data;
    }
    const struct proto_message *t = any_type(m, url);
    struct val *o = val_put_cstr(val_obj(), "@type", val_str(url));
    if (t) {
        int rc = proto_decode_at(t, data, depth + 1, &inside, e);
        if (rc) {
            val_unref(o);
            return rc;
        }
    }
    if (t && t->known == PROTO_PLAIN) {
        struct bytes key;
        struct val *v;
        for (size_t at = 0; o && val_each(inside, &at, &key, &v);)
            o = val_put(o, key, val_ref(v));
    } else if (t)
        o = val_put_cstr(o, "value", steal(&inside));
    else { // of a type that is not known: its bytes
        struct buf b;
        buf_init(&b, (size_t)1 << 30);
        proto_base64_put(&b, data);
        o = val_put_cstr(o, "value", b.failed ? NULL : val_str(buf_bytes(&b)));
        buf_fini(&b);
    }
    if (!o)
        return no_memory(e);
    *ret = o;
    return 0;
}

static int encode_any(const struct proto_message *m, const struct val *v, int depth,
                      struct buf *out, struct err *e)
{
    struct bytes url = val_bytes(val_get_cstr(v, "@type"));
    const struct proto_message *t = any_type(m, url);
    struct buf inside;
    int rc = 0;
    if (!val_len(v))
        return 0;
    if (!url.n)
        return err_set(e, E_INVALID, "@type is missing");
    buf_init(&inside, out->max);
    if (!t)
        rc = proto_base64_get(&inside, val_bytes(val_get_cstr(v, "value")));
    else if (t->known != PROTO_PLAIN)
        rc = proto_encode_at(t, val_get_cstr(v, "value"), depth + 1, &inside, e);
    else {
        AUTO(val) bare = val_del(val_ref((struct val *)(uintptr_t)v), BYTES("@type"));
        rc = bare ? proto_encode_at(t, bare, depth + 1, &inside, e) : no_memory(e);
    }
    if (!rc)
        rc = inside.failed;
    if (rc && !t)
        (void)err_set(e, rc, "Any of %.*s: value is not base64", BYTES_FMT(url));
    proto_put_key(out, 1, PROTO_LEN);
    proto_put_varint(out, url.n);
    (void)buf_put(out, url);
    if (inside.n) {
        proto_put_key(out, 2, PROTO_LEN);
        proto_put_varint(out, inside.n);
        (void)buf_put(out, buf_bytes(&inside));
    }
    buf_fini(&inside);
    return rc == E_PARSE ? E_INVALID : rc;
}

// ---- Struct, Value, ListValue -------------------------------------------------------------------

static int decode_value(struct bytes wire, int depth, struct val **ret, struct err *e);

static int decode_struct(struct bytes wire, int depth, struct val **ret, struct err *e)
{
    struct proto_slice s;
    AUTO(val) o = val_obj();
    if (depth > PROTO_DEPTH_MAX)
        return err_set(e, E_TOOBIG, "nested too deep");
    while (wire.n) {
        struct bytes key = BYTES_NONE, value = BYTES_NONE;
        struct val *v = NULL;
        int rc = proto_next(&wire, &s, 0, e);
        for (struct bytes entry = s.data; !rc && entry.n;) {
            struct proto_slice part;
            rc = proto_next(&entry, &part, 0, e);
            if (part.number == 1)
                key = part.data;
            if (part.number == 2)
                value = part.data;
        }
        if (!rc && !bytes_is_utf8(key))
            rc = err_set(e, E_PARSE, "a name is not UTF-8");
        if (!rc && s.number == 1)
            rc = decode_value(value, depth + 1, &v, e);
        if (rc)
            return rc;
        if (s.number == 1)
            o = val_put(steal(&o), key, v);
        if (!o)
            return no_memory(e);
    }
    if (!o)
        return no_memory(e);
    *ret = steal(&o);
    return 0;
}

static int decode_list(struct bytes wire, int depth, struct val **ret, struct err *e)
{
    struct proto_slice s;
    AUTO(val) a = val_arr();
    if (depth > PROTO_DEPTH_MAX)
        return err_set(e, E_TOOBIG, "nested too deep");
    while (wire.n) {
        struct val *v = NULL;
        int rc = proto_next(&wire, &s, 0, e);
        if (!rc && s.number == 1)
            rc = decode_value(s.data, depth + 1, &v, e);
        if (rc)
            return rc;
        if (s.number == 1)
            a = val_push(steal(&a), v);
        if (!a)
            return no_memory(e);
    }
    if (!a)
        return no_memory(e);
    *ret = steal(&a);
    return 0;
}

static int decode_value(struct bytes wire, int depth, struct val **ret, struct err *e)
{
    static const struct proto_field number = {.name = {"number_value", 12}, .type = PROTO_DOUBLE},
                                    text = {.name = {"string_value", 12}, .type = PROTO_STRING};
    struct proto_slice s = {.number = 0};
    AUTO(val) v = NULL;
    while (wire.n) {
        struct val *part = NULL;
        int rc = proto_next(&wire, &s, 0, e);
        if (rc)
            return rc;
        switch (s.number) {
        case 2: rc = proto_scalar_decode(&number, &s, depth, &part, e); break;
        case 3: rc = proto_scalar_decode(&text, &s, depth, &part, e); break;
        case 4: part = val_bool(s.scalar != 0); break;
        case 5: rc = decode_struct(s.data, depth + 1, &part, e); break;
        case 6: rc = decode_list(s.data, depth + 1, &part, e); break;
        default: part = val_null(); break;
        }
        if (rc || !part)
            return rc ? rc : no_memory(e);
        val_unref(v);
        v = part;
    }
    if (!v)
        v = val_null();
    if (!v)
        return no_memory(e);
    *ret = steal(&v);
    return 0;
}

static int encode_value(const struct val *v, int depth, struct buf *out, struct err *e);

static int encode_part(struct buf *out, uint32_t number,
                       int (*fn)(const struct val *, int, struct buf *, struct err *),
                       const struct val *v, int depth, struct err *e)
{
    struct buf inside;
    buf_init(&inside, out->max);
    int rc = fn(v, depth + 1, &inside, e);
    proto_put_key(out, number, PROTO_LEN);
    proto_put_varint(out, inside.n);
    (void)buf_put(out, buf_bytes(&inside));
    if (inside.failed && !out->failed)
        out->failed = inside.failed;
    buf_fini(&inside);
    return rc;
}

static int encode_struct(const struct val *v, int depth, struct buf *out, struct err *e)
{
    struct bytes key;
    struct val *item;
    int rc = 0;
    if (!val_is(v, JSON_OBJ) || depth > PROTO_DEPTH_MAX)
        return err_set(e, E_INVALID, "not an object, or nested too deep");
    for (size_t at = 0; !rc && val_each(v, &at, &key, &item);) {
        struct buf entry;
        buf_init(&entry, out->max);
        proto_put_key(&entry, 1, PROTO_LEN);
        proto_put_varint(&entry, key.n);
        (void)buf_put(&entry, key);
        rc = encode_part(&entry, 2, encode_value, item, depth, e);
        proto_put_key(out, 1, PROTO_LEN);
        proto_put_varint(out, entry.n);
        (void)buf_put(out, buf_bytes(&entry));
        if (entry.failed && !out->failed)
            out->failed = entry.failed;
        buf_fini(&entry);
    }
    return rc;
}

static int encode_list(const struct val *v, int depth, struct buf *out, struct err *e)
{
    int rc = 0;
    if (!val_is(v, JSON_ARR) || depth > PROTO_DEPTH_MAX)
        return err_set(e, E_INVALID, "not a list, or nested too deep");
    for (size_t i = 0; !rc && i < val_len(v); i++)
        rc = encode_part(out, 1, encode_value, val_at(v, i), depth, e);
    return rc;
}

static int encode_value(const struct val *v, int depth, struct buf *out, struct err *e)
{
    union {
        double d;
        uint64_t u;
    } n;
    switch (v ? val_kind(v) : JSON_NULL) {
    case JSON_NULL:
        proto_put_key(out, 1, PROTO_VARINT);
        proto_put_varint(out, 0);
        return 0;
    case JSON_NUM:
        n.d = val_dbl(v, 0);
        proto_put_key(out, 2, PROTO_I64);
        for (unsigned i = 0; i < 64; i += 8)
            (void)buf_chr(out, (char)(n.u >> i));
        return 0;
    case JSON_STR:
        proto_put_key(out, 3, PROTO_LEN);
        proto_put_varint(out, val_bytes(v).n);
        (void)buf_put(out, val_bytes(v));
        return 0;
    case JSON_BOOL:
        proto_put_key(out, 4, PROTO_VARINT);
        proto_put_varint(out, val_truthy(v));
        return 0;
    case JSON_OBJ: return encode_part(out, 5, encode_struct, v, depth, e);
    case JSON_ARR: return encode_part(out, 6, encode_list, v, depth, e);
    default: break;
    }
    return 0;
}

// ---- wrappers, FieldMask ------------------------------------------------------------------------

static int decode_wrapper(const struct proto_message *m, struct bytes wire, int depth,
                          struct val **ret, struct err *e)
{
    const struct proto_field *f = &m->fields[0];
    struct proto_slice s, value = {.number = 1, .data = BYTES("")};
    while (wire.n) {
        int rc = proto_next(&wire, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 1)
            value = s;
    }
    return proto_scalar_decode(f, &value, depth, ret, e);
}

static int encode_wrapper(const struct proto_message *m, const struct val *v, int depth,
                          struct buf *out, struct err *e)
{
    struct proto_message plain = *m;
    plain.known = PROTO_PLAIN;
    AUTO(val) o = val_put_cstr(val_obj(), "value", val_ref((struct val *)(uintptr_t)v));
    return o ? proto_encode_at(&plain, o, depth, out, e) : no_memory(e);
}

static int decode_mask(struct bytes wire, struct val **ret, struct err *e)
{
    struct proto_slice s;
    struct buf b;
    buf_init(&b, (size_t)1 << 24);
    while (wire.n) {
        int rc = proto_next(&wire, &s, 0, e);
        if (rc || (s.number == 1 && !bytes_is_utf8(s.data))) {
            buf_fini(&b);
            return rc ? rc : err_set(e, E_PARSE, "a path is not UTF-8");
        }
        if (s.number != 1)
            continue;
        if (b.n)
            (void)buf_chr(&b, ',');
        for (size_t i = 0; i < s.data.n; i++) {
            bool up = s.data.p[i] == '_' && i + 1 < s.data.n && s.data.p[i + 1] >= 'a' &&
                      s.data.p[i + 1] <= 'z';
            i += up;
            (void)buf_chr(&b, up ? (char)(s.data.p[i] - 32) : s.data.p[i]);
        }
    }
    return text_done(&b, ret, e);
}

static int encode_mask(const struct val *v, struct buf *out, struct err *e)
{
    struct bytes rest = val_bytes(v);
    if (!val_is(v, JSON_STR))
        return err_set(e, E_INVALID, "a field mask is a text");
    while (rest.n) {
        struct bytes part = bytes_cut(&rest, ',');
        struct buf b;
        buf_init(&b, (size_t)1 << 24);
        for (size_t i = 0; i < part.n; i++) {
            bool up = part.p[i] >= 'A' && part.p[i] <= 'Z';
            if (up)
                (void)buf_chr(&b, '_');
            (void)buf_chr(&b, up ? (char)(part.p[i] + 32) : part.p[i]);
        }
        proto_put_key(out, 1, PROTO_LEN);
        proto_put_varint(out, b.n);
        (void)buf_put(out, buf_bytes(&b));
        buf_fini(&b);
    }
    return 0;
}

int proto_known_decode(const struct proto_message *m, struct bytes wire, int depth,
                       struct val **ret, struct err *e)
{
    switch (m->known) {
    case PROTO_TIMESTAMP:
    case PROTO_DURATION: return decode_seconds(m, wire, ret, e);
    case PROTO_ANY: return decode_any(m, wire, depth, ret, e);
    case PROTO_STRUCT: return decode_struct(wire, depth, ret, e);
    case PROTO_VALUE: return decode_value(wire, depth, ret, e);
    case PROTO_LIST: return decode_list(wire, depth, ret, e);
    case PROTO_WRAPPER: return decode_wrapper(m, wire, depth, ret, e);
    case PROTO_MASK: return decode_mask(wire, ret, e);
    case PROTO_PLAIN: break;
    }
    return err_set(e, E_INTERNAL, "not a well-known type");
}

int proto_known_encode(const struct proto_message *m, const struct val *v, int depth,
                       struct buf *out, struct err *e)
{
    switch (m->known) {
    case PROTO_TIMESTAMP:
    case PROTO_DURATION: return encode_seconds(m, v, out, e);
    case PROTO_ANY: return encode_any(m, v, depth, out, e);
    case PROTO_STRUCT: return encode_struct(v, depth, out, e);
    case PROTO_VALUE: return encode_value(v, depth, out, e);
    case PROTO_LIST: return encode_list(v, depth, out, e);
    case PROTO_WRAPPER: return encode_wrapper(m, v, depth, out, e);
    case PROTO_MASK: return encode_mask(v, out, e);
    case PROTO_PLAIN: break;
    }
    return err_set(e, E_INTERNAL, "not a well-known type");
}

// ---- base64 -------------------------------------------------------------------------------------

void proto_base64_put(struct buf *out, struct bytes in)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *t = buf_room(out, (in.n + 2) / 3 * 4);
    if (!t)
        return;
    for (size_t i = 0; i < in.n; i += 3) {
        uint32_t v = (uint32_t)(unsigned char)in.p[i] << 16;
        if (i + 1 < in.n)
            v |= (uint32_t)(unsigned char)in.p[i + 1] << 8;
        if (i + 2 < in.n)
            v |= (unsigned char)in.p[i + 2];
        *t++ = digit[v >> 18];
        *t++ = digit[v >> 12 & 63];
        *t++ = i + 1 < in.n ? digit[v >> 6 & 63] : '=';
        *t++ = i + 2 < in.n ? digit[v & 63] : '=';
    }
    out->n += (in.n + 2) / 3 * 4;
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int proto_base64_get(struct buf *out, struct bytes text)
{
    uint32_t v = 0;
    unsigned bits = 0;
    while (text.n && text.p[text.n - 1] == '=')
        text.n--;
    if (text.n % 4 == 1)
        return E_PARSE;
    char *t = buf_room(out, text.n / 4 * 3 + 3);
    if (!t)
        return out->failed;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit_of(text.p[i]);
        if (d < 0)
            return E_PARSE;
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *t++ = (char)(v >> bits);
        }
    }
    out->n = (size_t)(t - out->p);
    return 0;
}
