// prom.h: Prometheus text exposition format 0.0.4, writer side.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_PROM_H
#define PLEXUS_TEXT_PROM_H

#include "base/buf.h"

struct prom_label {
    const char *name;
    struct bytes value;
};
int prom_head(struct buf *out, const char *name, const char *type, const char *help);
int prom_value(struct buf *out, const char *name, const char *suffix,
               const struct prom_label *labels, size_t count, double value);

#endif
