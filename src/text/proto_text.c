// proto_text.c: .proto files (protobuf.dev, "Protocol Buffers Version 3 Language Specification"):
// messages, enums, services. Options are read over, but for packed and json_name.
// SPDX-License-Identifier: Apache-2.0
#include "text/proto_priv.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    struct proto *p;
    struct bytes rest;
    struct bytes word; // "": the end
    bool text;         // word is a quoted text's inside
    bool proto3;
    uint32_t line;
    int depth;
    struct err *e;
    int failed;
};

static bool fail(struct reader *r, int code, const char *what)
{
    if (!r->failed)
        r->failed = err_set(r->e, code, "line %u: %s at \"%.*s\"", r->line, what,
                            (int)(r->word.n < 40 ? r->word.n : 40), r->word.p ? r->word.p : "");
    return false;
}

// ---- words --------------------------------------------------------------------------------------

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

static bool skip_space(struct reader *r)
{
    while (r->rest.n) {
        char c = *r->rest.p;
        if (c == '\n')
            r->line++;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f') {
            r->rest = bytes_from(r->rest, 1);
        } else if (bytes_starts(r->rest, BYTES("//"))) {
            ptrdiff_t at = bytes_chr(r->rest, '\n');
            r->rest = bytes_from(r->rest, at < 0 ? r->rest.n : (size_t)at);
        } else if (bytes_starts(r->rest, BYTES("/*"))) {
            ptrdiff_t at = bytes_find(bytes_from(r->rest, 2), BYTES("*/"));
            if (at < 0)
                return fail(r, E_PARSE, "a comment does not end");
            for (size_t i = 0; i < (size_t)at + 2; i++)
                r->line += r->rest.p[i] == '\n';
            r->rest = bytes_from(r->rest, (size_t)at + 4);
        } else
            break;
    }
    return true;
}

static bool next(struct reader *r)
{
    if (r->failed || !skip_space(r))
        return false;
    r->text = false;
    r->word = BYTES_NONE;
    if (!r->rest.n)
        return true;
    char c = *r->rest.p;
    size_t n = 1;
    if (c == '"' || c == '\'') {
        while (n < r->rest.n && r->rest.p[n] != c && r->rest.p[n] != '\n')
            n += r->rest.p[n] == '\\' ? 2 : 1;
        if (n >= r->rest.n || r->rest.p[n] != c)
            return fail(r, E_PARSE, "a text does not end");
        r->word = (struct bytes){r->rest.p + 1, n - 1};
        r->rest = bytes_from(r->rest, n + 1);
        r->text = true;
        return true;
    }
    if (name_char(c))
        while (n < r->rest.n && name_char(r->rest.p[n]))
            n++;
    r->word = bytes_first(r->rest, n);
    r->rest = bytes_from(r->rest, n);
    return true;
}

static bool is(const struct reader *r, const char *word)
{
    return !r->text && bytes_is(r->word, word);
}

static bool expect(struct reader *r, const char *word)
{
    return is(r, word) ? next(r) : fail(r, E_PARSE, "not what is expected");
}

static bool name(struct reader *r, struct bytes *ret)
{
    char c = r->word.n ? *r->word.p : 0;
    if (r->text || !name_char(c) || (c >= '0' && c <= '9'))
        return fail(r, E_PARSE, "a name is missing");
    *ret = arena_dup(r->p->arena, r->word);
    return ret->p ? next(r) : fail(r, E_NOMEM, "no memory");
}

static bool number(struct reader *r, int64_t *ret)
{
    bool minus = is(r, "-");
    char text[32], *end = NULL;
    if (minus && !next(r))
        return false;
    if (r->text || !r->word.n || r->word.n >= sizeof text || *r->word.p < '0' || *r->word.p > '9')
        return fail(r, E_PARSE, "a number is missing");
    memcpy(text, r->word.p, r->word.n);
    text[r->word.n] = 0;
    int64_t v = strtoll(text, &end, 0);
    if (*end)
        return fail(r, E_PARSE, "no number");
    *ret = minus ? -v : v;
    return next(r);
}

// To the semicolon or over the block, whatever is in it.
static bool skip(struct reader *r)
{
    int depth = 0;
    for (;;) {
        bool end = is(r, ";"), close = is(r, "}"), last = !r->text && !r->word.n;
        if (last)
            return fail(r, E_PARSE, "the end comes too early");
        depth += is(r, "{");
        depth -= close;
        if (!next(r))
            return false;
        if (depth <= 0 && (end || close))
            return true;
    }
}

// ---- fields -------------------------------------------------------------------------------------

static enum proto_type type_of(struct bytes word)
{
    static const struct {
        const char *name;
        enum proto_type type;
    } types[] = {
        {"double", PROTO_DOUBLE},     {"float", PROTO_FLOAT},   {"int64", PROTO_INT64},
        {"uint64", PROTO_UINT64},     {"int32", PROTO_INT32},   {"fixed64", PROTO_FIXED64},
        {"fixed32", PROTO_FIXED32},   {"bool", PROTO_BOOL},     {"string", PROTO_STRING},
        {"bytes", PROTO_BYTES},       {"uint32", PROTO_UINT32}, {"sfixed32", PROTO_SFIXED32},
        {"sfixed64", PROTO_SFIXED64}, {"sint32", PROTO_SINT32}, {"sint64", PROTO_SINT64},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (bytes_is(word, types[i].name))
            return types[i].type;
    return PROTO_UNKNOWN;
}

static bool type_name(struct reader *r, struct proto_field *f)
{
    f->type = type_of(r->word);
    return name(r, &f->type_name);
}

static bool options(struct reader *r, struct proto_field *f)
{
    int depth = 0;
    if (!is(r, "["))
        return true;
    for (;;) {
        struct bytes word = r->word;
        bool text = r->text;
        if (!r->text && !r->word.n)
            return fail(r, E_PARSE, "the end comes too early");
        depth += is(r, "[");
        depth -= is(r, "]");
        if (!next(r))
            return false;
        if (!depth)
            return true;
        if (depth != 1 || text || !is(r, "="))
            continue;
        if (!next(r))
            return false;
        if (bytes_is(word, "packed"))
            f->packed = is(r, "true");
        if (bytes_is(word, "json_name") && r->text &&
            !(f->json = arena_dup(r->p->arena, r->word)).p)
            return fail(r, E_NOMEM, "no memory");
    }
}

static bool field_end(struct reader *r, struct proto_message *m, struct proto_field *f)
{
    int64_t n = 0;
    if (!name(r, &f->name) || !expect(r, "=") || !number(r, &n))
        return false;
    f->number = n > 0 && n <= PROTO_NUMBER_MAX ? (uint32_t)n : 0;
    f->packed = f->repeated && r->proto3 && proto_packable(f->type);
    if (f->repeated && f->type == PROTO_UNKNOWN)
        f->packed = r->proto3; // an enum's, perhaps
    if (!options(r, f) || !expect(r, ";"))
        return false;
    int rc = proto_add_field(m, f, r->failed ? NULL : r->e);
    if (rc && !r->failed)
        r->failed = rc;
    return !rc;
}

static bool map_field(struct reader *r, struct proto_message *m)
{
    struct proto_field f = {.oneof = -1, .repeated = true, .type = PROTO_MESSAGE};
    struct proto_field key = {.name = BYTES("key"), .number = 1, .oneof = -1};
    struct proto_field value = {.name = BYTES("value"), .number = 2, .oneof = -1};
    struct proto_message *entry;
    char text[32];
    if (!next(r) || !expect(r, "<") || !type_name(r, &key) || !expect(r, ",") ||
        !type_name(r, &value) || !expect(r, ">"))
        return false;
    // Named by its place: nobody can name it in a text.
    int n = 0;
    for (size_t i = m->count; i || !n; i /= 10)
        text[n++] = (char)('0' + i % 10);
    struct bytes own = proto_join(r->p, m->name, (struct bytes){text, (size_t)n});
    if (!own.p)
        return fail(r, E_NOMEM, "no memory");
    int rc = proto_add_message(r->p, own, &entry, r->e);
    if (!rc)
        rc = proto_add_field(entry, &key, r->e);
    if (!rc)
        rc = proto_add_field(entry, &value, r->e);
    f.type_name = proto_join(r->p, BYTES(""), own);
    if (rc || !f.type_name.p) {
        r->failed = rc ? rc : E_NOMEM;
        return false;
    }
    entry->map_entry = true;
    return field_end(r, m, &f);
}

static bool plain_field(struct reader *r, struct proto_message *m, int oneof)
{
    struct proto_field f = {.oneof = oneof};
    bool optional = is(r, "optional") || is(r, "required");
    f.repeated = is(r, "repeated");
    if ((optional || f.repeated) && !next(r))
        return false;
    if (is(r, "group"))
        return fail(r, E_UNSUPPORTED, "a group");
    f.presence = !f.repeated && (optional || oneof >= 0 || !r->proto3);
    return type_name(r, &f) && field_end(r, m, &f);
}

static bool oneof(struct reader *r, struct proto_message *m, int index)
{
    struct bytes own = BYTES_NONE;
    if (!next(r) || !name(r, &own) || !expect(r, "{"))
        return false;
    while (!is(r, "}")) {
        if (is(r, "option") ? !skip(r) : is(r, ";") ? !next(r) : !plain_field(r, m, index))
            return false;
    }
    return next(r);
}

// ---- types --------------------------------------------------------------------------------------

static bool enumeration(struct reader *r, struct bytes scope)
{
    struct bytes own = BYTES_NONE;
    struct proto_enum *n;
    if (!next(r) || !name(r, &own) || !expect(r, "{"))
        return false;
    own = proto_join(r->p, scope, own);
    int rc = own.p ? proto_add_enum(r->p, own, &n, r->e) : E_NOMEM;
    while (!rc && !is(r, "}")) {
        struct proto_field f = {.number = 0};
        struct bytes value = BYTES_NONE;
        int64_t v = 0;
        if (is(r, "option") || is(r, "reserved")) {
            if (!skip(r))
                return false;
        } else if (is(r, ";")) {
            if (!next(r))
                return false;
        } else if (!name(r, &value) || !expect(r, "=") || !number(r, &v) || !options(r, &f) ||
                   !expect(r, ";"))
            return false;
        else
            rc = proto_add_value(r->p, n, value, (int32_t)v, r->e);
    }
    if (rc) {
        r->failed = r->failed ? r->failed : rc;
        return false;
    }
    return next(r);
}

static bool message(struct reader *r, struct bytes scope)
{
    struct bytes own = BYTES_NONE;
    struct proto_message *m;
    int oneofs = 0;
    if (!next(r) || !name(r, &own) || !expect(r, "{"))
        return false;
    own = proto_join(r->p, scope, own);
    int rc = own.p ? proto_add_message(r->p, own, &m, r->e) : E_NOMEM;
    if (rc) {
        r->failed = rc;
        return false;
    }
    if (++r->depth > PROTO_DEPTH_MAX)
        return fail(r, E_TOOBIG, "messages are nested too deep");
    while (!is(r, "}")) {
        bool good = is(r, ";")         ? next(r)
                    : is(r, "message") ? message(r, own)
                    : is(r, "enum")    ? enumeration(r, own)
                    : is(r, "oneof")   ? oneof(r, m, oneofs++)
                    : is(r, "map")     ? map_field(r, m)
                    : is(r, "option") || is(r, "reserved") || is(r, "extensions") || is(r, "extend")
                        ? skip(r)
                        : plain_field(r, m, -1);
        if (!good)
            return false;
    }
    r->depth--;
    return next(r);
}

static bool rpc(struct reader *r, struct bytes service)
{
    struct proto_rpc *c = arena_zalloc(r->p->arena, sizeof *c);
    if (!c)
        return fail(r, E_NOMEM, "no memory");
    c->service = service;
    if (!next(r) || !name(r, &c->name) || !expect(r, "("))
        return false;
    c->client_stream = is(r, "stream");
    if ((c->client_stream && !next(r)) || !name(r, &c->in) || !expect(r, ")") ||
        !expect(r, "returns") || !expect(r, "("))
        return false;
    c->server_stream = is(r, "stream");
    if ((c->server_stream && !next(r)) || !name(r, &c->out) || !expect(r, ")"))
        return false;
    c->next = r->p->rpcs;
    r->p->rpcs = c;
    return is(r, "{") ? skip(r) : expect(r, ";");
}

static bool service(struct reader *r, struct bytes scope)
{
    struct bytes own = BYTES_NONE;
    if (!next(r) || !name(r, &own) || !expect(r, "{"))
        return false;
    own = proto_join(r->p, scope, own);
    if (!own.p)
        return fail(r, E_NOMEM, "no memory");
    while (!is(r, "}"))
        if (is(r, "rpc") ? !rpc(r, own) : is(r, ";") ? !next(r) : !skip(r))
            return false;
    return next(r);
}

static bool import(struct reader *r)
{
    struct proto *p = r->p;
    if (!next(r) || ((is(r, "public") || is(r, "weak")) && !next(r)))
        return false;
    if (!r->text)
        return fail(r, E_PARSE, "a path is missing");
    if (!bytes_starts(r->word, BYTES("google/protobuf/"))) {
        if (p->import_count == p->import_cap) {
            size_t cap = p->import_cap ? p->import_cap * 2 : 8;
            struct bytes *more = arena_zalloc(p->arena, cap * sizeof *more);
            if (!more)
                return fail(r, E_NOMEM, "no memory");
            if (p->import_count)
                memcpy(more, p->imports, p->import_count * sizeof *more);
            p->imports = more;
            p->import_cap = cap;
        }
        struct bytes path = arena_dup(p->arena, r->word);
        if (!path.p && r->word.n)
            return fail(r, E_NOMEM, "no memory");
        p->imports[p->import_count++] = path;
    }
    return next(r) && expect(r, ";");
}

static bool syntax(struct reader *r)
{
    if (!next(r) || !expect(r, "="))
        return false;
    r->proto3 = bytes_is(r->word, "proto3");
    if (!r->proto3 && !bytes_is(r->word, "proto2"))
        return fail(r, E_UNSUPPORTED, "neither proto3 nor proto2");
    return next(r) && expect(r, ";");
}

static bool file(struct reader *r)
{
    struct bytes package = BYTES("");
    if (!next(r))
        return false;
    while (r->word.n || r->text) {
        bool good;
        if (is(r, "package"))
            good = next(r) && name(r, &package) && expect(r, ";");
        else
            good = is(r, "syntax")    ? syntax(r)
                   : is(r, "import")  ? import(r)
                   : is(r, "message") ? message(r, package)
                   : is(r, "enum")    ? enumeration(r, package)
                   : is(r, "service") ? service(r, package)
                   : is(r, ";")       ? next(r)
                   : is(r, "option") || is(r, "extend")
                       ? skip(r)
                       : fail(r, E_PARSE, "neither message, enum nor service");
        if (!good)
            return false;
    }
    return true;
}

int proto_add_text(struct proto *p, struct bytes text, struct err *e)
{
    struct reader r = {.p = p, .rest = text, .line = 1, .e = e};
    if (file(&r))
        return 0;
    return r.failed ? r.failed : err_set(e, E_PARSE, "line %u", r.line);
}
