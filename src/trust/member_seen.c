// member_seen.c: chains of certificates that were found good a moment ago, so that the next
// connection of the same peer costs a hash instead of signatures.
// SPDX-License-Identifier: Apache-2.0
//
// They belong to the papers: others come with each renewal, and with them other authorities. What
// was removed is looked at each time, and the times of the chain's own certificates, too; those of
// the authorities again after SEEN_MS.
#include "base/alloc.h"
#include "trust/member_priv.h"
#include <string.h>

#define SEEN_MS 60000

void member_chain_hash(const struct bytes *der, int count, uint8_t ret[SHA256_LEN])
{
    struct sha256 h;
    sha256_init(&h);
    for (int i = 0; i < count; i++) {
        uint64_t n = der[i].n;
        sha256_add(&h, &n, sizeof n);
        sha256_add(&h, der[i].p, der[i].n);
    }
    sha256_end(&h, ret);
}

static struct member_seen *place(struct member_papers *p, const uint8_t hash[SHA256_LEN])
{
    return &p->seen[hash[0] % MEMBER_SEEN_MAX];
}

const struct member_seen *member_seen_find(struct member_papers *p, const uint8_t hash[SHA256_LEN],
                                           int64_t wall_ms)
{
    const struct member_seen *s = place(p, hash);
    bool good = s->id && memcmp(s->hash, hash, SHA256_LEN) == 0 && wall_ms >= s->from_ms &&
                wall_ms < s->until_ms;
    return good ? s : NULL;
}

void member_seen_put(struct member_papers *p, const uint8_t hash[SHA256_LEN],
                     const struct bytes *der, int count, int64_t wall_ms, const char *id,
                     uint64_t epoch)
{
    struct member_seen *s = place(p, hash);
    struct x509_info info;
    int64_t until_ms = wall_ms + SEEN_MS;
    for (int i = 0; i < count; i++) {
        if (x509_info(der[i], &info, NULL) != 0)
            return;
        until_ms = info.not_after_ms < until_ms ? info.not_after_ms : until_ms;
    }
    mem_free(s->id);
    *s = (struct member_seen){
        .id = mem_str(id), .epoch = epoch, .from_ms = wall_ms, .until_ms = until_ms};
    memcpy(s->hash, hash, SHA256_LEN);
}

void member_seen_fini(struct member_papers *p)
{
    for (int i = 0; i < MEMBER_SEEN_MAX; i++)
        mem_free(p->seen[i].id);
}
