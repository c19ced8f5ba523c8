// act_source.c: documents that a call refers to: over HTTP with authentication, or a file.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "base/file.h"
#include "text/url.h"

#include <string.h>

#define FILE_MAX_BYTES ((size_t)16 << 20)

static void got(struct act *a, struct act_fetch *f)
{
    struct act_source *s = a->source;
    buf_clear(&s->url);
    (void)buf_put(&s->url, buf_bytes(&f->url)); // where it was in the end: relative addresses
    s->then(a, buf_bytes(&f->body), buf_bytes(&s->url));
}

static void ask(struct act *a, struct act_auth *x)
{
    struct act_source *s = container_of(x, struct act_source, auth);
    if (a->ended)
        return;
    a->source = s;
    act_web(a, &s->web,
            &(struct act_web_args){.method = BYTES("get"),
                                   .url = buf_bytes(&s->url),
                                   .auth = &s->auth,
                                   .redirect = true,
                                   .then = got});
}

// file:///etc/x, file:/etc/x, and file://x/y as the DSL's example has it: x/y from the node's
// folder.
static void read_file(struct act *a, struct act_source *s, struct bytes uri)
{
    struct buf path, text;
    struct err e = {0};
    buf_init(&path, 4096);
    buf_init(&text, FILE_MAX_BYTES);
    struct bytes rest = bytes_from(uri, 5);
    if (bytes_starts(rest, BYTES("//")))
        rest = bytes_from(rest, 2);
    int rc = url_path_decode(&path, rest, &e);
    if (rc == 0)
        rc = file_read(buf_cstr(&path), &text, &e);
    if (rc < 0)
        act_fail(a, ACT_CONFIGURATION, 0, true, "%s", e.text);
    else
        s->then(a, buf_bytes(&text), uri);
    buf_fini(&path);
    buf_fini(&text);
}

void act_source(struct act *a, struct act_source *s, const struct val *resource,
                void (*then)(struct act *a, struct bytes text, struct bytes url))
{
    const struct val *policy, *endpoint = val_get_cstr(resource, "endpoint");
    struct bytes uri = act_endpoint(endpoint ? endpoint : resource, &policy);
    act_source_fini(s);
    s->act = a;
    s->then = then;
    buf_init(&s->url, (size_t)64 << 10);
    if (bytes_starts(uri, BYTES("file:"))) {
        read_file(a, s, uri);
    } else if (!uri.n) {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "a document needs an endpoint: an address or "
                 "{ uri: ADDRESS }");
    } else {
        (void)buf_put(&s->url, uri);
        act_auth(a, &s->auth, policy, ask);
    }
}

void act_source_fini(struct act_source *s)
{
    act_web_free(&s->web);
    act_auth_fini(&s->auth);
    buf_fini(&s->url);
    *s = (struct act_source){0};
}
