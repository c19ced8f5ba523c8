// ollama.c: Ollama's store: manifests/HOST/OWNER/NAME/TAG are small JSON files that name the
// layers, blobs/sha256-HEX are the layers; the one of type ...image.model is a GGUF file.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "config/config_priv.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_MAX ((size_t)1 << 20)
#define PATH_BYTES_MAX 4096
#define LEVELS 4
#define ENTRIES_MAX 2000 // in one folder

static bool is_hex(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == 64;
}

static struct bytes model_digest(const struct json *manifest)
{
    const struct json *layers = json_get(manifest, "layers");
    for (size_t i = 0; i < json_len(layers); i++) {
        const struct json *layer = json_at(layers, i);
        struct bytes digest = json_str(json_get(layer, "digest"));
        struct bytes type = json_str(json_get(layer, "mediaType"));
        if (bytes_is(type, "application/vnd.ollama.image.model") &&
            bytes_starts(digest, BYTES("sha256:")) && is_hex(bytes_from(digest, 7)))
            return bytes_from(digest, 7);
    }
    return BYTES_NONE;
}

// As Ollama shows it: "llama3.2:1b", "me/mine:tag", "hf.co/owner/repo:tag"; "latest" goes without
// saying.
static void put_name(struct buf *out, const char *const parts[LEVELS])
{
    bool official = strcmp(parts[0], "registry.ollama.ai") == 0;
    if (!official)
        (void)buf_fmt(out, "%s/", parts[0]);
    if (!official || strcmp(parts[1], "library") != 0)
        (void)buf_fmt(out, "%s/", parts[1]);
    (void)buf_str(out, parts[2]);
    if (strcmp(parts[3], "latest") != 0)
        (void)buf_fmt(out, ":%s", parts[3]);
}

static void manifest(struct config_discovery *d, const char *root, const char *path,
                     const char *const parts[LEVELS])
{
    struct buf text, name;
    struct json_doc *doc = NULL;
    char blob[PATH_BYTES_MAX];
    buf_init(&text, MANIFEST_MAX);
    buf_init(&name, 2048);
    if (file_read(path, &text, NULL) == 0 && json_parse(&doc, buf_bytes(&text), 0, NULL) == 0) {
        struct bytes digest = model_digest(json_root(doc));
        int n = digest.n
                    ? snprintf(blob, sizeof blob, "%s/blobs/sha256-%.*s", root, BYTES_FMT(digest))
                    : -1;
        put_name(&name, parts);
        if (n > 0 && (size_t)n < sizeof blob)
            config_discovered(d, blob, buf_bytes(&name), "Ollama's store");
    }
    json_free(doc);
    buf_fini(&text);
    buf_fini(&name);
}

static int is_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void walk(struct config_discovery *d, const char *root, const char *folder,
                 const char *parts[LEVELS], int level)
{
    struct dirent **list = NULL;
    int n = scandir(folder, &list, is_entry, alphasort);
    for (int i = 0; i < n; i++) {
        char path[PATH_BYTES_MAX];
        struct stat st;
        int len = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        bool there = len > 0 && (size_t)len < sizeof path && stat(path, &st) == 0;
        parts[level] = list[i]->d_name;
        if (there && i < ENTRIES_MAX && level + 1 < LEVELS && S_ISDIR(st.st_mode))
            walk(d, root, path, parts, level + 1);
        else if (there && i < ENTRIES_MAX && level + 1 == LEVELS && S_ISREG(st.st_mode))
            manifest(d, root, path, parts);
        free(list[i]);
    }
    free(list);
}

void config_ollama(struct config_discovery *d, const char *root)
{
    char folder[PATH_BYTES_MAX];
    const char *parts[LEVELS] = {"", "", "", ""};
    int n = snprintf(folder, sizeof folder, "%s/manifests", root);
    if (n > 0 && (size_t)n < sizeof folder)
        walk(d, root, folder, parts, 0);
}
