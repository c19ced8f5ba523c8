// node_env.c: the .env file beside the node counts as environment; what is set already wins.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ENV_BYTES_MAX (1u << 20)

static void set_line(const struct host_env_line *line)
{
    char name[256];
    struct buf value;
    buf_init(&value, ENV_BYTES_MAX);
    int n = snprintf(name, sizeof(name), "%.*s", BYTES_FMT(line->name));
    if (n > 0 && (size_t)n < sizeof(name) && !getenv(name) && host_env_value(&value, line) == 0 &&
        value.n > 0)
        (void)setenv(name, buf_cstr(&value), 0);
    buf_fini(&value);
}

void node_env(const char *path)
{
    struct buf text;
    struct stat st;
    buf_init(&text, ENV_BYTES_MAX);
    if (file_read(path, &text, NULL) == 0) {
        struct bytes rest = buf_bytes(&text);
        struct host_env_line line;
        if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
            (void)fprintf(stderr, "plexus: %s can be read by others; mend: chmod 600 %s\n", path,
                          path);
        while (host_env_next(&rest, &line))
            if (line.kind == HOST_ENV_SET)
                set_line(&line);
    }
    buf_fini(&text);
}
