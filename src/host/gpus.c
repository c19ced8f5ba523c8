// gpus.c: graphics cards: NVIDIA by NVML, else by /proc and PCI ids; AMD and others by sysfs.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

#define NVIDIA 0x10de
#define AMD 0x1002
#define INTEL 0x8086
#define MIB (1024ull * 1024)

// Memory as the makers' data sheets and NVML say, for the case that no driver can be asked.
static const struct {
    uint16_t device;
    const char *name, *compute;
    uint32_t mib;
} known[] = {
    {0x2b85, "NVIDIA GeForce RTX 5090", "12.0", 32607},
    {0x2684, "NVIDIA GeForce RTX 4090", "8.9", 24564},
    {0x2204, "NVIDIA GeForce RTX 3090", "8.6", 24576},
    {0x27b2, "NVIDIA RTX 4000 Ada Generation", "8.9", 20475},
    {0x2bb1, "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "12.0", 97887},
    {0x2bb4, "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0", 97887},
    {0x2bb5, "NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0", 97887},
    {0x20b0, "NVIDIA A100-SXM4-40GB", "8.0", 40960},
    {0x20f1, "NVIDIA A100-PCIE-40GB", "8.0", 40960},
    {0x20b2, "NVIDIA A100-SXM4-80GB", "8.0", 81920},
    {0x20b5, "NVIDIA A100 80GB PCIe", "8.0", 81920},
    {0x2330, "NVIDIA H100 80GB HBM3", "9.0", 81559},
    {0x2331, "NVIDIA H100 PCIe", "9.0", 81559},
    {0x2335, "NVIDIA H200", "9.0", 143771},
};

static struct host_gpu *by_address(struct host_profile *h, struct bytes address)
{
    for (uint32_t i = 0; i < h->gpu_count; i++)
        if (bytes_is(address, h->gpus[i].pci))
            return &h->gpus[i];
    return NULL;
}

static void base_name(const struct host_probe *p, char *to, size_t size, const char *path)
{
    struct buf b;
    buf_init(&b, 4096);
    if (p->link(p->self, path, &b) >= 0) {
        const char *text = buf_cstr(&b), *slash = strrchr(text, '/');
        host_copy(to, size, bytes_of(slash ? slash + 1 : text));
    }
    buf_fini(&b);
}

static void fill_nvidia(struct host_gpu *g, const struct host_probe *p, uint64_t device)
{
    struct buf b;
    HOST_COPY_STR(g->vendor, "nvidia");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].device == device) {
            HOST_COPY_STR(g->name, known[i].name);
            HOST_COPY_STR(g->compute, known[i].compute);
            g->memory_bytes = known[i].mib * MIB;
            g->memory_by_table = true;
        }
    buf_init(&b, 65536);
    if (host_read(p, &b, "/proc/driver/nvidia/gpus/%s/information", g->pci)) {
        HOST_COPY_STR(g->known_by, "proc");
        HOST_COPY(g->name, host_field(buf_bytes(&b), "Model", ':'));
        HOST_COPY(g->uuid, host_field(buf_bytes(&b), "GPU UUID", ':'));
    }
    // nouveau shows a picture but runs no engine; vfio-pci keeps the card for a virtual machine.
    g->usable = !strcmp(g->driver, "nvidia");
    buf_fini(&b);
}

static void fill_amd(struct host_gpu *g, const struct host_probe *p)
{
    HOST_COPY_STR(g->vendor, "amd");
    g->memory_bytes = host_read_u64(p, 0, "/sys/bus/pci/devices/%s/mem_info_vram_total", g->pci);
    (void)host_read_into(p, g->name, sizeof g->name, "/sys/bus/pci/devices/%s/product_name",
                         g->pci);
    if (!*g->name)
        HOST_COPY_STR(g->name, "AMD graphics");
    // A processor's own graphics take some of the machine's memory as theirs (512 MiB by default).
    g->unified = g->memory_bytes && g->memory_bytes < 4096 * MIB;
    g->usable = !strcmp(g->driver, "amdgpu") && !g->unified && g->memory_bytes;
}

static void fill_intel(struct host_gpu *g, const struct host_probe *p, uint64_t device)
{
    HOST_COPY_STR(g->vendor, "intel");
    // Arc cards (DG2 0x56xx, Battlemage 0xe2xx) have memory of their own; sysfs does not say how
    // much.
    bool card = device >> 8 == 0x56 || device >> 8 == 0xe2;
    HOST_COPY_STR(g->name, card ? "Intel Arc graphics" : "Intel graphics");
    g->unified = !card;
    (void)p;
}

// One device of class display (0x03) or processing accelerator (0x12).
static void take_device(struct host_profile *h, const struct host_probe *p, struct bytes address)
{
    char path[96], at[20];
    HOST_COPY(at, address);
    uint64_t class = host_read_u64(p, 0, "/sys/bus/pci/devices/%s/class", at) >> 16;
    uint64_t vendor = host_read_u64(p, 0, "/sys/bus/pci/devices/%s/vendor", at);
    uint64_t device = host_read_u64(p, 0, "/sys/bus/pci/devices/%s/device", at);
    if ((class != 0x03 && class != 0x12) ||
        (vendor != NVIDIA && vendor != AMD && vendor != INTEL) || by_address(h, address) ||
        h->gpu_count == HOST_GPUS_MAX)
        return; // a console's picture (ASPEED, QEMU, VMware, ...) is no card for engines
    struct host_gpu *g = &h->gpus[h->gpu_count++];
    memset(g, 0, sizeof *g);
    HOST_COPY(g->pci, address);
    HOST_COPY_STR(g->known_by, "pci");
    (void)snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver", at);
    base_name(p, g->driver, sizeof g->driver, path);
    if (vendor == NVIDIA)
        fill_nvidia(g, p, device);
    else if (vendor == AMD)
        fill_amd(g, p);
    else
        fill_intel(g, p, device);
    if (!*g->name)
        (void)snprintf(g->name, sizeof g->name, "NVIDIA %04llx:%04llx", (unsigned long long)vendor,
                       (unsigned long long)device); // the others have a name by now
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri ..." or "... Open Kernel Module
// for x86_64  570.86.16  Release Build ...": the first word that is digits and points.
static void kernel_driver(struct host_profile *h, const struct host_probe *p)
{
    struct buf b;
    buf_init(&b, 65536);
    if (host_read(p, &b, "/proc/driver/nvidia/version")) {
        struct bytes line = host_field(buf_bytes(&b), "NVRM version", ':');
        while (line.n) {
            struct bytes word = bytes_cut(&line, ' ');
            size_t digits = 0;
            while (digits < word.n &&
                   ((word.p[digits] >= '0' && word.p[digits] <= '9') || word.p[digits] == '.'))
                digits++;
            if (digits == word.n && bytes_chr(word, '.') > 0) {
                HOST_COPY(h->nvidia_driver, word);
                break;
            }
        }
    }
    buf_fini(&b);
}

static void ask_nvml(struct host_profile *h, const struct host_probe *p, int64_t timeout_ms)
{
    struct host_nvml n = {0};
    struct err e = {0};
    int rc = p->nvml(p->self, timeout_ms, &n, &e);
    if (rc == 0) {
        memcpy(h->gpus, n.gpus, sizeof h->gpus);
        h->gpu_count = n.count;
        if (*n.driver)
            HOST_COPY_STR(h->nvidia_driver, n.driver);
        HOST_COPY_STR(h->cuda, n.cuda);
    } else if (rc != E_NOTFOUND) { // without library there is nothing to say
        HOST_COPY_STR(h->gpu_note, e.text);
    }
}

void host_detect_gpus(struct host_profile *h, const struct host_probe *p, int64_t timeout_ms)
{
    struct buf b;
    kernel_driver(h, p);
    ask_nvml(h, p, timeout_ms);
    buf_init(&b, 1 << 20);
    struct bytes devices = host_list(p, &b, "/sys/bus/pci/devices") ? buf_bytes(&b) : BYTES_NONE;
    while (devices.n)
        take_device(h, p, bytes_cut(&devices, '\n'));
    buf_fini(&b);
    for (uint32_t i = 0; i < h->gpu_count; i++) {
        struct host_gpu *g = &h->gpus[i];
        bool nvidia = !strcmp(g->vendor, "nvidia");
        if (nvidia && g->usable && *h->nvidia_driver)
            HOST_COPY_STR(g->driver, h->nvidia_driver);
        g->passed_through =
            !strcmp(g->virtualization, "passthrough") ||
            (*h->vm && strcmp(h->vm, "wsl") != 0 && nvidia && !*g->virtualization && *g->pci);
    }
}
