// cli_rows_priv.h: rows that more than one command shows.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CLI_ROWS_PRIV_H
#define PLEXUS_CLI_ROWS_PRIV_H

#include "cli/cli_priv.h"

// Models as a table; all false: only those that are loaded, loading or failed. mesh (may be NULL):
// also the models of its other nodes, with the node of each.
void cli_put_models(struct cli *c, const struct json *models, bool all, const struct json *mesh);
// What a model does now: "loading 40 %, about 3s left", "idle, leaves in 5m", its failure.
void cli_model_note(struct buf *out, const struct json *model);
// One log line (JSON) for people.
void cli_put_log_line(struct cli *c, struct bytes line, FILE *to);

#endif
