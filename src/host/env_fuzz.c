// env_fuzz.c: any bytes as a .env file: no byte is lost, and merging twice is merging once.
// SPDX-License-Identifier: Apache-2.0
#include "host/host.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const struct host_profile profile = {.machine_class = "cpu", .compose_profile = "cpu"};
    struct bytes old = {(const char *)p, n}, rest = old;
    struct host_env_line line;
    struct buf once, twice, value;
    size_t sum = 0;
    buf_init(&once, 1 << 20);
    buf_init(&twice, 1 << 20);
    buf_init(&value, 1 << 20);
    while (host_env_next(&rest, &line)) {
        if (line.raw.p != old.p + sum || !line.raw.n)
            abort();
        sum += line.raw.n;
        if (line.kind == HOST_ENV_SET && (!line.name.n || host_env_value(&value, &line)))
            abort();
    }
    if (sum != n || host_env_merge(&once, old, &profile, NULL) ||
        !bytes_starts(buf_bytes(&once), old))
        abort();
    if (host_env_merge(&twice, buf_bytes(&once), &profile, NULL) ||
        !bytes_eq(buf_bytes(&once), buf_bytes(&twice)))
        abort();
    buf_fini(&once);
    buf_fini(&twice);
    buf_fini(&value);
    return 0;
}
