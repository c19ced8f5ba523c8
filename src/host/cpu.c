// cpu.c: processor and memory of the whole machine, from /proc/cpuinfo and /proc/meminfo.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>

// ARM cores say numbers, not names: "CPU implementer" and "CPU part" (ARM's MIDR_EL1 tables).
static const struct {
    uint16_t implementer, part;
    const char *name;
} arm_cores[] = {
    {0x41, 0xd03, "ARM Cortex-A53"},   {0x41, 0xd07, "ARM Cortex-A57"},
    {0x41, 0xd08, "ARM Cortex-A72"},   {0x41, 0xd0b, "ARM Cortex-A76"},
    {0x41, 0xd0c, "ARM Neoverse-N1"},  {0x41, 0xd40, "ARM Neoverse-V1"},
    {0x41, 0xd42, "ARM Cortex-A78AE"}, {0x41, 0xd49, "ARM Neoverse-N2"},
    {0x41, 0xd4f, "ARM Neoverse-V2"},  {0x61, 0x022, "Apple M1"},
    {0x61, 0x032, "Apple M2"},         {0xc0, 0xac3, "Ampere-1"},
};

static bool has_flag(struct bytes flags, const char *flag)
{
    while (flags.n)
        if (bytes_is(bytes_cut(&flags, ' '), flag))
            return true;
    return false;
}

static void name_arm_core(struct host_profile *h, struct bytes text)
{
    uint64_t implementer = 0, part = 0;
    if (!host_number(host_field(text, "CPU implementer", ':'), &implementer) ||
        !host_number(host_field(text, "CPU part", ':'), &part))
        return;
    (void)snprintf(h->cpu.model, sizeof h->cpu.model, "ARM %#llx/%#llx",
                   (unsigned long long)implementer, (unsigned long long)part);
    for (size_t i = 0; i < sizeof arm_cores / sizeof *arm_cores; i++)
        if (arm_cores[i].implementer == implementer && arm_cores[i].part == part)
            HOST_COPY_STR(h->cpu.model, arm_cores[i].name);
}

// Counts processors, sockets ("physical id"), and cores (each socket's "cpu cores" once).
static void count_cores(struct host_profile *h, struct bytes text)
{
    uint64_t sockets_seen[4] = {0}; // bit n: socket n was counted
    uint64_t socket = 0, cores = 0;
    bool x86 = false;
    while (text.n) {
        struct bytes value = bytes_cut(&text, '\n');
        struct bytes key = bytes_trim(bytes_cut(&value, ':'));
        if (bytes_is(key, "processor"))
            h->cpu.threads++;
        if (bytes_is(key, "physical id") && host_number(value, &socket) && socket < 256)
            x86 = true;
        if (bytes_is(key, "cpu cores") && host_number(value, &cores) && x86 &&
            !(sockets_seen[socket / 64] >> socket % 64 & 1)) {
            sockets_seen[socket / 64] |= 1ull << socket % 64;
            h->cpu.sockets++;
            h->cpu.cores += (uint32_t)cores;
        }
    }
    if (!h->cpu.sockets)
        h->cpu.sockets = 1;
    if (!h->cpu.cores) // ARM, or a virtual machine that does not say
        h->cpu.cores = h->cpu.threads;
}

void host_detect_cpu(struct host_profile *h, const struct host_probe *p)
{
    struct buf b;
    buf_init(&b, HOST_FILE_MAX);
    if (host_read(p, &b, "/proc/cpuinfo")) {
        struct bytes text = buf_bytes(&b), flags = host_field(text, "flags", ':');
        if (!flags.n)
            flags = host_field(text, "Features", ':');
        HOST_COPY(h->cpu.model, host_field(text, "model name", ':'));
        if (!*h->cpu.model)
            name_arm_core(h, text);
        count_cores(h, text);
        h->cpu.avx2 = has_flag(flags, "avx2");
        h->cpu.avx512 = has_flag(flags, "avx512f");
        h->cpu.amx = has_flag(flags, "amx_tile");
        h->cpu.neon = has_flag(flags, "asimd") || has_flag(flags, "neon");
        uint64_t mhz = 0;
        if (host_number(host_field(text, "cpu MHz", ':'), &mhz))
            h->cpu.mhz_max = (uint32_t)mhz;
    }
    buf_fini(&b);
    uint64_t khz = host_read_u64(p, 0, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    if (khz)
        h->cpu.mhz_max = (uint32_t)(khz / 1000);
    h->cpu.affinity = (uint32_t)host_fact_u64(p, 0, "cpus affinity");
}

void host_detect_memory(struct host_profile *h, const struct host_probe *p)
{
    const struct {
        const char *key;
        uint64_t *to;
    } rows[] = {
        {"MemTotal", &h->memory.total},
        {"MemAvailable", &h->memory.available},
        {"SwapTotal", &h->memory.swap_total},
        {"SwapFree", &h->memory.swap_free},
    };
    struct buf b;
    buf_init(&b, HOST_FILE_MAX);
    if (host_read(p, &b, "/proc/meminfo"))
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            uint64_t kib;
            if (host_number(host_field(buf_bytes(&b), rows[i].key, ':'), &kib) &&
                kib < UINT64_MAX / 1024)
                *rows[i].to = kib * 1024;
        }
    buf_fini(&b);
}
