// nvml.c: NVIDIA cards by the management library that comes with the driver. Loaded at run time;
// the prototypes are ours, after the public nvml.h (NVML API reference).
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NVML_TEXT_MAX 65536

static const char *const libraries[] = {
    "libnvidia-ml.so.1",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",           // WSL2
    "/usr/local/nvidia/lib64/libnvidia-ml.so.1",    // containers of some clouds
    "/run/opengl-driver/lib/libnvidia-ml.so.1",     // NixOS
};

static const struct {
    const char *name;
    size_t offset;
    bool must;
} symbols[] = {
#define SYMBOL(field, text, needed) {text, offsetof(struct host_nvml_api, field), needed}
    SYMBOL(init, "nvmlInit_v2", true),
    SYMBOL(shutdown, "nvmlShutdown", true),
    SYMBOL(driver_version, "nvmlSystemGetDriverVersion", true),
    SYMBOL(cuda_version, "nvmlSystemGetCudaDriverVersion_v2", false),
    SYMBOL(count, "nvmlDeviceGetCount_v2", true),
    SYMBOL(by_index, "nvmlDeviceGetHandleByIndex_v2", true),
    SYMBOL(name, "nvmlDeviceGetName", true),
    SYMBOL(uuid, "nvmlDeviceGetUUID", true),
    SYMBOL(memory, "nvmlDeviceGetMemoryInfo", true),
    SYMBOL(compute, "nvmlDeviceGetCudaComputeCapability", false),
    SYMBOL(pci, "nvmlDeviceGetPciInfo_v3", false),
    SYMBOL(mig_mode, "nvmlDeviceGetMigMode", false),
    SYMBOL(mig_max, "nvmlDeviceGetMaxMigDeviceCount", false),
    SYMBOL(mig_by_index, "nvmlDeviceGetMigDeviceHandleByIndex", false),
    SYMBOL(gpu_instance, "nvmlDeviceGetGpuInstanceId", false),
    SYMBOL(compute_instance, "nvmlDeviceGetComputeInstanceId", false),
    SYMBOL(virtualization, "nvmlDeviceGetVirtualizationMode", false),
    SYMBOL(error, "nvmlErrorString", false),
#undef SYMBOL
};

static int load(struct host_nvml_api *api, struct err *e)
{
    void *lib = NULL;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries && !lib; i++)
        lib = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return err_set(e, E_NOTFOUND, "no libnvidia-ml.so.1");
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *fn = dlsym(lib, symbols[i].name);
        if (!fn && symbols[i].must)
            return err_set(e, E_UNAVAILABLE, "libnvidia-ml.so.1 has no %s", symbols[i].name);
        memcpy((char *)api + symbols[i].offset, &fn, sizeof fn);
    }
    return 0;
}

static int refuse(const struct host_nvml_api *api, struct err *e, const char *what, int code)
{
    const char *why = api->error ? api->error(code) : NULL;
    return err_set(e, E_UNAVAILABLE, "NVML: %s: %s (%d)", what, why ? why : "error", code);
}

// "NVIDIA H100 80GB HBM3 MIG 1g.10gb" ends in the profile's name.
static void slice_profile(struct host_slice *s, const char *name)
{
    const char *at = strstr(name, "MIG ");
    HOST_COPY_STR(s->profile, at ? at + 4 : name);
}

static void ask_slices(const struct host_nvml_api *api, void *card, struct host_gpu *g)
{
    unsigned int now = 0, pending = 0, most = 0;
    if (!api->mig_mode || api->mig_mode(card, &now, &pending) || !now)
        return;
    g->mig = true;
    if (!api->mig_max || !api->mig_by_index || api->mig_max(card, &most))
        return;
    for (unsigned int i = 0; i < most && g->slice_count < HOST_SLICES_MAX; i++) {
        struct host_slice *s = &g->slices[g->slice_count];
        struct host_nvml_memory memory = {0};
        char name[128] = "", uuid[96] = "";
        void *slice = NULL;
        if (api->mig_by_index(card, i, &slice)) // places without an instance say "not found"
            continue;
        memset(s, 0, sizeof *s);
        if (!api->name(slice, name, sizeof name))
            slice_profile(s, name);
        if (!api->uuid(slice, uuid, sizeof uuid))
            HOST_COPY_STR(s->uuid, uuid);
        if (!api->memory(slice, &memory))
            s->memory_bytes = memory.total;
        if (api->gpu_instance)
            (void)api->gpu_instance(slice, &s->gpu_instance);
        if (api->compute_instance)
            (void)api->compute_instance(slice, &s->compute_instance);
        g->slice_count++;
    }
}

// "00000000:01:00.0" as NVML writes it becomes "0000:01:00.0" as the kernel does.
static void kernel_address(char to[20], const struct host_nvml_pci *pci)
{
    struct bytes s = {pci->bus_id, strnlen(pci->bus_id, sizeof pci->bus_id)};
    if (s.n > 12 && bytes_chr(s, ':') == 8)
        s = bytes_from(s, 4);
    size_t n = s.n < 19 ? s.n : 19;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'F' ? s.p[i] + 32 : s.p[i]);
    to[n] = 0;
}

static void ask_card(const struct host_nvml_api *api, void *card, struct host_gpu *g,
                     const char *driver)
{
    static const char *const modes[] = {"", "passthrough", "vgpu", "host-vgpu", "host-vsga"};
    struct host_nvml_memory memory = {0};
    struct host_nvml_pci pci = {0};
    char text[128] = "";
    int major = 0, minor = 0, mode = 0;
    HOST_COPY_STR(g->vendor, "nvidia");
    HOST_COPY_STR(g->known_by, "nvml");
    HOST_COPY_STR(g->driver, driver);
    if (!api->name(card, text, sizeof text))
        HOST_COPY_STR(g->name, text);
    if (!api->uuid(card, text, sizeof text))
        HOST_COPY_STR(g->uuid, text);
    if (!api->memory(card, &memory))
        g->memory_bytes = memory.total;
    if (api->compute && !api->compute(card, &major, &minor))
        (void)snprintf(g->compute, sizeof g->compute, "%u.%u", (unsigned)major % 100,
                       (unsigned)minor % 100);
    if (api->pci && !api->pci(card, &pci))
        kernel_address(g->pci, &pci);
    if (api->virtualization && !api->virtualization(card, &mode) && mode > 0 && mode < 5)
        HOST_COPY_STR(g->virtualization, modes[mode]);
    ask_slices(api, card, g);
    g->usable = g->memory_bytes > 0 && (!g->mig || g->slice_count > 0);
}

int host_nvml_ask(const struct host_nvml_api *api, struct host_nvml *ret, struct err *e)
{
    assert(api->init);
    unsigned int count = 0;
    int cuda = 0, rc = api->init();
    if (rc)
        return refuse(api, e, "start", rc);
    memset(ret, 0, sizeof *ret);
    (void)api->driver_version(ret->driver, sizeof ret->driver);
    ret->driver[sizeof ret->driver - 1] = 0;
    if (api->cuda_version && !api->cuda_version(&cuda) && cuda > 0) // 1000 * major + 10 * minor
        (void)snprintf(ret->cuda, sizeof ret->cuda, "%d.%d", cuda / 1000 % 1000, cuda % 1000 / 10);
    rc = api->count(&count);
    for (unsigned int i = 0; !rc && i < count && ret->count < HOST_GPUS_MAX; i++) {
        void *card = NULL;
        // A card that fell off the bus answers with an error; the others still count.
        if (api->by_index(i, &card) == 0)
            ask_card(api, card, &ret->gpus[ret->count++], ret->driver);
    }
    (void)api->shutdown();
    return rc ? refuse(api, e, "count", rc) : 0;
}

int host_nvml_child(int fd)
{
    struct host_nvml_api api = {0};
    struct host_nvml *n = mem_new(struct host_nvml);
    struct err e = {0};
    struct buf out;
    buf_init(&out, NVML_TEXT_MAX);
    int rc = n ? load(&api, &e) : err_set(&e, E_NOMEM, "out of memory");
    if (!rc)
        rc = host_nvml_ask(&api, n, &e);
    if (rc) {
        (void)buf_str(&out, "{\"error\":");
        (void)buf_json_str(&out, bytes_of(e.text));
        (void)buf_fmt(&out, ",\"symbol\":\"%s\"}", err_info(rc)->symbol);
    } else {
        (void)host_nvml_write(&out, n);
    }
    size_t done = 0;
    while (!out.failed && done < out.n) {
        ssize_t w = write(fd, out.p + done, out.n - done);
        if (w <= 0)
            break;
        done += (size_t)w;
    }
    int failed = out.failed || done < out.n;
    buf_fini(&out);
    mem_free(n);
    return failed;
}

int host_nvml_main(void)
{
    return host_nvml_child(1);
}

static void write_card(struct json_w *w, const struct host_gpu *g)
{
    json_w_obj(w, NULL);
    json_w_cstr(w, "name", g->name);
    json_w_cstr(w, "uuid", g->uuid);
    json_w_cstr(w, "pci", g->pci);
    json_w_cstr(w, "compute", g->compute);
    json_w_u64(w, "memory_bytes", g->memory_bytes);
    json_w_cstr(w, "virtualization", g->virtualization);
    json_w_bool(w, "mig", g->mig);
    json_w_arr(w, "slices");
    for (uint32_t i = 0; i < g->slice_count; i++) {
        const struct host_slice *s = &g->slices[i];
        json_w_obj(w, NULL);
        json_w_cstr(w, "profile", s->profile);
        json_w_cstr(w, "uuid", s->uuid);
        json_w_u64(w, "memory_bytes", s->memory_bytes);
        json_w_u64(w, "gpu_instance", s->gpu_instance);
        json_w_u64(w, "compute_instance", s->compute_instance);
        json_w_end(w);
    }
    json_w_end(w);
    json_w_end(w);
}

int host_nvml_write(struct buf *out, const struct host_nvml *n)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "driver", n->driver);
    json_w_cstr(&w, "cuda", n->cuda);
    json_w_arr(&w, "gpus");
    for (uint32_t i = 0; i < n->count; i++)
        write_card(&w, &n->gpus[i]);
    json_w_end(&w);
    json_w_end(&w);
    return out->failed;
}

static void read_card(struct host_gpu *g, const struct json *v, const char *driver)
{
    struct json_iter it = {0};
    const struct json *s;
    HOST_COPY_STR(g->vendor, "nvidia");
    HOST_COPY_STR(g->known_by, "nvml");
    HOST_COPY_STR(g->driver, driver);
    HOST_COPY(g->name, json_str(json_get(v, "name")));
    HOST_COPY(g->uuid, json_str(json_get(v, "uuid")));
    HOST_COPY(g->pci, json_str(json_get(v, "pci")));
    HOST_COPY(g->compute, json_str(json_get(v, "compute")));
    HOST_COPY(g->virtualization, json_str(json_get(v, "virtualization")));
    g->memory_bytes = (uint64_t)json_i64(json_get(v, "memory_bytes"), 0);
    g->mig = json_bool(json_get(v, "mig"), false);
    while (json_each(json_get(v, "slices"), &it, NULL, &s) && g->slice_count < HOST_SLICES_MAX) {
        struct host_slice *to = &g->slices[g->slice_count++];
        HOST_COPY(to->profile, json_str(json_get(s, "profile")));
        HOST_COPY(to->uuid, json_str(json_get(s, "uuid")));
        to->memory_bytes = (uint64_t)json_i64(json_get(s, "memory_bytes"), 0);
        to->gpu_instance = (uint32_t)json_i64(json_get(s, "gpu_instance"), 0);
        to->compute_instance = (uint32_t)json_i64(json_get(s, "compute_instance"), 0);
    }
    g->usable = g->memory_bytes > 0 && (!g->mig || g->slice_count > 0);
}

int host_nvml_read(struct host_nvml *ret, const struct json *v, struct err *e)
{
    struct json_iter it = {0};
    const struct json *card;
    const char *error = json_cstr(json_get(v, "error"), NULL);
    if (error) {
        int code = err_of_symbol(json_cstr(json_get(v, "symbol"), ""));
        return err_set(e, code ? code : E_UNAVAILABLE, "%s", error);
    }
    if (!json_is(json_get(v, "gpus"), JSON_ARR))
        return err_set(e, E_PARSE, "no answer of the GPU probe");
    memset(ret, 0, sizeof *ret);
    HOST_COPY(ret->driver, json_str(json_get(v, "driver")));
    HOST_COPY(ret->cuda, json_str(json_get(v, "cuda")));
    while (json_each(json_get(v, "gpus"), &it, NULL, &card) && ret->count < HOST_GPUS_MAX)
        read_card(&ret->gpus[ret->count++], card, ret->driver);
    return 0;
}
