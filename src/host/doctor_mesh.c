// doctor_mesh.c: the mesh as this node sees it, and the webhook of its alerts: who is not heard,
// what a firewall holds back, what runs out. Pure; the running node brings the facts.
// SPDX-License-Identifier: Apache-2.0
#include "host/doctor_priv.h"

#include <stdio.h>
#include <string.h>

#define NAMES_SHOWN 4
#define WEBHOOK_FAIL_S 300 // the longest pause between two tries

static const struct host_mesh *mesh_of(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = &d->facts->mesh;
    if (m->joined)
        return m;
    SKIP(f, d->facts->node_running ? "this node is in no mesh" : "only a running node knows");
    return NULL;
}

// The first of those that are meant, by name; returns how many there are.
struct names {
    char text[300];
    uint32_t count;
    const struct host_peer *first;
};

static void add_name(struct names *n, const struct host_peer *p, const char *note)
{
    size_t at = strlen(n->text);
    if (n->count++ == 0)
        n->first = p;
    if (n->count <= NAMES_SHOWN)
        (void)snprintf(n->text + at, sizeof n->text - at, "%s%s%s%s", at ? ", " : "", p->name,
                       *note ? " " : "", note);
    else if (n->count == NAMES_SHOWN + 1)
        (void)snprintf(n->text + at, sizeof n->text - at, ", ...");
}

static bool is_alive(const struct host_peer *p)
{
    return !strcmp(p->state, "alive");
}

void host_doctor_nodes(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = mesh_of(d, f);
    struct names lost = {0};
    uint32_t alive = 1; // this one
    for (uint32_t i = 0; m && i < m->peer_count; i++) {
        const struct host_peer *p = &m->peers[i];
        alive += is_alive(p);
        if (!strcmp(p->state, "suspect") || !strcmp(p->state, "dead"))
            add_name(&lost, p, p->state);
    }
    if (!m)
        return;
    SEEN(f, "%u alive%s%s", alive, lost.count ? ", not heard: " : "", lost.text);
    if (!lost.count)
        return;
    f->status = HOST_WARN;
    MEANS(f, "they get no requests; what only they have cannot be served");
    MEND(f,
         "on %s: plexus mesh (does it run?); is the way to %s open, TCP and UDP?; plexus nodes "
         "rm %s when it is gone for good",
         lost.first->name, *lost.first->address ? lost.first->address : "it", lost.first->name);
}

void host_doctor_certificate(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = mesh_of(d, f);
    if (!m)
        return;
    if (m->cert_left_s <= 0)
        SEEN(f, "over since %lld s", (long long)-m->cert_left_s);
    else
        SEEN(f, "good for %lld s more%s%s%s", (long long)m->cert_left_s,
             m->renewal_late ? ", its renewal is late" : "",
             m->authority_here ? "" : ", authority: node ", m->authority_here ? "" : m->authority);
    if (m->cert_left_s > 0 && !m->renewal_late)
        return;
    f->status = m->cert_left_s > 0 ? HOST_WARN : HOST_FAIL;
    MEANS(f, "%s",
          m->cert_left_s > 0 ? "when it ends this node has no links until the authority answers"
                             : "no links to other nodes; what runs here is served on");
    if (m->authority_here)
        MEND(f, "plexus logs | grep mesh.renew (the authority is this node)");
    else
        MEND(f,
             "start node %s again, or open the way to it (plexus nodes; port %u); a standby "
             "(plexus mesh standby NODE) signs while it is away",
             *m->authority ? m->authority : "of the authority", m->port);
}

void host_doctor_authority(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = mesh_of(d, f);
    if (!m)
        return;
    if (m->authority_here) {
        SEEN(f, "this node holds it");
        return;
    }
    SEEN(f, "node %s is %s%s%s", *m->authority ? m->authority : "?",
         *m->authority_state ? m->authority_state : "not known", m->standby_alive ? "; " : "",
         m->standby_alive ? "another node that holds it is alive" : "");
    if (!strcmp(m->authority_state, "alive") || m->standby_alive)
        return;
    f->status = HOST_WARN;
    MEANS(f, "nobody can join, be removed or get a new certificate");
    MEND(f, "start node %s again; then plexus mesh standby NODE, so that another one can sign",
         *m->authority ? m->authority : "of the authority");
}

void host_doctor_datagrams(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = mesh_of(d, f);
    struct names deaf = {0};
    for (uint32_t i = 0; m && i < m->peer_count; i++)
        if (m->peers[i].by_tcp && is_alive(&m->peers[i]))
            add_name(&deaf, &m->peers[i], "");
    if (!m)
        return;
    if (!deaf.count) {
        SEEN(f, "heartbeats of all living nodes come by UDP");
        return;
    }
    f->status = HOST_WARN;
    SEEN(f, "UDP does not get through from %s: heartbeats go by TCP", deaf.text);
    MEANS(f, "their death is noticed later");
    MEND(f,
         "open UDP port %u between both, here and on %s: nft add rule inet filter input udp dport "
         "%u accept",
         m->port, deaf.first->name, m->port);
}

void host_doctor_versions(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = mesh_of(d, f);
    struct names other = {0};
    for (uint32_t i = 0; m && i < m->peer_count; i++) {
        const struct host_peer *p = &m->peers[i];
        if (is_alive(p) && *p->version && strcmp(p->version, m->version) != 0)
            add_name(&other, p, p->version);
    }
    if (!m)
        return;
    SEEN(f, "%s here%s%s", m->version, other.count ? "; " : ", and on every living node",
         other.text);
    if (!other.count)
        return;
    f->status = HOST_WARN;
    MEANS(f, "a newer node may ask for what an older one does not know");
    MEND(f,
         "bring them to one version, one after the other: plexus nodes drain %s, install, start, "
         "plexus nodes undrain %s",
         other.first->name, other.first->name);
}

void host_doctor_streams(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_mesh *m = mesh_of(d, f);
    if (!m)
        return;
    if (!strcmp(m->bus, "embedded"))
        SEEN(f, "the bus is inside each node: requests, records and heartbeats go between nodes; "
                "durable streams across machines need NATS: bus: { engine: nats }, and on the "
                "other nodes its url");
    else
        SEEN(f, "durable streams go over %s", m->bus);
}

void host_doctor_alerts(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_webhook *h = &d->facts->webhook;
    if (!h->configured) {
        SKIP(f, d->facts->node_running ? "no webhook is configured" : "only a running node knows");
        return;
    }
    SEEN(f, "%u wait, %llu were never told%s%s", h->waiting, (unsigned long long)h->dropped,
         h->failures ? "; " : "", h->failures ? h->why : "");
    if (!h->failures)
        return;
    f->status = h->failing_s >= WEBHOOK_FAIL_S ? HOST_FAIL : HOST_WARN;
    SEEN(f, "%u tries failed in a row, for %lld s (%s); %u wait, %llu were never told", h->failures,
         (long long)h->failing_s, h->why, h->waiting, (unsigned long long)h->dropped);
    MEANS(f, "nobody hears of what goes wrong; over 256 the oldest alerts are lost");
    MEND(f, "correct alerts.webhook, or bring its server back; plexus config reload tries at once");
}

void host_doctor_flows(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_flows *h = &d->facts->flows;
    if (!h->on) {
        SKIP(f, d->facts->node_running ? "flows are off" : "only a running node knows");
        return;
    }
    SEEN(f, "%llu flows are open", (unsigned long long)h->open);
    if (h->held && !h->stopped) {
        f->status = HOST_WARN;
        SEEN(f, "it takes nothing for now: %s", h->why);
        MEANS(f, "flows wait; they go on by themselves");
        MEND(f, "end the program that holds it, or bring its server back");
    }
    if (!h->stopped)
        return;
    f->status = HOST_FAIL;
    SEEN(f, "it has stopped: %s", h->why);
    MEANS(f, "no flow goes on, none is taken; what was acknowledged is kept");
    MEND(f, "mend what it says, then start the node again");
}
