// join_fuzz.c: any bytes as a join token, as a joiner's or a renewer's request, as the authority's
// answer, and as the saved states of both.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/json.h"
#include "trust/authority.h"
#include "trust/member.h"
#include <stdlib.h>

#define NOW 1800000000000LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct authority *authority;
    struct member *member;
    char token[AUTHORITY_TOKEN_TEXT_MAX];
    struct json_doc *saved, *saved_member;
} rig;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static struct json_doc *parsed(const struct buf *text)
{
    struct json_doc *doc = NULL;
    must(json_parse(&doc, buf_bytes(text), 0, NULL) == 0);
    return doc;
}

static void set_up(void)
{
    char id[17];
    struct buf text;
    must(authority_make(&rig.authority, BYTES("example.org"), 0, NOW, NULL) == 0);
    must(authority_token_new(rig.authority, &(struct authority_token_args){0}, NOW, rig.token, id,
                             NULL) == 0);
    must(member_make(&rig.member, BYTES("n1"), BYTES("dev.x.n1"), NULL) == 0);
    buf_init(&text, 1 << 20);
    must(authority_save(rig.authority, &text) == 0);
    rig.saved = parsed(&text);
    buf_clear(&text);
    must(member_save(rig.member, &text) == 0);
    rig.saved_member = parsed(&text);
    buf_fini(&text);
}

static void refused(int rc, const struct err *e)
{
    must(rc < 0 && e->code == rc && e->n > 0);
}

static void try_states(struct bytes text)
{
    struct authority *a = NULL;
    struct member *m = NULL;
    struct err e = {0}, f = {0};
    int rc = authority_load(&a, text, &e);
    if (rc != 0)
        refused(rc, &e);
    must((rc == 0) == (a != NULL));
    rc = member_load(&m, text, &f);
    if (rc != 0)
        refused(rc, &f);
    must((rc == 0) == (m != NULL));
    authority_free(a);
    member_free(m);
}

// A good saved state with the members that the text has in place of its own, but for the keys: so
// that what comes after them is reached too.
static void try_spliced(const struct json_doc *good, struct bytes text)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    struct json_w w;
    struct buf out;
    struct bytes name;
    const struct json *v;
    if (json_parse(&doc, text, 0, NULL) != 0)
        return;
    buf_init(&out, 1 << 20);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    while (json_each(json_root(good), &it, &name, &v)) {
        const struct json *other = json_get_bytes(json_root(doc), name);
        bool keep = bytes_is(name, "key") || bytes_is(name, "certificate") ||
                    bytes_is(name, "ed25519_seed");
        char key[32] = {0};
        for (size_t i = 0; i < name.n && i + 1 < sizeof key; i++)
            key[i] = name.p[i];
        json_w_val(&w, key, other && !keep ? other : v);
    }
    json_w_end(&w);
    if (!out.failed)
        try_states(buf_bytes(&out));
    buf_fini(&out);
    json_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data, size};
    struct authority_token_parts parts;
    struct buf answer;
    struct err e = {0}, f = {0}, g = {0}, h = {0};
    if (!rig.member)
        set_up();
    int rc = authority_token_parse(&parts, text, &e);
    if (rc != 0)
        must(rc == E_PARSE && e.code == rc);
    buf_init(&answer, 1 << 20);
    // Nobody guesses the token's secret or a key, so nothing of this is ever let in.
    refused(authority_join(rig.authority, text, NOW, &answer, NULL, &f), &f);
    refused(authority_renew(rig.authority, text, NOW, &answer, &g), &g);
    must(answer.n == 0);
    refused(member_join_accept(rig.member, bytes_of(rig.token), text, NOW, &h), &h);
    must(!member_joined(rig.member));
    try_states(text);
    try_spliced(rig.saved, text);
    try_spliced(rig.saved_member, text);
    buf_fini(&answer);
    return 0;
}
