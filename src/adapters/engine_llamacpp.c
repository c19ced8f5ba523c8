// engine_llamacpp.c: llama.cpp's server for a GGUF file: where its program is, its command line,
// what the file's header says of memory, context and kind, and how its log reads.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/engine_priv.h"
#include "base/buf.h"
#include "base/file.h"
#include "text/gguf.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec // POSIX.1-2008's name is not there
#endif

#define HEADER_FIRST ((size_t)256 << 10) // bytes of a file read at first
#define HEADER_MAX ((size_t)64 << 20)    // and at most
#define CONTEXT_USUAL 8192 // tokens when the configuration is silent: long contexts cost memory
#define BATCH 512          // llama.cpp's own physical batch
#define PROCESS_BYTES ((uint64_t)64 << 20) // code, tokenizer, HTTP
#define SHARDS_MAX 1024
// Old prompts kept in main memory: its own choice is 8 GiB, outside of every reckoning.
#define PROMPT_CACHE "128"

// ---- the file ----

struct seen { // a header that was read before
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
    struct gguf gguf;
};
#define SEEN_MAX 32 // headers kept; a large vocabulary makes 10 MB to read and walk

static struct seen *seen_find(const struct stat *st, bool make)
{
    static struct seen seen[SEEN_MAX];
    static unsigned next;
    for (size_t i = 0; i < SEEN_MAX; i++)
        if (seen[i].size == st->st_size && seen[i].ino == st->st_ino && seen[i].dev == st->st_dev &&
            seen[i].changed.tv_sec == st->st_mtim.tv_sec &&
            seen[i].changed.tv_nsec == st->st_mtim.tv_nsec && st->st_size > 0)
            return &seen[i];
    if (!make)
        return NULL;
    struct seen *s = &seen[next++ % SEEN_MAX];
    s->dev = st->st_dev;
    s->ino = st->st_ino;
    s->size = st->st_size;
    s->changed = st->st_mtim;
    return s;
}

static int read_header(const char *path, struct gguf *ret, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_set(e, E_NOTFOUND, "the file %s does not exist", path);
    const struct seen *known = seen_find(&st, false);
    if (known != NULL) {
        *ret = known->gguf;
        return 0;
    }
    size_t part = HEADER_FIRST;
    for (;;) {
        struct buf text;
        uint64_t need = 0;
        struct err why = {0};
        buf_init(&text, part + 1);
        int rc = file_read_part(path, part, &text, NULL, e);
        if (rc == 0)
            rc = gguf_parse(ret, buf_bytes(&text), &need, &why);
        size_t got = text.n;
        buf_fini(&text);
        if (rc == 0)
            break;
        if (why.code == 0)
            return rc;
        if (rc != E_TOOBIG || got < part || part == HEADER_MAX)
            return err_set(e, rc == E_TOOBIG ? E_PARSE : rc, "the file %s: %s", path,
                           rc == E_TOOBIG ? "its header does not end" : why.text);
        part = need > part * 4 ? need : part * 4;
        part = part < HEADER_MAX ? part : HEADER_MAX;
    }
    seen_find(&st, true)->gguf = *ret;
    return 0;
}

// Bytes of all files of a model: "x-00001-of-00003.gguf" stands for three.
static uint64_t weight_bytes(const char *path)
{
    struct stat st;
    uint64_t sum = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    struct bytes name = bytes_of(path);
    unsigned count;
    if (name.n < 20 || sscanf(name.p + name.n - 20, "-00001-of-%5u.gguf", &count) != 1)
        return sum;
    for (unsigned i = 2; i <= count && i <= SHARDS_MAX; i++) {
        char shard[4096];
        (void)snprintf(shard, sizeof shard, "%.*s-%05u-of-%05u.gguf", (int)(name.n - 20), path, i,
                       count);
        sum += stat(shard, &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    return sum;
}

// Main memory at most, when every page of the weights was touched:
//   weights   bytes of the files (they are mapped)
//   cache     keys and values of all tokens at 16 bits (text/gguf.h)
//   compute   one batch of 512 tokens: per token a row of logits, the hidden state about eight
//   times,
//             and the feed-forward rows twice, at 32 bits; an encoder also heads x batch x batch
//   process   64 MiB
static uint64_t memory_of(const struct gguf *g, const char *file, uint64_t tokens)
{
    uint64_t batch = g->causal || tokens < BATCH ? BATCH : tokens;
    uint64_t row = g->vocabulary + 8 * g->embedding + 2 * g->feed_forward;
    uint64_t compute = 4 * batch * row;
    if (!g->causal) // no row of logits, but attention over the whole batch at once
        compute = 4 * batch * (row - g->vocabulary + g->heads * batch);
    return weight_bytes(file) + gguf_kv_bytes(g, tokens) + compute + PROCESS_BYTES;
}

// ---- the program ----

// Folder of the running binary; false: not known.
static bool own_folder(char *path, size_t size)
{
    const char *self = file_self();
    ssize_t n = readlink(self, path, size - 1);
    if (n < 0 && errno == EINVAL) // no link: the path itself
        n = snprintf(path, size, "%s", self);
    if (n <= 0 || (size_t)n >= size)
        return false;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}

static const char *named_program(const char *name, struct arena *a, const char *from, struct err *e)
{
    const char *found = strchr(name, '/') == NULL ? engine_which(a, name, getenv("PATH"))
                        : engine_is_program(name) ? arena_str(a, bytes_of(name))
                                                  : NULL;
    if (found == NULL)
        (void)err_set(e, E_NOTFOUND, "%s names the program %s, which is not there or cannot be run",
                      from, name);
    return found;
}

// *ret_own: it is the one that this project's set-up made.
static const char *find_program(const struct engine_spec *s, struct arena *a, bool *ret_own,
                                struct err *e)
{
    const char *named = getenv("PLEXUS_LLAMA_SERVER");
    char folder[4096];
    *ret_own = false;
    if (s->program != NULL)
        return named_program(s->program, a, "the configuration", e);
    if (named != NULL && named[0] != '\0')
        return named_program(named, a, "PLEXUS_LLAMA_SERVER", e);
    const char *found = engine_which(a, "llama-server", getenv("PATH"));
    if (found == NULL && s->search != NULL)
        found = engine_which(a, "llama-server", s->search);
    if (found == NULL && own_folder(folder, sizeof folder)) {
        found = engine_which(a, "llama-server",
                             arena_fmt(a, "%s/engines:%s/../libexec/plexus", folder, folder));
        *ret_own = found != NULL;
    }
    if (found == NULL)
        (void)err_set(
            e, E_NOTFOUND,
            "llama-server is not on PATH: `make up` fetches one, or install llama.cpp, or "
            "name it with the key program or in PLEXUS_LLAMA_SERVER");
    return found;
}

// ---- the plan ----

static void number(struct engine_words *w, const char *flag, uint64_t value)
{
    engine_word(w, flag);
    engine_word(w, arena_fmt(w->arena, "%llu", (unsigned long long)value));
}

// Arguments come last and win: a number of slots among them is not ours to know.
static bool names_slots(const char *const *args)
{
    for (; args != NULL && *args != NULL; args++)
        if (strcmp(*args, "-np") == 0 || strcmp(*args, "--parallel") == 0 ||
            strncmp(*args, "--parallel=", 11) == 0)
            return true;
    return false;
}

// Only flags that old and new servers know; what only new ones know goes by the environment, which
// old ones do not read.
static int command_line(const struct engine_spec *s, const struct gguf *g, struct engine_plan *p,
                        struct arena *a, struct err *e)
{
    struct engine_words argv, env;
    bool own = false, embeds = strcmp(p->kind, "embedding") == 0;
    uint64_t slots = s->slots != 0 ? s->slots : 1;
    const char *program = find_program(s, a, &own, e);
    if (program == NULL)
        return E_NOTFOUND;
    if (engine_words_begin(&argv, a) < 0 || engine_words_begin(&env, a) < 0)
        return err_set(e, E_NOMEM, "model %s", s->model);
    engine_word(&argv, program);
    engine_word(&argv, "--host");
    engine_word(&argv, p->host);
    number(&argv, "--port", p->port);
    engine_word(&argv, "--model");
    engine_word(&argv, s->file);
    engine_word(&argv, "--alias");
    engine_word(&argv, s->upstream_model != NULL ? s->upstream_model : s->model);
    number(&argv, "--ctx-size", p->context * slots);
    number(&argv, "--parallel", slots);
    if (s->threads != 0)
        number(&argv, "--threads", s->threads);
    if (embeds) {
        engine_word(&argv, "--embedding");
        if (g->pooling == UINT32_MAX) {
            engine_word(&argv, "--pooling");
            engine_word(&argv, "mean");
        }
        if (p->context > BATCH) { // an input is worked on in one batch
            number(&argv, "--batch-size", p->context);
            number(&argv, "--ubatch-size", p->context);
        }
    } else {
        engine_word(&argv, "--jinja");
    }
    if (own) {
        engine_word(&argv, "--cache-ram");
        engine_word(&argv, PROMPT_CACHE);
    }
    engine_word(&env, "LLAMA_ARG_CACHE_RAM=" PROMPT_CACHE);
    engine_words_all(&argv, s->args);
    engine_words_all(&env, s->env);
    if (argv.failed < 0 || env.failed < 0)
        return err_set(e, argv.failed < 0 ? argv.failed : env.failed, "model %s: its command line",
                       s->model);
    p->argv = argv.list;
    p->env = env.list;
    return 0;
}

static int plan(const struct engine_spec *s, uint16_t port, struct arena *a,
                struct engine_plan *ret, struct err *e)
{
    struct gguf g = {.pooling = UINT32_MAX};
    struct engine_plan p = {.child = true,
                            .host = "127.0.0.1",
                            .port = port,
                            .base_path = "/v1",
                            .health = s->health != NULL ? s->health : "/health",
                            .auth = "",
                            .upstream_model = s->upstream_model};
    if (s->file == NULL)
        return err_set(e, E_INVALID, "model %s: engine llama.cpp needs the key file", s->model);
    int rc = read_header(s->file, &g, e);
    if (rc < 0)
        return err_wrap(e, "model %s", s->model), rc;
    uint64_t trained = g.context != 0 ? g.context : CONTEXT_USUAL;
    p.context = s->context != 0 ? s->context : trained < CONTEXT_USUAL ? trained : CONTEXT_USUAL;
    p.kind = s->kind != NULL ? s->kind : gguf_kind(&g);
    uint32_t slots = s->slots != 0 ? s->slots : 1;
    p.slots = names_slots(s->args) ? 0 : slots;
    p.memory_bytes = memory_of(&g, s->file, p.context * slots);
    rc = command_line(s, &g, &p, a, e);
    // A dry look tells what the file says even where no program is there yet.
    if (rc < 0 && (port != 0 || rc != E_NOTFOUND))
        return rc;
    if (!engine_keep(a, &p.health) || !engine_keep(a, &p.kind) ||
        !engine_keep(a, &p.upstream_model))
        return err_set(e, E_NOMEM, "model %s", s->model);
    *ret = p;
    return 0;
}

// ---- its log ----

static bool progress(struct bytes line, const char **ret_phase, double *ret_share)
{
    static const struct {
        const char *text, *phase;
    } rows[] = {
        {"loaded meta data", "reading the file"},
        {"loading model tensors", "loading weights"},
        {"load_model: loading model", "loading weights"},
        {"constructing llama_context", "making room for the context"},
        {"warming up", "warming up"},
        {"model loaded", "starting to listen"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (engine_ifind(line, rows[i].text) < 0)
            continue;
        *ret_phase = rows[i].phase;
        *ret_share = -1;
        return true;
    }
    return false;
}

static int blame(const struct bytes *lines, int count)
{
    static const char *const patterns[] = {"address already in use",
                                           "couldn't bind",
                                           "unknown model architecture",
                                           "invalid magic",
                                           "no such model",
                                           "failed to open",
                                           "no such file",
                                           "out of memory",
                                           "failed to alloc",
                                           "bad_alloc",
                                           "unknown argument",
                                           "invalid argument",
                                           "data is not within the file bounds",
                                           "tensor '",
                                           "error loading model",
                                           "error:",
                                           "failed to load",
                                           "exception",
                                           "failed",
                                           "error",
                                           NULL};
    return engine_blame(lines, count, patterns);
}

const struct engine_ops *engine_llamacpp(void)
{
    static const struct engine_ops ops = {
        .name = "llama.cpp",
        .what = "llama.cpp's server for a GGUF file.",
        .plan = plan,
        .progress = progress,
        .blame = blame,
    };
    return &ops;
}
