// wasm_cache.c: compiled code on the disk. wasmtime trusts such bytes blindly, so each file has a
// keyed hash over all of it, the key lies in the folder (0700, files 0600, all ours), and bytes
// that do not fit it never reach wasmtime. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "enclave/enclave_priv.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MAX_ = 4096, FILES_MAX = 4096 };

struct head { // of a file; then the code
    char magic[16];
    uint8_t engine[CRYPTO_SIP_LEN]; // which library and settings made it
    uint8_t module[CRYPTO_SIP_LEN]; // of what
    uint64_t variant, bytes;
    uint8_t mac[CRYPTO_SIP_LEN]; // over the code, then over all before this
};
static const char magic[16] = "plexus wasm 1\n";

static int key_of(struct wasm_cache *c, struct err *e)
{
    char path[PATH_MAX_];
    struct buf text;
    buf_init(&text, sizeof c->key);
    (void)snprintf(path, sizeof path, "%s/key", c->folder);
    if (file_read(path, &text, NULL) == 0 && text.n == sizeof c->key) {
        memcpy(&c->key, text.p, sizeof c->key);
        buf_fini(&text);
        return 0;
    }
    buf_fini(&text);
    struct bytes key = {(const char *)&c->key, sizeof c->key};
    return file_write_atomic(path, key, 0600, e);
}

// A folder that others could write to, or that is not ours, is not used.
static int own_folder(const char *folder, struct err *e)
{
    struct stat st;
    if (lstat(folder, &st) != 0)
        return err_set(e, E_IO, "the folder %s of compiled code cannot be looked at", folder);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(e, E_SECURITY,
                       "the folder %s of compiled code must be this user's alone (mode 0700)",
                       folder);
    return 0;
}

int wasm_cache_open(struct wasm_cache *c, const char *folder, uint64_t bytes_max, struct err *e)
{
    *c = (struct wasm_cache){.bytes_max = bytes_max};
    rng_bytes(&c->key, sizeof c->key);
    if (!folder)
        return 0;
    int rc = file_mkdirs(folder, 0700, e);
    if (rc == 0)
        rc = own_folder(folder, e);
    if (rc == 0 && !(c->folder = mem_str(folder)))
        rc = err_set(e, E_NOMEM, "no memory for the cache");
    return rc == 0 ? key_of(c, e) : rc;
}

void wasm_cache_fini(struct wasm_cache *c)
{
    mem_free(c->folder);
    mem_wipe(&c->key, sizeof c->key);
}

void wasm_cache_engine(struct wasm_cache *c, const char *library, bool signals)
{
    struct stat st = {0};
    char text[PATH_MAX_ + 128];
    (void)stat(library, &st);
    int n =
        snprintf(text, sizeof text, "%s %lld %lld %s %d %d", WASM_VERSION, (long long)st.st_size,
                 (long long)st.st_mtime, PLEXUS_VERSION, (int)sizeof(void *), signals);
    crypto_sip128(&c->key, (struct bytes){text, (size_t)n}, c->engine);
}

void wasm_cache_hash(const struct wasm_cache *c, struct bytes code, uint8_t ret[CRYPTO_SIP_LEN])
{
    crypto_sip128(&c->key, code, ret);
}

static void path_of(const struct wasm_cache *c, const uint8_t *hash, int variant, char *ret)
{
    char hex[2 * CRYPTO_SIP_LEN + 1];
    crypto_hex(hash, CRYPTO_SIP_LEN, hex);
    (void)snprintf(ret, PATH_MAX_, "%s/%s-%d", c->folder, hex, variant);
}

static void mac_of(const struct wasm_cache *c, struct head *h, struct bytes code,
                   uint8_t ret[CRYPTO_SIP_LEN])
{
    memset(h->mac, 0, sizeof h->mac);
    crypto_sip128(&c->key, code, h->mac);
    crypto_sip128(&c->key, (struct bytes){(const char *)h, sizeof *h}, ret);
}

static bool fits(const struct wasm_cache *c, struct bytes file, const uint8_t *hash, int variant)
{
    struct head h;
    uint8_t mac[CRYPTO_SIP_LEN], said[CRYPTO_SIP_LEN];
    if (file.n < sizeof h)
        return false;
    memcpy(&h, file.p, sizeof h);
    memcpy(said, h.mac, sizeof said);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.bytes != file.n - sizeof h ||
        h.variant != (uint64_t)variant || memcmp(h.module, hash, sizeof h.module) != 0 ||
        memcmp(h.engine, c->engine, sizeof h.engine) != 0)
        return false;
    mac_of(c, &h, bytes_from(file, sizeof h), mac);
    return bytes_eq_const_time((struct bytes){(const char *)mac, sizeof mac},
                               (struct bytes){(const char *)said, sizeof said});
}

int wasm_cache_get(struct wasm_cache *c, const uint8_t hash[CRYPTO_SIP_LEN], int variant,
                   struct buf *ret, struct err *e)
{
    char path[PATH_MAX_];
    if (!c->folder)
        return E_NOTFOUND;
    path_of(c, hash, variant, path);
    int rc = file_read(path, ret, e);
    if (rc == E_NOTFOUND)
        return rc;
    if (rc == 0 && fits(c, buf_bytes(ret), hash, variant)) {
        buf_drop(ret, sizeof(struct head));
        return 0;
    }
    (void)unlink(path);
    return err_set(e, E_SECURITY, "compiled code in the cache is damaged, or was made elsewhere");
}

// Oldest first, until all fit.
static void trim(const struct wasm_cache *c, uint64_t more)
{
    for (int round = 0; round < FILES_MAX; round++) {
        char path[PATH_MAX_ + 300], oldest[PATH_MAX_ + 300] = "";
        uint64_t total = more;
        int64_t least = INT64_MAX;
        DIR *d = opendir(c->folder);
        if (!d)
            return;
        for (struct dirent *it; (it = readdir(d));) {
            struct stat st;
            (void)snprintf(path, sizeof path, "%s/%s", c->folder, it->d_name);
            if (it->d_name[0] == '.' || strcmp(it->d_name, "key") == 0 || lstat(path, &st) != 0)
                continue;
            total += (uint64_t)st.st_size;
            if ((int64_t)st.st_mtime < least) {
                least = (int64_t)st.st_mtime;
                (void)snprintf(oldest, sizeof oldest, "%s", path);
            }
        }
        (void)closedir(d);
        if (total <= c->bytes_max || !oldest[0] || unlink(oldest) != 0)
            return;
    }
}

int wasm_cache_put(struct wasm_cache *c, const uint8_t hash[CRYPTO_SIP_LEN], int variant,
                   struct bytes code, struct err *e)
{
    char path[PATH_MAX_];
    struct head h = {.variant = (uint64_t)variant, .bytes = code.n};
    struct buf out;
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.engine, c->engine, sizeof h.engine);
    memcpy(h.module, hash, sizeof h.module);
    uint8_t mac[CRYPTO_SIP_LEN];
    mac_of(c, &h, code, mac);
    memcpy(h.mac, mac, sizeof mac);
    trim(c, code.n);
    buf_init(&out, sizeof h + code.n);
    (void)buf_add(&out, &h, sizeof h);
    (void)buf_put(&out, code);
    path_of(c, hash, variant, path);
    int rc = out.failed ? out.failed : file_write_atomic(path, buf_bytes(&out), 0600, e);
    buf_fini(&out);
    return rc;
}
