// profiles_priv.h: for tests: opens a recorded machine of src/host/profiles.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HOST_PROFILES_PRIV_H
#define PLEXUS_HOST_PROFILES_PRIV_H

#include "host/host_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct profiles_machine {
    struct json_doc *doc;
    struct host_replay *replay;
    struct host_probe probe;
};

static inline void profiles_parse(struct profiles_machine *m, struct bytes text)
{
    struct err e = {0};
    if (json_parse(&m->doc, text, JSON_UNIQUE, &e)) {
        fprintf(stderr, "recorded machine: %s\n", e.text);
        abort();
    }
    m->replay = host_replay_new(json_root(m->doc));
    m->probe = host_replay_probe(m->replay);
}

// Tests run in the repository's root.
static inline void profiles_open(struct profiles_machine *m, const char *name)
{
    char path[256];
    struct buf text;
    buf_init(&text, HOST_FILE_MAX);
    (void)snprintf(path, sizeof path, "src/host/profiles/%s.json", name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "no %s: tests run in the repository's root\n", path);
        abort();
    }
    size_t n;
    char *room = buf_room(&text, 1 << 20);
    while ((n = fread(room, 1, 1 << 20, f)) > 0) {
        text.n += n;
        room = buf_room(&text, 1 << 20);
    }
    (void)fclose(f);
    profiles_parse(m, buf_bytes(&text));
    buf_fini(&text);
}

static inline void profiles_close(struct profiles_machine *m)
{
    host_replay_free(m->replay);
    json_free(m->doc);
}

#endif
