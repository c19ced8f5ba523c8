// urn.c: names of capabilities (RFC 8141, our own shape of the part after the authority).
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool.h"

#define PARTS_MAX 7 // four of the authority, namespace, name, version
#define VERSION_DIGITS 9

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Letters and digits, with one sign between them: also what OCI allows in a repository's name.
static bool is_part(struct bytes s)
{
    if (!s.n || s.n > URN_PART_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool sign = s.p[i] == '.' || s.p[i] == '-' || s.p[i] == '_';
        if (!is_word(s.p[i]) &&
            (!sign || i == 0 || i + 1 == s.n || !is_word(s.p[i - 1]) || !is_word(s.p[i + 1])))
            return false;
    }
    return true;
}

static bool version(struct bytes s, uint32_t *ret)
{
    uint64_t n;
    if (s.n < 2 || s.n > VERSION_DIGITS + 1 || s.p[0] != 'v' || s.p[1] == '0' ||
        !bytes_u64(bytes_from(s, 1), &n))
        return false;
    *ret = (uint32_t)n;
    return true;
}

bool urn_is(struct bytes text)
{
    return bytes_starts(text, BYTES("urn:"));
}

int urn_parse(struct urn *ret, struct bytes text, struct err *e)
{
    struct bytes part[PARTS_MAX + 1], rest = bytes_from(text, 4);
    size_t n = 0;
    uint32_t v;
    if (!urn_is(text) || text.n > URN_MAX)
        return err_set(e, E_INVALID,
                       "a name of a capability is urn:plexus:cap:NAMESPACE:NAME:v1, at most %d "
                       "bytes",
                       URN_MAX);
    while (rest.p && n <= PARTS_MAX)
        part[n++] = bytes_cut(&rest, ':');
    if (n < 4 || n > PARTS_MAX)
        return err_set(e, E_INVALID,
                       "%.*s: expected urn:AUTHORITY:NAMESPACE:NAME:v1, the authority with one to "
                       "four parts as in plexus:cap",
                       BYTES_FMT(text));
    for (size_t i = 0; i + 1 < n; i++)
        if (!is_part(part[i]))
            return err_set(e, E_INVALID,
                           "%.*s: \"%.*s\": a part has 1 to %d of a-z and 0-9, with single . - _ "
                           "between them",
                           BYTES_FMT(text), BYTES_FMT(bytes_first(part[i], 80)), URN_PART_MAX);
    if (part[0].n < 2 || part[0].n > 32 || bytes_chr(part[0], '.') >= 0 ||
        bytes_chr(part[0], '_') >= 0)
        return err_set(e, E_INVALID,
                       "%.*s: \"%.*s\": a namespace identifier has 2 to 32 letters, digits and "
                       "hyphens (RFC 8141)",
                       BYTES_FMT(text), BYTES_FMT(part[0]));
    if (!version(part[n - 1], &v))
        return err_set(e, E_INVALID, "%.*s: \"%.*s\": a version is v1, v2, ...", BYTES_FMT(text),
                       BYTES_FMT(bytes_first(part[n - 1], 80)));
    struct bytes authority = part[n - 4];
    *ret = (struct urn){.authority = {text.p + 4, (size_t)(authority.p + authority.n - text.p) - 4},
                        .space = part[n - 3],
                        .name = part[n - 2],
                        .version = v};
    return 0;
}

int urn_put(struct buf *out, const struct urn *u)
{
    return buf_fmt(out, "urn:%.*s:%.*s:%.*s:v%u", BYTES_FMT(u->authority), BYTES_FMT(u->space),
                   BYTES_FMT(u->name), (unsigned)u->version);
}

#define FLOW_PART 1000 // of a version; three of them stay below VERSION_DIGITS

int urn_of_flow(struct buf *out, struct bytes space, struct bytes name, struct bytes version,
                struct err *e)
{
    struct urn u, checked;
    struct bytes rest = version;
    uint64_t n = 0, part = 0;
    for (size_t i = 0; i < 3; i++) {
        if (!bytes_u64(bytes_cut(&rest, '.'), &part) || part >= FLOW_PART || (i == 2 && rest.n))
            return err_set(e, E_INVALID,
                           "version %.*s: a URN is given to MAJOR.MINOR.PATCH, each below 1000",
                           BYTES_FMT(bytes_first(version, 80)));
        n = n * FLOW_PART + part;
    }
    if (!n)
        return err_set(e, E_INVALID, "version 0.0.0: a URN is given from 0.0.1 on");
    u = (struct urn){
        .authority = BYTES("plexus:flow"), .space = space, .name = name, .version = (uint32_t)n};
    size_t from = out->n;
    int rc = urn_put(out, &u);
    if (rc)
        return err_set(e, rc, "a URN has at most %d bytes", URN_MAX);
    return urn_parse(&checked, bytes_from(buf_bytes(out), from), e);
}
