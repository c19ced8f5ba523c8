// yaml_fuzz.c: any bytes as YAML: what is accepted is JSON with a position for each value.
// SPDX-License-Identifier: Apache-2.0
#include "text/yaml.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml *y = NULL;
    struct err e = {0};
    int rc = yaml_parse(&y, (struct bytes){(const char *)data, size}, &e);
    if (rc < 0) {
        if (e.code != E_PARSE && e.code != E_TOOBIG)
            abort();
        return 0;
    }
    if (!yaml_root(y))
        abort();
    // The input as a pointer too: it leads somewhere or to a parent.
    (void)yaml_where(y, (struct bytes){(const char *)data, size}, true);
    (void)yaml_where(y, BYTES("/a/0/b"), true);
    yaml_free(y);
    return 0;
}
