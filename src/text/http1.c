// http1.c: llhttp with its callbacks turned into events, and the checks that RFC 9112 asks for
// beyond its grammar.
// SPDX-License-Identifier: Apache-2.0
#include "text/http1.h"
#include "llhttp.h"
#include <string.h>

_Static_assert(sizeof(llhttp_t) <= sizeof(((struct http1 *)0)->state_), "llhttp_t fits");

static llhttp_t *ll(struct http1 *p)
{
    return (llhttp_t *)(void *)p->state_;
}

static struct http1 *of(llhttp_t *l)
{
    return (struct http1 *)(void *)l; // state_ is the first member
}

static int on_url(llhttp_t *l, const char *at, size_t n)
{
    struct http1_fields *f = l->data;
    if (f)
        f->url = (struct bytes){at, n};
    return 0;
}

static int on_field(llhttp_t *l, const char *at, size_t n)
{
    struct http1_fields *f = l->data;
    if (!f)
        return 0; // a trailer: checked by the grammar, dropped
    if (f->count == HTTP1_HEADERS_MAX) {
        f->too_many = true;
        return HPE_USER;
    }
    f->rows[f->count++] = (struct http1_header){{at, n}, {at + n, 0}};
    return 0;
}

static int on_value(llhttp_t *l, const char *at, size_t n)
{
    struct http1_fields *f = l->data;
    if (!f || f->count == 0)
        return 0;
    struct bytes *value = &f->rows[f->count - 1].value;
    // A folded line gives a second span: join them over the gap (a space by then).
    *value =
        value->n ? (struct bytes){value->p, (size_t)(at + n - value->p)} : (struct bytes){at, n};
    return 0;
}

static int on_headers_complete(llhttp_t *l)
{
    of(l)->event_ = HTTP1_HEAD;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *l, const char *at, size_t n)
{
    of(l)->event_ = HTTP1_BODY;
    of(l)->body_ = (struct bytes){at, n};
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *l)
{
    of(l)->event_ = HTTP1_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct bytes http1_find(const struct http1_head *h, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < h->count; i++)
        if (h->headers[i].name.n == n && bytes_ieq(h->headers[i].name, (struct bytes){name, n}))
            return h->headers[i].value;
    return BYTES_NONE;
}

static int step(struct http1 *p, struct bytes data, size_t *ret_used, struct err *e)
{
    llhttp_t *l = ll(p);
    p->event_ = HTTP1_MORE;
    llhttp_errno_t status = llhttp_execute(l, data.p ? data.p : "", data.n);
    if (status == HPE_OK) {
        *ret_used = data.n;
        return HTTP1_MORE;
    }
    const char *at = llhttp_get_error_pos(l);
    *ret_used = at && data.p ? (size_t)(at - data.p) : 0;
    if (status == HPE_PAUSED) {
        llhttp_resume(l);
        return p->event_;
    }
    if (status == HPE_PAUSED_UPGRADE) {
        llhttp_resume_after_upgrade(l);
        return HTTP1_END;
    }
    if (status == HPE_PAUSED_H2_UPGRADE) // RFC 9113, section 3.4: the preface of a client that
                                         // was told so
        return err_set(e, E_VERSION, "HTTP/2 is not spoken here; use HTTP/1.1");
    const char *why = llhttp_get_error_reason(l);
    return err_set(e, E_PARSE, "%s", why && *why ? why : llhttp_errno_name(status));
}

static int head_of(struct http1 *p, llhttp_type_t type, struct http1_fields *fields,
                   struct bytes data, struct http1_head *h, size_t *ret_used, struct err *e)
{
    llhttp_t *l = ll(p);
    llhttp_init(l, type, &settings);
    fields->count = 0;
    fields->too_many = false;
    fields->url = BYTES_NONE;
    l->data = fields;
    int event = step(p, data, ret_used, e);
    l->data = NULL;
    if (fields->too_many)
        return err_set(e, E_HEAD_TOOBIG, "more than %d header lines", HTTP1_HEADERS_MAX);
    if (event != HTTP1_HEAD)
        return event;
    for (size_t i = 0; i < fields->count; i++)
        fields->rows[i].value = bytes_trim(fields->rows[i].value);
    *h = (struct http1_head){
        .http10 = l->http_minor == 0,
        .keep_alive = llhttp_should_keep_alive(l) != 0,
        .chunked = (l->flags & F_CHUNKED) != 0,
        .has_length = (l->flags & F_CONTENT_LENGTH) != 0,
        .upgrade = l->upgrade != 0,
        .length = (l->flags & F_CONTENT_LENGTH) ? l->content_length : 0,
        .count = fields->count,
        .headers = fields->rows,
    };
    if (l->http_major != 1 || l->http_minor > 1)
        return err_set(e, E_VERSION, "HTTP/%d.%d is not supported", l->http_major, l->http_minor);
    return HTTP1_HEAD;
}

// RFC 9112, section 3.2: origin-form, absolute-form, asterisk-form.
static int split_target(struct http1_head *h, struct err *e)
{
    struct bytes rest = h->target;
    if (bytes_starts(rest, BYTES("http://")) || bytes_starts(rest, BYTES("https://"))) {
        rest = bytes_from(rest, (size_t)bytes_find(rest, BYTES("://")) + 3);
        ptrdiff_t slash = bytes_chr(rest, '/');
        h->host = slash < 0 ? rest : bytes_first(rest, (size_t)slash);
        rest = slash < 0 ? BYTES("/") : bytes_from(rest, (size_t)slash);
    } else if (!bytes_starts(rest, BYTES("/")) &&
               !(bytes_is(rest, "*") && bytes_is(h->method, "OPTIONS"))) {
        return err_set(e, E_PARSE, "the request target must begin with /");
    }
    if (bytes_chr(rest, '#') >= 0)
        return err_set(e, E_PARSE, "a fragment has no place in a request target");
    h->path = bytes_cut(&rest, '?');
    h->query = rest;
    return 0;
}

static bool host_is_plain(struct bytes host)
{
    for (size_t i = 0; i < host.n; i++)
        if ((unsigned char)host.p[i] <= ' ' || strchr("/\\?#@,\"<>", host.p[i]))
            return false;
    return true;
}

static int check_request(struct http1_head *h, struct err *e)
{
    size_t hosts = 0;
    for (size_t i = 0; i < h->count; i++) {
        struct bytes name = h->headers[i].name;
        if (name.n == 4 && bytes_iis(name, "host")) {
            hosts++;
            h->host = h->headers[i].value;
        } else if (name.n == 17 && bytes_iis(name, "transfer-encoding")) {
            if (h->http10)
                return err_set(e, E_PARSE, "Transfer-Encoding in an HTTP/1.0 request");
            if (!bytes_iis(h->headers[i].value, "chunked"))
                return err_set(e, E_UNSUPPORTED, "the only transfer coding is chunked");
        }
    }
    if (hosts > 1 || (hosts == 0 && !h->http10))
        return err_set(e, E_PARSE, hosts ? "more than one Host" : "Host is missing");
    if (!host_is_plain(h->host))
        return err_set(e, E_PARSE, "Host is not valid");
    return split_target(h, e);
}

int http1_request(struct http1 *p, struct http1_fields *fields, struct bytes data,
                  struct http1_head *ret_head, size_t *ret_used, struct err *e)
{
    int event = head_of(p, HTTP_REQUEST, fields, data, ret_head, ret_used, e);
    if (event != HTTP1_HEAD)
        return event;
    // The method's text: llhttp gives a number; the text is at the start of the head.
    const char *name = llhttp_method_name((llhttp_method_t)ll(p)->method);
    ret_head->method = bytes_of(name);
    ret_head->target = fields->url;
    int status = check_request(ret_head, e);
    return status < 0 ? status : HTTP1_HEAD;
}

int http1_response(struct http1 *p, struct http1_fields *fields, struct bytes data,
                   struct http1_head *ret_head, size_t *ret_used, struct err *e)
{
    int event = head_of(p, HTTP_RESPONSE, fields, data, ret_head, ret_used, e);
    if (event != HTTP1_HEAD)
        return event;
    ret_head->status = ll(p)->status_code;
    ret_head->until_close = llhttp_message_needs_eof(ll(p)) != 0;
    return HTTP1_HEAD;
}

void http1_no_body(struct http1 *p)
{
    ll(p)->flags |= F_SKIPBODY;
}

int http1_body(struct http1 *p, struct bytes data, size_t *ret_used, struct bytes *ret_body,
               struct err *e)
{
    int event = step(p, data, ret_used, e);
    if (event == HTTP1_BODY && p->body_.n == 0)
        return HTTP1_MORE; // llhttp tells of the empty rest of a span when there is no data
    if (event == HTTP1_BODY)
        *ret_body = p->body_;
    return event;
}

int http1_eof(struct http1 *p)
{
    p->event_ = HTTP1_MORE;
    llhttp_errno_t status = llhttp_finish(ll(p));
    return (status == HPE_OK || status == HPE_PAUSED) && p->event_ == HTTP1_END ? HTTP1_END
                                                                                : E_CLOSED;
}
