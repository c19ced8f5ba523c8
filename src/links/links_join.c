// links_join.c: this machine asks to become a node of a mesh: the authority is checked by the
// fingerprint in the token, then gets the token, both public keys and the proofs.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "links/links_priv.h"
#include "text/json.h"
#include <stdio.h>
#include <string.h>

struct links_join {
    struct links_join_args args;
    struct links_anon *anon;
    struct buf token;
};

static int verify(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e)
{
    struct links_join *j = user;
    int status =
        member_join_peer(buf_bytes(&j->token), der, count, j->args.wall_ms, ret_id, ret_epoch, e);
    return links_judge(status, der, count, j->args.wall_ms);
}

static int addresses_of(struct member *m, const struct json *root, const struct net_addr *used,
                        struct err *e)
{
    char own[300];
    const char *list[MEMBER_ADDRESSES_MAX + 1] = {own};
    size_t count = 1;
    const struct json *told = json_get(root, "addresses");
    (void)snprintf(own, sizeof(own), strchr(used->host, ':') ? "[%s]:%u" : "%s:%u", used->host,
                   used->port);
    for (size_t i = 0; i < json_len(told) && count < MEMBER_ADDRESSES_MAX; i++)
        if (json_cstr(json_at(told, i), NULL) && strcmp(json_cstr(json_at(told, i), ""), own) != 0)
            list[count++] = json_cstr(json_at(told, i), NULL);
    return member_set_authority(m, json_str(json_get(root, "authority")), list, e);
}

static void on_done(void *user, int status, struct bytes answer, const struct err *why)
{
    struct links_join *j = user;
    struct json_doc *doc = NULL;
    struct err e = {0};
    if (status < 0 && why)
        e = *why;
    if (status == 0)
        status = json_parse(&doc, answer, 0, &e);
    const struct json *root = json_root(doc);
    if (status == 0)
        status = member_join_accept(j->args.member, buf_bytes(&j->token),
                                    json_str(json_get(root, "answer")), j->args.wall_ms, &e);
    if (status == 0)
        status = addresses_of(j->args.member, root, &j->args.addr, &e);
    j->args.done(j->args.user, status, json_str(json_get(root, "news")), status < 0 ? &e : NULL);
    json_free(doc);
}

int links_join(struct links_join **ret, const struct links_join_args *args, struct err *e)
{
    struct links_join *j = mem_new(struct links_join);
    struct buf body;
    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    j->args = *args;
    buf_init(&j->token, AUTHORITY_TOKEN_TEXT_MAX);
    buf_init(&body, AUTHORITY_BODY_MAX);
    int status =
        buf_put(&j->token, args->token) < 0 ? err_set(e, E_INVALID, "not a join token") : 0;
    if (status == 0)
        status = member_join_body(args->member, args->token, &body, e);
    struct links_anon_args anon = {.net = args->net,
                                   .timers = args->timers,
                                   .addr = args->addr,
                                   .verify = verify,
                                   .target = "/mesh/v1/join",
                                   .body = buf_bytes(&body),
                                   .timeout_ms = args->timeout_ms,
                                   .done = on_done,
                                   .user = j};
    if (status == 0)
        status = links_anon(&j->anon, &anon, e);
    if (body.p)
        mem_wipe(body.p, body.cap);
    buf_fini(&body);
    if (status < 0) {
        links_join_free(j);
        return status;
    }
    *ret = j;
    return 0;
}

void links_join_free(struct links_join *j)
{
    if (!j)
        return;
    links_anon_free(j->anon);
    if (j->token.p)
        mem_wipe(j->token.p, j->token.cap);
    buf_fini(&j->token);
    mem_free(j);
}
