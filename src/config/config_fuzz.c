// config_fuzz.c: any bytes as a configuration: refused with places, or good, and then what is shown
// of it is good again and the same.
// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL, *again = NULL;
    struct err e = {0};
    struct buf text;
    if (size > 16384)
        return 0;
    int rc = config_parse(&c, "fuzz.yaml", (struct bytes){(const char *)data, size}, "/", &e);
    if (rc != 0) {
        if (c || e.code != rc || !e.n)
            abort();
        return 0;
    }
    buf_init(&text, (size_t)1 << 20);
    if (config_show(&text, c, false) == 0) {
        struct config_change change;
        if (config_parse(&again, "shown.yaml", buf_bytes(&text), "/", &e) != 0)
            abort();
        if (config_diff(c, again, &change, 1) != 0)
            abort();
    }
    config_free(again);
    config_free(c);
    buf_fini(&text);
    return 0;
}
