// host_test.c: recorded machines replay to the profile that a person would write down.
// SPDX-License-Identifier: Apache-2.0
#include "host/profiles_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define MIB (1024.0 * 1024)

// One line a machine: all that the launcher would decide by.
static void summary(struct buf *b, const struct host_profile *h)
{
    buf_clear(b);
    (void)buf_fmt(b, "%s/%s %s %s; cpu %s %u %u/%u %g%s%s%s %u MHz; ", h->machine_class,
                  h->compose_profile, h->os, h->arch, h->cpu.model, h->cpu.sockets, h->cpu.cores,
                  h->cpu.threads, h->cpu.effective, h->cpu.avx2 ? " avx2" : "",
                  h->cpu.avx512 ? " avx512" : "", h->cpu.neon ? " neon" : "", h->cpu.mhz_max);
    (void)buf_fmt(b, "mem %.1f/%.1f cg%d; ", (double)h->memory.effective_available / MIB / 1024,
                  (double)h->memory.effective / MIB / 1024, h->memory.cgroup);
    for (uint32_t i = 0; i < h->disk_count; i++)
        (void)buf_fmt(b, "%s %s%s%s; ", h->disks[i].name, h->disks[i].kind,
                      *h->disks[i].speed ? " " : "", h->disks[i].speed);
    for (uint32_t i = 0; i < h->gpu_count; i++) {
        const struct host_gpu *g = &h->gpus[i];
        if (i && !strcmp(g->name, g[-1].name) && g->slice_count == g[-1].slice_count) {
            (void)buf_str(b, "same; ");
            continue;
        }
        (void)buf_fmt(b, "%s %.0f%s %s %s %s%s%s%s%s", g->name, (double)g->memory_bytes / MIB,
                      g->memory_by_table ? "?" : "", g->compute, g->known_by, g->driver,
                      g->usable ? "" : " unusable", g->unified ? " unified" : "",
                      g->passed_through ? " passed" : "", g->mig ? " mig" : "");
        for (uint32_t s = 0; s < g->slice_count; s++)
            (void)buf_fmt(b, " %s=%.0f", g->slices[s].profile,
                          (double)g->slices[s].memory_bytes / MIB);
        (void)buf_str(b, "; ");
    }
    (void)buf_fmt(b, "c=%s vm=%s pi=%u %s", h->container, h->vm, h->raspberry_pi, h->gpu_note);
}

static const struct {
    const char *name, *line;
} expected[] = {
    {"a100", "gpu/gpu linux x86-64; cpu AMD EPYC 7543 32-Core Processor 2 64/128 128 avx2 2800 "
             "MHz; mem 453.2/503.5 cg2; nvme0n1 nvme; NVIDIA A100 80GB PCIe 81920 8.0 nvml "
             "535.183.01 mig 1g.10gb=9728 1g.10gb=9728 1g.10gb=9728 1g.10gb=9728 1g.10gb=9728 "
             "1g.10gb=9728 1g.10gb=9728; c= vm= pi=0 "},
    {"aipc", "gpu/gpu linux x86-64; cpu AMD Ryzen 9 9950X 16-Core Processor 1 16/32 32 avx2 avx512 "
             "5752 MHz; mem 83.3/92.6 cg2; nvme0n1 nvme; sda hdd; NVIDIA GeForce RTX 5090 32607 "
             "12.0 nvml 570.86.16; NVIDIA GeForce RTX 4090 24564 8.9 nvml 570.86.16; AMD graphics "
             "512  pci amdgpu unusable unified; c= vm= pi=0 "},
    {"amd-7900xtx",
     "gpu/gpu linux x86-64; cpu AMD Ryzen 7 7700X 8-Core Processor 1 8/16 16 avx2 avx512 4500 MHz; "
     "mem 27.9/31.0 cg2; nvme0n1 nvme; Radeon RX 7900 XTX 24560  pci amdgpu; c= vm= pi=0 "},
    {"container-cgroup-v1", "cpu/cpu linux x86-64; cpu AMD EPYC 7763 64-Core Processor 2 128/256 2 "
                            "avx2 2450 MHz; mem 3.5/4.0 cg1; nvme0n1 nvme; c=docker vm= pi=0 "},
    {"container-cgroup-v2", "cpu/cpu linux x86-64; cpu AMD EPYC 7763 64-Core Processor 2 128/256 2 "
                            "avx2 2450 MHz; mem 3.5/4.0 cg2; nvme0n1 nvme; c=docker vm= pi=0 "},
    {"dioscuri", "gpu/gpu linux x86-64; cpu Intel(R) Xeon(R) Silver 4309Y CPU @ 2.80GHz 2 16/32 32 "
                 "avx2 avx512 2800 MHz; mem 113.2/125.8 cg2; sda ssd; NVIDIA RTX 4000 Ada "
                 "Generation 20475 8.9 nvml 550.90.07; same; c= vm= pi=0 "},
    {"firecracker", "cpu/cpu linux x86-64; cpu Intel(R) Xeon(R) Processor @ 2.90GHz 1 1/2 2 avx2 "
                    "2900 MHz; mem 3.5/3.8 cg0; vda virtual; c= vm=firecracker pi=0 "},
    {"h100", "gpu/gpu linux x86-64; cpu Intel(R) Xeon(R) Platinum 8480C 2 112/224 224 avx2 avx512 "
             "2000 MHz; mem 1813.6/2015.1 cg2; nvme0n1 nvme; NVIDIA H100 80GB HBM3 81559 9.0 nvml "
             "550.90.07; same; same; same; same; same; same; same; c= vm= pi=0 "},
    {"m2-pro", "gpu/cpu macos arm64; cpu Apple M2 Pro 1 12/12 12 neon 0 MHz; mem 4.5/32.0 cg0; "
               "Apple M2 Pro 21845?  sysctl metal unified; c= vm= pi=0 "},
    {"m2-ultra", "gpu/cpu macos arm64; cpu Apple M2 Ultra 1 24/24 24 neon 0 MHz; mem 4.5/192.0 "
                 "cg0; Apple M2 Ultra 147456?  sysctl metal unified; c= vm= pi=0 "},
    {"m4-air", "gpu/cpu macos arm64; cpu Apple M4 1 10/10 10 neon 0 MHz; mem 4.5/32.0 cg0; Apple "
               "M4 28672  sysctl metal unified; c= vm= pi=0 "},
    {"no-gpu",
     "cpu/cpu linux x86-64; cpu Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz 1 6/6 6 avx2 2100 MHz; "
     "mem 13.9/15.4 cg2; sda ssd; Intel graphics 0  pci i915 unusable unified; c= vm= pi=0 "},
    {"pi-4", "edge/edge linux arm64; cpu ARM Cortex-A72 1 4/4 4 neon 1800 MHz; mem 6.9/7.6 cg2; "
             "mmcblk0 microSD C10 U3 V30 A2; c= vm= pi=4 "},
    {"pi-5", "edge/edge linux arm64; cpu ARM Cortex-A76 1 4/4 4 neon 2400 MHz; mem 7.1/7.9 cg2; "
             "mmcblk0 microSD C10 U1 V10 A1; c= vm= pi=5 "},
    {"proxmox-passthrough",
     "gpu/gpu linux x86-64; cpu AMD Ryzen Threadripper PRO 7955WX 16-Cores 1 16/16 16 avx2 avx512 "
     "4491 MHz; mem 84.7/94.1 cg2; sda virtual; NVIDIA RTX PRO 6000 Blackwell Server Edition 97887 "
     "12.0 nvml 575.57.08 passed; c= vm=proxmox pi=0 "},
    {"rtx-3090-hung",
     "gpu/gpu linux x86-64; cpu 12th Gen Intel(R) Core(TM) i9-12900K 1 16/24 24 avx2 3200 MHz; mem "
     "56.3/62.6 cg2; nvme0n1 nvme; sdb usb; Intel graphics 0  pci i915 unusable unified; NVIDIA "
     "GeForce RTX 3090 24576? 8.6 proc 550.90.07; c= vm= pi=0 gpu probe timed out"},
    {"rtx-3090-no-nvml",
     "gpu/gpu linux x86-64; cpu 12th Gen Intel(R) Core(TM) i9-12900K 1 16/24 24 avx2 3200 MHz; mem "
     "56.3/62.6 cg2; nvme0n1 nvme; sdb usb; Intel graphics 0  pci i915 unusable unified; NVIDIA "
     "GeForce RTX 3090 24576? 8.6 proc 550.90.07; c= vm= pi=0 "},
    {"rtx-3090-nouveau",
     "cpu/cpu linux x86-64; cpu 12th Gen Intel(R) Core(TM) i9-12900K 1 16/24 24 avx2 3200 MHz; mem "
     "56.3/62.6 cg2; nvme0n1 nvme; sdb usb; Intel graphics 0  pci i915 unusable unified; NVIDIA "
     "GeForce RTX 3090 24576? 8.6 pci nouveau unusable; c= vm= pi=0 "},
    {"rtx-3090",
     "gpu/gpu linux x86-64; cpu 12th Gen Intel(R) Core(TM) i9-12900K 1 16/24 24 avx2 3200 MHz; mem "
     "56.3/62.6 cg2; nvme0n1 nvme; sdb usb; NVIDIA GeForce RTX 3090 24576 8.6 nvml 550.90.07; "
     "Intel graphics 0  pci i915 unusable unified; c= vm= pi=0 "},
    {"theia-mig-1x96",
     "gpu/gpu linux x86-64; cpu AMD Ryzen Threadripper PRO 7955WX 16-Cores 1 16/32 32 avx2 avx512 "
     "5366 MHz; mem 113.2/125.8 cg2; nvme0n1 nvme; nvme1n1 nvme; NVIDIA RTX PRO 6000 Blackwell "
     "Workstation Edition 97887 12.0 nvml 575.57.08 mig 4g.96gb=97247; c= vm= pi=0 "},
    {"theia-mig-2x48",
     "gpu/gpu linux x86-64; cpu AMD Ryzen Threadripper PRO 7955WX 16-Cores 1 16/32 32 avx2 avx512 "
     "5366 MHz; mem 113.2/125.8 cg2; nvme0n1 nvme; nvme1n1 nvme; NVIDIA RTX PRO 6000 Blackwell "
     "Workstation Edition 97887 12.0 nvml 575.57.08 mig 2g.48gb=48512 2g.48gb=48512; c= vm= pi=0 "},
    {"theia-mig-4x24",
     "gpu/gpu linux x86-64; cpu AMD Ryzen Threadripper PRO 7955WX 16-Cores 1 16/32 32 avx2 avx512 "
     "5366 MHz; mem 113.2/125.8 cg2; nvme0n1 nvme; nvme1n1 nvme; NVIDIA RTX PRO 6000 Blackwell "
     "Workstation Edition 97887 12.0 nvml 575.57.08 mig 1g.24gb=24192 1g.24gb=24192 1g.24gb=24192 "
     "1g.24gb=24192; c= vm= pi=0 "},
    {"theia-mig-empty",
     "cpu/cpu linux x86-64; cpu AMD Ryzen Threadripper PRO 7955WX 16-Cores 1 16/32 32 avx2 avx512 "
     "5366 MHz; mem 113.2/125.8 cg2; nvme0n1 nvme; nvme1n1 nvme; NVIDIA RTX PRO 6000 Blackwell "
     "Workstation Edition 97887 12.0 nvml 575.57.08 unusable mig; c= vm= pi=0 "},
    {"theia-mig-off",
     "gpu/gpu linux x86-64; cpu AMD Ryzen Threadripper PRO 7955WX 16-Cores 1 16/32 32 avx2 avx512 "
     "5366 MHz; mem 113.2/125.8 cg2; nvme0n1 nvme; nvme1n1 nvme; NVIDIA RTX PRO 6000 Blackwell "
     "Workstation Edition 97887 12.0 nvml 575.57.08; c= vm= pi=0 "},
};

static void machines(void **state)
{
    struct buf line;
    (void)state;
    buf_init(&line, 8192);
    for (size_t i = 0; i < COUNT(expected); i++) {
        struct host_profile h;
        struct profiles_machine m;
        profiles_open(&m, expected[i].name);
        assert_int_equal(host_detect(&h, &m.probe, NULL, NULL), 0);
        summary(&line, &h);
        if (strcmp(buf_cstr(&line), expected[i].line) != 0)
            fail_msg("%s:\n  %s\nexpected:\n  %s", expected[i].name, buf_cstr(&line),
                     expected[i].line);
        profiles_close(&m);
    }
    buf_fini(&line);
}

static void json_form(void **state)
{
    struct profiles_machine m;
    struct host_profile h;
    struct json_doc *doc = NULL;
    struct buf b;
    (void)state;
    profiles_open(&m, "theia-mig-4x24");
    assert_int_equal(host_detect(&h, &m.probe, NULL, NULL), 0);
    buf_init(&b, 1 << 20);
    assert_int_equal(host_profile_json(&b, &h), 0);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), JSON_UNIQUE, NULL), 0);
    static const struct {
        const char *at, *text;
    } rows[] = {
        {"/class", "gpu"},
        {"/hostname", "theia"},
        {"/distro_id", "debian"},
        {"/nvidia_driver", "575.57.08"},
        {"/cuda", "12.9"},
        {"/gpus/0/pci", "0000:41:00.0"},
        {"/gpus/0/slices/3/profile", "1g.24gb"},
        {"/gpus/0/slices/0/uuid", "MIG-00000001-aaaa-bbbb-cccc-000000000001"},
        {"/board", "Pro WS WRX90E-SAGE SE"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(json_cstr(json_ptr(json_root(doc), bytes_of(rows[i].at)), ""),
                            rows[i].text);
    assert_int_equal(json_i64(json_ptr(json_root(doc), BYTES("/gpus/0/slices/3/gpu_instance")), 0),
                     6);
    assert_true(json_is(json_get(json_root(doc), "container"), JSON_NULL));
    json_free(doc);
    buf_fini(&b);
    profiles_close(&m);
}

// Small machines from a few lines each: what must come out of odd limits.
static void limits(void **state)
{
    static const struct {
        const char *files;
        double cpus;
        double mib; // effective memory
    } rows[] = {
        // every level binds
        {"\"/proc/self/cgroup\":\"0::/a/b\",\"/sys/fs/cgroup/cgroup.controllers\":\"memory\","
         "\"/sys/fs/cgroup/a/memory.max\":\"1048576000\",\"/sys/fs/cgroup/a/b/memory.max\":\"max\","
         "\"/sys/fs/cgroup/a/b/cpu.max\":\"350000 100000\",\"/sys/fs/cgroup/a/cpu.max\":\"150000 "
         "100000\"",
         1.5, 1000},
        // a path that we do not see: only the top is ours
        {"\"/proc/self/cgroup\":\"0::/../../x\",\"/sys/fs/cgroup/cgroup.controllers\":\"memory\","
         "\"/sys/fs/cgroup/memory.max\":\"1048576\"",
         8, 1},
        // above the machine: no limit
        {"\"/proc/self/cgroup\":\"0::/\",\"/sys/fs/cgroup/cgroup.controllers\":\"memory\","
         "\"/sys/fs/cgroup/memory.max\":\"99999999999999\",\"/sys/fs/cgroup/cpu.max\":\"max "
         "100000\"",
         8, 16000},
        // a CPU set in pieces, the nearest one that says something
        {"\"/proc/self/cgroup\":\"0::/a\",\"/sys/fs/cgroup/cgroup.controllers\":\"cpuset\","
         "\"/sys/fs/cgroup/a/cpuset.cpus.effective\":\"\\n\",\"/sys/fs/cgroup/"
         "cpuset.cpus.effective\":\"0-2,7,9-8,x\"",
         4, 16000},
        // v1: none, broken, and joint controllers
        {"\"/proc/self/cgroup\":\"4:cpuacct,cpu:/x\\n3:memory:/x\","
         "\"/sys/fs/cgroup/memory/memory.limit_in_bytes\":\"9223372036854771712\","
         "\"/sys/fs/cgroup/cpuacct,cpu/x/cpu.cfs_quota_us\":\"50000\","
         "\"/sys/fs/cgroup/cpuacct,cpu/x/cpu.cfs_period_us\":\"100000\"",
         0.5, 16000},
        {"\"/proc/self/cgroup\":\"rubbish\\n:::\\n\"", 8, 16000},
        {"\"/x\":\"\"", 8, 16000},
        // a period of nothing
        {"\"/proc/self/cgroup\":\"0::/\",\"/sys/fs/cgroup/cgroup.controllers\":\"\",\"/sys/fs/"
         "cgroup/cpu.max\":\"5 0\"",
         8, 16000},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct profiles_machine m;
        struct host_profile h;
        struct buf text;
        buf_init(&text, 65536);
        (void)buf_fmt(&text,
                      "{\"facts\":{\"uname "
                      "sysname\":\"Linux\"},\"files\":{\"/proc/meminfo\":\"MemTotal: 16384000 kB\","
                      "\"/proc/cpuinfo\":{\"times\":8,\"text\":\"processor : {i}\\n\"},%s}}",
                      rows[i].files);
        profiles_parse(&m, buf_bytes(&text));
        assert_int_equal(host_detect(&h, &m.probe, NULL, NULL), 0);
        if (h.cpu.effective < rows[i].cpus - 1e-9 || h.cpu.effective > rows[i].cpus + 1e-9 ||
            (double)h.memory.effective / MIB < rows[i].mib - 1e-9 ||
            (double)h.memory.effective / MIB > rows[i].mib + 1e-9)
            fail_msg("row %zu: %g CPUs, %g MiB", i, h.cpu.effective,
                     (double)h.memory.effective / MIB);
        profiles_close(&m);
        buf_fini(&text);
    }
}

static void places(void **state)
{
    static const struct {
        const char *parts, *container, *vm;
    } rows[] = {
        {"\"files\":{\"/run/.containerenv\":\"engine=podman\"}", "podman", ""},
        {"\"files\":{\"/run/systemd/container\":\"lxc\\n\"}", "lxc", ""},
        {"\"files\":{\"/run/systemd/container\":\"systemd-nspawn\\n\"}", "systemd-nspawn", ""},
        {"\"files\":{\"/proc/self/cgroup\":\"0::/kubepods.slice/x\",\"/.dockerenv\":\"\"}",
         "docker", ""},
        {"\"files\":{\"/proc/self/cgroup\":\"1:cpu:/kubepods/x\"}", "kubernetes", ""},
        {"\"files\":{\"/proc/self/cgroup\":\"1:cpu:/docker/x\"}", "docker", ""},
        {"\"files\":{\"/proc/self/mountinfo\":\"1 2 0:1 / /proc/meminfo rw - fuse lxcfs lxcfs "
         "rw\"}",
         "lxc", ""},
        {"\"facts\":{\"uname sysname\":\"Linux\",\"env "
         "KUBERNETES_SERVICE_HOST\":\"10.0.0.1\"},\"files\":{\"/.dockerenv\":\"\"}",
         "kubernetes", ""},
        {"\"facts\":{\"uname sysname\":\"Linux\",\"uname "
         "release\":\"5.15.90.1-microsoft-standard-WSL2\"}",
         "", "wsl"},
        {"\"files\":{\"/sys/class/dmi/id/sys_vendor\":\"QEMU\"}", "", "kvm"},
        {"\"files\":{\"/sys/class/dmi/id/product_name\":\"VMware Virtual Platform\"}", "",
         "vmware"},
        {"\"files\":{\"/sys/class/dmi/id/sys_vendor\":\"Amazon EC2\"}", "", "amazon"},
        {"\"files\":{\"/sys/class/dmi/id/sys_vendor\":\"Microsoft Corporation\","
         "\"/sys/class/dmi/id/product_name\":\"Virtual Machine\"}",
         "", "hyper-v"},
        {"\"files\":{\"/sys/class/dmi/id/sys_vendor\":\"Microsoft Corporation\","
         "\"/sys/class/dmi/id/product_name\":\"Surface\"}",
         "", ""},
        {"\"files\":{\"/sys/hypervisor/type\":\"xen\"}", "", "xen"},
        {"\"files\":{\"/proc/cpuinfo\":\"processor: 0\\nflags : fpu hypervisor\"}", "", "unknown"},
        {"\"files\":{\"/proc/cmdline\":\"quiet\"}", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct profiles_machine m;
        struct host_profile h;
        struct buf text;
        buf_init(&text, 65536);
        bool facts = strstr(rows[i].parts, "\"facts\"") != NULL;
        (void)buf_fmt(&text, "{%s%s}", rows[i].parts,
                      facts ? "" : ",\"facts\":{\"uname sysname\":\"Linux\"}");
        profiles_parse(&m, buf_bytes(&text));
        assert_int_equal(host_detect(&h, &m.probe, NULL, NULL), 0);
        if (strcmp(h.container, rows[i].container) != 0 || strcmp(h.vm, rows[i].vm) != 0)
            fail_msg("row %zu: container \"%s\" (%s), vm \"%s\" (%s)", i, h.container,
                     h.container_by, h.vm, h.vm_by);
        profiles_close(&m);
        buf_fini(&text);
    }
}

static void nameless(void **state)
{
    struct profiles_machine m;
    struct host_profile h = {.raspberry_pi = 77};
    struct err e = {0};
    (void)state;
    profiles_parse(&m, BYTES("{}"));
    assert_int_equal(host_detect(&h, &m.probe, NULL, &e), E_UNAVAILABLE);
    assert_int_equal(h.raspberry_pi, 77); // untouched
    profiles_close(&m);
}

// Machines of a few files each, by what they show as disks and cards.
static void replayed_summary(struct buf *line, const char *parts)
{
    struct profiles_machine m;
    struct host_profile h;
    struct buf text;
    buf_init(&text, 65536);
    (void)buf_fmt(&text, "{\"facts\":{\"uname sysname\":\"Linux\"},%s}", parts);
    profiles_parse(&m, buf_bytes(&text));
    assert_int_equal(host_detect(&h, &m.probe, NULL, NULL), 0);
    summary(line, &h);
    profiles_close(&m);
    buf_fini(&text);
}

static void parts(void **state)
{
#define SD(ssr)                                                                                    \
    "\"files\":{\"/sys/block/mmcblk0/size\":\"8\",\"/sys/block/mmcblk0/device/type\":\"SD\","      \
    "\"/sys/block/mmcblk0/device/ssr\":\"" ssr "\"}"
#define CARD(vendor, device, class, driver)                                                        \
    "\"files\":{\"/sys/bus/pci/devices/0:1/class\":\"" class                                       \
    "\",\"/sys/bus/pci/devices/0:1/vendor\":\"" vendor                                             \
    "\",\"/sys/bus/pci/devices/0:1/device\":\"" device                                             \
    "\"},\"links\":{\"/sys/bus/pci/devices/0:1/driver\":\"" driver "\"}"
    static const struct {
        const char *parts, *line, *absent;
    } rows[] = {
        {"\"files\":{\"/sys/block/mmcblk0/size\":\"8\",\"/sys/block/mmcblk0/device/type\":\"MMC\","
         "\"/sys/block/mmcblk0boot0/size\":\"8\",\"/sys/block/mmcblk0rpmb/size\":\"8\"}",
         "; mmcblk0 eMMC; c=", "boot0"},
        {SD("00"), "mmcblk0 microSD; ", "C"},
        {SD("00000000000000000900000000000000000000000000000000"), "mmcblk0 microSD; ", "C0"},
        {SD("0000000000000000020000000000100000000000000000000000"), "mmcblk0 microSD C4 U1; ",
         "V"},
        {"\"files\":{\"/sys/block/xvda/size\":\"8\",\"/sys/block/pmem0/size\":\"8\",\"/sys/block/"
         "sda/size\":\"0\","
         "\"/sys/block/sdb/size\":\"8\",\"/sys/block/sdb/device/vendor\":\"VMware\","
         "\"/sys/block/sdc/size\":\"8\",\"/sys/block/sdc/device/vendor\":\"Msft\","
         "\"/sys/block/sdd/size\":\"8\",\"/sys/block/sdd/queue/rotational\":\"0\"}",
         "xvda virtual; pmem0 virtual; sdb virtual; sdc virtual; sdd ssd; ", "sda"},
        {"\"files\":{\"/sys/block/zram0/size\":\"8\",\"/sys/block/dm-0/size\":\"8\",\"/sys/block/"
         "sr0/size\":\"8\"}",
         "cg0; c=", "zram"},
        {CARD("0x10de", "0x1eb8", "0x030200", "x/nvidia"), "NVIDIA 10de:1eb8 0  pci nvidia; ",
         "unusable"},
        {CARD("0x10de", "0x2684", "0x030000", "x/vfio-pci"),
         "RTX 4090 24564? 8.9 pci vfio-pci unusable; ", "vm=k"},
        {CARD("0x10de", "0x2684", "0x030000", "nvidia"), "8.9 pci nvidia; ", "unusable"},
        {CARD("0x10de", "0x22ba", "0x040300", "x/snd_hda_intel"), "cg0; c=", "NVIDIA"}, // its sound
        {CARD("0x8086", "0x56a0", "0x030000", "x/i915"),
         "Intel Arc graphics 0  pci i915 unusable; ", "unified"},
        {CARD("0x8086", "0xe20b", "0x030000", "x/xe"), "Intel Arc graphics 0  pci xe unusable; ",
         "unified"},
        {CARD("0x1002", "0x7408", "0x120000", "x/vfio-pci"),
         "AMD graphics 0  pci vfio-pci unusable; ", "unified"},
        {CARD("0x1a03", "0x2000", "0x030000", "x/ast"), "cg0; c=", "ast"},
        {"\"files\":{\"/sys/firmware/devicetree/base/model\":\"Raspberry Pi Compute Module 4 Rev "
         "1.1\"}",
         "pi=4", "zz"},
        {"\"files\":{\"/proc/device-tree/model\":\"Raspberry Pi Model B\"}", "pi=0", "pi=1"},
        {"\"files\":{\"/proc/cpuinfo\":\"processor: 0\\nCPU implementer: 0x51\\nCPU part: "
         "0x801\\n\"}",
         "ARM 0x51/0x801", "zz"},
        {"\"files\":{\"/proc/cpuinfo\":\"processor: 0\\nCPU implementer: 0x51\\n\"}",
         "cpu  1 1/1 1", "ARM"},
        {"\"nvml\":{\"error\":\"NVML: start: Driver Not Loaded (9)\"}", "Driver Not Loaded", "zz"},
        {"\"files\":{\"/usr/lib/os-release\":\"ID=\\\"x\\\"\\nPRETTY_NAME=y\"}", "cpu/cpu linux",
         "zz"},
    };
    struct buf line;
    (void)state;
    buf_init(&line, 8192);
    for (size_t i = 0; i < COUNT(rows); i++) {
        replayed_summary(&line, rows[i].parts);
        if (!strstr(buf_cstr(&line), rows[i].line) || strstr(buf_cstr(&line), rows[i].absent))
            fail_msg("row %zu: %s", i, buf_cstr(&line));
    }
    buf_fini(&line);
}

static void old_macs(void **state)
{
    struct profiles_machine m;
    struct host_profile h;
    (void)state;
    profiles_parse(
        &m,
        BYTES("{\"facts\":{\"uname sysname\":\"Darwin\",\"uname machine\":\"x86_64\","
              "\"sysctl hw.memsize\":\"17179869184\",\"sysctl hw.optional.avx2_0\":\"1\","
              "\"sysctl hw.physicalcpu\":\"6\",\"sysctl hw.logicalcpu\":\"12\","
              "\"sysctl hw.cpufrequency_max\":\"2600000000\",\"sysctl kern.hv_vmm_present\":\"1\","
              "\"sysctl hw.pagesize\":\"4096\",\"sysctl vm.page_free_count\":\"99999999\"}}"));
    assert_int_equal(host_detect(&h, &m.probe, NULL, NULL), 0);
    assert_string_equal(h.machine_class, "cpu");
    assert_string_equal(h.vm, "apple");
    assert_int_equal(h.gpu_count, 0);
    assert_true(h.cpu.avx2 && !h.cpu.neon);
    assert_int_equal(h.cpu.mhz_max, 2600);
    assert_int_equal(h.memory.available, h.memory.total); // never more than there is
    profiles_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(machines), cmocka_unit_test(json_form),
                                       cmocka_unit_test(limits),   cmocka_unit_test(places),
                                       cmocka_unit_test(nameless), cmocka_unit_test(parts),
                                       cmocka_unit_test(old_macs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
