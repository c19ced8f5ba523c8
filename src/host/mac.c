// mac.c: a Mac, by sysctl. Apple's GPU shares the machine's memory.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

#define GIB (1024ull * 1024 * 1024)

// How much of the memory Metal hands out when nobody raised the limit: about two thirds up to
// 36 GB, three quarters above (recommendedMaxWorkingSetSize as seen on such machines).
static uint64_t metal_share(uint64_t total)
{
    return total <= 36 * GIB ? total / 3 * 2 : total / 4 * 3;
}

static void apple_gpu(struct host_profile *h, const struct host_probe *p)
{
    struct host_gpu *g = &h->gpus[0];
    uint64_t limit_mib = host_fact_u64(p, 0, "sysctl iogpu.wired_limit_mb");
    h->gpu_count = 1;
    HOST_COPY_STR(g->vendor, "apple");
    HOST_COPY_STR(g->known_by, "sysctl");
    HOST_COPY_STR(g->driver, "metal");
    HOST_COPY_STR(g->name, h->cpu.model);
    g->unified = g->usable = true;
    g->memory_by_table = !limit_mib;
    g->memory_bytes = limit_mib ? limit_mib << 20 : metal_share(h->memory.total);
}

void host_detect_mac(struct host_profile *h, const struct host_probe *p)
{
    char version[32] = "";
    (void)host_fact_into(p, h->cpu.model, sizeof h->cpu.model, "sysctl machdep.cpu.brand_string");
    (void)host_fact_into(p, h->board, sizeof h->board, "sysctl hw.model");
    if (host_fact_into(p, version, sizeof version, "sysctl kern.osproductversion"))
        (void)snprintf(h->distro, sizeof h->distro, "macOS %s", version);
    HOST_COPY_STR(h->distro_id, "macos");
    h->cpu.sockets = (uint32_t)host_fact_u64(p, 1, "sysctl hw.packages");
    h->cpu.cores = (uint32_t)host_fact_u64(p, 0, "sysctl hw.physicalcpu");
    h->cpu.threads = (uint32_t)host_fact_u64(p, h->cpu.cores, "sysctl hw.logicalcpu");
    h->cpu.mhz_max = (uint32_t)(host_fact_u64(p, 0, "sysctl hw.cpufrequency_max") / 1000000);
    h->cpu.neon = host_fact_u64(p, 0, "sysctl hw.optional.neon") != 0 || !strcmp(h->arch, "arm64");
    h->cpu.avx2 = host_fact_u64(p, 0, "sysctl hw.optional.avx2_0") != 0;
    h->cpu.avx512 = host_fact_u64(p, 0, "sysctl hw.optional.avx512f") != 0;
    h->cpu.effective = h->cpu.threads;
    h->memory.total = h->memory.effective = host_fact_u64(p, 0, "sysctl hw.memsize");
    uint64_t page = host_fact_u64(p, 16384, "sysctl hw.pagesize");
    uint64_t pages = host_fact_u64(p, 0, "sysctl vm.page_free_count") +
                     host_fact_u64(p, 0, "sysctl vm.page_purgeable_count");
    uint64_t free_now = pages < UINT64_MAX / page ? pages * page : 0;
    h->memory.available = h->memory.effective_available =
        free_now < h->memory.total ? free_now : h->memory.total;
    if (host_fact_u64(p, 0, "sysctl kern.hv_vmm_present")) {
        HOST_COPY_STR(h->vm, "apple");
        HOST_COPY_STR(h->vm_by, "kern.hv_vmm_present");
    }
    if (!strcmp(h->arch, "arm64"))
        apple_gpu(h, p);
}
