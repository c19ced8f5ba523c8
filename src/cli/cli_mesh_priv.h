// cli_mesh_priv.h: what the commands of the mesh share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_MESH_PRIV_H
#define PLEXUS_CLI_MESH_PRIV_H

#include "cli/cli_priv.h"

// ---- cli_nodes.c --------------------------------------------------------------------------------

// The nodes as a table; rows_max: no more of them.
void cli_put_nodes(struct cli *c, const struct json *mesh, size_t columns_max, size_t rows_max,
                   struct buf *out);
size_t cli_nodes_in(const struct json *mesh, const char *state); // how many are in this state
// "3 nodes: 2 alive, 1 suspect"
void cli_nodes_sum(struct buf *out, const struct json *mesh);
// GET /api/mesh when it has more than this node; NULL: no mesh, or a node that knows of none.
struct json_doc *cli_mesh_of_many(struct cli *c);
// All entries with commas between, "-" for none. key: the member that names them; NULL: strings.
void cli_cell_list(struct cli_table *t, const struct json *list, const char *key);

// ---- cli_mesh.c ---------------------------------------------------------------------------------

// One request of the mesh whose answer need not be JSON; ret may be NULL.
int cli_mesh_call(struct cli *c, const char *method, const char *target, struct buf *body,
                  struct json_doc **ret, struct buf *raw, struct err *e);
// "/api/mesh/nodes/NAME/drain", the name encoded.
void cli_mesh_target(struct buf *out, const char *folder, const char *name, const char *action);

// ---- cli_top.c ----------------------------------------------------------------------------------

#define TOP_ROWS_MAX 256 // models and requests that are kept

struct top_row {
    char key[130];
    struct json_doc *doc;
};
struct top {
    struct cli *c;
    struct json_doc *state;      // node, memory, totals
    struct json_doc *stat;       // newer figures, or NULL
    struct json_doc *mesh, *old; // for rates: what was said a second or more ago
    int64_t mesh_ms, old_ms;
    struct top_row models[TOP_ROWS_MAX], requests[TOP_ROWS_MAX];
    size_t model_count, request_count;
};
// cli_top_draw.c
void cli_top_draw(const struct top *t, size_t columns, size_t rows, struct buf *out);

#endif
