// engines_test.c: plans, memory, progress and blame of each engine.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/engine_priv.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define MIB ((uint64_t)1 << 20)

struct place {
    char dir[64], file[96], program[96];
    struct arena *a;
};

// ---- a small GGUF header ----
static void put_int(struct buf *b, uint64_t v, size_t n)
{
    for (; n > 0; n--, v >>= 8)
        (void)buf_chr(b, (char)(v & 255));
}

static void put_text(struct buf *b, const char *text)
{
    put_int(b, strlen(text), 8);
    (void)buf_str(b, text);
}

static void put_u32(struct buf *b, const char *key, uint32_t v)
{
    put_text(b, key);
    put_int(b, 4, 4);
    put_int(b, v, 4);
}

static void put_str(struct buf *b, const char *key, const char *v)
{
    put_text(b, key);
    put_int(b, 8, 4);
    put_text(b, v);
}

// bulk: bytes of a string in the header, so that it is longer than the first part read.
static void write_gguf(const char *path, const char *arch, uint32_t context, bool chat, size_t bulk)
{
    struct buf b;
    char key[64];
    bool bert = strcmp(arch, "bert") == 0;
    buf_init(&b, 128 * MIB);
    (void)buf_str(&b, "GGUF");
    put_int(&b, 3, 4);
    put_int(&b, 0, 8);
    put_int(&b, (uint64_t)6 + chat + (bulk > 0) + bert, 8);
    put_str(&b, "general.architecture", arch);
    if (bulk > 0) {
        put_text(&b, "general.bulk");
        put_int(&b, 8, 4);
        put_int(&b, bulk, 8);
        memset(buf_room(&b, bulk), 'x', bulk);
        b.n += bulk;
    }
    const struct {
        const char *name;
        uint32_t v;
    } rows[] = {{"context_length", context},
                {"embedding_length", 128},
                {"block_count", 4},
                {"attention.head_count", 4},
                {"feed_forward_length", 256}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(key, sizeof key, "%s.%s", arch, rows[i].name);
        put_u32(&b, key, rows[i].v);
    }
    if (bert)
        put_u32(&b, "bert.pooling_type", 1);
    if (chat)
        put_str(&b, "tokenizer.chat_template", "{{ messages }}");
    assert_int_equal(b.failed, 0);
    assert_int_equal(file_write_atomic(path, buf_bytes(&b), 0600, NULL), 0);
    buf_fini(&b);
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/engines_test.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->file, sizeof p->file, "%s/m.gguf", p->dir);
    (void)snprintf(p->program, sizeof p->program, "%s/llama-server", p->dir);
    assert_int_equal(file_write_atomic(p->program, BYTES("#!/bin/sh\n"), 0700, NULL), 0);
    p->a = arena_new(MIB);
    (void)unsetenv("PLEXUS_LLAMA_SERVER");
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    (void)unlink(p->file);
    (void)unlink(p->program);
    (void)rmdir(p->dir);
    arena_free(p->a);
    free(p);
    return 0;
}

// The command line as one text, without the program.
static const char *line_of(struct arena *a, const struct engine_plan *p)
{
    const char *text = "";
    for (size_t i = 1; p->argv != NULL && p->argv[i] != NULL; i++)
        text = arena_fmt(a, "%s%s%s", text, i > 1 ? " " : "", p->argv[i]);
    return text;
}

static void llamacpp_plans(void **state)
{
    static const char *const more[] = {"--temp", "0", NULL}, *const env[] = {"A=b", NULL};
    struct place *p = *state;
    const struct {
        const char *arch;
        uint32_t context;
        bool chat;
        struct engine_spec spec;
        const char *kind, *line;
        uint32_t slots;
    } rows[] = {
        {"llama",
         1024,
         true,
         {.model = "m"},
         "chat",
         "--host 127.0.0.1 --port 99 --model %s --alias m --ctx-size 1024 --parallel 1 --jinja",
         1},
        {"llama",
         1024,
         false,
         {.model = "m", .slots = 3, .threads = 2},
         "completion",
         "--host 127.0.0.1 --port 99 --model %s --alias m --ctx-size 3072 --parallel 3 --threads 2 "
         "--jinja",
         3},
        {"llama",
         131072,
         true,
         {.model = "m", .args = more, .env = env},
         "chat",
         "--host 127.0.0.1 --port 99 --model %s --alias m --ctx-size 8192 --parallel 1 --jinja "
         "--temp 0",
         1},
        {"llama",
         4096,
         true,
         {.model = "m", .kind = "embedding", .context = 2048},
         "embedding",
         "--host 127.0.0.1 --port 99 --model %s --alias m --ctx-size 2048 --parallel 1 --embedding "
         "--pooling mean --batch-size 2048 --ubatch-size 2048",
         1},
        {"bert",
         512,
         false,
         {.model = "m", .upstream_model = "known"},
         "embedding",
         "--host 127.0.0.1 --port 99 --model %s --alias known --ctx-size 512 --parallel 1 "
         "--embedding",
         1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct engine_spec s = rows[i].spec;
        struct engine_plan plan;
        struct err e = {0};
        s.file = p->file;
        s.program = p->program;
        write_gguf(p->file, rows[i].arch, rows[i].context, rows[i].chat,
                   i); // another size each time
        assert_int_equal(engine_find("llama.cpp")->plan(&s, 99, p->a, &plan, &e), 0);
        assert_string_equal(plan.kind, rows[i].kind);
        char want[512];
        (void)snprintf(want, sizeof want, rows[i].line, p->file); // NOLINT: formats above
        assert_string_equal(line_of(p->a, &plan), want);
        assert_string_equal(plan.argv[0], p->program);
        assert_string_equal(plan.health, "/health");
        assert_string_equal(plan.base_path, "/v1");
        assert_true(plan.child);
        assert_int_equal(plan.slots, rows[i].slots);
        assert_string_equal(plan.env[0], "LLAMA_ARG_CACHE_RAM=128");
        assert_true((plan.env[1] != NULL) == (s.env != NULL));
    }
}

static void llamacpp_memory(void **state)
{
    struct place *p = *state;
    struct engine_spec s = {.model = "m", .file = p->file, .program = p->program};
    struct engine_plan plan;
    struct stat st;
    write_gguf(p->file, "llama", 1024, true, 0);
    assert_int_equal(stat(p->file, &st), 0);
    assert_int_equal(engine_find("llama.cpp")->plan(&s, 0, p->a, &plan, NULL), 0);
    // 4 blocks x 4 heads x (32 + 32) values x 2 bytes x 1024 tokens; 512 x 4 x (0 + 8 x 128 + 2 x
    // 256)
    uint64_t want = (uint64_t)st.st_size + 2 * MIB + 3 * MIB + 64 * MIB;
    assert_int_equal(plan.memory_bytes, want);
    s.slots = 4;
    assert_int_equal(engine_find("llama.cpp")->plan(&s, 0, p->a, &plan, NULL), 0);
    assert_int_equal(plan.memory_bytes, want + 6 * MIB);
    s.args = (const char *const[]){"--parallel", "2", NULL}; // wins: whatever it makes of it
    assert_int_equal(engine_find("llama.cpp")->plan(&s, 0, p->a, &plan, NULL), 0);
    assert_int_equal(plan.slots, 0);
    s.args = NULL;
    write_gguf(p->file, "bert", 512, false, 0);
    assert_int_equal(stat(p->file, &st), 0);
    s.slots = 0;
    assert_int_equal(engine_find("llama.cpp")->plan(&s, 0, p->a, &plan, NULL), 0);
    assert_int_equal(plan.memory_bytes, (uint64_t)st.st_size + 3 * MIB + 4 * MIB + 64 * MIB);
}

static void llamacpp_long_headers(void **state)
{
    struct place *p = *state;
    struct engine_spec s = {.model = "m", .file = p->file, .program = p->program};
    struct engine_plan plan;
    struct err e = {0};
    write_gguf(p->file, "llama", 77, true, 3 * MIB);
    assert_int_equal(engine_find("llama.cpp")->plan(&s, 1, p->a, &plan, &e), 0);
    assert_int_equal(plan.context, 77);
    assert_int_equal(e.code, 0);
    write_gguf(p->file, "llama", 78, true, 66 * MIB);
    assert_int_equal(engine_find("llama.cpp")->plan(&s, 1, p->a, &plan, &e), E_PARSE);
    assert_non_null(strstr(e.text, "its header does not end"));
}

static void llamacpp_errors(void **state)
{
    struct place *p = *state;
    struct engine_spec s = {.model = "m", .program = p->program};
    struct engine_plan plan;
    struct err e = {0};
    const struct engine_ops *ops = engine_find("llama.cpp");
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_INVALID);
    s.file = "/nowhere/x.gguf";
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_NOTFOUND);
    assert_string_equal(e.text, "model m: the file /nowhere/x.gguf does not exist");
    s.file = p->file;
    assert_int_equal(file_write_atomic(p->file, BYTES("no model at all"), 0600, NULL), 0);
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_PARSE);
    write_gguf(p->file, "llama", 10, true, 0);
    s.program = "/nowhere/llama-server";
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_NOTFOUND);
    assert_non_null(strstr(e.text, "/nowhere/llama-server"));
    // a dry look needs no program
    assert_int_equal(ops->plan(&s, 0, p->a, &plan, &e), 0);
    assert_int_equal(plan.context, 10);
    assert_null(plan.argv);
}

static void llamacpp_search(void **state)
{
    struct place *p = *state;
    struct engine_spec s = {.model = "m", .file = p->file};
    struct engine_plan plan;
    struct err e = {0};
    const struct engine_ops *ops = engine_find("llama.cpp");
    AUTO_MEM char *path = mem_str(getenv("PATH"));
    write_gguf(p->file, "llama", 10, true, 0);
    (void)setenv("PATH", "/nowhere", 1);
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_NOTFOUND);
    assert_non_null(strstr(e.text, "`make up` fetches one, or install llama.cpp"));
    s.search = arena_fmt(p->a, "/nowhere:%s", p->dir);
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), 0);
    assert_string_equal(plan.argv[0], p->program);
    s.search = NULL;
    (void)setenv("PATH", arena_fmt(p->a, ":/nowhere:%s", p->dir), 1);
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), 0);
    assert_string_equal(plan.argv[0], p->program);
    s.program = "llama-server";
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), 0);
    s.program = NULL;
    (void)setenv("PLEXUS_LLAMA_SERVER", "/nowhere/else", 1);
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_NOTFOUND);
    assert_non_null(strstr(e.text, "PLEXUS_LLAMA_SERVER names the program /nowhere/else"));
    (void)unsetenv("PLEXUS_LLAMA_SERVER");
    (void)chmod(p->program, 0600); // there, but not to be run
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_NOTFOUND);
    (void)setenv("PATH", path, 1);
}

static void commands(void **state)
{
    static const char *const argv[] = {"serve",  "--at={host}:{port}", "{model}{model}",
                                       "{file}", "{other}{",           NULL};
    static const char *const bare[] = {"serve", "{port}", NULL};
    struct place *p = *state;
    struct engine_spec s = {.model = "m", .file = "/f", .command = argv, .health = "/ok"};
    struct engine_plan plan;
    struct err e = {0};
    const struct engine_ops *ops = engine_find("command");
    assert_int_equal(ops->plan(&s, 8123, p->a, &plan, &e), 0);
    assert_string_equal(line_of(p->a, &plan), "--at=127.0.0.1:8123 mm /f {other}{");
    assert_string_equal(plan.health, "/ok");
    s.file = NULL;
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_INVALID);
    assert_non_null(strstr(e.text, "has {file}, but the model has no file"));
    s.command = bare;
    assert_int_equal(ops->plan(&s, 65535, p->a, &plan, &e), 0);
    assert_string_equal(line_of(p->a, &plan), "65535");
    s.command = NULL;
    assert_int_equal(ops->plan(&s, 1, p->a, &plan, &e), E_INVALID);
}

static void remotes(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *url, *key, *host, *base;
        uint16_t port;
        bool tls;
        int rc;
    } rows[] = {
        {"https://example.org/api/v1", "k-1", "example.org", "/api/v1", 443, true, 0},
        {"http://10.0.0.1:8080/v1/", NULL, "10.0.0.1", "/v1", 8080, false, 0},
        {"http://[::1]:11434", NULL, "::1", "/v1", 11434, false, 0},
        {"http://h//", NULL, "h", "/v1", 80, false, 0},
        {"http://h/v1?x=1", NULL, NULL, NULL, 0, false, E_INVALID},
        {"http://h/v1", "a\r\nX: y", NULL, NULL, 0, false, E_INVALID},
        {NULL, NULL, NULL, NULL, 0, false, E_INVALID},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct engine_spec s = {.model = "m", .url = rows[i].url, .key = rows[i].key};
        struct engine_plan plan;
        struct err e = {0};
        int rc = engine_find("remote")->plan(&s, 0, p->a, &plan, &e);
        if (rc != rows[i].rc)
            fail_msg("%s: %d %s", rows[i].url, rc, e.text);
        if (rows[i].key != NULL)
            assert_null(strstr(e.text, "X: y"));
        if (rc < 0)
            continue;
        assert_false(plan.child);
        assert_string_equal(plan.host, rows[i].host);
        assert_string_equal(plan.base_path, rows[i].base);
        assert_int_equal(plan.port, rows[i].port);
        assert_int_equal(plan.tls, rows[i].tls);
        assert_string_equal(plan.auth, rows[i].key != NULL ? "Authorization: Bearer k-1\r\n" : "");
    }
    struct engine_spec s = {.model = "m", .url = "ftp://h/"};
    struct engine_plan plan;
    assert_true(engine_find("remote")->plan(&s, 0, p->a, &plan, NULL) < 0);
}

static void logs(void **state)
{
    static const struct {
        const char *engine, *lines[4];
        int blame;
    } blames[] = {
        {"llama.cpp",
         {"main: exiting due to error", "error: Failed to open x.gguf", "srv done"},
         1},
        {"llama.cpp",
         {"llama_model_load: error loading model: unknown model architecture: 'x'",
          "error: failed to load model 'x'"},
         0},
        {"llama.cpp", {"error: unknown argument: --bad", "usage"}, 0},
        {"llama.cpp", {"start: couldn't bind HTTP server socket", "error again"}, 0},
        {"llama.cpp", {"all", "well"}, -1},
        {"command", {"Traceback", "OSError: [Errno 98] Address already in use"}, 1},
        {"command", {"an Error: one", "an error: two"}, 1},
        {"remote", {"error"}, -1},
    };
    static const struct {
        const char *engine, *line, *phase;
        double share;
    } phases[] = {
        {"llama.cpp", "load_tensors: loading model tensors, this can take a while",
         "loading weights", -1},
        {"llama.cpp", "common_init: warming up the model with an empty run", "warming up", -1},
        {"llama.cpp", "slot 0 is idle", NULL, 0},
        {"command", "fetched 12.5% of it", "loading", 0.125},
        {"command", "100%", "loading", 1},
        {"command", "1.2.3%", NULL, 0},
        {"command", "101%", NULL, 0},
        {"command", "a % b", NULL, 0},
        {"command", "%", NULL, 0},
        {"remote", "50%", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(blames); i++) {
        struct bytes lines[4];
        int n = 0;
        for (; n < 4 && blames[i].lines[n] != NULL; n++)
            lines[n] = bytes_of(blames[i].lines[n]);
        int at = engine_find(blames[i].engine)->blame(lines, n);
        if (at != blames[i].blame)
            fail_msg("row %zu: line %d, expected %d", i, at, blames[i].blame);
    }
    for (size_t i = 0; i < COUNT(phases); i++) {
        const char *phase = NULL;
        double share = 0;
        bool says =
            engine_find(phases[i].engine)->progress(bytes_of(phases[i].line), &phase, &share);
        if (says != (phases[i].phase != NULL) || (says && strcmp(phase, phases[i].phase) != 0) ||
            (says && (share - phases[i].share > 1e-9 || phases[i].share - share > 1e-9)))
            fail_msg("%s: \"%s\" %f", phases[i].line, phase, share);
    }
}

static void table(void **state)
{
    (void)state;
    size_t n = 0;
    for (; engine_table()[n] != NULL; n++)
        assert_ptr_equal(engine_find(engine_table()[n]->name), engine_table()[n]);
    assert_int_equal(n, 3);
    assert_null(engine_find("none"));
    assert_null(engine_find(NULL));
}

int main(void)
{
#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_PLACE(llamacpp_plans),  IN_PLACE(llamacpp_memory), IN_PLACE(llamacpp_long_headers),
        IN_PLACE(llamacpp_errors), IN_PLACE(llamacpp_search), IN_PLACE(commands),
        IN_PLACE(remotes),         cmocka_unit_test(logs),    cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
