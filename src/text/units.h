// units.h: durations and sizes as people write them.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_UNITS_H
#define PLEXUS_TEXT_UNITS_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

// "250ms", "90s", "5m", "1h30m", "2d", "never" (TIME_NEVER), "0". Milliseconds.
int units_duration(struct bytes text, int64_t *ret_ms, struct err *e);
// "512", "64KiB", "8 GiB", "1.5GB" (K = 1000, Ki = 1024; a bare "K", "M", "G" means Ki, Mi, Gi).
// Bytes.
int units_size(struct bytes text, uint64_t *ret_bytes, struct err *e);
void units_put_duration(struct buf *out, int64_t ms); // "1h 30m", "2.5 s", "180 ms"
void units_put_size(struct buf *out, uint64_t bytes); // "1.4 GiB", "512 B"
// Index of the nearest candidate by edit distance (at most a third of its length), or -1.
int units_nearest(struct bytes word, const char *const *candidates, size_t count);

#endif
