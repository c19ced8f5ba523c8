// grant_fuzz.c: any bytes as grants, removals and sheets, as they are, and as what an authority or
// a node signed (so that what is behind the signature is reached too). SPDX-License-Identifier:
// Apache-2.0
#include "base/alloc.h"
#include "text/json.h"
#include "trust/authority.h"
#include "trust/member.h"
#include <stdlib.h>

#define NOW 1800000000000LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct crypto_key *key;
    struct spiffe_bundle *bundle;
    struct member *member;
} rig;

static void must(bool ok)
{
    if (!ok)
        abort();
}

// A mesh of one node, whose authority's key is taken out of its saved text.
static void set_up(void)
{
    struct authority *a = NULL;
    struct json_doc *doc = NULL;
    struct buf body, answer;
    char token[AUTHORITY_TOKEN_TEXT_MAX], id[17];
    buf_init(&body, 1 << 20);
    buf_init(&answer, 1 << 20);
    must(authority_make(&a, BYTES("example.org"), 0, NOW, NULL) == 0);
    must(authority_token_new(a, &(struct authority_token_args){0}, NOW, token, id, NULL) == 0);
    must(member_make(&rig.member, BYTES("n1"), BYTES("dev.x.n1"), NULL) == 0);
    must(member_join_body(rig.member, bytes_of(token), &body, NULL) == 0);
    must(authority_join(a, buf_bytes(&body), NOW, &answer, NULL, NULL) == 0);
    must(member_join_accept(rig.member, bytes_of(token), buf_bytes(&answer), NOW, NULL) == 0);
    buf_clear(&body);
    must(authority_save(a, &body) == 0 && json_parse(&doc, buf_bytes(&body), 0, NULL) == 0);
    must(crypto_key_open(&rig.key, json_str(json_get(json_root(doc), "key")), NULL) == 0);
    buf_clear(&answer);
    must(authority_bundle_pem(a, &answer) == 0);
    must(spiffe_bundle_open(&rig.bundle, BYTES("example.org"), buf_bytes(&answer), NULL) == 0);
    json_free(doc);
    authority_free(a);
    buf_fini(&body);
    buf_fini(&answer);
}

static void refused(int rc, const struct err *e)
{
    must(rc >= 0 || ((rc == E_PARSE || rc == E_SECURITY) && e->code == rc && e->n > 0));
}

static void try_texts(struct bytes grant, struct bytes removal, struct bytes sheet)
{
    struct grant g;
    struct grant_removal r;
    struct bytes payload;
    struct err e = {0}, f = {0}, h = {0};
    struct arena *a = arena_new(1 << 20);
    int rc = grant_open(&g, a, rig.bundle, grant, &e);
    refused(rc, &e);
    if (rc == 0) { // written again it says the same
        struct buf again;
        struct grant same;
        buf_init(&again, 2 * GRANT_TEXT_MAX);
        if (grant_make(&g, rig.key, &again, NULL) == 0 && again.n <= GRANT_TEXT_MAX)
            must(grant_open(&same, a, rig.bundle, buf_bytes(&again), NULL) == 0 &&
                 same.epoch == g.epoch && bytes_is(bytes_of(same.node), g.node));
        buf_fini(&again);
    }
    refused(grant_removal_open(&r, rig.bundle, removal, &f), &f);
    refused(member_sheet_open(rig.member, sheet, a, &payload, &g, &h), &h);
    arena_free(a);
}

// First byte odd: the rest is signed as each of the three.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data + 1, size - 1};
    struct buf grant, removal, sheet;
    if (size < 1 || size > 8192)
        return 0;
    if (!rig.key)
        set_up();
    buf_init(&grant, 1 << 16);
    buf_init(&removal, 1 << 16);
    buf_init(&sheet, 1 << 16);
    if (data[0] & 1) {
        must(spiffe_seal(rig.key, "grant", text, &grant, NULL) == 0);
        must(spiffe_seal(rig.key, "removal", text, &removal, NULL) == 0);
        must(member_sheet_sign(rig.member, text, &sheet, NULL) == 0);
        try_texts(buf_bytes(&grant), buf_bytes(&removal), buf_bytes(&sheet));
    } else {
        try_texts(text, text, text);
    }
    buf_fini(&grant);
    buf_fini(&removal);
    buf_fini(&sheet);
    return 0;
}
