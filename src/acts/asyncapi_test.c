// asyncapi_test.c: call: asyncapi against real servers: nats-server, redis-server, mosquitto, HTTP
// with events, and a WebSocket server that was written apart from ours.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"
#include "adapters/bus_server_rig.h"
#include "crypto/md5.h"

static struct server server;
static char doc[8192];
static const char *kind; // protocol of the document
static struct timer later;

static void make_doc(struct rig *r, char *out, size_t size)
{
    bool http = strcmp(kind, "http") == 0;
    (void)snprintf(out, size,
                   "asyncapi: 3.0.0\n"
                   "servers:\n"
                   "  other: { host: 'x.example', protocol: kafka }\n"
                   "  main:\n"
                   "    host: '{name}:%u'\n"
                   "    protocol: %s\n"
                   "    pathname: /base\n"
                   "    variables: { name: { default: 127.0.0.1 } }\n"
                   "channels:\n"
                   "  inbox:\n"
                   "    address: 'events.{room}'\n"
                   "    parameters: { room: { default: hall } }\n"
                   "    servers: [{ $ref: '#/servers/main' }]\n"
                   "    messages:\n"
                   "      m: { correlationId: { location: '$message.payload#/id' } }\n"
                   "operations:\n"
                   "  send: { action: send, channel: { $ref: '#/channels/inbox' } }\n"
                   "  receive: { action: receive, channel: { $ref: '#/channels/inbox' } }\n",
                   http ? r->port : server.port, kind);
}

static void answer(struct rig *r, struct http_exchange *x, struct seen *s)
{
    if (strcmp(s->target, "/doc.yaml") == 0) {
        make_doc(r, doc, sizeof doc);
        http_reply(x, 200, "application/yaml", BYTES_NONE, bytes_of(doc));
    } else if (strcmp(s->target, "/v2.json") == 0) {
        (void)snprintf(
            doc, sizeof doc,
            "{\"asyncapi\":\"2.6.0\",\"servers\":{\"one\":{\"url\":\"http://127.0.0.1:%u/v2\","
            "\"protocol\":\"http\"}},\"channels\":{\"user/signedup\":{\"publish\":{"
            "\"operationId\":\"onSignup\",\"bindings\":{\"http\":{\"method\":\"PUT\"}}},"
            "\"subscribe\":{\"operationId\":\"listen\"}}}}",
            r->port);
        http_reply(x, 200, "application/json", BYTES_NONE, bytes_of(doc));
    } else if (strcmp(s->target, "/kafka.json") == 0) {
        rig_json(
            x, 200,
            "{\"asyncapi\":\"2.6.0\",\"servers\":{\"k\":{\"url\":\"x:1\",\"protocol\":\"kafka\"}},"
            "\"channels\":{\"c\":{\"publish\":{}}}}");
    } else if (strcmp(s->target, "/none.json") == 0) {
        rig_json(x, 200, "{}");
    } else if (strcmp(s->method, "GET") == 0 && strstr(s->target, "events.hall")) {
        static const char text[] = "id: 1\ndata: {\"id\":\"a\",\"n\":1}\n\ndata: plain\n\n"
                                   "event: e\ndata: {\"n\":3}\n\n";
        struct bytes part = bytes_of(text);
        http_begin(x, 200, "text/event-stream", BYTES_NONE, HTTP_CHUNKED);
        (void)http_send(x, &part, 1);
        if (strstr(seen_header(s, "Authorization"), "to-the-end"))
            http_finish(x);
        else
            (void)http_flush(x); // it stays open
    } else if (strcmp(s->method, "GET") == 0) {
        rig_json(x, 200, "{\"one\":1}");
    } else {
        rig_json(x, 202, "{}");
    }
}

#define SEND(payload)                                                                              \
    "{\"document\":{\"endpoint\":\"%B/"                                                            \
    "doc.yaml\"},\"operation\":\"send\",\"message\":{\"payload\":" payload "}}"
#define RECEIVE(consume)                                                                           \
    "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"    \
    "\"consume\":" consume "}}"
#define EXPR(program)                                                                              \
    "{\"$late\":{\"program\":\"" program "\",\"input\":null,\"vars\":{\"want\":2}}}"

// ---- HTTP --------------------------------------------------------------------------------------

static void next_http(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"send\",\"server\":{\"name\":"
        "\"main\",\"variables\":{\"name\":\"localhost\",\"room\":\"attic\"}},\"message\":{"
        "\"payload\":{"
        "\"a\":1},\"headers\":{\"X-Own\":\"h\"}},\"authentication\":{\"bearer\":{\"token\":\"tok\"}"
        "}}",
        RECEIVE("{\"amount\":2}"),
        RECEIVE("{\"for\":{\"milliseconds\":300}}"),
        "{\"document\":{\"endpoint\":\"%B/v2.json\"},\"channel\":\"user/signedup\",\"message\":{"
        "\"payload\":{\"b\":2}}}",
        "{\"document\":{\"endpoint\":\"%B/v2.json\"},\"operation\":\"listen\",\"subscription\":{"
        "\"consume\":{\"amount\":1}}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"
        "\"consume\":{\"amount\":9}},\"authentication\":{\"bearer\":{\"token\":\"to-the-end\"}}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"nothing\",\"message\":{}}",
        "{\"document\":{\"endpoint\":\"%B/kafka.json\"},\"channel\":\"c\",\"message\":{}}",
        "{\"document\":{\"endpoint\":\"%B/none.json\"},\"channel\":\"c\",\"message\":{}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"
        "\"consume\":{}}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"send\"}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "asyncapi", with[round], 0);
    else
        rig_done(r);
}

static void test_http(void **state)
{
    (void)state;
    static struct rig r;
    kind = "http";
    r.answer = answer;
    rig_run(&r, next_http);
    gave(&r.ones[0], "null");
    assert_string_equal(r.seen[1].target, "/base/events.attic");
    assert_string_equal(r.seen[1].method, "POST");
    assert_string_equal(buf_cstr(&r.seen[1].body), "{\"a\":1}");
    assert_string_equal(seen_header(&r.seen[1], "X-Own"), "h");
    assert_string_equal(seen_header(&r.seen[1], "Authorization"), "Bearer tok");
    gave(&r.ones[1],
         "[{\"payload\":{\"id\":\"a\",\"n\":1},\"headers\":{\"id\":\"1\"},\"correlationId\":"
         "\"a\"},{\"payload\":\"plain\",\"headers\":{\"id\":\"1\"}}]");
    assert_int_equal(val_len(r.ones[2].output), 3);
    gave(&r.ones[3], "null");
    assert_string_equal(r.seen[7].method, "PUT");
    assert_string_equal(r.seen[7].target, "/v2/user/signedup");
    gave(&r.ones[4], "[{\"payload\":{\"one\":1},\"headers\":{}}]");
    failed(&r.ones[5], "communication", 500, false, "ended after 3 messages");
    failed(&r.ones[6], "configuration", 400, true, "no operation \"nothing\"");
    failed(&r.ones[7], "configuration", 501, true, "http, ws, nats, redis, mqtt");
    failed(&r.ones[8], "configuration", 400, true, "no AsyncAPI document");
    failed(&r.ones[9], "configuration", 400, true, "amount, for, while or until");
    failed(&r.ones[10], "configuration", 400, true, "message or subscription");
    rig_fini(&r);
}

// ---- expressions over messages -----------------------------------------------------------------

static void next_filter(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"
        "\"filter\":" EXPR(".payload.n? == 3") ",\"consume\":{\"amount\":1}}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"
        "\"consume\":{\"while\":" EXPR(".payload != \\\"plain\\\"") "}}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"
        "\"consume\":{\"until\":" EXPR(".payload == \\\"plain\\\"") "}}}",
        "{\"document\":{\"endpoint\":\"%B/doc.yaml\"},\"operation\":\"receive\",\"subscription\":{"
        "\"filter\":" EXPR(".payload | keys") ",\"consume\":{\"amount\":2}}}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "asyncapi", with[round], 0);
    else
        rig_done(r);
}

static void test_filters(void **state)
{
    (void)state;
    static struct rig r;
    kind = "http";
    r.answer = answer;
    rig_run(&r, next_filter);
    gave(&r.ones[0], "[{\"payload\":{\"n\":3},\"headers\":{\"id\":\"1\",\"event\":\"e\"}}]");
    assert_int_equal(val_len(r.ones[1].output), 2);
    assert_int_equal(val_len(r.ones[2].output), 2);
    failed(&r.ones[3], "expression", 400, true, NULL); // a text has no keys
    rig_fini(&r);
}

// ---- servers with connections ------------------------------------------------------------------

static void send_now(struct timer *t)
{
    struct rig *r = t->user;
    (void)rig_do(r, "asyncapi", SEND("{\"id\":\"m1\",\"n\":1}"), 0);
    (void)rig_do(r, "asyncapi", SEND("\"two\""), 0);
}

// Subscribed first; published when that is surely there.
static void next_pair(struct rig *r, unsigned round)
{
    if (round == 0) {
        (void)rig_do(r, "asyncapi", RECEIVE("{\"amount\":2}"), 20000);
        later = (struct timer){.fn = send_now, .user = r};
        assert_int_equal(timer_start(loop_timers(r->loop), &later, 700), 0);
    } else if (round == 1) {
        (void)rig_do(r, "asyncapi", RECEIVE("{\"for\":\"PT0.1S\"}"), 0); // nothing comes
    } else {
        rig_done(r);
    }
}

static void pair(const char *protocol)
{
    static struct rig r;
    kind = protocol;
    r.answer = answer;
    rig_run(&r, next_pair);
    const struct val *got = r.ones[0].output;
    if (r.ones[0].status != 0)
        fail_msg("%s", text_of_val(r.ones[0].problem));
    assert_int_equal(val_len(got), 2);
    bool first = val_is(val_get_cstr(val_at(got, 0), "payload"), JSON_OBJ); // they raced
    AUTO(val) want = rig_val("{\"id\":\"m1\",\"n\":1}");
    assert_true(val_equal(val_get_cstr(val_at(got, first ? 0 : 1), "payload"), want));
    assert_string_equal(val_text(val_get_cstr(val_at(got, first ? 0 : 1), "correlationId"), ""),
                        "m1");
    assert_string_equal(val_text(val_get_cstr(val_at(got, first ? 1 : 0), "payload"), ""), "two");
    gave(&r.ones[1], "null");
    gave(&r.ones[2], "null");
    gave(&r.ones[3], "[]");
    val_unref(steal(&want));
    rig_fini(&r);
}

static bool serve(const char *program, const char *const *words)
{
    static char path[128], port[16];
    const char *at = server_path(program);
    memset(&server, 0, sizeof server);
    if (!at)
        return false;
    (void)snprintf(path, sizeof path, "%s", at);
    server_folder(&server);
    server.port = server_free_port();
    (void)snprintf(port, sizeof port, "%u", server.port);
    server.argv[0] = path;
    for (int i = 0; words[i]; i++)
        server.argv[i + 1] = strcmp(words[i], "PORT") == 0   ? port
                             : strcmp(words[i], "CONF") == 0 ? server.conf
                                                             : words[i];
    return true;
}

static void test_nats(void **state)
{
    (void)state;
    static const char *const words[] = {"-a", "127.0.0.1", "-p", "PORT", NULL};
    if (!serve("nats-server", words))
        skip();
    server_start(&server);
    pair("nats");
    server_remove(&server);
}

static void test_redis(void **state)
{
    (void)state;
    static const char *const words[] = {"--port", "PORT", "--bind", "127.0.0.1",
                                        "--save", "",     NULL};
    if (!serve("redis-server", words))
        skip();
    server_start(&server);
    pair("redis");
    server_remove(&server);
}

static void test_mqtt(void **state)
{
    (void)state;
    static const char *const words[] = {"-p", "PORT", NULL};
    if (!serve("mosquitto", words))
        skip();
    server_start(&server);
    pair("mqtt");
    server_remove(&server);
}

// ---- credentials -------------------------------------------------------------------------------

#define LOGIN(password)                                                                            \
    "{\"document\":{\"endpoint\":\"%B/"                                                            \
    "doc.yaml\"},\"operation\":\"send\",\"message\":{\"payload\":"                                 \
    "1},\"authentication\":{\"basic\":{\"username\":\"bob\",\"password\":\"" password "\"}}}"

static void next_login(struct rig *r, unsigned round)
{
    if (round == 0) {
        (void)rig_do(r, "asyncapi", LOGIN("open sesame"), 0);
        (void)rig_do(r, "asyncapi", LOGIN("wrong word"), 0);
        (void)rig_do(r, "asyncapi", SEND("1"), 0);
    } else {
        rig_done(r);
    }
}

static void test_login(void **state)
{
    (void)state;
    static const char *const words[] = {"-a", "127.0.0.1", "-p", "PORT", "-c", "CONF", NULL};
    static struct rig r;
    if (!serve("nats-server", words))
        skip();
    server_write(server.conf, "authorization { user: bob, password: \"open sesame\" }\n");
    server_start(&server);
    kind = "nats";
    r.answer = answer;
    rig_run(&r, next_login);
    gave(&r.ones[0], "null");
    failed(&r.ones[1], "authentication", 401, false, "Authorization Violation");
    hidden(&r.ones[1], "wrong word");
    failed(&r.ones[2], "authentication", 401, false, "nats at 127.0.0.1");
    rig_fini(&r);
    server_remove(&server);
}

// ---- WebSocket ---------------------------------------------------------------------------------

// Relays what one client says to all others; in pieces, with pings.
static const char relay[] =
    "import base64, hashlib, os, socket, struct, sys, threading\n"
    "GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'\n"
    "listening = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "clients, lock = [], threading.Lock()\n"
    "def exactly(c, n):\n"
    "    data = b''\n"
    "    while len(data) < n:\n"
    "        part = c.recv(n - len(data))\n"
    "        if not part: raise EOFError\n"
    "        data += part\n"
    "    return data\n"
    "def frame(op, data, last=True):\n"
    "    n = len(data)\n"
    "    head = bytes([(0x80 if last else 0) | op])\n"
    "    head += bytes([n]) if n < 126 else b'\\x7e' + struct.pack('>H', n) if n < 65536 else "
    "b'\\x7f' + struct.pack('>Q', n)\n"
    "    return head + data\n"
    "def serve(c):\n"
    "    try:\n"
    "        head = b''\n"
    "        while b'\\r\\n\\r\\n' not in head: head += exactly(c, 1)\n"
    "        assert head.startswith(b'GET /base/events.hall HTTP/1.1'), head\n"
    "        key = [l.split(b': ')[1] for l in head.split(b'\\r\\n') if "
    "l.lower().startswith(b'sec-websocket-key')][0]\n"
    "        assert len(base64.b64decode(key)) == 16\n"
    "        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())\n"
    "        c.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: "
    "Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + b'\\r\\n\\r\\n' + frame(9, b'p'))\n"
    "        with lock: clients.append(c)\n"
    "        while True:\n"
    "            a, b = exactly(c, 2)\n"
    "            assert b & 0x80, 'not masked'\n"
    "            n = b & 0x7f\n"
    "            if n == 126: n, = struct.unpack('>H', exactly(c, 2))\n"
    "            if n == 127: n, = struct.unpack('>Q', exactly(c, 8))\n"
    "            mask = exactly(c, 4)\n"
    "            data = bytes(x ^ mask[i % 4] for i, x in enumerate(exactly(c, n)))\n"
    "            if a & 15 == 8: c.sendall(frame(8, data)); return\n"
    "            if a & 15 == 10: assert data == b'p', data; continue\n"
    "            with lock:\n"
    "                for o in clients:\n"
    "                    if o is not c:\n"
    "                        o.sendall(frame(1, data[:3], False) + frame(9, b'p') + frame(0, "
    "data[3:]))\n"
    "    except (EOFError, OSError): pass\n"
    "    finally:\n"
    "        with lock:\n"
    "            if c in clients: clients.remove(c)\n"
    "        c.close()\n"
    "while True:\n"
    "    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()\n";

static void test_ws(void **state)
{
    (void)state;
    static const char *const words[] = {"CONF", "PORT", NULL};
    if (!serve("python3", words))
        skip();
    server_write(server.conf, relay);
    server_start(&server);
    pair("ws");
    server_remove(&server);
}

// FIPS 180-4, the examples of its first edition.
static void test_sha1(void **state)
{
    static const char *const cases[][2] = {
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t sum[CRYPTO_SHA1_LEN];
        char hex[2 * CRYPTO_SHA1_LEN + 1];
        crypto_sha1(bytes_of(cases[i][0]), sum);
        for (int j = 0; j < CRYPTO_SHA1_LEN; j++)
            (void)snprintf(hex + 2 * j, 3, "%02x", sum[j]);
        assert_string_equal(hex, cases[i][1]);
    }
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_http),  cmocka_unit_test(test_nats),    cmocka_unit_test(test_login),
        cmocka_unit_test(test_redis), cmocka_unit_test(test_mqtt),    cmocka_unit_test(test_ws),
        cmocka_unit_test(test_sha1),  cmocka_unit_test(test_filters),
    };
    return cmocka_run_group_tests_name("asyncapi", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
