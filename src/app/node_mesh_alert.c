// node_mesh_alert.c: what of the mesh somebody should hear of at once.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include "base/time.h"
#include <stdio.h>
#include <string.h>

// A node that is new here is suspect for a moment, too: only what was alive can fall ill.
static bool was_ill(struct node_mesh *m, uint32_t hash)
{
    for (size_t i = 0; i < m->ill_count; i++)
        if (m->ill[i] == hash) {
            m->ill[i] = m->ill[--m->ill_count];
            return true;
        }
    return false;
}

static void is_ill(struct node_mesh *m, uint32_t hash)
{
    (void)was_ill(m, hash);
    if (m->ill_count < MESH_NODES_MAX)
        m->ill[m->ill_count++] = hash;
}

void node_mesh_alert_state(struct node_mesh *m, const struct mesh_node_view *v,
                           enum mesh_state before, int64_t silence_ms)
{
    struct node *n = m->node;
    uint32_t hash = mesh_name_hash(bytes_of(v->name));
    long long ms = silence_ms;
    switch (v->state) {
    case MESH_ALIVE:
        if (was_ill(m, hash))
            node_alert(n, NODE_ALERT_NODE, "plexus.node.back", "info", v->name,
                       "node %s is back; it was %s", v->name, mesh_state_name(before));
        break;
    case MESH_SUSPECT:
        if (before != MESH_ALIVE)
            break;
        is_ill(m, hash);
        node_alert(n, NODE_ALERT_NODE, "plexus.node.suspect", "warning", v->name,
                   "node %s was not heard for %lld ms: it gets no new work", v->name, ms);
        break;
    case MESH_DEAD:
        is_ill(m, hash);
        node_alert(n, NODE_ALERT_NODE, "plexus.node.dead", "critical", v->name,
                   "node %s is dead: it was not heard for %lld ms", v->name, ms);
        node_flows_dead(n, v->name);
        break;
    case MESH_REMOVED:
        (void)was_ill(m, hash);
        node_alert(n, NODE_ALERT_NODE, "plexus.node.removed", "warning", v->name,
                   "node %s was removed from the mesh", v->name);
        break;
    case MESH_LEFT: (void)was_ill(m, hash); break;
    }
}

void node_mesh_alert_removed(struct node_mesh *m)
{
    node_alert(m->node, NODE_ALERT_NODE, "plexus.node.removed", "critical", m->self,
               "this node, %s, was removed from the mesh; it serves on by itself", m->self);
}

void node_mesh_alert_refused(struct node_mesh *m, enum links_refusal what, const char *who,
                             const char *why)
{
    static const struct {
        const char *type, *words;
    } kinds[] = {[LINKS_REFUSED_PEER] = {"plexus.security.link_refused", "a link of"},
                 [LINKS_REFUSED_JOIN] = {"plexus.security.join_refused", "a join of"},
                 [LINKS_REFUSED_RENEWAL] = {"plexus.security.renewal_refused", "a renewal of"},
                 [LINKS_REFUSED_NEWS] = {"plexus.security.record_refused", "a record, from"}};
    char host[160];
    (void)snprintf(host, sizeof(host), "%s", who);
    char *port = strrchr(host, ':'); // of an address: another one each time
    if (port && port[1] && strspn(port + 1, "0123456789") == strlen(port + 1))
        *port = 0;
    node_alert(m->node, NODE_ALERT_SECURITY, kinds[what].type, "warning", host,
               "%s %s was refused: %s", kinds[what].words, who, why);
}

// It is renewed at half life: when half of what is left then is over, that has failed for long.
void node_mesh_alert_tick(struct node_mesh *m)
{
    struct member_view v;
    struct node *n = m->node;
    member_view(m->member, &v);
    int64_t left = v.not_after_ms - time_wall_ms();
    bool told = m->cert_serial[0] != 0, same = strcmp(m->cert_serial, v.serial) == 0;
    if (left > (v.not_after_ms - member_renew_at(m->member)) / 2) {
        if (told)
            node_alert(n, NODE_ALERT_CERTIFICATE, "plexus.certificate.renewed", "info", v.id,
                       "%s has a new certificate", v.id);
        m->cert_serial[0] = 0;
        m->cert_over = false;
        return;
    }
    if (!same) {
        m->cert_over = false;
        (void)snprintf(m->cert_serial, sizeof(m->cert_serial), "%s", v.serial);
        if (left > 0)
            node_alert(n, NODE_ALERT_CERTIFICATE, "plexus.certificate.expiring", "warning", v.id,
                       "the certificate of %s ends in %lld s and could not be renewed: does the "
                       "authority, node %s, live?",
                       v.id, (long long)(left / 1000), member_authority(m->member));
    }
    if (left <= 0 && !m->cert_over) {
        m->cert_over = true;
        node_alert(n, NODE_ALERT_CERTIFICATE, "plexus.certificate.expired", "critical", v.id,
                   "the certificate of %s is over: no links until the authority, node %s, answers",
                   v.id, member_authority(m->member));
    }
}
