// node_mesh_priv.h: this node among others: what node_mesh*.c share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_MESH_PRIV_H
#define PLEXUS_APP_NODE_MESH_PRIV_H

#include "app/node_priv.h"
#include "links/links.h"
#include "mesh/mesh.h"

#define MESH_TRAFFIC_MAX 256

struct mesh_traffic { // requests that went from here to a node
    char node[MESH_NAME_MAX + 1], model[129];
    uint32_t active;
    uint64_t requests;
    int64_t last_ms;
};

struct node_mesh {
    struct node *node;
    struct label_names *names; // the node's
    struct member *member;       // NULL: not in a mesh
    struct authority *authority; // NULL: it is elsewhere
    struct mesh *mesh;
    struct links *links;
    struct mesh *old_mesh;       // of a membership that ended: requests may still name its nodes
    struct links *old_links;
    uint64_t boot;
    int tag;                     // of the mesh door
    char listen[300];            // as the config or the stored setting says
    char self[MESH_NAME_MAX + 1];
    struct timer soon, ending;
    uint64_t peers_sign; // of what was saved about the others
    bool peers_read; // the file of the last life was taken
    bool telling, draining, leaving, closed;
    struct links_join *joining;  // a join on its way ...
    struct member *joiner;
    struct ctl_answer *join_answer;
    struct links_ask ask;        // leave, or a question to the authority
    struct ctl_answer *ask_answer;
    bool ask_busy;
    struct mesh_traffic traffic[MESH_TRAFFIC_MAX];
    size_t traffic_count;
    struct node_registry *registry; // NULL: the links alone
    unsigned registries; // that are not closed yet
    struct buf hop; // header lines of a request that goes out
    uint32_t ill[MESH_NODES_MAX]; // hashes of nodes that an alert was raised for: suspect or dead
    size_t ill_count;
    char cert_serial[2 * X509_SERIAL_MAX + 1]; // an alert was raised for: ends soon ...
    bool cert_over; // ... or is over
};

// node_mesh.c
int node_mesh_start(struct node_mesh *m, struct err *e); // a member: mesh, links, listener
void node_mesh_end(struct node_mesh *m, bool forget);    // no member any more
int node_mesh_save(struct node_mesh *m, const char *name, int (*put)(const void *, struct buf *),
                   const void *what, struct err *e);
int node_mesh_save_member(struct node_mesh *m, struct err *e);
int node_mesh_save_authority(struct node_mesh *m, struct err *e);
int node_mesh_save_listen(struct node_mesh *m, const char *listen, struct err *e);
void node_mesh_put_away(struct node_mesh *m, const char *name); // a file that counts no more
void node_mesh_save_peers(struct node_mesh *m); // when who is where has changed
void node_mesh_tell(struct node_mesh *m); // the sheet, soon
void node_mesh_drain(struct node_mesh *m, bool on);
// node_mesh_sheet.c
int node_mesh_sheet(struct node_mesh *m, struct arena *a, struct mesh_sheet *ret);
// node_registry.c
void node_registry_open(struct node_mesh *m); // where the configuration names one
void node_registry_tell(struct node_mesh *m); // the sheet, where it is another
void node_registry_close(struct node_mesh *m); // it is taken away there
void node_registry_show(const struct node_mesh *m, struct json_w *w);
// node_mesh_alert.c: what somebody should hear of
void node_mesh_alert_state(struct node_mesh *m, const struct mesh_node_view *v,
                           enum mesh_state before, int64_t silence_ms);
void node_mesh_alert_removed(struct node_mesh *m); // this node
void node_mesh_alert_refused(struct node_mesh *m, enum links_refusal what, const char *who,
                             const char *why);
void node_mesh_alert_tick(struct node_mesh *m); // its certificate
// node_mesh_show.c
int node_mesh_show(struct node_mesh *m, struct buf *out);

#endif
