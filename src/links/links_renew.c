// links_renew.c: a new certificate at half life, without a dropped connection; and what an expired
// one means: nothing is sent to others until the authority or its standby answers again.
// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "links/links_priv.h"
#include "text/json.h"
#include "text/url.h"
#include <string.h>

static int64_t left_ms(const struct links *l)
{
    struct member_view v;
    member_view(l->args.member, &v);
    return v.not_after_ms - links_wall(l);
}

void links_renew_plan(struct links *l)
{
    int64_t wall = links_wall(l), at = member_renew_at(l->args.member), wait = at - wall;
    if (l->closed)
        return;
    if (wait < 0 || member_renew_due(l->args.member, wall))
        wait = l->renew_pause_ms;
    // It wakes at the end of the certificate, too, and now and then: the wall clock may jump.
    int64_t left = left_ms(l);
    if (left > 0 && left + 1 < wait)
        wait = left + 1;
    if (wait > 60000)
        wait = 60000;
    (void)timer_start(l->args.timers, &l->renew, wait);
}

void links_renewed(struct links *l)
{
    struct err e = {0};
    struct member_view v;
    if (l->args.ops->save_member(l->args.user, &e) < 0)
        log_event(LOG_ERROR, "mesh.save", LOG_STR("why", e.text));
    if (links_tls(l, &e) < 0) {
        log_event(LOG_ERROR, "mesh.certificate", LOG_STR("why", e.text));
        return;
    }
    member_view(l->args.member, &v);
    l->renew_pause_ms = LINKS_RENEW_MS;
    l->expired = false;
    log_event(LOG_INFO, "mesh.renewed", LOG_STR("id", v.id), LOG_STR("serial", v.serial),
              LOG_INT("seconds", (v.not_after_ms - links_wall(l)) / 1000));
    list_each (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        x->hello_not_before_ms = 0;
        x->hello_pause_ms = LINKS_HELLO_MS;
    }
    l->args.ops->rotated(l->args.user);
    links_renew_plan(l);
    links_cut_removed(l);
}

static void failed(struct links *l, const struct err *e)
{
    bool expired = left_ms(l) <= 0;
    log_event(LOG_WARN, "mesh.renew", LOG_STR("why", e->text), LOG_BOOL("expired", expired),
              LOG_INT("seconds_left", left_ms(l) / 1000));
    l->renew_at++;
    // Who lives on an expired certificate, or on a short one, asks again soon.
    l->renew_pause_ms *= 2;
    int64_t most =
        expired || left_ms(l) < 4 * LINKS_RENEW_MAX_MS ? LINKS_RENEW_MS : LINKS_RENEW_MAX_MS;
    if (l->renew_pause_ms > most)
        l->renew_pause_ms = most;
    links_renew_plan(l);
}

// Refused since this node was removed: the answer has the signed text.
static void take_removals(struct links *l, struct bytes answer)
{
    struct json_doc *doc = NULL;
    if (json_parse(&doc, answer, 0, NULL) == 0) {
        const struct json *list = json_get(json_root(doc), "removals");
        for (size_t i = 0; i < json_len(list) && i < GRANT_REMOVALS_MAX; i++)
            (void)links_removal(l, json_str(json_at(list, i)), NULL);
    }
    json_free(doc);
}

static void on_answer(void *user, int status, struct bytes answer, const struct err *why)
{
    struct links *l = user;
    struct err e = {0};
    struct links_anon *done = l->renewing;
    l->renewing = NULL;
    if (status < 0 && why)
        e = *why;
    if (status == 0)
        status = member_renew_accept(l->args.member, answer, links_wall(l), &e);
    if (status == 0)
        links_renewed(l);
    else
        failed(l, &e);
    if (status == E_FORBIDDEN || status == E_SECURITY)
        take_removals(l, answer);
    links_anon_free(done);
}

// The authority's addresses of now from its sheet, then those that were kept, and the standby's.
static bool next_address(struct links *l, struct net_addr *ret)
{
    const char *all[MEMBER_ADDRESSES_MAX + MESH_NODES_MAX * 2];
    size_t count = 0;
    const char *const *kept = member_authority_addresses(l->args.member);
    for (struct mesh_node *n = NULL; (n = mesh_each(l->args.mesh, n)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(l->args.mesh, n, links_now(l), &v);
        bool serves = false;
        for (size_t i = 0; v.sheet && !v.self && i < v.sheet->record_count; i++)
            serves = serves || strcmp(v.sheet->records[i].name, "authority") == 0;
        for (size_t i = 0; serves && v.sheet->addresses[i] && count < MESH_NODES_MAX; i++)
            all[count++] = v.sheet->addresses[i];
    }
    for (; kept && *kept && count < sizeof(all) / sizeof(all[0]); kept++)
        all[count++] = *kept;
    struct url_addr a;
    if (!count || url_addr_parse(&a, bytes_of(all[l->renew_at % count]), NULL) < 0)
        return false;
    *ret = (struct net_addr){.port = a.port};
    memcpy(ret->host, a.host, sizeof(ret->host));
    return true;
}

static int renew_here(struct links *l, struct err *e)
{
    struct buf body, answer;
    buf_init(&body, AUTHORITY_BODY_MAX);
    buf_init(&answer, MEMBER_TEXT_MAX);
    int64_t wall = links_wall(l);
    int status = member_renew_body(l->args.member, wall, &body, e);
    if (status == 0)
        status = authority_renew(l->args.authority, buf_bytes(&body), wall, &answer, e);
    if (status == 0)
        status = member_renew_accept(l->args.member, buf_bytes(&answer), wall, e);
    buf_fini(&body);
    buf_fini(&answer);
    return status;
}

static int renew_there(struct links *l, struct err *e)
{
    struct net_addr addr;
    struct buf body;
    if (!next_address(l, &addr))
        return err_set(e, E_UNAVAILABLE, "no address of the mesh's authority is known");
    buf_init(&body, AUTHORITY_BODY_MAX);
    int status = member_renew_body(l->args.member, links_wall(l), &body, e);
    struct links_anon_args args = {.net = l->args.net,
                                   .timers = l->args.timers,
                                   .addr = addr,
                                   .verify = links_verify,
                                   .target = "/mesh/v1/renew",
                                   .body = buf_bytes(&body),
                                   .timeout_ms = LINKS_CONTROL_MS,
                                   .done = on_answer,
                                   .user = l};
    if (status == 0)
        status = links_anon(&l->renewing, &args, e);
    buf_fini(&body);
    return status;
}

void links_renew(struct links *l)
{
    struct err e = {0};
    if (l->renewing || l->closed)
        return;
    int status = l->args.authority ? renew_here(l, &e) : renew_there(l, &e);
    if (status < 0)
        failed(l, &e);
    else if (l->args.authority)
        links_renewed(l);
}

void links_renew_tick(struct timer *t)
{
    struct links *l = t->user;
    if (!l->expired && left_ms(l) <= 0) {
        l->expired = true;
        log_event(LOG_ERROR, "mesh.expired",
                  LOG_STR("why",
                          "this node's certificate is over and the authority did not answer: "
                          "no links until it does; what runs here is served on"));
        links_forget_keys(l);
    }
    if (!l->renewing && member_renew_due(l->args.member, links_wall(l))) {
        links_renew(l);
        if (!l->renewing)
            return; // planned by what it did
    }
    links_renew_plan(l);
}
