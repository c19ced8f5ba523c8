// tool_rig.h: for tests: manifests made of a draft with some members put in or taken out, and a
// key. Included after cmocka.h. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOL_TOOL_RIG_H
#define PLEXUS_TOOL_TOOL_RIG_H

#include "base/alloc.h"
#include "tool/tool.h"

#include <stdio.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

#define RIG_SEED "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" // RFC 8032, 7.1, test 1
#define RIG_CODE "\0asm\1\0\0\0"
#define RIG_TOOL                                                                                   \
    "{\"name\":\"count\",\"description\":\"Counts.\",\"input\":{\"type\":\"object\","              \
    "\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]},"                    \
    "\"output\":{\"type\":\"object\",\"required\":[\"n\"]},\"effects\":[\"idempotent\"]}"
#define RIG_URN "urn:plexus:cap:text:count:v1"
#define RIG_DRAFT(more)                                                                            \
    "{\"plexus_capability\":1,\"urn\":\"" RIG_URN "\",\"description\":\"Counts words.\","          \
    "\"tools\":[" RIG_TOOL "]" more "}"

static struct bytes rig_code(void)
{
    return (struct bytes){RIG_CODE, sizeof RIG_CODE - 1};
}

static void rig_key(struct manifest_key *k)
{
    struct err e = {0};
    if (manifest_key_open(k, BYTES(RIG_SEED), &e))
        fail_msg("%s", e.text);
}

// The signed text of a draft; gives the memory.
static char *rig_signed(const char *draft, struct bytes code)
{
    struct manifest_key k;
    struct err e = {0};
    struct buf out;
    rig_key(&k);
    buf_init(&out, MANIFEST_BYTES_MAX);
    if (manifest_sign(&out, bytes_of(draft), code, BYTES("Ann"), &k, &e))
        fail_msg("%s: %s", e.text, draft);
    return buf_take(&out);
}

static struct manifest *rig_manifest(const char *draft)
{
    struct manifest *m = NULL;
    struct err e = {0};
    char *text = rig_signed(draft, rig_code());
    if (manifest_open(&m, bytes_of(text), 0, &e))
        fail_msg("%s", e.text);
    mem_free(text);
    return m;
}

#endif
