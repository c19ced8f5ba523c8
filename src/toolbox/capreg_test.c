// capreg_test.c: registries over HTTP: a node's own server and the client, and servers that lie,
// are slow, too large, or go in the middle. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/time.h"
#include "loop/loop.h"
#include "tool/tool_rig.h"
#include "toolbox/capreg.h"
#include "toolbox/toolbox_rig.h"

#include <unistd.h>

#define LARGE "urn:plexus:cap:text:large:v1"
#define KEY "the-key"
#define DEADLINE_MS 20000
#define CLIENT_MS 15000
#define QUICK_MS 200

enum mood {
    GOOD,
    OTHER_CODE,
    LONG_CODE,
    HUGE_MANIFEST,
    GONE,
    SILENT,
    SLOW,
    NOISE,
    BROKEN,
    OTHER_URN,
    UNSIGNED,
    REDIRECT
};

struct step {
    const char *what; // urn to get; "put NAME" publishes
    enum mood mood;
    int want;
    const char *why; // part of the error, or of the manifest
    bool no_key;
};

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct net_listener *listener;
    struct capreg_server *registry;
    struct capreg *client, *stranger, *quick; // quick: waits for nobody
    struct capreg_req req;
    struct timer deadline;
    char folder[64], reg[80], url[64], *packs[5];
    struct manifest_pack pack;
    const struct step *steps;
    size_t count, at;
    enum mood mood;
    size_t published, refused;
};

// More than a listener's queue holds.
static struct bytes large(void)
{
    static char code[7 << 20];
    for (size_t i = 0; !code[1] && i < sizeof code; i++)
        code[i] = (char)(i * 31 + (i >> 12));
    memcpy(code, RIG_CODE, sizeof RIG_CODE - 1);
    return (struct bytes){code, sizeof code};
}

// ---- the server ---------------------------------------------------------------------------------

static int may_publish(void *user, const struct http_exchange *x, struct err *e)
{
    (void)user;
    return bytes_is(http_header(http_request(x), "authorization"), "Bearer " KEY)
               ? 0
               : err_set(e, E_UNAUTH, "a key is needed to publish");
}

static void on_publish(void *user, const struct http_exchange *x, struct bytes urn, int status,
                       const struct err *e)
{
    struct rig *r = user;
    (void)x;
    (void)urn;
    assert_true(!status == !e);
    if (status)
        r->refused++;
    else
        r->published++;
}

static int on_head(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    return capreg_server_head(r->registry, x);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)user;
    (void)status;
}

static void lie(struct rig *r, struct http_exchange *x)
{
    static char huge[11 << 20];
    bool code = bytes_starts(http_request(x)->path, BYTES("/v1/blobs/"));
    struct bytes part = {huge, 4};
    memset(huge, ' ', sizeof huge);
    switch (r->mood) {
    case HUGE_MANIFEST:
        http_reply(x, 200, "application/json", BYTES_NONE, (struct bytes){huge, sizeof huge});
        return;
    case OTHER_CODE:
    case LONG_CODE:
        if (!code)
            break;
        http_reply(x, 200, NULL, BYTES_NONE,
                   r->mood == OTHER_CODE ? BYTES("\0asm\2\0\0\0")
                                         : (struct bytes){huge, sizeof huge});
        return;
    case GONE: // the connection is cut in the middle of the answer
        if (!code)
            break;
        http_own(x, r, NULL, gone);
        http_begin(x, 200, NULL, BYTES_NONE, 8);
        (void)http_send(x, &part, 1);
        http_abort(x);
        return;
    case SILENT: // no answer ever
        http_own(x, r, NULL, gone);
        return;
    case SLOW: // its head, and then nothing
        http_own(x, r, NULL, gone);
        http_begin(x, 200, NULL, BYTES_NONE, 100);
        (void)http_flush(x);
        return;
    case NOISE: http_reply(x, 200, "text/html", BYTES_NONE, BYTES("<html>hello</html>")); return;
    case BROKEN: http_reply(x, 500, "text/plain", BYTES_NONE, BYTES("oops")); return;
    case REDIRECT:
        http_reply(x, 302, NULL, BYTES("Location: http://169.254.169.254/\r\n"), BYTES_NONE);
        return;
    case OTHER_URN:
        http_reply(x, 200, "application/json", BYTES_NONE, bytes_of(r->packs[1]));
        return;
    case UNSIGNED:
        http_reply(x, 200, "application/json", BYTES_NONE, bytes_of(r->packs[3]));
        return;
    case GOOD:
    default: break;
    }
    capreg_server_request(r->registry, x);
}

static void on_request(void *user, struct http_exchange *x)
{
    lie(user, x);
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    (void)peer;
    (void)code;
    (void)why;
}

// ---- the client ---------------------------------------------------------------------------------

static void next(struct rig *r);

static void done(struct capreg_req *req, int status, const struct manifest_pack *pack,
                 const struct err *e)
{
    struct rig *r = req->user;
    const struct step *s = &r->steps[r->at];
    const char *said = status ? e->text : pack ? pack->manifest.p : "";
    if (status != s->want || (s->why && !strstr(said, s->why)))
        fail_msg("step %zu %s: %d %.300s", r->at, s->what, status, said);
    if (!status && pack)
        assert_true(
            bytes_eq(pack->code, bytes_is(bytes_of(s->what), LARGE) ? large() : rig_code()));
    r->at++;
    next(r);
}

static void put_pack(struct rig *r, const char *which)
{
    size_t i = (size_t)(*which - '0');
    r->pack = (struct manifest_pack){.manifest = bytes_of(r->packs[i]),
                                     .code = i == 4 ? large() : rig_code()};
}

static void next(struct rig *r)
{
    const struct step *s = &r->steps[r->at];
    struct err e = {0};
    if (r->at == r->count) {
        timer_stop(loop_timers(r->loop), &r->deadline);
        http_server_abort(r->server);
        http_server_unlisten(r->server, r->listener);
        loop_stop(r->loop);
        return;
    }
    struct capreg *g = s->no_key                              ? r->stranger
                       : s->mood == SILENT || s->mood == SLOW ? r->quick
                                                              : r->client;
    r->mood = s->mood;
    r->req = (struct capreg_req){.done = done, .user = r};
    int rc;
    if (strncmp(s->what, "put ", 4) == 0) {
        put_pack(r, s->what + 4);
        rc = g->ops->put(g, &r->pack, &r->req, &e);
    } else {
        rc = g->ops->get(g, bytes_of(s->what), &r->req, &e);
    }
    if (rc) // at once: as if it had come
        done(&r->req, rc, NULL, &e);
}

static void late(struct timer *t)
{
    const struct rig *r = t->user;
    fail_msg("step %zu is not done after %d ms", r->at, DEADLINE_MS);
}

static void run(const struct step *steps, size_t count, size_t queue, struct rig *r)
{
    struct err e = {0};
    *r = (struct rig){.steps = steps, .count = count};
    (void)snprintf(r->folder, sizeof r->folder, "/tmp/capreg-test-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    (void)snprintf(r->reg, sizeof r->reg, "%s/reg", r->folder);
    r->packs[0] = rig_signed(RIG_DRAFT(""), rig_code());
    r->packs[1] = rig_signed("{\"plexus_capability\":1,\"urn\":\"urn:plexus:cap:text:other:v1\","
                             "\"description\":\"d\",\"tools\":[" RIG_TOOL "]}",
                             rig_code());
    r->packs[2] = rig_signed(RIG_DRAFT(",\"title\":\"not the same\""), rig_code());
    r->packs[4] = rig_signed("{\"plexus_capability\":1,\"urn\":\"" LARGE
                             "\",\"description\":\"d\",\"tools\":[" RIG_TOOL "]}",
                             large());
    struct manifest *m = rig_manifest(RIG_DRAFT(""));
    struct val *bare = val_del(val_ref((struct val *)(uintptr_t)m->root), BYTES("signature"));
    r->packs[3] = mem_str(rig_text(bare));
    val_unref(bare);
    manifest_free(m);
    assert_int_equal(loop_new(&r->loop, NULL, &e), 0);
    struct capreg_server_args sargs = {
        .folder = r->reg, .may_publish = may_publish, .on_publish = on_publish, .user = r};
    assert_int_equal(capreg_server_new(&r->registry, &sargs, &e), 0);
    struct http_server_args hargs = {.net = loop_net(r->loop),
                                     .timers = loop_timers(r->loop),
                                     .routes = {on_head, on_request, on_refused, r}};
    assert_int_equal(http_server_new(&r->server, &hargs, &e), 0);
    struct net_listen_args largs = {.addr = {.host = "127.0.0.1"}, .queue_bytes_max = queue};
    assert_int_equal(http_server_listen(r->server, &largs, 0, &r->listener, &e), 0);
    (void)snprintf(r->url, sizeof r->url, "http://127.0.0.1:%u/", net_listener_port(r->listener));
    struct capreg_args args = {.url = bytes_of(r->url),
                               .key = BYTES(KEY),
                               .net = loop_net(r->loop),
                               .timers = loop_timers(r->loop),
                               .timeout_ms = CLIENT_MS};
    assert_int_equal(capreg_new(&r->client, &args, &e), 0);
    args.timeout_ms = QUICK_MS;
    assert_int_equal(capreg_new(&r->quick, &args, &e), 0);
    args.timeout_ms = CLIENT_MS;
    args.key = BYTES_NONE;
    assert_int_equal(capreg_new(&r->stranger, &args, &e), 0);
    r->deadline = (struct timer){.fn = late, .user = r};
    assert_int_equal(timer_start(loop_timers(r->loop), &r->deadline, DEADLINE_MS), 0);
    next(r);
    assert_int_equal(loop_run(r->loop), 0);
    assert_int_equal(r->at, count);
    capreg_free(r->client);
    capreg_free(r->stranger);
    capreg_free(r->quick);
    capreg_server_free(r->registry);
    http_server_free(r->server);
    loop_free(r->loop);
}

static void fini(struct rig *r)
{
    char command[128];
    for (size_t i = 0; i < 5; i++)
        mem_free(r->packs[i]);
    (void)snprintf(command, sizeof command, "rm -r %s", r->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(mem_live(), 0);
}

#define OTHER "urn:plexus:cap:text:other:v1"

static void exchange(void **state)
{
    static const struct step steps[] = {
        {RIG_URN, GOOD, E_NOTFOUND, "the registry has no " RIG_URN, false},
        {"put 0", GOOD, E_UNAUTH, "a key is needed", true},
        {"put 0", GOOD, 0, NULL, false},
        {"put 0", GOOD, 0, NULL, false}, // the same again
        {"put 2", GOOD, E_CONFLICT, "for good", false},
        {"put 3", GOOD, E_SECURITY, "is not signed", false},
        {RIG_URN, GOOD, 0, RIG_URN, true},
        {"sha256:0000000000000000000000000000000000000000000000000000000000000000", GOOD,
         E_NOTFOUND, "nothing here has the hash", false},
        {"sha256:00", GOOD, E_INVALID, "64 hex digits", false},
        {"urn:x", GOOD, E_INVALID, "expected urn:AUTHORITY", false},
        {OTHER, GOOD, E_NOTFOUND, NULL, false},
        {"put 4", GOOD, 0, NULL, false},
        {LARGE, GOOD, 0, LARGE, false},
    };
    struct rig r;
    (void)state;
    run(steps, sizeof steps / sizeof *steps, 1 << 20, &r);
    assert_int_equal(r.published, 3);
    assert_int_equal(r.refused, 2);
    fini(&r);
}

static void lies(void **state)
{
    static const struct step steps[] = {
        {"put 0", GOOD, 0, NULL, false},
        {RIG_URN, OTHER_CODE, E_MANIFEST, "the code is not what was signed", false},
        {RIG_URN, LONG_CODE, E_TOOBIG, "larger than it may be", false},
        {RIG_URN, HUGE_MANIFEST, E_TOOBIG, "larger than it may be", false},
        {RIG_URN, GONE, E_CLOSED, "http://127.0.0.1", false},
        {RIG_URN, SILENT, E_TIMEOUT, NULL, false},
        {RIG_URN, SLOW, E_TIMEOUT, NULL, false},
        {RIG_URN, NOISE, E_MANIFEST, "the manifest", false},
        {RIG_URN, BROKEN, E_UPSTREAM, "answers 500", false},
        {RIG_URN, REDIRECT, E_UPSTREAM, "answers 302", false}, // never followed
        {RIG_URN, OTHER_URN, E_MANIFEST, "gave " OTHER ", not " RIG_URN, false},
        {RIG_URN, UNSIGNED, E_SECURITY, "nobody signed", false},
        {"put 1", SILENT, E_TIMEOUT, NULL, false},
        {"put 1", BROKEN, E_UPSTREAM, NULL, false},
        {RIG_URN, GOOD, 0, RIG_URN, false},
    };
    struct rig r;
    (void)state;
    run(steps, sizeof steps / sizeof *steps, 12 << 20, &r);
    fini(&r);
}

// ---- the folder ---------------------------------------------------------------------------------

static void folder(void **state)
{
    char path[64], file[200];
    struct err e = {0};
    struct val *list = NULL;
    struct manifest_pack p = {.code = rig_code()}, got;
    struct arena *a = arena_new((size_t)4 << 20);
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/capreg-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    assert_int_equal(capreg_folder_list(path, BYTES_NONE, 10, &list, &e), 0);
    assert_int_equal(val_len(list), 0);
    val_unref(list);
    for (int v = 1; v <= 3; v++) {
        char draft[1024];
        (void)snprintf(draft, sizeof draft,
                       "{\"plexus_capability\":1,\"urn\":\"urn:plexus:cap:a:b:v%d\","
                       "\"description\":\"d\",\"tools\":[" RIG_TOOL "]}",
                       v);
        char *text = rig_signed(draft, rig_code());
        p.manifest = bytes_of(text);
        assert_int_equal(capreg_folder_put(path, &p, &e), 0);
        assert_int_equal(capreg_folder_put(path, &p, &e), 0);
        mem_free(text);
    }
    assert_int_equal(capreg_folder_list(path, BYTES("urn:plexus:cap:a:b:v1"), 1, &list, &e), 0);
    assert_string_equal(rig_text(list), "[\"urn:plexus:cap:a:b:v2\"]");
    val_unref(list);
    assert_int_equal(capreg_folder_get(path, BYTES("urn:plexus:cap:a:b:v3"), a, &got, &e), 0);
    assert_int_equal(capreg_folder_get(path, BYTES("../../etc/passwd"), a, &got, &e), E_INVALID);
    assert_int_equal(capreg_folder_get(path, BYTES("sha256:../x"), a, &got, &e), E_INVALID);
    (void)snprintf(file, sizeof file, "%s/caps/urn:plexus:cap:a:b:v3", path);
    assert_int_equal(file_write_atomic(file, BYTES("{\"manifest\":"), 0600, &e), 0);
    assert_int_equal(capreg_folder_get(path, BYTES("urn:plexus:cap:a:b:v3"), a, &got, &e), E_IO);
    (void)snprintf(file, sizeof file, "rm -r %s", path);
    assert_int_equal(system(file), 0);
    arena_free(a);
}

static void addresses(void **state)
{
    static const char *const bad[] = {"ftp://x",       "",      "file://relative", "http://",
                                      "http://x/?q=1", "oci://"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct capreg *g = NULL;
        struct err e = {0};
        struct capreg_args args = {.url = bytes_of(bad[i])};
        if (capreg_new(&g, &args, &e) >= 0 || g)
            fail_msg("%s is taken", bad[i]);
    }
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchange),
        cmocka_unit_test(lies),
        cmocka_unit_test(folder),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests_name("capreg", tests, NULL, NULL);
}
