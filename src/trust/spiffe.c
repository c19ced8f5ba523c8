// spiffe.c: SPIFFE IDs.
// SPDX-License-Identifier: Apache-2.0
#include "trust/spiffe.h"

static const struct bytes scheme = {"spiffe://", 9};

static bool is_domain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_path_char(char c)
{
    return is_domain_char(c) || (c >= 'A' && c <= 'Z');
}

static bool is_dots(struct bytes segment)
{
    return bytes_is(segment, ".") || bytes_is(segment, "..");
}

int spiffe_domain_check(struct bytes name, struct err *e)
{
    if (name.n == 0)
        return err_set(e, E_INVALID, "the trust domain is missing");
    if (name.n > SPIFFE_DOMAIN_MAX)
        return err_set(e, E_INVALID, "the trust domain has over %d bytes", SPIFFE_DOMAIN_MAX);
    for (size_t i = 0; i < name.n; i++)
        if (!is_domain_char(name.p[i]))
            return err_set(e, E_INVALID,
                           "a trust domain is of lower-case letters, digits, '.', '-' and '_'");
    return 0;
}

static int segment_check(struct bytes segment, struct err *e)
{
    if (segment.n == 0)
        return err_set(e, E_INVALID, "the path has an empty segment, or ends in '/'");
    if (is_dots(segment))
        return err_set(e, E_INVALID, "the path has a segment \".\" or \"..\"");
    for (size_t i = 0; i < segment.n; i++)
        if (!is_path_char(segment.p[i]))
            return err_set(e, E_INVALID,
                           "a path's segments are of letters, digits, '.', '-' and '_'");
    return 0;
}

int spiffe_path_check(struct bytes path, struct err *e)
{
    if (path.n == 0)
        return 0;
    if (path.p[0] != '/')
        return err_set(e, E_INVALID, "the path does not begin with '/'");
    struct bytes rest = bytes_from(path, 1);
    do {
        int rc = segment_check(bytes_cut(&rest, '/'), e);
        if (rc != 0)
            return rc;
    } while (rest.p);
    return 0;
}

int spiffe_node_check(struct bytes name, struct err *e)
{
    if (name.n > SPIFFE_NODE_MAX)
        return err_set(e, E_INVALID, "a node's name has at most %d characters", SPIFFE_NODE_MAX);
    if (segment_check(name, NULL) != 0)
        return err_set(e, E_INVALID,
                       "a node's name is of letters, digits, '.', '-' and '_', not \"%.*s\"",
                       BYTES_FMT(name));
    return 0;
}

int spiffe_parse(struct spiffe_id *ret, struct bytes text, struct err *e)
{
    struct spiffe_id id = {.text = text};
    if (text.n == 0)
        return err_set(e, E_INVALID, "a SPIFFE ID is never empty");
    if (text.n > SPIFFE_ID_MAX)
        return err_set(e, E_INVALID, "a SPIFFE ID has at most %d bytes", SPIFFE_ID_MAX);
    if (!bytes_starts(text, scheme))
        return err_set(e, E_INVALID, "a SPIFFE ID begins with spiffe://");
    struct bytes rest = bytes_from(text, scheme.n);
    ptrdiff_t slash = bytes_chr(rest, '/');
    id.domain = slash < 0 ? rest : bytes_first(rest, (size_t)slash);
    id.path = slash < 0 ? BYTES_NONE : bytes_from(rest, (size_t)slash);
    int rc = spiffe_domain_check(id.domain, e);
    if (rc == 0)
        rc = spiffe_path_check(id.path, e);
    if (rc == 0)
        *ret = id;
    return rc;
}

int spiffe_put(struct buf *out, struct bytes domain, struct bytes path, struct err *e)
{
    struct spiffe_id id;
    size_t before = out->n;
    if (!bytes_starts(path, scheme)) {
        (void)buf_put(out, scheme);
        (void)buf_put(out, domain);
        if (path.n > 0 && path.p[0] != '/')
            (void)buf_chr(out, '/');
    }
    (void)buf_put(out, path);
    if (out->failed)
        return err_set(e, E_INVALID, "a SPIFFE ID has at most %d bytes", SPIFFE_ID_MAX);
    int rc = spiffe_parse(&id, bytes_from(buf_bytes(out), before), e);
    if (rc == 0 && !bytes_eq(id.domain, domain))
        rc = err_set(e, E_INVALID, "that is an ID of trust domain %.*s, ours is %.*s",
                     BYTES_FMT(id.domain), BYTES_FMT(domain));
    if (rc != 0)
        out->n = before;
    return rc;
}

struct bytes spiffe_kind(const struct spiffe_id *id)
{
    struct bytes rest = bytes_from(id->path, 1);
    return bytes_cut(&rest, '/');
}

struct bytes spiffe_node(const struct spiffe_id *id)
{
    struct bytes rest = bytes_from(id->path, 1);
    return bytes_is(bytes_cut(&rest, '/'), "node") ? bytes_cut(&rest, '/') : BYTES_NONE;
}

bool spiffe_below(const struct spiffe_id *id, const struct spiffe_id *above)
{
    return id->text.n > above->text.n && bytes_starts(id->text, above->text) &&
           id->text.p[above->text.n] == '/';
}
