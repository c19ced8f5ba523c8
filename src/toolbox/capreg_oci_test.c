// capreg_oci_test.c: capabilities in a real registry of containers (distribution's own server), and
// servers that lie. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_server_rig.h"
#include "loop/loop.h"
#include "tool/tool_rig.h"
#include "toolbox/capreg.h"

#define DEADLINE_MS 30000
#define EVIDENCE "{\"cases\":[]}"

enum what { GET, PUT, PUT_PROMOTED, PUT_OTHER };
struct step {
    enum what what;
    const char *lie; // how the server answers; NULL: well
    int want;
    const char *why;
};

struct rig {
    struct loop *loop;
    struct http_server *server; // one that lies
    struct net_listener *listener;
    struct capreg *g;
    struct capreg_req req;
    struct timer deadline;
    char url[80], *text, *other, *event, urn[64];
    struct manifest_pack pack;
    const struct step *steps;
    size_t count, at;
    bool promoted; // what was got last
};

// ---- the client ---------------------------------------------------------------------------------

static void next(struct rig *r);

static void done(struct capreg_req *req, int status, const struct manifest_pack *pack,
                 const struct err *e)
{
    struct rig *r = req->user;
    const struct step *s = &r->steps[r->at];
    const char *said = status ? e->text : "";
    if (status != s->want || (s->why && !strstr(said, s->why)))
        fail_msg("step %zu: %d %s", r->at, status, said);
    if (!status && pack) {
        assert_true(bytes_eq(pack->code, rig_code()));
        assert_true(bytes_is(pack->manifest, r->text));
        r->promoted = bytes_is(pack->promotion, r->event) && bytes_is(pack->evidence, EVIDENCE);
    }
    r->at++;
    next(r);
}

static void next(struct rig *r)
{
    struct err e = {0};
    if (r->at == r->count) {
        timer_stop(loop_timers(r->loop), &r->deadline);
        if (r->server) {
            http_server_abort(r->server);
            http_server_unlisten(r->server, r->listener);
        }
        loop_stop(r->loop);
        return;
    }
    enum what what = r->steps[r->at].what;
    r->req = (struct capreg_req){.done = done, .user = r};
    r->pack = (struct manifest_pack){.manifest = bytes_of(what == PUT_OTHER ? r->other : r->text),
                                     .code = rig_code()};
    if (what == PUT_PROMOTED) {
        r->pack.promotion = bytes_of(r->event);
        r->pack.evidence = BYTES(EVIDENCE);
    }
    int rc = what == GET ? r->g->ops->get(r->g, BYTES(RIG_URN), &r->req, &e)
                         : r->g->ops->put(r->g, &r->pack, &r->req, &e);
    if (rc)
        done(&r->req, rc, NULL, &e);
}

static void late(struct timer *t)
{
    const struct rig *r = t->user;
    fail_msg("step %zu is not done after %d ms", r->at, DEADLINE_MS);
}

static void rig_open(struct rig *r, const struct step *steps, size_t count)
{
    struct err e = {0};
    struct manifest_key key;
    struct buf event;
    *r = (struct rig){.steps = steps, .count = count};
    r->text = rig_signed(RIG_DRAFT(""), rig_code());
    r->other = rig_signed(RIG_DRAFT(",\"title\":\"not the same\""), rig_code());
    struct manifest *m = rig_manifest(RIG_DRAFT(""));
    struct crystal_args args = {.kind = "capability",
                                .urn = m->urn,
                                .hash = bytes_of(m->hash),
                                .evidence = BYTES(EVIDENCE),
                                .cases = 1,
                                .node = BYTES("theia"),
                                .at_ms = 5};
    rig_key(&key);
    buf_init(&event, MANIFEST_BYTES_MAX);
    assert_int_equal(crystal_make(&event, &args, &key, &e), 0);
    r->event = buf_take(&event);
    manifest_free(m);
    assert_int_equal(loop_new(&r->loop, NULL, &e), 0);
}

static void rig_run(struct rig *r, uint16_t port)
{
    struct err e = {0};
    (void)snprintf(r->url, sizeof r->url, "oci://127.0.0.1:%u/team/tools", port);
    struct capreg_args args = {.url = bytes_of(r->url),
                               .key = BYTES("ann:secret"),
                               .net = loop_net(r->loop),
                               .timers = loop_timers(r->loop)};
    if (capreg_new(&r->g, &args, &e))
        fail_msg("%s", e.text);
    r->deadline = (struct timer){.fn = late, .user = r};
    assert_int_equal(timer_start(loop_timers(r->loop), &r->deadline, DEADLINE_MS), 0);
    next(r);
    assert_int_equal(loop_run(r->loop), 0);
    assert_int_equal(r->at, r->count);
    capreg_free(r->g);
    if (r->server)
        http_server_free(r->server);
    loop_free(r->loop);
    mem_free(r->text);
    mem_free(r->other);
    mem_free(r->event);
    assert_int_equal(mem_live(), 0);
}

// ---- a real one ---------------------------------------------------------------------------------

static const char *program;

static void real(void **state)
{
    static const struct step steps[] = {
        {GET, NULL, E_NOTFOUND, "404"},
        {PUT, NULL, 0, NULL},
        {GET, NULL, 0, NULL},
        {PUT, NULL, 0, NULL}, // the same again
        {PUT_OTHER, NULL, E_CONFLICT, "for good"},
        {PUT_PROMOTED, NULL, 0, NULL},
        {PUT, NULL, 0, NULL}, // and it stays promoted
        {GET, NULL, 0, NULL},
    };
    struct server s = {.port = server_free_port()};
    char conf[512];
    struct rig r;
    (void)state;
    server_folder(&s);
    (void)snprintf(
        conf, sizeof conf,
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: "
        "%s\nhttp:\n  addr: 127.0.0.1:%u\n",
        s.folder, s.port);
    server_write(s.conf, conf);
    s.argv[0] = program;
    s.argv[1] = "serve";
    s.argv[2] = s.conf;
    server_start(&s);
    rig_open(&r, steps, sizeof steps / sizeof *steps);
    rig_run(&r, s.port);
    server_remove(&s);
    assert_true(r.promoted);
}

// ---- one that lies ------------------------------------------------------------------------------

#define HASH "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476" // of the code
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define INDEX(config, type, digest, size)                                                          \
    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" config "\",\"digest\":\"sha256:" ZERO      \
    "\","                                                                                          \
    "\"size\":9},\"layers\":[{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size \
    "}]}"
#define OURS "application/vnd.plexus.capability.manifest.v1+json"

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
    return 0;
}

static void on_request(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    const struct http_head *h = http_request(x);
    const char *lie = r->steps[r->at].lie;
    assert_true(bytes_is(http_header(h, "authorization"), "Basic YW5uOnNlY3JldA=="));
    if (bytes_find(h->path, BYTES("/blobs/uploads/")) >= 0)
        http_reply(x, 202, NULL, bytes_of(lie), BYTES_NONE);
    else if (r->steps[r->at].what != GET)
        http_reply(x, 404, NULL, BYTES_NONE, BYTES_NONE);
    else if (bytes_find(h->path, BYTES("/blobs/")) >= 0)
        http_reply(x, 200, NULL, BYTES_NONE, BYTES("{\"a\":1}!!"));
    else
        http_reply(x, 200, "application/json", BYTES_NONE, bytes_of(lie));
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    (void)peer;
    (void)code;
    (void)why;
}

static void lies(void **state)
{
    static const struct step steps[] = {
        {GET, "hello", E_MANIFEST, "not an OCI manifest"},
        {GET,
         INDEX("application/vnd.oci.image.config.v1+json", "application/wasm", "sha256:" HASH, "8"),
         E_MANIFEST, "is no capability"},
        {GET, INDEX(OURS, "application/x-tar", "sha256:" HASH, "8"), E_MANIFEST,
         "there is no code"},
        {GET, INDEX(OURS, "application/wasm", "sha512:00", "8"), E_MANIFEST, "no SHA-256"},
        {GET, INDEX(OURS, "application/wasm", "sha256:" HASH, "0"), E_MANIFEST, "no size"},
        {GET, INDEX(OURS, "application/wasm", "sha256:" HASH, "99999999999"), E_TOOBIG, "larger"},
        {GET, INDEX(OURS, "application/wasm", "sha256:" HASH, "8"), E_MANIFEST, "have the hash"},
        {PUT, "", E_UPSTREAM, "does not say where"},
        {PUT, "Location: http://169.254.169.254/v2/x\r\n", E_SECURITY, "sends the bytes elsewhere"},
        {PUT, "Location: http://127.0.0.1:1@evil/v2/x\r\n", E_SECURITY, "elsewhere"},
    };
    struct err e = {0};
    struct rig r;
    (void)state;
    rig_open(&r, steps, sizeof steps / sizeof *steps);
    struct http_server_args args = {.net = loop_net(r.loop),
                                    .timers = loop_timers(r.loop),
                                    .routes = {on_head, on_request, on_refused, &r}};
    assert_int_equal(http_server_new(&r.server, &args, &e), 0);
    struct net_listen_args listen = {.addr = {.host = "127.0.0.1"}, .queue_bytes_max = 1 << 20};
    assert_int_equal(http_server_listen(r.server, &listen, 0, &r.listener, &e), 0);
    rig_run(&r, net_listener_port(r.listener));
}

int main(void)
{
    const struct CMUnitTest alone[] = {cmocka_unit_test(lies)};
    const struct CMUnitTest tests[] = {cmocka_unit_test(real)};
    int rc = cmocka_run_group_tests_name("capreg oci", alone, NULL, NULL);
    program = server_path("docker-registry");
    if (rc || !program)
        return rc ? rc : 77;
    return cmocka_run_group_tests_name("capreg oci, a real one", tests, NULL, NULL);
}
