// beat.c: a beat as bytes: a fixed head, then hashes of the nodes that are not heard, then loads of
// models. Big endian. Links puts its MAC around it.
//   0 'B'  1 version  2 flags  3 suspects  4 loads  5 boot  13 seq  21 sheet  29 sent_us
//   37 echo_us  45 echo_age_us  49 active  53 waiting  57 memory_free  65 digest  73 suspects x 4,
//   then loads x 8 (hash 4, active 2, waiting 2). What follows belongs to later versions.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"
#include <assert.h>
#include <string.h>

#define VERSION 1
#define HEAD 73
#define LOAD 8

enum { FLAG_DRAINING = 1, FLAG_LOADS_ALL = 2 };

_Static_assert(HEAD + 4 * MESH_SUSPECTS_MAX + LOAD * MESH_BEAT_LOADS_MAX <= MESH_BEAT_BYTES_MAX,
               "a beat fits its datagram");

uint32_t mesh_name_hash(struct bytes name)
{
    uint64_t h = bytes_hash(name);
    return (uint32_t)(h ^ (h >> 32));
}

static void put(unsigned char *p, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--, v >>= 8)
        p[i] = (unsigned char)v;
}

static uint64_t get(const unsigned char *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

int mesh_beat_put(struct buf *out, const struct mesh_beat *b)
{
    unsigned char p[MESH_BEAT_BYTES_MAX];
    size_t at = HEAD;
    assert(b->suspect_count <= MESH_SUSPECTS_MAX && b->load_count <= MESH_BEAT_LOADS_MAX);
    p[0] = 'B';
    p[1] = VERSION;
    p[2] = (b->draining ? FLAG_DRAINING : 0) | (b->loads_all ? FLAG_LOADS_ALL : 0);
    p[3] = b->suspect_count;
    p[4] = b->load_count;
    put(p + 5, b->boot, 8);
    put(p + 13, b->seq, 8);
    put(p + 21, b->sheet, 8);
    put(p + 29, b->sent_us, 8);
    put(p + 37, b->echo_us, 8);
    put(p + 45, b->echo_age_us, 4);
    put(p + 49, b->active, 4);
    put(p + 53, b->waiting, 4);
    put(p + 57, b->memory_free, 8);
    put(p + 65, b->digest, 8);
    for (int i = 0; i < b->suspect_count; i++, at += 4)
        put(p + at, b->suspects[i], 4);
    for (int i = 0; i < b->load_count; i++, at += LOAD) {
        put(p + at, b->loads[i].hash, 4);
        put(p + at + 4, b->loads[i].active, 2);
        put(p + at + 6, b->loads[i].waiting, 2);
    }
    return buf_add(out, p, at);
}

int mesh_beat_parse(struct mesh_beat *ret, struct bytes data, struct err *e)
{
    const unsigned char *p = (const unsigned char *)data.p;
    struct mesh_beat b = {0};
    if (data.n < HEAD || data.n > MESH_BEAT_BYTES_MAX)
        return err_set(e, E_PARSE, "beat: %zu bytes", data.n);
    if (p[0] != 'B' || p[1] < VERSION)
        return err_set(e, E_PARSE, "beat: not one");
    b.suspect_count = p[3];
    b.load_count = p[4];
    if (b.suspect_count > MESH_SUSPECTS_MAX || b.load_count > MESH_BEAT_LOADS_MAX ||
        data.n < HEAD + 4U * b.suspect_count + (size_t)LOAD * b.load_count)
        return err_set(e, E_PARSE, "beat: its lists do not fit its %zu bytes", data.n);
    b.draining = (p[2] & FLAG_DRAINING) != 0;
    b.loads_all = (p[2] & FLAG_LOADS_ALL) != 0;
    b.boot = get(p + 5, 8);
    b.seq = get(p + 13, 8);
    b.sheet = get(p + 21, 8);
    b.sent_us = get(p + 29, 8);
    b.echo_us = get(p + 37, 8);
    b.echo_age_us = (uint32_t)get(p + 45, 4);
    b.active = (uint32_t)get(p + 49, 4);
    b.waiting = (uint32_t)get(p + 53, 4);
    b.memory_free = get(p + 57, 8);
    b.digest = get(p + 65, 8);
    if (b.boot == 0)
        return err_set(e, E_PARSE, "beat: of no life");
    p += HEAD;
    for (int i = 0; i < b.suspect_count; i++, p += 4)
        b.suspects[i] = (uint32_t)get(p, 4);
    for (int i = 0; i < b.load_count; i++, p += LOAD) {
        b.loads[i].hash = (uint32_t)get(p, 4);
        b.loads[i].active = (uint16_t)get(p + 4, 2);
        b.loads[i].waiting = (uint16_t)get(p + 6, 2);
    }
    *ret = b;
    return 0;
}
