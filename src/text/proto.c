// proto.c: a set of types: made of a FileDescriptorSet (google/protobuf/descriptor.proto), linked,
// asked.
// SPDX-License-Identifier: Apache-2.0
#include "text/proto_priv.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "the types need more memory than allowed");
}

struct bytes proto_join(struct proto *p, struct bytes scope, struct bytes name)
{
    char *t = arena_alloc(p->arena, scope.n + name.n + 2);
    if (!t)
        return BYTES_NONE;
    if (scope.n) {
        memcpy(t, scope.p, scope.n);
        t[scope.n++] = '.';
    }
    if (name.n)
        memcpy(t + scope.n, name.p, name.n);
    t[scope.n + name.n] = 0;
    return (struct bytes){t, scope.n + name.n};
}

static void *grow(struct arena *a, void *old, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return old;
    size_t more = *cap ? *cap * 2 : 8;
    void *p = arena_zalloc(a, more * size);
    if (!p)
        return NULL;
    if (count)
        memcpy(p, old, count * size);
    *cap = more;
    return p;
}

static const struct {
    const char *name;
    enum proto_known known;
} known[] = {
    {"google.protobuf.Timestamp", PROTO_TIMESTAMP},
    {"google.protobuf.Duration", PROTO_DURATION},
    {"google.protobuf.Any", PROTO_ANY},
    {"google.protobuf.Struct", PROTO_STRUCT},
    {"google.protobuf.Value", PROTO_VALUE},
    {"google.protobuf.ListValue", PROTO_LIST},
    {"google.protobuf.FieldMask", PROTO_MASK},
    {"google.protobuf.Empty", PROTO_PLAIN},
};
static const struct {
    const char *name;
    enum proto_type type;
} wrappers[] = {
    {"google.protobuf.DoubleValue", PROTO_DOUBLE}, {"google.protobuf.FloatValue", PROTO_FLOAT},
    {"google.protobuf.Int64Value", PROTO_INT64},   {"google.protobuf.UInt64Value", PROTO_UINT64},
    {"google.protobuf.Int32Value", PROTO_INT32},   {"google.protobuf.UInt32Value", PROTO_UINT32},
    {"google.protobuf.BoolValue", PROTO_BOOL},     {"google.protobuf.StringValue", PROTO_STRING},
    {"google.protobuf.BytesValue", PROTO_BYTES},
};

static bool is_known(struct bytes name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_is(name, known[i].name))
            return true;
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (bytes_is(name, wrappers[i].name))
            return true;
    return false;
}

static int add_known(struct proto *p, struct err *e)
{
    struct proto_message *m;
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof known / sizeof *known; i++) {
        rc = proto_add_message(p, bytes_of(known[i].name), &m, e);
        if (!rc)
            m->known = known[i].known;
    }
    for (size_t i = 0; !rc && i < sizeof wrappers / sizeof *wrappers; i++) {
        rc = proto_add_message(p, bytes_of(wrappers[i].name), &m, e);
        if (rc)
            break;
        m->known = PROTO_WRAPPER;
        rc = proto_add_field(
            m,
            &(struct proto_field){
                .name = BYTES("value"), .number = 1, .type = wrappers[i].type, .oneof = -1},
            e);
    }
    return rc;
}

int proto_new(struct proto **ret, struct err *e)
{
    AUTO(proto) p = mem_new(struct proto);
    if (!p)
        return no_memory(e);
    p->arena = arena_new(PROTO_BYTES_MAX);
    p->messages = map_new(PROTO_NAMES_MAX);
    p->enums = map_new(PROTO_NAMES_MAX);
    if (!p->arena || !p->messages || !p->enums)
        return no_memory(e);
    int rc = add_known(p, e);
    if (rc)
        return rc;
    *ret = steal(&p);
    return 0;
}

void proto_free(struct proto *p)
{
    if (!p)
        return;
    map_free(p->messages);
    map_free(p->enums);
    arena_free(p->arena);
    mem_free(p);
}

void proto_auto(struct proto **p)
{
    proto_free(*p);
}

int proto_add_message(struct proto *p, struct bytes name, struct proto_message **ret, struct err *e)
{
    if (map_get(p->messages, name) || map_get(p->enums, name))
        return err_set(e, E_EXISTS, "type %.*s is there twice", BYTES_FMT(name));
    struct proto_message *m = arena_zalloc(p->arena, sizeof *m);
    if (!m || map_put(p->messages, name, m, NULL))
        return no_memory(e);
    m->name = name;
    m->set = p;
    m->next = p->all;
    p->all = m;
    *ret = m;
    return 0;
}

// "task_queue" → "taskQueue", as protoc does.
static struct bytes camel(struct proto *p, struct bytes name)
{
    char *t = arena_alloc(p->arena, name.n + 1);
    size_t n = 0;
    bool up = false;
    if (!t)
        return BYTES_NONE;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '_')
            up = true;
        else {
            t[n++] = up && c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
            up = false;
        }
    }
    t[n] = 0;
    return (struct bytes){t, n};
}

int proto_add_field(struct proto_message *m, const struct proto_field *f, struct err *e)
{
    struct proto *p = m->set;
    if (!f->number || f->number > PROTO_NUMBER_MAX || !f->name.n)
        return err_set(e, E_PARSE, "%.*s: field %.*s has no good number", BYTES_FMT(m->name),
                       BYTES_FMT(f->name));
    struct proto_field *fields = grow(p->arena, m->fields, m->count, &m->cap, sizeof *fields);
    if (!fields)
        return no_memory(e);
    m->fields = fields;
    fields[m->count] = *f;
    if (!f->json.n)
        fields[m->count].json = camel(p, f->name);
    if (!fields[m->count].json.p)
        return no_memory(e);
    m->count++;
    return 0;
}

int proto_add_enum(struct proto *p, struct bytes name, struct proto_enum **ret, struct err *e)
{
    if (map_get(p->messages, name) || map_get(p->enums, name))
        return err_set(e, E_EXISTS, "type %.*s is there twice", BYTES_FMT(name));
    struct proto_enum *n = arena_zalloc(p->arena, sizeof *n);
    if (!n || map_put(p->enums, name, n, NULL))
        return no_memory(e);
    n->name = name;
    *ret = n;
    return 0;
}

int proto_add_value(struct proto *p, struct proto_enum *n, struct bytes name, int32_t number,
                    struct err *e)
{
    struct proto_value *values = grow(p->arena, n->values, n->count, &n->cap, sizeof *values);
    if (!values)
        return no_memory(e);
    n->values = values;
    values[n->count++] = (struct proto_value){name, number};
    return 0;
}

// ---- descriptor.proto ---------------------------------------------------------------------------

static int keep(struct proto *p, struct bytes in, struct bytes *ret, struct err *e)
{
    *ret = arena_dup(p->arena, in);
    return ret->p || !in.n ? 0 : no_memory(e);
}

static int read_value(struct proto *p, struct proto_enum *n, struct bytes in, struct err *e)
{
    struct proto_slice s;
    struct bytes name = BYTES_NONE;
    int32_t number = 0;
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 1 && s.wire == PROTO_LEN && (rc = keep(p, s.data, &name, e)))
            return rc;
        if (s.number == 2)
            number = (int32_t)s.scalar;
    }
    return proto_add_value(p, n, name, number, e);
}

static int read_enum(struct proto *p, struct bytes scope, struct bytes in, struct err *e)
{
    struct proto_slice s;
    struct proto_enum *n = NULL;
    for (struct bytes rest = in; rest.n && !n;) {
        int rc = proto_next(&rest, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 1) {
            struct bytes name = proto_join(p, scope, s.data);
            if (!name.p)
                return no_memory(e);
            if ((rc = proto_add_enum(p, name, &n, e)))
                return rc;
        }
    }
    if (!n)
        return err_set(e, E_PARSE, "an enum without a name");
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        if (!rc && s.number == 2)
            rc = read_value(p, n, s.data, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_packed(struct bytes in, bool *packed, struct err *e) // FieldOptions
{
    struct proto_slice s;
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 2)
            *packed = s.scalar != 0;
    }
    return 0;
}

static int read_field(struct proto_message *m, struct bytes in, bool proto3, struct err *e)
{
    struct proto_slice s;
    struct proto_field f = {.oneof = -1};
    bool optional3 = false, said = false, packed = false;
    uint64_t label = 1;
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        if (rc)
            return rc;
        switch (s.number) {
        case 1: rc = keep(m->set, s.data, &f.name, e); break;
        case 3: f.number = (uint32_t)s.scalar; break;
        case 4: label = s.scalar; break;
        case 5: f.type = (enum proto_type)(s.scalar <= PROTO_SINT64 ? s.scalar : 0); break;
        case 6: rc = keep(m->set, s.data, &f.type_name, e); break;
        case 8:
            rc = read_packed(s.data, &packed, e);
            said = true;
            break;
        case 9: f.oneof = (int)(s.scalar & 0xffff); break;
        case 10: rc = keep(m->set, s.data, &f.json, e); break;
        case 17: optional3 = s.scalar != 0; break;
        default: break;
        }
        if (rc)
            return rc;
    }
    if (f.type == PROTO_UNKNOWN || f.type == PROTO_GROUP)
        return err_set(e, E_UNSUPPORTED, "%.*s: field %.*s has a type that is not known",
                       BYTES_FMT(m->name), BYTES_FMT(f.name));
    f.repeated = label == 3;
    f.presence = !f.repeated && (f.oneof >= 0 || !proto3 || f.type == PROTO_MESSAGE);
    if (optional3)
        f.oneof = -1;
    f.packed = f.repeated && proto_packable(f.type) && (said && packed ? true : proto3);
    return proto_add_field(m, &f, e);
}

static int read_message(struct proto *p, struct bytes scope, struct bytes in, bool proto3,
                        int depth, struct err *e)
{
    struct proto_slice s;
    struct proto_message *m = NULL;
    struct bytes name = BYTES_NONE;
    if (depth > PROTO_DEPTH_MAX)
        return err_set(e, E_TOOBIG, "types are nested too deep");
    for (struct bytes rest = in; rest.n && !name.p;) {
        int rc = proto_next(&rest, &s, 0, e);
        if (rc)
            return rc;
        if (s.number == 1 && !(name = proto_join(p, scope, s.data)).p)
            return no_memory(e);
    }
    if (is_known(name)) // built in
        return 0;
    int rc = proto_add_message(p, name, &m, e);
    while (!rc && in.n) {
        rc = proto_next(&in, &s, 0, e);
        if (rc)
            break;
        if (s.number == 2 && s.wire == PROTO_LEN)
            rc = read_field(m, s.data, proto3, e);
        else if (s.number == 3 && s.wire == PROTO_LEN)
            rc = read_message(p, m->name, s.data, proto3, depth + 1, e);
        else if (s.number == 4 && s.wire == PROTO_LEN)
            rc = read_enum(p, m->name, s.data, e);
        else if (s.number == 7 && s.wire == PROTO_LEN) { // MessageOptions
            for (struct bytes o = s.data; !rc && o.n;) {
                rc = proto_next(&o, &s, 0, e);
                if (!rc && s.number == 7)
                    m->map_entry = s.scalar != 0;
            }
        }
    }
    return rc;
}

static struct bytes bare(struct bytes type_name)
{
    return type_name.n && *type_name.p == '.' ? bytes_from(type_name, 1) : type_name;
}

static int read_rpc(struct proto *p, struct bytes service, struct bytes in, struct err *e)
{
    struct proto_slice s;
    struct proto_rpc *r = arena_zalloc(p->arena, sizeof *r);
    if (!r)
        return no_memory(e);
    r->service = service;
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        switch (rc ? 0 : s.number) {
        case 1: rc = keep(p, s.data, &r->name, e); break;
        case 2: rc = keep(p, bare(s.data), &r->in, e); break;
        case 3: rc = keep(p, bare(s.data), &r->out, e); break;
        case 5: r->client_stream = s.scalar != 0; break;
        case 6: r->server_stream = s.scalar != 0; break;
        default: break;
        }
        if (rc)
            return rc;
    }
    r->next = p->rpcs;
    p->rpcs = r;
    return 0;
}

static int read_service(struct proto *p, struct bytes scope, struct bytes in, struct err *e)
{
    struct proto_slice s;
    struct bytes name = BYTES_NONE;
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        if (!rc && s.number == 1 && !(name = proto_join(p, scope, s.data)).p)
            rc = no_memory(e);
        if (!rc && s.number == 2)
            rc = read_rpc(p, name, s.data, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_file(struct proto *p, struct bytes in, struct err *e)
{
    struct proto_slice s;
    struct bytes package = BYTES_NONE;
    bool proto3 = false;
    for (struct bytes rest = in; rest.n;) {
        int rc = proto_next(&rest, &s, 0, e);
        if (!rc && s.number == 2)
            rc = keep(p, s.data, &package, e);
        if (!rc && s.number == 12)
            proto3 = bytes_is(s.data, "proto3");
        if (rc)
            return rc;
    }
    while (in.n) {
        int rc = proto_next(&in, &s, 0, e);
        if (!rc && s.wire == PROTO_LEN) {
            if (s.number == 4)
                rc = read_message(p, package, s.data, proto3, 0, e);
            else if (s.number == 5 && !bytes_is(package, "google.protobuf"))
                rc = read_enum(p, package, s.data, e);
            else if (s.number == 6)
                rc = read_service(p, package, s.data, e);
        }
        if (rc)
            return rc;
    }
    return 0;
}

int proto_add_set(struct proto *p, struct bytes set, struct err *e)
{
    struct proto_slice s;
    while (set.n) {
        int rc = proto_next(&set, &s, 0, e);
        if (!rc && s.number == 1 && s.wire == PROTO_LEN)
            rc = read_file(p, s.data, e);
        if (rc)
            return err_wrap(e, "descriptors"), rc;
    }
    return 0;
}

// ---- linking ------------------------------------------------------------------------------------

// The innermost scope first, as protoc looks a name up.
static void *find(const struct map *all, struct proto *p, struct bytes scope, struct bytes name)
{
    if (name.n && *name.p == '.')
        return map_get(all, bytes_from(name, 1));
    for (;;) {
        struct bytes full = proto_join(p, scope, name);
        void *hit = full.p ? map_get(all, full) : NULL;
        if (hit || !scope.n)
            return hit;
        while (scope.n && scope.p[scope.n - 1] != '.')
            scope.n--;
        if (scope.n)
            scope.n--;
    }
}

static int by_number(const void *a, const void *b)
{
    const struct proto_field *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int link_field(struct proto *p, struct proto_message *m, struct proto_field *f,
                      struct err *e)
{
    if (f->type != PROTO_UNKNOWN && f->type != PROTO_MESSAGE && f->type != PROTO_ENUM)
        return 0;
    f->message = find(p->messages, p, m->name, f->type_name);
    f->enumeration = f->message ? NULL : find(p->enums, p, m->name, f->type_name);
    if (!f->message && !f->enumeration)
        return err_set(e, E_NOTFOUND, "%.*s: type %.*s of field %.*s is not there",
                       BYTES_FMT(m->name), BYTES_FMT(f->type_name), BYTES_FMT(f->name));
    if (f->type == PROTO_UNKNOWN) {
        f->type = f->message ? PROTO_MESSAGE : PROTO_ENUM;
        if (f->message)
            f->presence = !f->repeated;
        if (f->message || !f->repeated)
            f->packed = false;
    }
    if ((f->type == PROTO_MESSAGE) != (f->message != NULL))
        return err_set(e, E_PARSE, "%.*s: field %.*s is of another kind than its type",
                       BYTES_FMT(m->name), BYTES_FMT(f->name));
    return 0;
}

int proto_link(struct proto *p, struct err *e)
{
    for (struct proto_message *m = p->all; m; m = m->next) {
        if (m->count)
            qsort(m->fields, m->count, sizeof *m->fields, by_number);
        for (size_t i = 0; i < m->count; i++) {
            int rc = link_field(p, m, &m->fields[i], e);
            if (rc)
                return rc;
            if (i && m->fields[i].number == m->fields[i - 1].number)
                return err_set(e, E_PARSE, "%.*s: number %u is used twice", BYTES_FMT(m->name),
                               m->fields[i].number);
        }
        if (m->map_entry &&
            (m->count != 2 || m->fields[0].number != 1 || m->fields[1].number != 2 ||
             m->fields[0].repeated || m->fields[1].repeated || m->fields[0].type == PROTO_MESSAGE))
            return err_set(e, E_PARSE, "%.*s is no map entry", BYTES_FMT(m->name));
    }
    return 0;
}

// ---- questions ----------------------------------------------------------------------------------

const struct proto_message *proto_message(const struct proto *p, struct bytes name)
{
    return map_get(p->messages, name);
}

struct bytes proto_message_name(const struct proto_message *m)
{
    return m->name;
}

bool proto_import(const struct proto *p, size_t *at, struct bytes *ret_path)
{
    if (*at >= p->import_count)
        return false;
    *ret_path = p->imports[(*at)++];
    return true;
}

static bool is_service(const struct proto_rpc *r, struct bytes name)
{
    if (bytes_eq(r->service, name))
        return true;
    return r->service.n > name.n && r->service.p[r->service.n - name.n - 1] == '.' &&
           bytes_ends(r->service, name);
}

bool proto_method(const struct proto *p, struct bytes service, struct bytes name,
                  struct proto_method *ret)
{
    const struct proto_rpc *hit = NULL;
    for (const struct proto_rpc *r = p->rpcs; r; r = r->next) {
        if (!bytes_eq(r->name, name) || !is_service(r, service))
            continue;
        if (hit && !bytes_eq(hit->service, service) && !bytes_eq(r->service, service))
            return false; // two services end so
        if (!hit || bytes_eq(r->service, service))
            hit = r;
    }
    if (!hit)
        return false;
    struct proto *set = (struct proto *)(uintptr_t)p; // for the joined names in the arena
    struct proto_method m = {.in = find(p->messages, set, hit->service, hit->in),
                             .out = find(p->messages, set, hit->service, hit->out),
                             .client_stream = hit->client_stream,
                             .server_stream = hit->server_stream,
                             .service = hit->service,
                             .name = hit->name};
    if (!m.in || !m.out)
        return false;
    *ret = m;
    return true;
}

const struct proto_field *proto_field_numbered(const struct proto_message *m, uint32_t number)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t at = low + (high - low) / 2;
        if (m->fields[at].number == number)
            return &m->fields[at];
        if (m->fields[at].number < number)
            low = at + 1;
        else
            high = at;
    }
    return NULL;
}

const struct proto_field *proto_field_named(const struct proto_message *m, struct bytes name)
{
    for (size_t i = 0; i < m->count; i++)
        if (bytes_eq(m->fields[i].json, name) || bytes_eq(m->fields[i].name, name))
            return &m->fields[i];
    return NULL;
}

bool proto_packable(enum proto_type t)
{
    return t != PROTO_UNKNOWN && t != PROTO_STRING && t != PROTO_BYTES && t != PROTO_MESSAGE &&
           t != PROTO_GROUP;
}
