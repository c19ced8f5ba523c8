// config_test.c: what a good configuration becomes: defaults, listeners, models, secrets,
// differences. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "config/config.h"
#include "text/schema.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct config *good(const char *yaml)
{
    struct config *c = NULL;
    struct err e = {0};
    if (config_parse(&c, "p.yaml", bytes_of(yaml), "/base", &e) != 0)
        fail_msg("%s\n%s", yaml, e.text);
    return c;
}

static const char *const empty[] = {"", "# only a comment\n", "---\n", "{}", "models:\nlisten:\n"};

static void test_defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct config *c = good(empty[i]);
        assert_string_equal(c->path, "p.yaml");
        assert_true(strlen(c->node_name) > 0);
        assert_string_equal(c->environment, "dev");
        assert_string_equal(c->data, "/base/data");
        assert_int_equal(c->door_count, 1);
        assert_string_equal(c->doors[0].address, "127.0.0.1:8000");
        assert_false(c->doors[0].keys_required);
        assert_null(c->doors[0].tls_cert);
        assert_null(c->hosts[0]);
        assert_null(c->origins[0]);
        assert_int_equal(c->model_count, 0);
        assert_int_equal(c->memory_bytes, 0);
        assert_int_equal(c->body_bytes, 32 << 20);
        assert_int_equal(c->budget_bytes, 256 << 20);
        assert_int_equal(c->head_bytes, 64 << 10);
        assert_int_equal(c->connections_max, 0);
        assert_int_equal(c->head_ms, 10000);
        assert_int_equal(c->body_ms, 30000);
        assert_int_equal(c->keepalive_ms, 75000);
        assert_int_equal(c->write_ms, 600000);
        assert_int_equal(c->drain_ms, 30000);
        assert_int_equal(c->queue_max, 1024);
        assert_string_equal(c->log_level, "info");
        assert_string_equal(c->access_log, "logs/access.jsonl");
        assert_int_equal(c->log_rotate_bytes, 64 << 20);
        assert_int_equal(c->access_log_flush_ms, 1000);
        assert_int_equal(c->access_log_batch_bytes, 64 << 10);
        config_free(c);
    }
}

static const char *const full =
    "node: { name: aipc, context: prod.aipc.node1, roles: [cognitive, organs] }\n"
    "listen:\n"
    "  api: ['127.0.0.1:1', '0.0.0.0:2', 'unix:run/x.sock', { address: '[::]:3', keys: off,\n"
    "         tls: { cert: c.pem, key: /k.pem, client_ca: ca.pem } }, { address: ':4', keys: "
    "required },\n"
    "         { address: 'unix:/s', mode: '0666', keys: required }]\n"
    "  hosts: [ai.example.org, '*.lan', '::1']\n"
    "  origins: ['https://app.example.org']\n"
    "data: /var/plexus\n"
    "memory: { budget: 12 GiB }\n"
    "models:\n"
    "  a:b/c.d_e-f:\n"
    "    file: ./w.gguf\n"
    "    kind: chat\n"
    "    source: somewhere\n"
    "    aliases: [gpt, x]\n"
    "    context: 4096\n"
    "    slots: 2\n"
    "    threads: 3\n"
    "    args: [-ngl, 99, --temp, 0.5, --flag, true]\n"
    "    env: { A: b, N: 1, T: { env: PLEXUS_TEST_KEY } }\n"
    "    health: /healthz\n"
    "    program: bin/llama-server\n"
    "    prepare: [sh, -c, 'x']\n"
    "    memory: 1.5GiB\n"
    "    limits: { memory: 2GiB, cpus: 1.5, files: 100, nice: 5 }\n"
    "    idle: never\n"
    "    pinned: true\n"
    "    preload: true\n"
    "    queue: 7\n"
    "    restarts: { max: 9, pause: 1s, failed_pause: 2s }\n"
    "    timeouts: { load: 1m, first_byte: 2m, silence: 3m, drain: 4m }\n"
    "  cloud: { engine: remote, url: 'https://h/v1', key: { env: PLEXUS_TEST_KEY }, "
    "upstream_model: m }\n"
    "  cmd: { engine: command, command: [serve, '{port}'], env: ['A=1'] }\n"
    "limits: { head: 8K, body: 1MiB, bodies: 2MB, connections: 5, head_time: 1s, body_time: 2s,\n"
    "          idle_time: 3s, write_time: never, drain: 0, queue: 9 }\n"
    "log: { level: debug, access: off, rotate: 0, access_flush: 5s, access_batch: 0 }\n"
    "bus: { engine: embedded }\n"
    "flows: { engine: embedded }\n";

// Whose server and account it is.
static void test_registry(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *url, *user, *token;
        bool of_bus;
        int64_t ttl_ms;
    } rows[] = {
        {"bus: { engine: embedded }", NULL, NULL, NULL, false, 30000},
        {"bus: { engine: nats }", NULL, NULL, NULL, true, 30000}, // its own, for itself
        {"bus: { engine: nats, url: 'nats://a:1', user: u }", "nats://a:1", NULL, NULL, true,
         30000},
        {"bus: { engine: nats, url: 'nats://a:1', user: u }\nregistry: { engine: links, ttl: 1m }",
         NULL, NULL, NULL, false, 60000},
        {"bus: { engine: nats, url: 'nats://a:1', user: u }\n"
         "registry: { engine: nats, url: 'nats://b:1', token: { env: PLEXUS_TEST_KEY }, ttl: 3s }",
         "nats://b:1", NULL, "s3cret", false, 3000},
        {"registry: { engine: nats, url: 'nats://b:1', user: v }", "nats://b:1", "v", NULL, false,
         30000},
        {"bus: { engine: redis, url: 'redis://a:1', user: u }", NULL, NULL, NULL, false, 30000},
    };
    assert_int_equal(setenv("PLEXUS_TEST_KEY", "s3cret", 1), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c = good(rows[i].yaml);
        const char *token = secret_reveal(&c->registry_token);
        assert_string_equal(c->registry_url ? c->registry_url : "-",
                            rows[i].url ? rows[i].url : "-");
        assert_string_equal(c->registry_user ? c->registry_user : "-",
                            rows[i].user ? rows[i].user : "-");
        assert_string_equal(token ? token : "-", rows[i].token ? rows[i].token : "-");
        assert_int_equal(c->registry_of_bus, rows[i].of_bus);
        assert_int_equal(c->registry_ttl_ms, rows[i].ttl_ms);
        config_free(c);
    }
}

static void test_doors(void **state)
{
    (void)state;
    struct config *c = good(full);
    static const struct {
        const char *address;
        bool keys;
        const char *cert, *key, *ca;
        unsigned mode;
    } doors[] = {
        {"127.0.0.1:1", false, NULL, NULL, NULL, 0},
        {"0.0.0.0:2", true, NULL, NULL, NULL, 0},
        {"unix:/base/run/x.sock", false, NULL, NULL, NULL, 0600},
        {"[::]:3", false, "/base/c.pem", "/k.pem", "/base/ca.pem", 0},
        {":4", true, NULL, NULL, NULL, 0},
        {"unix:/s", true, NULL, NULL, NULL, 0666},
    };
    assert_int_equal(c->door_count, sizeof doors / sizeof *doors);
    for (size_t i = 0; i < c->door_count; i++) {
        const struct config_door *d = &c->doors[i];
        assert_string_equal(d->address, doors[i].address);
        assert_int_equal(d->keys_required, doors[i].keys);
        assert_int_equal(d->mode, doors[i].mode);
        assert_string_equal(d->tls_cert ? d->tls_cert : "-", doors[i].cert ? doors[i].cert : "-");
        assert_string_equal(d->tls_key ? d->tls_key : "-", doors[i].key ? doors[i].key : "-");
        assert_string_equal(d->tls_client_ca ? d->tls_client_ca : "-",
                            doors[i].ca ? doors[i].ca : "-");
    }
    assert_string_equal(c->hosts[1], "*.lan");
    assert_string_equal(c->hosts[2], "::1");
    assert_null(c->hosts[3]);
    assert_string_equal(c->origins[0], "https://app.example.org");
    config_free(c);
    // settings of listen hold for all doors that do not say otherwise
    c = good("listen: { api: 127.0.0.1:8000, keys: required, tls: { cert: c, key: k } }");
    assert_true(c->doors[0].keys_required);
    assert_string_equal(c->doors[0].tls_cert, "/base/c");
    config_free(c);
    c = good("listen: { api: [':1', { address: ':2', keys: auto }], keys: off, tls: { cert: c, "
             "key: k, client_ca: a } }");
    assert_false(c->doors[0].keys_required);
    assert_false(c->doors[1].keys_required); // client certificates say who it is
    config_free(c);
}

static void test_model(void **state)
{
    (void)state;
    struct config *c = good(full);
    const struct config_model *m = &c->models[0];
    assert_int_equal(c->model_count, 3);
    assert_string_equal(m->name, "a:b/c.d_e-f");
    assert_string_equal(m->engine, "llama.cpp");
    assert_string_equal(m->kind, "chat");
    assert_string_equal(m->file, "/base/w.gguf");
    assert_string_equal(m->source, "somewhere");
    assert_string_equal(m->aliases[1], "x");
    assert_null(m->aliases[2]);
    static const char *const args[] = {"-ngl", "99", "--temp", "0.5", "--flag", "true"};
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(m->args[i], args[i]);
    assert_null(m->args[6]);
    assert_string_equal(m->env[0], "A=b");
    assert_string_equal(m->env[1], "N=1");
    assert_string_equal(m->env[2], "T=s3cret");
    assert_null(m->env[3]);
    assert_string_equal(m->health, "/healthz");
    assert_string_equal(m->program, "/base/bin/llama-server");
    assert_string_equal(m->prepare[0], "sh");
    assert_null(m->url);
    assert_null(m->command);
    assert_null(secret_reveal(&m->key));
    assert_int_equal(m->context, 4096);
    assert_int_equal(m->slots, 2);
    assert_int_equal(m->threads, 3);
    assert_int_equal(m->memory_bytes, 3ull << 29);
    assert_int_equal(m->limit_memory_bytes, 2ull << 30);
    assert_true(m->limit_cpus == 1.5);
    assert_int_equal(m->limit_files, 100);
    assert_int_equal(m->nice, 5);
    assert_true(m->idle_ms == TIME_NEVER && m->pinned && m->preload);
    assert_int_equal(m->queue_max, 7);
    assert_int_equal(m->restarts_max, 9);
    assert_int_equal(m->restart_pause_ms, 1000);
    assert_int_equal(m->failed_pause_ms, 2000);
    assert_int_equal(m->load_timeout_ms, 60000);
    assert_int_equal(m->first_byte_ms, 120000);
    assert_int_equal(m->silence_ms, 180000);
    assert_int_equal(m->drain_ms, 240000);
    m = &c->models[1];
    assert_string_equal(secret_reveal(&m->key), "s3cret");
    assert_string_equal(m->key.from, "env PLEXUS_TEST_KEY");
    assert_string_equal(m->upstream_model, "m");
    assert_true(m->idle_ms == TIME_NEVER);
    assert_null(m->kind);
    assert_null(m->args);
    m = &c->models[2];
    assert_string_equal(m->command[1], "{port}");
    assert_string_equal(m->env[0], "A=1");
    assert_int_equal(m->idle_ms, 1800000);
    assert_int_equal(m->restarts_max, 3);
    assert_string_equal(c->environment, "prod");
    assert_int_equal(c->memory_bytes, 12ull << 30);
    assert_int_equal(c->budget_bytes, 2000000);
    assert_true(c->write_ms == TIME_NEVER && c->drain_ms == 0 && c->queue_max == 9);
    assert_string_equal(c->access_log, "off");
    assert_int_equal(c->log_rotate_bytes, 0);
    config_free(c);
}

// Shown as YAML or JSON it says the same again, and no secret.
static void test_labels(void **state)
{
    (void)state;
    struct config *c = good("models: { a: { file: x } }");
    assert_string_equal(c->label_default, "internal");
    assert_string_equal(c->label_cloud, "internal");
    assert_int_equal(c->subject_count + c->declassifier_count, 0);
    assert_false(c->labels_given);
    assert_null(c->models[0].label);
    assert_null(c->models[0].clearance);
    config_free(c);
    c = good("labels:\n"
             "  default: public:eng\n"
             "  subjects: [{ subject: prod.>, clearance: confidential }]\n"
             "  declassifiers:\n"
             "    - { name: a, key: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo }\n"
             "    - name: b\n"
             "      key: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n"
             "      clearance: internal\n"
             "models: { a: { file: x, label: internal:hr, clearance: 'confidential:*' } }");
    assert_true(c->labels_given);
    assert_string_equal(c->label_default, "public:eng");
    assert_string_equal(c->label_cloud, "internal");
    assert_int_equal(c->subject_count, 1);
    assert_string_equal(c->subjects[0].subject, "prod.>");
    assert_string_equal(c->subjects[0].clearance, "confidential");
    assert_int_equal(c->declassifier_count, 2);
    assert_string_equal(c->declassifiers[0].name, "a");
    assert_string_equal(c->declassifiers[0].clearance, "restricted:*");
    assert_string_equal(c->declassifiers[1].clearance, "internal");
    assert_string_equal(c->declassifiers[1].key, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_string_equal(c->models[0].label, "internal:hr");
    assert_string_equal(c->models[0].clearance, "confidential:*");
    struct config *other = good("labels: { cloud: public }\n"
                                "models: { a: { file: x, label: public } }");
    assert_int_equal(c->models[0].fingerprint, other->models[0].fingerprint); // no restart for it
    config_free(other);
    config_free(c);
}

static void test_show(void **state)
{
    (void)state;
    struct config *c = good(full);
    for (int json = 0; json < 2; json++) {
        struct buf text;
        struct err e = {0};
        struct config *again = NULL;
        struct config_change changes[8];
        buf_init(&text, 65536);
        assert_int_equal(config_show(&text, c, json), 0);
        assert_null(strstr(buf_cstr(&text), "s3cret"));
        assert_non_null(strstr(buf_cstr(&text), "PLEXUS_TEST_KEY"));
        if (config_parse(&again, "p.yaml", buf_bytes(&text), "/base", &e) != 0)
            fail_msg("%s\n%s", e.text, buf_cstr(&text));
        assert_true(json_equal(json_root(c->doc), json_root(again->doc)));
        assert_int_equal(config_diff(c, again, changes, 8), 0);
        config_free(again);
        buf_fini(&text);
    }
    config_free(c);
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_secret_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/plexus_config_XXXXXX", path[128], yaml[512];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/p.yaml", folder);
    (void)snprintf(yaml, sizeof yaml,
                   "models: { m: { engine: remote, url: 'http://h', key: { file: k } } }");
    put_file(path, yaml);
    static const struct {
        const char *text, *key, *said;
    } rows[] = {
        {"abc\n", "abc", NULL},
        {"  abc\r\n", "abc", NULL},
        {"", NULL, "is empty"},
        {"\n", NULL, "is empty"},
        {"a\nb", NULL, "has more than one line"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char file[160];
        struct config *c = NULL;
        struct err e = {0};
        (void)snprintf(file, sizeof file, "%s/k", folder);
        put_file(file, rows[i].text);
        int rc = config_load(&c, path, &e);
        if (rows[i].key) {
            assert_int_equal(rc, 0);
            assert_string_equal(secret_reveal(&c->models[0].key), rows[i].key);
            assert_non_null(strstr(c->models[0].key.from, "file /tmp/"));
        } else {
            assert_int_equal(rc, E_CONFIG);
            assert_non_null(strstr(e.text, rows[i].said));
        }
        config_free(c);
        (void)unlink(file);
    }
    struct config *c = NULL;
    struct err e = {0};
    assert_int_equal(config_load(&c, "/no/such.yaml", &e), E_NOTFOUND);
    assert_int_equal(config_load(&c, folder, &e), E_INVALID);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void test_fingerprint(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool same;
    } rows[] = {
        {"file: a", "file: ./a", false}, // as written: a restart too many does no harm
        {"file: a", "file: a, idle: 5m", true},
        {"file: a", "file: a, aliases: [x], pinned: true, preload: true, queue: 3", true},
        {"file: a", "file: a, restarts: { max: 1 }, timeouts: { load: 1s }, memory: 1GiB", true},
        {"file: a", "engine: llama.cpp, file: a", true},
        {"file: a", "file: b", false},
        {"file: a", "file: a, context: 5", false},
        {"file: a", "file: a, slots: 5", false},
        {"file: a", "file: a, args: [x]", false},
        {"file: a, args: [x, y]", "file: a, args: ['x, y']", false},
        {"file: a", "file: a, env: { A: b }", false},
        {"file: a, env: { A: { env: PLEXUS_TEST_KEY } }", "file: a, env: { A: { env: HOME } }",
         false},
        {"file: a", "file: a, limits: { nice: 1 }", false},
        {"engine: command, command: [a]", "engine: command, command: [b]", false},
        {"engine: remote, url: 'http://a'", "engine: remote, url: 'http://b'", false},
        {"engine: remote, url: 'http://a'", "engine: remote, url: 'http://a', key: { env: HOME }",
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char a[256], b[256];
        (void)snprintf(a, sizeof a, "models: { m: { %s } }", rows[i].from);
        (void)snprintf(b, sizeof b, "models: { m: { %s } }", rows[i].to);
        struct config *x = good(a), *y = good(b);
        if ((x->models[0].fingerprint == y->models[0].fingerprint) != rows[i].same)
            fail_msg("row %zu: %s | %s", i, a, b);
        config_free(x);
        config_free(y);
    }
    // a new value of the same secret restarts too
    struct config *x =
        good("models: { m: { engine: remote, url: 'http://a', key: { env: PLEXUS_TEST_KEY } } }");
    assert_int_equal(setenv("PLEXUS_TEST_KEY", "other", 1), 0);
    struct config *y =
        good("models: { m: { engine: remote, url: 'http://a', key: { env: PLEXUS_TEST_KEY } } }");
    assert_int_equal(setenv("PLEXUS_TEST_KEY", "s3cret", 1), 0);
    struct config_change change;
    assert_true(x->models[0].fingerprint != y->models[0].fingerprint);
    assert_int_equal(config_diff(x, y, &change, 1), 1);
    config_free(x);
    config_free(y);
}

static void test_diff(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *said; // "what name action|..."
    } rows[] = {
        {"{}", "{}", ""},
        {"{}", "data: ./data/", ""},
        {"{}", "data: other", "data data restart-needed|"},
        {"data: ./data", "data: /base/data", ""},
        {"models: { a: { file: x } }", "models: { b: { file: x } }", "model a remove|model b add|"},
        {"models: { a: { file: x } }", "models: { a: { file: x, idle: 1s } }", "model a change|"},
        {"{}", "listen: { api: ['127.0.0.1:8000', ':9'] }", "door :9 add|"},
        {"{}", "listen: { keys: required }", "door 127.0.0.1:8000 change|"},
        {"listen: { api: ':9', tls: { cert: a, key: b } }",
         "listen: { api: ':9', tls: { cert: c, key: b } }", "door :9 change|"},
        {"listen: { api: ':9' }", "{}", "door :9 remove|door 127.0.0.1:8000 add|"},
        {"{}", "listen: { hosts: [x], origins: ['http://o'] }",
         "listen listen.hosts change|listen listen.origins change|"},
        {"{}", "limits: { body: 1MiB, queue: 3 }",
         "limits limits.body change|limits limits.queue change|"},
        {"{}", "log: { level: debug, access: off }",
         "log log.level change|log log.access restart-needed|"},
        {"{}", "memory: { budget: 1GiB }", "memory memory.budget change|"},
        {"node: { name: a }", "node: { name: b }",
         "node node.name restart-needed|node node.context restart-needed|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *x = good(rows[i].from), *y = good(rows[i].to);
        struct config_change changes[16];
        char said[1024] = "";
        size_t n = config_diff(x, y, changes, 16);
        assert_true(n <= 16);
        for (size_t k = 0; k < n; k++) {
            (void)snprintf(said + strlen(said), sizeof said - strlen(said), "%s %s %s|",
                           changes[k].what, changes[k].name, changes[k].action);
        }
        assert_string_equal(said, rows[i].said);
        assert_int_equal(config_diff(x, y, changes, 0), n); // counted, not written
        config_free(x);
        config_free(y);
    }
}

// Each allocation fails in turn, once or for good: an error or the same configuration, no leak.
static void test_no_memory(void **state)
{
    (void)state;
    static const char *const bad =
        "models: { a: { idel: 1, kind: x }, 'b c': { slots: [] } }\nlog: 1\n";
    struct config *whole = good(full);
    uint64_t before = mem_live();
    size_t failures = 0;
    for (uint64_t n = 1; n < 4000; n += 1 + n / 16) {
        for (int sticky = 0; sticky < 2; sticky++) {
            struct config *c = NULL;
            struct err e = {0};
            struct config_change change;
            mem_fail_after(n, sticky);
            int rc = config_parse(&c, "p.yaml", bytes_of(full), "/base", &e);
            mem_fail_after(0, 0);
            failures += rc != 0;
            assert_int_equal(rc, e.code);
            if (rc == 0)
                assert_int_equal(config_diff(whole, c, &change, 1), 0);
            config_free(c);
            c = NULL;
            mem_fail_after(n, sticky);
            rc = config_parse(&c, "p.yaml", bytes_of(bad), "/base", &e);
            mem_fail_after(0, 0);
            assert_true(rc != 0 && !c);
        }
    }
    assert_true(failures > 50);
    assert_int_equal(mem_live(), before);
    config_free(whole);
}

// ---- the schema itself ----

static void walk(const struct json *root, const struct json *schema, bool named, int *refs)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v, *ref = json_get(schema, "$ref");
    const struct json *about = json_get(schema, "description");
    if (ref) {
        assert_true(bytes_starts(json_str(ref), BYTES("#/$defs/")) || bytes_is(json_str(ref), "#"));
        const struct json *target = json_ptr(root, bytes_from(json_str(ref), 1));
        assert_non_null(target);
        assert_null(json_get(target, "$ref"));
        about = about ? about : json_get(target, "description");
        (*refs)++;
    }
    if (named && !json_str(about).n) {
        struct buf text;
        buf_init(&text, 65536);
        (void)json_write(&text, schema);
        fail_msg("a key without a description: %s", buf_cstr(&text));
    }
    while (json_each(json_get(schema, "properties"), &it, &key, &v))
        walk(root, v, true, refs);
    if (json_is(json_get(schema, "additionalProperties"), JSON_OBJ))
        walk(root, json_get(schema, "additionalProperties"), false, refs);
    if (json_get(schema, "items"))
        walk(root, json_get(schema, "items"), false, refs);
}

static void test_schema(void **state)
{
    (void)state;
    struct json_doc *doc = NULL;
    struct schema *s = NULL;
    struct err e = {0};
    int refs = 0;
    assert_int_equal(json_parse(&doc, config_schema(), JSON_UNIQUE, &e), 0);
    const struct json *root = json_root(doc), *v;
    assert_int_equal(schema_new(&s, &(struct schema_args){.doc = root}, &e), 0);
    schema_free(s);
    walk(root, root, true, &refs);
    struct json_iter it = {0};
    struct bytes key;
    while (json_each(json_get(root, "$defs"), &it, &key, &v))
        walk(root, v, false, &refs);
    assert_true(refs > 20);
    json_free(doc);
}

// One file for three machines.
static void test_contexts(void **state)
{
    static const char *const text =
        "node: { name: n }\n"
        "memory: { budget: 1GiB }\n"
        "models:\n"
        "  a: { file: /a, slots: 2, aliases: [x] }\n"
        "  b: { file: /b }\n"
        "contexts:\n"
        "  dev.aipc.node2: { models: { a: { slots: 8 } } }\n"
        "  dev: { memory: { budget: 2GiB }, models: { a: { slots: 4, aliases: [y, z] } } }\n"
        "  '*.pi': { models: { a: null, b: null, c: { engine: remote, url: 'http://h/v1' } } }\n"
        "  prod: { limits: { queue: 7 } }\n";
    static const struct {
        const char *context, *parts;
        uint64_t memory_gib;
        size_t models;
        uint32_t slots, queue;
    } rows[] = {
        {"dev.aipc.node1", "dev", 2, 2, 4, 1024},
        {"dev.aipc.node2", "dev dev.aipc.node2", 2, 2, 8, 1024},
        {"dev.pi.p1", "dev *.pi", 2, 1, 0, 1024},
        {"prod.aipc.node2", "prod", 1, 2, 2, 7},
        {"staging.x.y", "", 1, 2, 2, 1024},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c = NULL;
        struct err e = {0};
        struct buf parts;
        (void)setenv("PLEXUS_CONTEXT", rows[i].context, 1);
        int rc = config_parse(&c, "p.yaml", bytes_of(text), "/base", &e);
        if (rc != 0)
            fail_msg("%s: %s", rows[i].context, e.text);
        buf_init(&parts, 1000);
        for (size_t k = 0; c->parts[k]; k++)
            (void)buf_fmt(&parts, "%s%s", k ? " " : "", c->parts[k]);
        assert_string_equal(buf_cstr(&parts), rows[i].parts);
        assert_string_equal(c->context, rows[i].context);
        assert_string_equal(c->node_name, "n");
        assert_int_equal(c->memory_bytes >> 30, rows[i].memory_gib);
        assert_int_equal(c->model_count, rows[i].models);
        assert_int_equal(c->models[0].slots, rows[i].slots);
        assert_int_equal(c->queue_max, rows[i].queue);
        if (rows[i].slots >= 4)
            assert_string_equal(c->models[0].aliases[1], "z");
        buf_fini(&parts);
        config_free(c);
    }
    (void)unsetenv("PLEXUS_CONTEXT");
    static const struct {
        const char *yaml, *said;
    } wrong[] = {
        {"contexts: { dev: { models: {} } }",
         "p.yaml: contexts says what holds where, but which context this machine has is said "
         "nowhere: plexus up --context dev.CLASS.NODE, PLEXUS_CONTEXT, or node.context"},
        {"contexts: { test.x: {} }", "p.yaml:1:13: contexts.\"test.x\": expected a context or its "
                                     "beginning such as dev, dev.aipc "
                                     "or *.aipc"},
        {"contexts: { prod: { limits: { quue: 1 } } }", // found where it does not hold, too
         "p.yaml:1:31: contexts.prod.limits.quue: unknown key; nearest: queue"},
        {"contexts: { dev: { data: x } }",
         "p.yaml:1:20: contexts.dev.data: does not belong into a part of contexts"},
        {"node: { context: dev.a.b }\ncontexts: { dev: { models: { m: { context: 5 } } } }",
         "models.m: engine llama.cpp (taken when none is named) needs the key \"file\": the GGUF "
         "file with its weights"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *c = NULL;
        struct err e = {0};
        assert_int_equal(config_parse(&c, "p.yaml", bytes_of(wrong[i].yaml), "/base", &e),
                         E_CONFIG);
        if (!strstr(e.text, wrong[i].said))
            assert_string_equal(e.text, wrong[i].said);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_registry),    cmocka_unit_test(test_doors),
        cmocka_unit_test(test_model),       cmocka_unit_test(test_show),
        cmocka_unit_test(test_labels),      cmocka_unit_test(test_secret_file),
        cmocka_unit_test(test_fingerprint), cmocka_unit_test(test_diff),
        cmocka_unit_test(test_schema),      cmocka_unit_test(test_no_memory),
    };
    if (setenv("PLEXUS_TEST_KEY", "s3cret", 1) != 0)
        return 1;
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
