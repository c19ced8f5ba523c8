// discover_test.c: a configuration from the models on a machine, made in a folder of its own.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "config/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BLOB "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char root[] = "/tmp/plexus_discover_XXXXXX";

static void put(const char *below, struct bytes content)
{
    char path[512], *slash;
    struct err e = {0};
    (void)snprintf(path, sizeof path, "%s/%s", root, below);
    slash = strrchr(path, '/');
    *slash = 0;
    if (file_mkdirs(path, 0700, &e) != 0)
        fail_msg("%s", e.text);
    *slash = '/';
    if (file_write_atomic(path, content, 0600, &e) != 0)
        fail_msg("%s", e.text);
}

// ---- a GGUF header: magic, version 3, one tensor, metadata ----

static void u32(struct buf *b, uint32_t v)
{
    (void)buf_add(b, &v, sizeof v);
}
static void u64(struct buf *b, uint64_t v)
{
    (void)buf_add(b, &v, sizeof v);
}
static void text(struct buf *b, const char *s)
{
    u64(b, strlen(s));
    (void)buf_str(b, s);
}
static void meta(struct buf *b, const char *key, const char *value)
{
    text(b, key);
    u32(b, 8); // string
    text(b, value);
}

static void put_gguf(const char *below, const char *architecture, int tensors, uint64_t filler)
{
    struct buf b;
    buf_init(&b, (size_t)16 << 20);
    (void)buf_str(&b, "GGUF");
    u32(&b, 3);
    u64(&b, (uint64_t)tensors);
    u64(&b, 3);
    meta(&b, "general.architecture", architecture);
    meta(&b, "tokenizer.chat_template", "{{ x }}");
    text(&b, "tokenizer.ggml.scores"); // a long header
    u32(&b, 9);
    u32(&b, 6); // float32
    u64(&b, filler);
    for (uint64_t i = 0; i < filler; i++)
        u32(&b, 0);
    if (tensors) {
        text(&b, "token_embd.weight");
        u32(&b, 1);
        u64(&b, 2000000);
        u32(&b, 0); // F32
        u64(&b, 0);
    }
    put(below, buf_bytes(&b));
    buf_fini(&b);
}

static int setup(void **state)
{
    (void)state;
    static const char *const unset[] = {"HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS",
                                        "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        if (unsetenv(unset[i]) != 0)
            return -1;
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static struct config *found(struct buf *yaml)
{
    char cwd[128], home[128];
    struct err e = {0};
    struct config *c = NULL;
    (void)snprintf(cwd, sizeof cwd, "%s/cwd", root);
    (void)snprintf(home, sizeof home, "%s/home", root);
    if (config_discover(yaml, &(struct config_found){.cwd = cwd, .home = home}, &e) != 0)
        fail_msg("%s", e.text);
    if (config_parse(&c, NULL, buf_bytes(yaml), cwd, &e) != 0)
        fail_msg("%s\n%s", e.text, buf_cstr(yaml));
    assert_null(c->path);
    return c;
}

static const struct config_model *model(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0)
            return &c->models[i];
    return NULL;
}

static void test_nothing(void **state)
{
    (void)state;
    struct buf yaml;
    buf_init(&yaml, 1 << 20);
    struct config *c = found(&yaml);
    assert_int_equal(c->model_count, 0);
    assert_non_null(strstr(buf_cstr(&yaml), "/cwd/models (not there)"));
    assert_non_null(strstr(buf_cstr(&yaml), "and found none"));
    config_free(c);
    buf_fini(&yaml);
}

static void test_all(void **state)
{
    (void)state;
    char from[512], to[512];
    put_gguf("cwd/models/Tiny Chat-F16.gguf", "llama", 1, 4);
    put_gguf("cwd/models/tiny-chat.gguf", "llama", 1, 4);
    put_gguf("cwd/models/sub/minilm-f16.gguf", "bert", 1, 4);
    put_gguf("cwd/models/mmproj-x.gguf", "clip", 1, 4);
    put_gguf("cwd/models/vocab.gguf", "llama", 0, 4);
    put_gguf("cwd/models/big-q4_k_m-00001-of-00002.gguf", "llama", 1, 4);
    put_gguf("cwd/models/big-q4_k_m-00002-of-00002.gguf", "llama", 1, 4);
    put("cwd/models/broken.gguf", BYTES("GGUF\nevil: true"));
    put("cwd/models/readme.txt", BYTES("x"));
    put_gguf("home/.cache/llama.cpp/ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf",
             "ev\nil", 1,
             700000); // a header over the first read
    put_gguf("home/.cache/huggingface/hub/models--a--b/blobs/xyz", "llama", 1, 4);
    put("home/.cache/huggingface/hub/models--a--b/snapshots/r1/x", BYTES(""));
    put("home/.cache/huggingface/hub/models--a--b/snapshots/r2/x", BYTES(""));
    for (int i = 1; i <= 2; i++) {
        (void)snprintf(to, sizeof to,
                       "%s/home/.cache/huggingface/hub/models--a--b/snapshots/r%d/Hub.Q8_0.gguf",
                       root, i);
        assert_int_equal(symlink("../../blobs/xyz", to), 0);
    }
    put_gguf("home/.ollama/models/blobs/sha256-" BLOB, "llama", 1, 4);
    put("home/.ollama/models/manifests/registry.ollama.ai/library/llama3.2/1b",
        BYTES("{\"layers\":[{\"mediaType\":\"application/"
              "vnd.ollama.image.license\",\"digest\":\"sha256:b\"},"
              "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:" BLOB
              "\"}]}"));
    put("home/.ollama/models/manifests/registry.ollama.ai/library/evil/latest",
        BYTES("{\"layers\":[{\"mediaType\":\"application/"
              "vnd.ollama.image.model\",\"digest\":\"sha256:../../x\"}]}"));
    put("home/.ollama/models/manifests/registry.ollama.ai/library/broken/latest", BYTES("{"));
    (void)snprintf(from, sizeof from, "%s/loop", root);
    (void)snprintf(to, sizeof to, "%s/cwd/models/loop", root);
    assert_int_equal(symlink(root, to), 0); // a circle of folders ends by its depth

    struct buf yaml;
    buf_init(&yaml, 1 << 20);
    struct config *c = found(&yaml);
    const char *text_ = buf_cstr(&yaml);
    static const char *const names[] = {"tiny-chat",     "tiny-chat-2", "minilm",     "big",
                                        "gemma-3-1b-it", "hub",         "llama3.2:1b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (i != 1 && !model(c, names[i]))
            fail_msg("%s is not there:\n%s", names[i], text_);
    assert_int_equal(c->model_count, sizeof names / sizeof *names);
    assert_string_equal(model(c, "minilm")->kind, "embedding");
    assert_string_equal(model(c, "tiny-chat")->kind, "chat");
    assert_null(model(c, "big")->kind);
    assert_non_null(strstr(model(c, "big")->file, "-00001-of-00002.gguf"));
    assert_non_null(strstr(model(c, "llama3.2:1b")->file, "/blobs/sha256-a"));
    assert_null(strstr(text_, "\nil"));
    assert_null(strstr(text_, "\nevil"));
    assert_non_null(strstr(text_, "# left out: "));
    assert_non_null(strstr(text_, "broken.gguf: "));
    assert_non_null(strstr(text_, "it holds a vocabulary only"));
    assert_non_null(strstr(text_, "2 million parameters"));
    config_free(c);
    buf_fini(&yaml);
}

static void test_given_folders(void **state)
{
    (void)state;
    char folder[128];
    struct buf yaml;
    struct err e = {0};
    buf_init(&yaml, 1 << 20);
    (void)snprintf(folder, sizeof folder, "%s/cwd/models/sub", root);
    const char *const folders[] = {folder, NULL};
    assert_int_equal(config_discover(&yaml, &(struct config_found){.folders = folders}, &e), 0);
    assert_non_null(strstr(buf_cstr(&yaml), "  \"minilm\": { engine: llama.cpp, file: \""));
    assert_null(strstr(buf_cstr(&yaml), "tiny"));
    buf_fini(&yaml);
    buf_init(&yaml, 100); // the caller's ceiling is an error, not a cut text
    assert_int_equal(config_discover(&yaml, &(struct config_found){.folders = folders}, &e),
                     E_TOOBIG);
    buf_fini(&yaml);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_given_folders),
    };
    return cmocka_run_group_tests_name("config discovery", tests, setup, teardown);
}
