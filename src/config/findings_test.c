// findings_test.c: what a user reads when a configuration is wrong, word for word.
// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECRET "a secret never stands in this file"
#define PLACES "takes { env: NAME } or { file: PATH } only"
#define LATER_ENGINES                                                                              \
    "vllm, sglang, ollama, docker, lmstudio, mlx, tgi, tensorrt-llm, transformers, exllama, "      \
    "onnx, "                                                                                       \
    "diffusers, whisper"
#define LATER "belongs to a part of plexus that is not there yet"
#define EXPOSED                                                                                    \
    "the engine would listen on all addresses of this machine, and others could use it without "   \
    "key, limit or label: take 127.0.0.1, or set expose: true"
#define LABEL "expected a label such as confidential or confidential:eng,hr, found "
#define PUBLIC "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define DURATION "expected a duration such as 250ms, 90s, 1h30m or never, found "

static const struct {
    const char *yaml, *said;
} rows[] = {
    // keys
    {"modles: {}", "p.yaml:1:1: modles: unknown key; nearest: models"},
    {"models:\n  coder:\n    file: x.gguf\n    idel: 5m",
     "p.yaml:4:5: models.coder.idel: unknown key; nearest: idle"},
    {"memory: { xyzzy: 1 }", "p.yaml:1:11: memory.xyzzy: unknown key; known here: budget"},
    {"limits: { connection: 1 }",
     "p.yaml:1:11: limits.connection: unknown key; nearest: connections"},
    {"journal: {}", "p.yaml:1:1: journal: " LATER},
    {"mesh: {}", NULL},
    {"mesh: { beat: 200ms }",
     "p.yaml:1:7: mesh: suspect is less than three beats: lost datagrams would count"},
    {"mesh: { dead: 300ms }", "p.yaml:1:7: mesh: dead must be longer than suspect"},
    {"models: { a: { file: x, replicas: { min: 3, max: 2 } } }",
     "p.yaml:1:11: models.a: replicas: max is less than min"},
    {"models: { a: { file: x, tier: 2 } }", NULL},
    {"listen: { mesh: '0.0.0.0:8001' }", NULL},
    {"node: { profile: edge }\nmodels: { a: { file: x } }",
     "p.yaml:2:11: models.a: node.profile edge runs no engine of its own: only engine remote; "
     "models of other nodes need no entry here"},
    // engines that other machines could reach
    {"models: { a: { file: x, args: [--host, 0.0.0.0] } }",
     "p.yaml:1:40: models.a.args[1]: " EXPOSED},
    {"models: { a: { file: x, args: ['--host=::'] } }", "p.yaml:1:32: models.a.args[0]: " EXPOSED},
    {"models: { a: { engine: command, command: [s, --bind, '[::]:80'] } }",
     "p.yaml:1:54: models.a.command[2]: " EXPOSED},
    {"models: { a: { engine: command, command: [s, --listen, '*:80'] } }",
     "p.yaml:1:56: models.a.command[2]: " EXPOSED},
    {"models: { a: { file: x, expose: true, args: [--host, 0.0.0.0] } }", NULL},
    {"models: { a: { file: x, args: [--host, 127.0.0.1, '--host=::1', 0.0.0.0, '*'] } }", NULL},
    {"models: { a: { engine: command, command: [s, --hosts, 0.0.0.0, '--bind=0.0.0.01'] } }", NULL},
    // labels
    {"labels: { default: confidential:eng, cloud: public, subjects: [{ subject: prod.>, clearance: "
     "restricted }] }\nmodels: { a: { file: x, label: internal:hr, clearance: 'restricted:*' } }",
     NULL},
    {"labels: { default: secret }", "p.yaml:1:20: labels.default: " LABEL "\"secret\""},
    {"labels: { default: 'internal:' }", "p.yaml:1:20: labels.default: " LABEL "\"internal:\""},
    {"labels: { defualt: public }", "p.yaml:1:11: labels.defualt: unknown key; nearest: default"},
    {"labels: { cloud: restricted }",
     "p.yaml:1:18: labels.cloud: expected a label up to confidential such as internal; restricted "
     "data never leave the mesh, found \"restricted\""},
    {"labels: { subjects: [{ subject: a..b, clearance: public }] }",
     "p.yaml:1:33: labels.subjects[0].subject: expected a subject such as dev.cognitive.* or "
     "prod.>, found \"a..b\""},
    {"labels: { subjects: [{ subject: a.b }] }",
     "p.yaml:1:22: labels.subjects[0]: the key \"clearance\" is missing"},
    {"labels: { declassifiers: [{ name: o, key: AAAA }] }",
     "p.yaml:1:43: labels.declassifiers[0].key: expected an Ed25519 public key: 43 characters of "
     "base64url, found \"AAAA\""},
    {"labels: { declassifiers: [{ name: o, key: " PUBLIC " }, { name: o, key: " PUBLIC " }] }",
     "p.yaml:1:98: labels.declassifiers[1].name: the name o is taken already"},
    {"models: { a: { file: x, clearance: top } }",
     "p.yaml:1:36: models.a.clearance: " LABEL "\"top\""},
    {"models: { a: { engine: remote, url: 'http://x/v1', clearance: restricted } }",
     "p.yaml:1:63: models.a.clearance: restricted data never leave the mesh, and this model is in "
     "the cloud (an engine remote of your own is tier: node)"},
    {"models: { a: { engine: remote, tier: 2, url: 'http://x/v1', clearance: 'restricted:*' } }",
     "p.yaml:1:72: models.a.clearance: restricted data never leave the mesh, and this model is in "
     "the cloud"},
    {"models: { a: { engine: remote, tier: node, url: 'http://x/v1', clearance: restricted } }",
     NULL},
    {"labels: { default: 'public:a0,a1,a2,a3,a4,a5,a6,a7,a8,a9,b0,b1,b2,b3,b4,b5,b6,b7,b8,b9,c0,c1,"
     "c2,c3,c4,c5,c6,c7,c8,c9,d0,d1,d2,d3,d4,d5,d6,d7,d8,d9,e0,e1,e2,e3,e4,e5,e6,e7,e8,e9,f0,f1,f2,"
     "f3,f4,f5,f6,f7,f8,f9', cloud: 'public:g0,g1,g2' }",
     NULL},
    {"labels: { default: 'public:a0,a1,a2,a3,a4,a5,a6,a7,a8,a9,b0,b1,b2,b3,b4,b5,b6,b7,b8,b9,c0,c1,"
     "c2,c3,c4,c5,c6,c7,c8,c9,d0,d1,d2,d3,d4,d5,d6,d7,d8,d9,e0,e1,e2,e3,e4,e5,e6,e7,e8,e9,f0,f1,f2,"
     "f3,f4,f5,f6,f7,f8,f9', cloud: 'public:g0,g1,g2,g3' }",
     "p.yaml:1:217: labels.cloud: too many compartments in this file: at most 63 names of together "
     "1008 characters"},
    {"models: { a: { file: x, card: 0 } }", "p.yaml:1:25: models.a.card: " LATER},
    {"bus: { url: 'nats://a:4222' }",
     "p.yaml:1:13: bus.url: the embedded bus has no server: set engine to nats or redis"},
    {"bus: { engine: redis, url: 'nats://a:4222' }",
     "p.yaml:1:28: bus.url: it is of another kind than engine redis"},
    {"bus: { engine: redis }",
     "p.yaml:1:6: bus: engine redis needs a url such as redis://127.0.0.1:6379"},
    {"bus: { engine: nats, url: 'tls://a:4222', user: x, password: { env: HOME } }", NULL},
    {"registry: {}", NULL},
    {"registry: { engine: links }", NULL},
    {"registry: { engine: nats, url: 'nats://a:4222', user: x, ttl: 5s }", NULL},
    {"bus: { engine: nats, url: 'nats://a:4222' }\nregistry: { engine: nats }", NULL},
    {"registry: { engine: nats }",
     "p.yaml:1:11: registry: engine nats needs a url such as nats://10.0.0.1:4222, here or at the "
     "bus"},
    {"bus: { engine: nats }\nregistry: { engine: nats }",
     "p.yaml:2:11: registry: engine nats needs a url such as nats://10.0.0.1:4222, here or at the "
     "bus"},
    {"registry: { url: 'nats://a:4222' }",
     "p.yaml:1:18: registry.url: it is for engine nats only: set registry.engine"},
    {"bus: { engine: nats, url: 'nats://a:4222' }\nregistry: { engine: nats, user: x }",
     "p.yaml:2:33: registry.user: it goes with a url; without one, the bus's account counts"},
    {"registry: { engine: nats, url: 'redis://a:6379' }",
     "p.yaml:1:32: registry.url: expected nats://host:4222 or tls://host:4222, found "
     "\"redis://a:6379\""},
    {"registry: { ttl: 500ms }", "p.yaml:1:18: registry.ttl: expected at least 1s"},
    {"registry: { engine: consul }",
     "p.yaml:1:21: registry.engine: expected links or nats, found \"consul\""},
    {"models:\n  a: { file: x, restarts: { maximum: 3 } }",
     "p.yaml:2:29: models.a.restarts.maximum: unknown key; known here: max, pause, failed_pause"},
    // types
    {"- a", "p.yaml:1:1: expected keys and values, found a list"},
    {"data: 5",
     "p.yaml:1:7: data: expected a folder such as ./data, found the number 5; put it in quotes"},
    {"data: ''", "p.yaml:1:7: data: expected a folder such as ./data, found \"\""},
    {"models: [a]", "p.yaml:1:9: models: expected keys and values, found a list"},
    {"models: { a: }", "p.yaml:1:14: models.a: expected keys and values, found nothing"},
    {"models: { a: { file: x, pinned: yes } }",
     "p.yaml:1:33: models.a.pinned: expected true or false, found \"yes\""},
    {"models: { a: { file: x, slots: 1.5 } }",
     "p.yaml:1:32: models.a.slots: expected a whole number, found the number 1.5"},
    {"models: { a: { file: x, args: --flash-attn } }",
     "p.yaml:1:31: models.a.args: expected a list of words such as [--threads, 4], found "
     "\"--flash-attn\""},
    {"models: { a: { file: x, args: [[1]] } }",
     "p.yaml:1:32: models.a.args[0]: expected a text or a number or true or false, found a list"},
    {"models: { a: { engine: command, command: [] } }",
     "p.yaml:1:42: models.a.command: expected at least 1 in the list"},
    {"node: { roles: cognitive }", "p.yaml:1:16: node.roles: expected a list, found \"cognitive\""},
    // numbers
    {"models: { a: { file: x, slots: 0 } }",
     "p.yaml:1:32: models.a.slots: expected at least 1, found 0"},
    {"models: { a: { file: x, limits: { nice: -1 } } }",
     "p.yaml:1:41: models.a.limits.nice: expected at least 0, found -1"},
    {"limits: { queue: 0 }", "p.yaml:1:18: limits.queue: expected at least 1, found 0"},
    {"memory: { budget: 0 }", "p.yaml:1:19: memory.budget: expected at least 1MiB"},
    {"models: { a: { file: x, limits: { nice: 20 } } }",
     "p.yaml:1:41: models.a.limits.nice: expected at most 19, found 20"},
    {"models: { a: { file: x, limits: { cpus: 0 } } }",
     "p.yaml:1:41: models.a.limits.cpus: expected more than 0, found 0"},
    // units
    {"models: { a: { file: x, idle: 5 minutes } }",
     "p.yaml:1:31: models.a.idle: " DURATION
     "\"5 minutes\" (unknown unit; known are ms, s, m, h, d)"},
    {"models: { a: { file: x, idle: 300 } }",
     "p.yaml:1:31: models.a.idle: " DURATION "the number 300"},
    {"limits: { body: 1K }", NULL},
    {"limits: { body: 100 }", "p.yaml:1:17: limits.body: expected at least 1KiB"},
    {"limits: { head: 2MiB }", "p.yaml:1:17: limits.head: expected at most 1MiB"},
    {"limits: { head_time: 0 }", "p.yaml:1:22: limits.head_time: expected at least 100ms"},
    {"limits: { body: -1 }",
     "p.yaml:1:17: limits.body: expected a size such as 64KiB, 8GiB or 512, found the number -1"},
    {"limits: { body: 2GiB }",
     "p.yaml:1:9: limits: bodies (all together) is smaller than body (a single one)"},
    // choices
    {"log: { level: verbose }",
     "p.yaml:1:15: log.level: expected debug, info, warn or error, found \"verbose\""},
    {"log: { level: warning }",
     "p.yaml:1:15: log.level: expected debug, info, warn or error, found \"warning\""},
    {"log: { level: inf }",
     "p.yaml:1:15: log.level: expected debug, info, warn or error, found \"inf\"; nearest: info"},
    {"models: { a: { file: x, kind: chta } }",
     "p.yaml:1:31: models.a.kind: expected chat, completion or embedding, found \"chta\"; nearest: "
     "chat (not there yet: vision, detection, image-embedding, transcription, speech, rerank, "
     "image)"},
    {"models: { a: { engine: vllm } }",
     "p.yaml:1:24: models.a.engine: vllm is not there yet; there are: llama.cpp, command, remote"},
    {"models: { a: { engine: lama.cpp, file: x } }",
     "p.yaml:1:24: models.a.engine: expected llama.cpp, command or remote, found \"lama.cpp\"; "
     "nearest: llama.cpp (not there yet: " LATER_ENGINES ")"},
    {"models: { a: { engine: vlm } }",
     "p.yaml:1:24: models.a.engine: expected llama.cpp, command or remote, found \"vlm\"; "
     "nearest: vllm (not there yet: " LATER_ENGINES ")"},
    {"bus: { engine: kafka }",
     "p.yaml:1:16: bus.engine: expected embedded, nats or redis, found \"kafka\""},
    {"flows: { journal: { engine: postgres } }",
     "p.yaml:1:19: flows.journal: engine postgres needs a url such as "
     "postgres://10.0.0.1:5432/plexus"},
    {"flows: { journal: { user: x } }",
     "p.yaml:1:27: flows.journal.user: it is for engine postgres only: set "
     "flows.journal.engine"},
    {"flows: { temporal: { address: 'a:1' } }",
     "p.yaml:1:20: flows.temporal: it is for engine temporal only: set flows.engine"},
    {"flows: { engine: temporal, temporal: { cert: a } }",
     "p.yaml:1:46: flows.temporal.cert: cert and cert_key go together"},
    {"mcp: { servers: { a: {} } }",
     "p.yaml:1:22: mcp.servers.a: either command or url says where the server is"},
    {"mcp: { servers: { a: { url: 'http://h/mcp', network: true } } }",
     "p.yaml:1:54: mcp.servers.a.network: it is for a server with a command only"},
    {"mcp: { servers: { a: { command: [x], key: { env: HOME } } } }",
     "p.yaml:1:43: mcp.servers.a.key: it is for a server with a url only; a command gets secrets "
     "by env"},
    {"mcp: { servers: { a: { command: [x], oauth: {} } } }",
     "p.yaml:1:45: mcp.servers.a.oauth: it is for a server with a url and no key"},
    {"mcp: { servers: { a: { url: 'http://h/mcp', oauth: { client_secret: { env: HOME } } } } }",
     "p.yaml:1:69: mcp.servers.a.oauth.client_secret: client_id is needed, too"},
    {"mcp: { servers: { A b: { command: [x] } } }",
     "p.yaml:1:19: mcp.servers.\"A b\": expected a server's name of 1 to 32 small letters, digits "
     "and "
     "_ -"},
    {"tools: { serve: x }",
     "p.yaml:1:17: tools.serve: bad address \"x\": expected host:port with a port of 0 to 65535, "
     "or unix:/path"},
    {"flows: { engine: x }",
     "p.yaml:1:18: flows.engine: expected embedded, temporal or off, found \"x\""},
    // names
    {"node: { name: a b }", "p.yaml:1:15: node.name: expected a name of letters, digits, - and _ "
                            "such as aipc, found \"a b\""},
    {"node: { context: test.a.b }",
     "p.yaml:1:18: node.context: expected environment.class.node such as dev.aipc.node1, the "
     "environment being dev, staging or prod, found \"test.a.b\""},
    {"models: { 'a b': { file: x } }", "p.yaml:1:11: models.\"a b\": expected a model's name of 1 "
                                       "to 128 letters, digits and . _ : / -"},
    {"models: { a: { file: x, aliases: [b, 'c d'] } }",
     "p.yaml:1:38: models.a.aliases[1]: expected a model's name of 1 to 128 letters, digits and . "
     "_ "
     ": / -, found \"c d\""},
    {"models:\n  a: { file: x, aliases: [b] }\n  b: { file: y }",
     "p.yaml:2:27: models.a.aliases[0]: the name b is taken already"},
    {"models:\n  a: { file: x, aliases: [c] }\n  b: { file: y, aliases: [d, c] }",
     "p.yaml:3:30: models.b.aliases[1]: the name c is taken already"},
    // engines
    {"models: { a: {} }",
     "p.yaml:1:11: models.a: engine llama.cpp (taken when none is named) needs "
     "the key \"file\": the GGUF file with its weights"},
    {"models: { a: { engine: remote } }",
     "p.yaml:1:11: models.a: engine remote needs the key \"url\": the address of its API"},
    {"models: { a: { engine: command } }",
     "p.yaml:1:11: models.a: engine command needs the key \"command\": the program to start"},
    {"models: { a: { url: 'http://h/v1' } }",
     "p.yaml:1:16: models.a.url: means nothing with engine llama.cpp, which is taken when none is "
     "named; it is for engine remote"},
    {"models: { a: { engine: remote, url: 'http://h/v1', idle: 5m } }",
     "p.yaml:1:52: models.a.idle: means nothing with engine remote"},
    {"models: { a: { engine: command, command: [x], prepare: [y] } }",
     "p.yaml:1:11: models.a: prepare makes the file: the key \"file\" is missing"},
    {"models: { a: { engine: remote, url: 'ftp://h' } }",
     "p.yaml:1:37: models.a.url: bad address \"ftp://h\": it must begin with http:// or https://"},
    // secrets: where they may be, and never a word of them
    {"models: { a: { engine: remote, url: 'http://h/v1', key: sk-hidden } }",
     "p.yaml:1:57: models.a.key: " PLACES ": " SECRET
     ", which is copied, shown and kept in version "
     "control"},
    {"models: { a: { engine: remote, url: 'http://h/v1', key: { env: sk-hidden } } }",
     "p.yaml:1:57: models.a.key: " PLACES},
    {"models: { a: { engine: remote, url: 'http://h/v1', key: { value: sk-hidden } } }",
     "p.yaml:1:57: models.a.key: " PLACES},
    {"models: { a: { engine: remote, url: 'http://h/v1', key: [sk-hidden] } }",
     "p.yaml:1:57: models.a.key: " PLACES ": " SECRET
     ", which is copied, shown and kept in version "
     "control"},
    {"models: { a: { engine: remote, url: 'http://h/v1', key: { env: PLEXUS_TEST_ABSENT } } }",
     "p.yaml:1:57: models.a.key: the environment variable PLEXUS_TEST_ABSENT is not set"},
    {"models: { a: { engine: remote, url: 'http://h/v1', key: { file: /no/such } } }",
     "p.yaml:1:57: models.a.key: the file of this secret cannot be read: /no/such: No such file or "
     "directory"},
    {"models: { a: { file: x, env: { HF_TOKEN: hidden } } }",
     "p.yaml:1:42: models.a.env.HF_TOKEN: looks like a secret: give { env: NAME } or { file: PATH "
     "}, " SECRET},
    {"models: { a: { file: x, env: { A_KEY: 1 } } }",
     "p.yaml:1:39: models.a.env.A_KEY: looks like a secret: give { env: NAME } or { file: PATH "
     "}, " SECRET},
    {"models: { a: { file: x, env: ['A=1', 'MY_PASSWORD=hidden'] } }",
     "p.yaml:1:38: models.a.env[1]: looks like a secret: give { env: NAME } or { file: PATH "
     "}, " SECRET},
    {"models: { a: { file: x, env: { A: { env: 'hid den' } } } }",
     "p.yaml:1:42: models.a.env.A.env: expected the name of an environment variable such as "
     "CLOUD_KEY"},
    {"models: { a: { file: x, args: [--api-key, hidden] } }",
     "p.yaml:1:32: models.a.args[0]: --api-key: " SECRET
     ", nor in arguments, which all users of the "
     "machine can see; give it in env"},
    // listeners
    {"listen: { api: 8000 }", "p.yaml:1:16: listen.api: expected an address such as 127.0.0.1:8000 "
                              "or unix:/path, or a list of "
                              "addresses, found the number 8000"},
    {"listen: { api: localhost }",
     "p.yaml:1:16: listen.api: bad address \"localhost\": expected host:port with a port of 0 to "
     "65535, or unix:/path"},
    {"listen: { api: [] }", "p.yaml:1:16: listen.api: expected at least 1 in the list"},
    {"listen: { api: [{ keys: auto }] }",
     "p.yaml:1:17: listen.api[0]: the key \"address\" is missing"},
    {"listen: { api: ['a:1', 'a:1'] }", "p.yaml:1:24: listen.api[1]: a:1 stands there twice"},
    {"listen: { api: '0.0.0.0:80', keys: off }",
     "p.yaml:1:16: listen.api: keys: off is for loopback addresses, unix sockets and tls.client_ca "
     "only: whoever reaches 0.0.0.0:80 could use every model"},
    {"listen: { api: '0.0.0.0:80', tls: { cert: c } }",
     "p.yaml:1:30: listen.tls: the key \"key\" is missing"},
    {"listen: { api: [{ address: 'unix:/s', tls: { cert: c, key: k } }] }",
     "p.yaml:1:17: listen.api[0]: a unix socket takes no tls"},
    {"listen: { api: [{ address: 'a:1', mode: '0600' }] }",
     "p.yaml:1:17: listen.api[0]: mode is for unix sockets only"},
    {"listen: { mode: '999' }", "p.yaml:1:17: listen.mode: expected octal digits in quotes such as "
                                "\"0660\", found \"999\""},
    {"listen: { mode: 0660 }", "p.yaml:1:17: listen.mode: expected octal digits in quotes such as "
                               "\"0660\", found the number 660; put it in quotes"},
    {"listen: { origins: ['http://a/b'] }", "p.yaml:1:21: listen.origins[0]: expected an origin "
                                            "such as https://app.example.org, without a "
                                            "path, found \"http://a/b\""},
    {"listen: { hosts: ['a:80'] }",
     "p.yaml:1:19: listen.hosts[0]: expected a host name without port "
     "such as ai.example.org or *.example.org, found \"a:80\""},
    {"log: { access: ../x }",
     "p.yaml:1:16: log.access: expected a file below the data folder such as "
     "logs/access.jsonl, or off"},
    {"log: { access: /var/x }",
     "p.yaml:1:16: log.access: expected a file below the data folder such as "
     "logs/access.jsonl, or off"},
    // several at once, in the order of the file
    {"limits:\n  quue: 3\nmodels:\n  a: { file: x, slots: none }\ndata: []\n",
     "p.yaml:2:3: limits.quue: unknown key; nearest: queue\n"
     "p.yaml:4:24: models.a.slots: expected a whole number, found \"none\"\n"
     "p.yaml:5:7: data: expected a folder such as ./data, found a list"},
};

static void test_rows(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c = NULL;
        struct err e = {0};
        int rc = config_parse(&c, "p.yaml", bytes_of(rows[i].yaml), "/base", &e);
        if (rc != (rows[i].said ? E_CONFIG : 0) ||
            strcmp(e.text, rows[i].said ? rows[i].said : "")) {
            printf("row %zu: %s\n  expected: %s\n  found %d: %s\n", i, rows[i].yaml,
                   rows[i].said ? rows[i].said : "(good)", rc, e.text);
            wrong++;
        }
        assert_null(strstr(e.text, "hidden"));
        assert_null(strstr(e.text, "does not fit the schema"));
        config_free(c);
    }
    assert_int_equal(wrong, 0);
}

static void test_syntax(void **state)
{
    (void)state;
    static const char *const bad[] = {"a: [1",      "a: b: c",      "\tx: 1",       "a: 1\na: 2",
                                      "a: &x [*y]", "--- 1\n--- 2", "a: !!binary x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config *c = NULL;
        struct err e = {0};
        assert_int_equal(config_parse(&c, "p.yaml", bytes_of(bad[i]), "/", &e), E_PARSE);
        unsigned line = 0, column = 0;
        if (sscanf(e.text, "p.yaml:%u:%u: ", &line, &column) != 2)
            fail_msg("%s: %s", bad[i], e.text);
        assert_null(c);
    }
}

// More than twenty: the first twenty of the file, whole lines in e, all of them in the buffer.
static void test_many(void **state)
{
    (void)state;
    struct buf yaml, findings;
    struct err e = {0};
    struct config *c = NULL;
    char path[] = "/tmp/plexus_findings_XXXXXX";
    buf_init(&yaml, 65536);
    buf_init(&findings, 65536);
    assert_int_equal(buf_str(&yaml, "models:\n"), 0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(buf_fmt(&yaml, "  m%d: { file: x, slots: no }\n", i), 0);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_int_equal(fwrite(yaml.p, 1, yaml.n, f), yaml.n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(config_load_all(&c, path, &findings, &e), E_CONFIG);
    size_t lines = 1;
    for (const char *p = buf_cstr(&findings); *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 21);
    assert_non_null(strstr(findings.p, "models.m19.slots"));
    assert_non_null(strstr(findings.p, "\n... and 280 more"));
    assert_true(strlen(e.text) < ERR_TEXT_MAX);
    size_t shown = 0;
    for (const char *p = e.text; *p; p++)
        shown += *p == '\n';
    char last[64];
    (void)snprintf(last, sizeof last, "\n... and %zu more", 300 - shown);
    assert_string_equal(e.text + strlen(e.text) - strlen(last), last);
    (void)remove(path);
    buf_fini(&yaml);
    buf_fini(&findings);
}

// A place or value of any length or content must not break the sentence.
static void test_odd_places(void **state)
{
    (void)state;
    char yaml[4096], key[2001];
    memset(key, 'k', 2000);
    key[2000] = 0;
    (void)snprintf(yaml, sizeof yaml, "? %s\n: 1\n\"a/b~c\\n\": 2\nmodels: { \"\": {}, \"é\": {} }",
                   key);
    struct config *c = NULL;
    struct err e = {0};
    assert_int_equal(config_parse(&c, "p.yaml", bytes_of(yaml), "/", &e), E_CONFIG);
    assert_non_null(strstr(e.text, "p.yaml:3:1: \"a/b~c\\n\": unknown key"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_odd_places),
    };
    return cmocka_run_group_tests_name("config findings", tests, NULL, NULL);
}
