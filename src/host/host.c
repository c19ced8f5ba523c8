// host.c: puts the host profile together, and writes it as JSON.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <string.h>

#define GPU_TIMEOUT_MS 5000 // NVML's start takes up to 2-3 s where the driver is not kept loaded
// A board sold as 8 GB shows up to 8 GiB less what its firmware keeps.
#define EDGE_MEMORY (8ull << 30)

static void detect_distro(struct host_profile *h, const struct host_probe *p)
{
    struct buf b;
    buf_init(&b, 65536);
    if (host_read(p, &b, "/etc/os-release") || host_read(p, &b, "/usr/lib/os-release")) {
        struct bytes name = host_field(buf_bytes(&b), "PRETTY_NAME", '=');
        struct bytes id = host_field(buf_bytes(&b), "ID", '=');
        if (name.n >= 2 && *name.p == '"')
            name = bytes_first(bytes_from(name, 1), name.n - 2);
        if (id.n >= 2 && *id.p == '"')
            id = bytes_first(bytes_from(id, 1), id.n - 2);
        HOST_COPY(h->distro, name);
        HOST_COPY(h->distro_id, id);
    }
    buf_fini(&b);
}

static void normal_arch(struct host_profile *h, const char *machine)
{
    if (!strcmp(machine, "x86_64") || !strcmp(machine, "amd64"))
        machine = "x86-64";
    if (!strcmp(machine, "aarch64"))
        machine = "arm64";
    HOST_COPY_STR(h->arch, machine);
}

// gpu: a card that engines can use. edge: a Pi-class board, or any arm64 Linux with no more memory
// than one. cpu: the rest.
static void classify(struct host_profile *h)
{
    bool gpu = false;
    for (uint32_t i = 0; i < h->gpu_count; i++)
        gpu = gpu || h->gpus[i].usable;
    bool small =
        !strcmp(h->os, "linux") && !strcmp(h->arch, "arm64") && h->memory.effective <= EDGE_MEMORY;
    const char *word = gpu ? "gpu" : h->raspberry_pi || small ? "edge" : "cpu";
    HOST_COPY_STR(h->machine_class, word);
    // Containers on a Mac live in a Linux machine that has no Metal.
    HOST_COPY_STR(h->compose_profile, gpu && !strcmp(h->os, "macos") ? "cpu" : word);
}

int host_detect(struct host_profile *ret, const struct host_probe *probe,
                const struct host_args *args, struct err *e)
{
    char system[32] = "", machine[32] = "";
    if (!host_fact_into(probe, system, sizeof system, "uname sysname"))
        return err_set(e, E_UNAVAILABLE, "the machine does not say what it is");
    memset(ret, 0, sizeof *ret);
    HOST_COPY_STR(ret->os, !strcmp(system, "Darwin") ? "macos" : "linux");
    (void)host_fact_into(probe, ret->kernel, sizeof ret->kernel, "uname release");
    (void)host_fact_into(probe, ret->hostname, sizeof ret->hostname, "uname nodename");
    (void)host_fact_into(probe, machine, sizeof machine, "uname machine");
    normal_arch(ret, machine);
    if (!strcmp(ret->os, "macos")) {
        host_detect_mac(ret, probe);
    } else {
        detect_distro(ret, probe);
        host_detect_cpu(ret, probe);
        host_detect_memory(ret, probe);
        host_detect_limits(ret, probe);
        host_detect_disks(ret, probe);
        host_detect_place(ret, probe);
        host_detect_gpus(ret, probe,
                         args && args->gpu_timeout_ms ? args->gpu_timeout_ms : GPU_TIMEOUT_MS);
    }
    classify(ret);
    return 0;
}

static void put_text(struct json_w *w, const char *key, const char *text)
{
    if (*text)
        json_w_cstr(w, key, text);
    else
        json_w_null(w, key);
}

static void put_cpu(struct json_w *w, const struct host_profile *h)
{
    json_w_obj(w, "cpu");
    put_text(w, "model", h->cpu.model);
    json_w_u64(w, "sockets", h->cpu.sockets);
    json_w_u64(w, "cores", h->cpu.cores);
    json_w_u64(w, "threads", h->cpu.threads);
    json_w_u64(w, "affinity", h->cpu.affinity);
    json_w_u64(w, "cpuset", h->cpu.cpuset);
    json_w_num(w, "quota", h->cpu.quota);
    json_w_num(w, "effective", h->cpu.effective);
    json_w_u64(w, "mhz_max", h->cpu.mhz_max);
    json_w_bool(w, "avx2", h->cpu.avx2);
    json_w_bool(w, "avx512", h->cpu.avx512);
    json_w_bool(w, "amx", h->cpu.amx);
    json_w_bool(w, "neon", h->cpu.neon);
    json_w_end(w);
}

static void put_memory(struct json_w *w, const struct host_profile *h)
{
    json_w_obj(w, "memory");
    json_w_u64(w, "total_bytes", h->memory.total);
    json_w_u64(w, "available_bytes", h->memory.available);
    json_w_u64(w, "swap_total_bytes", h->memory.swap_total);
    json_w_u64(w, "swap_free_bytes", h->memory.swap_free);
    json_w_u64(w, "limit_bytes", h->memory.limit);
    json_w_u64(w, "effective_bytes", h->memory.effective);
    json_w_u64(w, "effective_available_bytes", h->memory.effective_available);
    json_w_i64(w, "cgroup_version", h->memory.cgroup);
    json_w_end(w);
}

static void put_gpu(struct json_w *w, const struct host_gpu *g)
{
    json_w_obj(w, NULL);
    put_text(w, "vendor", g->vendor);
    put_text(w, "name", g->name);
    put_text(w, "uuid", g->uuid);
    put_text(w, "pci", g->pci);
    put_text(w, "driver", g->driver);
    put_text(w, "compute_capability", g->compute);
    json_w_u64(w, "memory_bytes", g->memory_bytes);
    json_w_bool(w, "memory_by_table", g->memory_by_table);
    json_w_bool(w, "unified", g->unified);
    json_w_bool(w, "usable", g->usable);
    json_w_bool(w, "passed_through", g->passed_through);
    put_text(w, "virtualization", g->virtualization);
    put_text(w, "known_by", g->known_by);
    json_w_bool(w, "mig", g->mig);
    json_w_arr(w, "slices");
    for (uint32_t i = 0; i < g->slice_count; i++) {
        const struct host_slice *s = &g->slices[i];
        json_w_obj(w, NULL);
        put_text(w, "profile", s->profile);
        put_text(w, "uuid", s->uuid);
        json_w_u64(w, "memory_bytes", s->memory_bytes);
        json_w_u64(w, "gpu_instance", s->gpu_instance);
        json_w_u64(w, "compute_instance", s->compute_instance);
        json_w_end(w);
    }
    json_w_end(w);
    json_w_end(w);
}

static void put_disks(struct json_w *w, const struct host_profile *h)
{
    json_w_arr(w, "disks");
    for (uint32_t i = 0; i < h->disk_count; i++) {
        const struct host_disk *d = &h->disks[i];
        json_w_obj(w, NULL);
        put_text(w, "name", d->name);
        put_text(w, "model", d->model);
        put_text(w, "kind", d->kind);
        put_text(w, "speed", d->speed);
        json_w_u64(w, "bytes", d->bytes);
        json_w_end(w);
    }
    json_w_end(w);
}

// An object {"kind": ..., "known_by": ...}, or null.
static void put_place(struct json_w *w, const char *key, const char *kind, const char *by)
{
    if (!*kind) {
        json_w_null(w, key);
        return;
    }
    json_w_obj(w, key);
    put_text(w, "kind", kind);
    put_text(w, "known_by", by);
    json_w_end(w);
}

int host_profile_json(struct buf *out, const struct host_profile *p)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    put_text(&w, "class", p->machine_class);
    put_text(&w, "compose_profile", p->compose_profile);
    put_text(&w, "os", p->os);
    put_text(&w, "arch", p->arch);
    put_text(&w, "distro", p->distro);
    put_text(&w, "distro_id", p->distro_id);
    put_text(&w, "kernel", p->kernel);
    put_text(&w, "hostname", p->hostname);
    put_text(&w, "board", p->board);
    json_w_u64(&w, "raspberry_pi", p->raspberry_pi);
    put_place(&w, "container", p->container, p->container_by);
    put_place(&w, "vm", p->vm, p->vm_by);
    put_cpu(&w, p);
    put_memory(&w, p);
    put_disks(&w, p);
    json_w_arr(&w, "gpus");
    for (uint32_t i = 0; i < p->gpu_count; i++)
        put_gpu(&w, &p->gpus[i]);
    json_w_end(&w);
    put_text(&w, "nvidia_driver", p->nvidia_driver);
    put_text(&w, "cuda", p->cuda);
    put_text(&w, "gpu_note", p->gpu_note);
    json_w_end(&w);
    return out->failed;
}
