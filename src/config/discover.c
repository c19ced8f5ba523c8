// discover.c: a configuration from the GGUF files that lie on this machine.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "base/map.h"
#include "config/config_priv.h"
#include "text/gguf.h"
#include "text/units.h"
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 6        // hub/models--O--R/snapshots/REV/folder/file
#define ENTRIES_MAX                                                                                \
    50000  // directory entries looked at, so that a huge folder cannot hold the start
#define MODELS_MAX 200
#define NAME_BYTES_MAX 128
#define PATH_BYTES_MAX 4096
#define HEADER_FIRST ((size_t)1 << 20)
#define HEADER_MAX ((size_t)64 << 20) // vocabularies make headers large

struct config_discovery {
    struct buf *out;
    struct map *names, *files; // taken names; device and inode of files seen
    struct buf looked;         // folders, for the comment on top
    size_t entries, models;
    int failed;
};

// ---- one file ----

static int read_header(const char *path, struct gguf *g, struct err *e)
{
    uint64_t size = 0, need = 0;
    for (size_t want = HEADER_FIRST;;) {
        struct buf text;
        buf_init(&text, want);
        int rc = file_read_part(path, want, &text, &size, e);
        if (rc == 0)
            rc = gguf_parse(g, buf_bytes(&text), &need, e);
        bool whole = text.n >= size;
        buf_fini(&text);
        if (rc != E_TOOBIG)
            return rc;
        if (whole)
            return err_set(e, E_PARSE, "the file ends within its header");
        if (want >= HEADER_MAX || need > HEADER_MAX)
            return err_set(e, E_TOOBIG, "its header is over %zu MiB", HEADER_MAX >> 20);
        want = need > want * 4 ? (size_t)need : want * 4;
        want = want > HEADER_MAX ? HEADER_MAX : want;
    }
}

// One line of comment: nothing from a file may end it.
static void put_comment(struct buf *out, const char *text)
{
    for (; *text; text++)
        (void)buf_chr(out, *text >= ' ' && *text < 0x7f ? *text : '?');
}

static bool is_quantization(struct bytes s)
{
    static const char *const plain[] = {"f16", "f32", "bf16", "mxfp4", "nvfp4"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (bytes_iis(s, plain[i]))
            return true;
    if (s.n && (*s.p == 'i' || *s.p == 'I' || *s.p == 't' || *s.p == 'T'))
        s = bytes_from(s, 1);
    if (s.n < 2 || (*s.p != 'q' && *s.p != 'Q') || !isdigit((unsigned char)s.p[1]))
        return false;
    for (size_t i = 2; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_')
            return false;
    return true;
}

static struct bytes without_quantization(struct bytes stem)
{
    for (size_t i = stem.n; i-- > 1;)
        if (stem.p[i] == '-' || stem.p[i] == '.')
            return is_quantization(bytes_from(stem, i + 1)) ? bytes_first(stem, i) : stem;
    return stem;
}

// Small letters; what may not stand in a name becomes '-'. "" when nothing is left.
static void clean(struct bytes stem, char name[NAME_BYTES_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < stem.n && n < NAME_BYTES_MAX - 8; i++) { // room for a number
        unsigned char c = (unsigned char)stem.p[i];
        bool allowed = c < 0x80 && (isalnum(c) || (c && strchr("._:/-", c)));
        name[n++] = allowed ? (char)tolower(c) : '-';
    }
    name[n] = 0;
}

static bool take_name(struct config_discovery *d, struct bytes stem, char name[NAME_BYTES_MAX + 1])
{
    clean(without_quantization(stem), name);
    if (!name[0] || map_get(d->names, bytes_of(name)))
        clean(stem, name);
    size_t n = strlen(name);
    for (int i = 2; n && map_get(d->names, bytes_of(name)) && i < MODELS_MAX + 2; i++)
        (void)snprintf(name + n, NAME_BYTES_MAX + 1 - n, "-%d", i);
    if (!n || map_put(d->names, bytes_of(name), d, NULL) != 0)
        d->failed = n ? E_NOMEM : d->failed;
    return n && !d->failed;
}

static void put_facts(struct buf *out, const struct gguf *g, uint64_t size, const char *note)
{
    (void)buf_str(out, "  # ");
    put_comment(out, g->architecture[0] ? g->architecture : "unknown architecture");
    if (g->parameters >= 1000000)
        (void)buf_fmt(out, ", %.*f %s parameters", g->parameters >= 1000000000 ? 1 : 0,
                      (double)g->parameters / (g->parameters >= 1000000000 ? 1e9 : 1e6),
                      g->parameters >= 1000000000 ? "billion" : "million");
    if (g->quantization[0]) {
        (void)buf_str(out, ", ");
        put_comment(out, g->quantization);
    }
    if (g->context)
        (void)buf_fmt(out, ", trained for %llu tokens", (unsigned long long)g->context);
    if (size) {
        (void)buf_str(out, ", ");
        units_put_size(out, size);
    }
    (void)buf_str(out, "; found in ");
    put_comment(out, note);
    (void)buf_chr(out, '\n');
}

static void left_out(struct config_discovery *d, const char *path, const char *why)
{
    (void)buf_str(d->out, "  # left out: ");
    put_comment(d->out, path);
    (void)buf_str(d->out, ": ");
    put_comment(d->out, why);
    (void)buf_chr(d->out, '\n');
}

// The same file by two ways (links, snapshots, two names) counts once.
static bool seen_before(struct config_discovery *d, const char *path, uint64_t *ret_size)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return true;
    uint64_t key[2] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino};
    struct bytes k = {(const char *)key, sizeof key};
    *ret_size = (uint64_t)st.st_size;
    if (map_get(d->files, k))
        return true;
    if (map_put(d->files, k, d, NULL) != 0)
        d->failed = E_NOMEM;
    return d->failed != 0;
}

// "-00001-of-00003" at the end; *ret_part is its first number.
static bool is_shard(struct bytes stem, unsigned *ret_part, unsigned *ret_parts)
{
    char tail[16];
    if (stem.n < 16)
        return false;
    memcpy(tail, stem.p + stem.n - 15, 15);
    tail[15] = 0;
    int end = 0;
    return sscanf(tail, "-%5u-of-%5u%n", ret_part, ret_parts, &end) == 2 && end == 15;
}

static bool contains(struct bytes text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.n; i++)
        if (bytes_iis((struct bytes){text.p + i, n}, word))
            return true;
    return false;
}

void config_discovered(struct config_discovery *d, const char *path, struct bytes stem,
                       const char *note)
{
    struct gguf g = {0};
    struct err e = {0};
    char name[NAME_BYTES_MAX + 1];
    unsigned part = 1, parts = 1;
    uint64_t size = 0;
    bool shard = is_shard(stem, &part, &parts);
    if (shard && part != 1)
        return;
    if (shard)
        stem = bytes_first(stem, stem.n - 15);
    if (contains(stem, "mmproj") || d->models >= MODELS_MAX || seen_before(d, path, &size))
        return;
    if (read_header(path, &g, &e) != 0) {
        left_out(d, path, e.text);
        return;
    }
    if (!shard && g.tensors == 0) {
        left_out(d, path, "it holds a vocabulary only");
        return;
    }
    if (!take_name(d, stem, name))
        return;
    d->models++;
    put_facts(d->out, &g, shard ? 0 : size, note);
    (void)buf_str(d->out, "  ");
    (void)buf_json_str(d->out, bytes_of(name));
    (void)buf_str(d->out, ": { engine: llama.cpp, file: ");
    (void)buf_json_str(d->out, bytes_of(path));
    if (!shard) // the first of several files need not tell
        (void)buf_fmt(d->out, ", kind: %s", gguf_kind(&g));
    (void)buf_str(d->out, " }\n");
}

// ---- folders ----

static int is_entry(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static bool is_skipped(const char *name)
{
    return strcmp(name, "blobs") == 0 || strcmp(name, "refs") == 0 ||
           strcmp(name, "node_modules") == 0;
}

// What a file's model is called: without .gguf, and without "OWNER_REPO-GGUF_" in front, which
// llama.cpp's cache puts there.
static struct bytes stem_of(const char *name)
{
    struct bytes stem = bytes_first(bytes_of(name), strlen(name) - 5);
    for (size_t i = stem.n; i-- > 5;)
        if (i + 1 < stem.n && bytes_iis((struct bytes){stem.p + i - 4, 5}, "gguf_"))
            return bytes_from(stem, i + 1);
    return stem;
}

static void scan(struct config_discovery *d, const char *folder, const char *note, int depth)
{
    struct dirent **list = NULL;
    int n = depth > DEPTH_MAX || d->failed ? 0 : scandir(folder, &list, is_entry, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        char path[PATH_BYTES_MAX];
        struct stat st;
        int len = snprintf(path, sizeof path, "%s/%s", folder, name);
        if (++d->entries > ENTRIES_MAX || len < 0 || (size_t)len >= sizeof path ||
            stat(path, &st) != 0) {
            free(list[i]);
            continue;
        }
        if (S_ISDIR(st.st_mode) && !is_skipped(name))
            scan(d, path, note, depth + 1);
        else if (S_ISREG(st.st_mode) && len > 5 && bytes_ends(bytes_of(name), BYTES(".gguf")) &&
                 strlen(name) > 5)
            config_discovered(d, path, stem_of(name), note);
        free(list[i]);
    }
    free(list);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void look(struct config_discovery *d, const char *folder, const char *note)
{
    char manifests[PATH_BYTES_MAX];
    (void)buf_str(&d->looked, "#   ");
    put_comment(&d->looked, folder);
    (void)buf_str(&d->looked, is_folder(folder) ? "\n" : " (not there)\n");
    int n = snprintf(manifests, sizeof manifests, "%s/manifests", folder);
    if (n > 0 && (size_t)n < sizeof manifests && is_folder(manifests))
        config_ollama(d, folder);
    else
        scan(d, folder, note, 0);
}

// below: path under base. An environment variable, when set, names the folder itself.
static void look_usual(struct config_discovery *d, const char *variable, const char *base,
                       const char *below, const char *note)
{
    char path[PATH_BYTES_MAX];
    const char *set = variable ? getenv(variable) : NULL;
    if (set && *set) {
        look(d, set, note);
        return;
    }
    int n = base ? snprintf(path, sizeof path, "%s%s", base, below) : 0;
    if (n > 0 && (size_t)n < sizeof path)
        look(d, path, note);
}

static void look_all(struct config_discovery *d, const struct config_found *where)
{
    for (const char *const *f = where->folders; f && *f; f++)
        look(d, *f, *f);
    if (where->folders)
        return;
    const char *home = where->home, *hub = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME");
    bool own_hub = hub && *hub, own_cache = cache && *cache;
    look_usual(d, NULL, where->cwd, "/models", "./models");
    look_usual(d, "HF_HUB_CACHE",
               own_hub     ? hub
               : own_cache ? cache
                           : home,
               own_hub     ? "/hub"
               : own_cache ? "/huggingface/hub"
                           : "/.cache/huggingface/hub",
               "the Hugging Face cache");
    look_usual(d, "LLAMA_CACHE", own_cache ? cache : home,
               own_cache ? "/llama.cpp" : "/.cache/llama.cpp", "the llama.cpp cache");
    look_usual(d, "OLLAMA_MODELS", home, "/.ollama/models", "Ollama's store");
    look(d, "/usr/share/ollama/.ollama/models", "Ollama's store");
}

int config_discover(struct buf *ret_yaml, const struct config_found *where, struct err *e)
{
    struct buf models;
    buf_init(&models, ret_yaml->max);
    struct config_discovery d = {
        .out = &models, .names = map_new(100000), .files = map_new(100000)};
    buf_init(&d.looked, (size_t)64 << 10);
    if (!d.names || !d.files)
        d.failed = E_NOMEM;
    else
        look_all(&d, where);
    (void)buf_str(ret_yaml, "# Made by plexus from the models that it found. It looked in:\n");
    (void)buf_put(ret_yaml, buf_bytes(&d.looked));
    if (!d.models)
        (void)buf_str(ret_yaml, "# and found none: put a GGUF file into ./models.\n");
    (void)buf_str(ret_yaml, models.n && d.models ? "models:\n" : "models: {}\n");
    (void)buf_put(ret_yaml, buf_bytes(&models));
    int rc = d.failed ? d.failed : models.failed ? models.failed : ret_yaml->failed;
    map_free(d.names);
    map_free(d.files);
    buf_fini(&d.looked);
    buf_fini(&models);
    return rc ? err_set(e, rc, "looking for models: %s", err_info(rc)->text) : 0;
}
