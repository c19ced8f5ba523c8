// web.c: serves the console's embedded files. They hold no data of the node: the page asks the API
// for all of it, with a key where the listener wants one.
// SPDX-License-Identifier: Apache-2.0
#include "web/web.h"
#include "base/embed.h"

#define ASSETS BYTES("/assets/")

const struct embed_file *embed_web(size_t *count); // build/gen/assets_web.c

// No inline script or style, no other host, no frame around the page (CSP level 3). The browser
// asks again each time (no-cache), so that a new binary brings its page with it; 304 makes that
// cheap.
#define GUARDS                                                                                     \
    "Content-Security-Policy: default-src 'self'; connect-src 'self'; object-src 'none'; "         \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                              \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cross-Origin-Resource-Policy: same-origin\r\n"

static const struct embed_file *file_of(struct bytes path)
{
    struct bytes name = BYTES("index.html");
    size_t count;
    const struct embed_file *files = embed_web(&count);
    if (bytes_starts(path, ASSETS))
        name = bytes_from(path, ASSETS.n);
    else if (!bytes_is(path, "/"))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (bytes_is(name, files[i].path))
            return &files[i];
    return NULL;
}

// If-None-Match: "*" or a list of tags, compared weakly (RFC 9110, 13.1.2). Ours have no comma.
static bool has_it(struct bytes tags, const char *etag)
{
    while (tags.n) {
        struct bytes tag = bytes_trim(bytes_cut(&tags, ','));
        if (bytes_starts(tag, BYTES("W/")))
            tag = bytes_from(tag, 2);
        if (bytes_is(tag, "*") || bytes_is(tag, etag))
            return true;
    }
    return false;
}

bool web_handle(struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    const struct embed_file *f = file_of(h->path);
    struct buf extra;
    if (!f)
        return false;
    if (!bytes_is(h->method, "GET") && !bytes_is(h->method, "HEAD")) {
        http_reply(x, 405, "application/json", BYTES("Allow: GET, HEAD\r\n"),
                   BYTES("{\"error\":{\"message\":\"the page is only read (GET, HEAD)\",\"type\":"
                         "\"invalid_request_error\",\"param\":null,\"code\":\"method\"}}"));
        return true;
    }
    buf_init(&extra, 1024);
    (void)buf_fmt(&extra, "ETag: %s\r\nCache-Control: no-cache\r\n" GUARDS, f->etag);
    if (has_it(http_header(h, "If-None-Match"), f->etag))
        http_reply(x, 304, NULL, buf_bytes(&extra), BYTES_NONE);
    else
        http_reply(x, 200, f->mime, buf_bytes(&extra), f->data);
    buf_fini(&extra);
    return true;
}
