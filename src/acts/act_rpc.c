// act_rpc.c: JSON-RPC 2.0 over HTTP: one message out, one or a stream of them back.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "crypto/hash.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)16 << 20)

struct val *act_rpc_message(int64_t id, const char *method, struct val *takes_params)
{
    struct val *m = val_put_cstr(val_obj(), "jsonrpc", val_cstr("2.0"));
    if (id > 0)
        m = val_put_cstr(m, "id", val_int(id));
    m = val_put_cstr(m, "method", val_cstr(method));
    return takes_params ? val_put_cstr(m, "params", takes_params) : m;
}

bool act_rpc_answers(const struct val *message, int64_t id)
{
    const struct val *v = val_get_cstr(message, "id");
    return !val_get_cstr(message, "method") && val_i64(v, -1) == id &&
           (val_get_cstr(message, "result") || val_get_cstr(message, "error"));
}

bool act_rpc_failed(struct act *a, const char *what, const struct val *message)
{
    const struct val *error = val_get_cstr(message, "error");
    struct buf data;
    if (!error)
        return false;
    buf_init(&data, 1024);
    if (val_get_cstr(error, "data"))
        (void)val_write(&data, val_get_cstr(error, "data"));
    // dsl-reference: a runtime error. -32600 to -32603 say that the request is wrong.
    int64_t code = val_i64(val_get_cstr(error, "code"), 0);
    act_fail(a, ACT_RUNTIME, 0, code <= -32600 && code >= -32602, "%s: error %lld: %s%s%s", what,
             (long long)code, val_text(val_get_cstr(error, "message"), "without a message"),
             data.n && !data.failed ? ": " : "", data.failed ? "" : buf_cstr(&data));
    buf_fini(&data);
    return true;
}

// The same for each attempt of this activity: who gets it twice can tell.
void act_rpc_uuid(const struct act *a, char text[37])
{
    uint8_t sum[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    sha256_sum(a->args->key, sum);
    sum[6] = (uint8_t)((sum[6] & 0x0f) | 0x80); // version 8: our own way, RFC 9562
    sum[8] = (uint8_t)((sum[8] & 0x3f) | 0x80);
    crypto_hex(sum, 16, hex);
    (void)snprintf(text, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20);
}

// ---- one exchange ------------------------------------------------------------------------------

static void take(struct act_rpc *r, struct bytes text)
{
    AUTO(val) v = NULL;
    if (r->enough || !text.n || val_parse(&v, text, NULL) < 0)
        return;
    if (val_is(v, JSON_ARR)) { // a batch
        for (size_t i = 0; i < val_len(v) && !r->enough; i++)
            r->enough = !r->on_message(r->act, val_at(v, i));
        return;
    }
    r->enough = !r->on_message(r->act, v);
}

static void on_event(void *user, const struct sse_event *ev)
{
    take(user, ev->data);
}

static bool on_part(struct act *a, struct bytes part)
{
    struct act_rpc *r = a->rpc;
    if (!r->made) {
        struct bytes first = bytes_trim(part);
        r->made = true;
        r->json = first.n && (*first.p == '{' || *first.p == '[');
        sse_parser_init(&r->sse, MESSAGE_MAX);
        buf_init(&r->whole, MESSAGE_MAX);
    }
    int rc = r->json ? buf_put(&r->whole, part) : sse_parser_feed(&r->sse, part, on_event, r);
    if (rc < 0)
        act_fail(a, ACT_RUNTIME, 0, true, "a message has more than 16 MiB");
    return rc >= 0 && !r->enough && !a->ended;
}

static void got(struct act *a, struct act_fetch *f)
{
    struct act_rpc *r = a->rpc;
    if (r->json)
        take(r, buf_bytes(&r->whole));
    else if (f->status < 200 || f->status > 299) // an error may be told in JSON all the same
        take(r, buf_bytes(&f->body));
    if (!a->ended)
        r->on_end(a, f);
}

static void clear(struct act_rpc *r)
{
    act_web_free(&r->web);
    if (r->made) {
        sse_parser_fini(&r->sse);
        buf_fini(&r->whole);
    }
    r->made = r->json = r->enough = false;
}

void act_rpc_send(struct act *a, struct act_rpc *r, const struct act_rpc_args *args)
{
    struct buf body, lines;
    clear(r);
    r->act = a;
    a->rpc = r;
    r->on_message = args->on_message;
    r->on_end = args->on_end;
    buf_init(&body, (size_t)32 << 20);
    buf_init(&lines, (size_t)64 << 10);
    if (args->takes_message)
        (void)val_write(&body, args->takes_message);
    (void)buf_put(&lines, args->headers);
    if (body.n)
        (void)buf_str(&lines, "Content-Type: application/json\r\n");
    (void)buf_str(&lines, "Accept: application/json, text/event-stream\r\n");
    if (body.failed || lines.failed || (args->method == NULL && !args->takes_message))
        act_nomem(a);
    else
        act_web(a, &r->web,
                &(struct act_web_args){.method = bytes_of(args->method ? args->method : "POST"),
                                       .url = args->url,
                                       .shown = args->shown,
                                       .headers = buf_bytes(&lines),
                                       .body = body.n ? &body : NULL,
                                       .auth = args->auth,
                                       .any = true,
                                       .then = got,
                                       .on_part = on_part});
    val_unref(args->takes_message);
    buf_fini(&body);
    if (lines.p)
        mem_wipe(lines.p, lines.n);
    buf_fini(&lines);
}

void act_rpc_fini(struct act_rpc *r)
{
    clear(r);
}
