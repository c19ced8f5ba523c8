// place.c: where this system runs: in a container, in a virtual machine, on which board.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

static void say(char *kind, size_t kind_size, char *by, size_t by_size, const char *what,
                const char *how)
{
    host_copy(kind, kind_size, bytes_of(what));
    host_copy(by, by_size, bytes_of(how));
}

static void container(struct host_profile *h, const char *what, const char *how)
{
    if (!*h->container)
        say(h->container, sizeof h->container, h->container_by, sizeof h->container_by, what, how);
}

static void vm(struct host_profile *h, const char *what, const char *how)
{
    if (!*h->vm)
        say(h->vm, sizeof h->vm, h->vm_by, sizeof h->vm_by, what, how);
}

// Signs in the order of trust: the orchestrator, then what the engine writes for us, then traces.
static void detect_container(struct host_profile *h, const struct host_probe *p)
{
    static const struct {
        const char *file, *part, *kind;
    } traces[] = {
        {"/proc/self/cgroup", "kubepods", "kubernetes"},
        {"/proc/self/cgroup", "libpod", "podman"},
        {"/proc/self/cgroup", "/docker", "docker"},
        {"/proc/self/cgroup", "/lxc", "lxc"},
        {"/proc/self/mountinfo", "/kubelet/pods/", "kubernetes"},
        {"/proc/self/mountinfo", "/docker/containers/", "docker"},
        {"/proc/self/mountinfo", "/containers/storage/", "podman"},
        {"/proc/self/mountinfo", " lxcfs ", "lxc"},
    };
    struct buf b;
    char word[24] = "";
    buf_init(&b, HOST_FILE_MAX);
    if (host_fact(p, &b, "env KUBERNETES_SERVICE_HOST"))
        container(h, "kubernetes", "KUBERNETES_SERVICE_HOST");
    if (host_read(p, &b, "/run/.containerenv"))
        container(h, "podman", "/run/.containerenv");
    if (host_read_into(p, word, sizeof word, "/run/systemd/container") && *word)
        container(h, word, "/run/systemd/container");
    if (host_fact_into(p, word, sizeof word, "env container") && *word)
        container(h, word, "container in the environment");
    if (host_read(p, &b, "/.dockerenv"))
        container(h, "docker", "/.dockerenv");
    for (size_t i = 0; i < sizeof traces / sizeof *traces && !*h->container; i++)
        if (host_read(p, &b, "%s", traces[i].file) &&
            bytes_find(buf_bytes(&b), bytes_of(traces[i].part)) >= 0)
            container(h, traces[i].kind, traces[i].file);
    buf_fini(&b);
}

// The firmware's texts (SMBIOS). Proxmox machines say QEMU; only its UEFI names itself.
static const struct {
    const char *file, *part, *kind;
} firmware[] = {
    {"bios_vendor", "Proxmox", "proxmox"},
    {"sys_vendor", "Proxmox", "proxmox"},
    {"sys_vendor", "Amazon EC2", "amazon"},
    {"sys_vendor", "Google", "google"},
    {"sys_vendor", "DigitalOcean", "kvm"},
    {"sys_vendor", "OpenStack", "kvm"},
    {"product_name", "VMware", "vmware"},
    {"product_name", "VirtualBox", "virtualbox"},
    {"product_name", "Parallels", "parallels"},
    {"product_name", "Apple Virtualization", "apple"},
    {"product_name", "HVM domU", "xen"},
    {"sys_vendor", "Xen", "xen"},
    {"product_name", "cloud-hypervisor", "cloud-hypervisor"},
    {"product_name", "KVM", "kvm"},
    {"sys_vendor", "QEMU", "kvm"},
    {"bios_vendor", "Bochs", "kvm"},
};

static void detect_vm(struct host_profile *h, const struct host_probe *p)
{
    char text[128] = "", how[64];
    struct buf b;
    if (host_contains(bytes_of(h->kernel), "microsoft"))
        vm(h, "wsl", "kernel release");
    for (size_t i = 0; i < sizeof firmware / sizeof *firmware; i++)
        if (host_read_into(p, text, sizeof text, "/sys/class/dmi/id/%s", firmware[i].file) &&
            host_contains(bytes_of(text), firmware[i].part)) {
            (void)snprintf(how, sizeof how, "%s: %.40s", firmware[i].file, text);
            vm(h, firmware[i].kind, how);
        }
    if (host_read_into(p, text, sizeof text, "/sys/class/dmi/id/sys_vendor") &&
        !strcmp(text, "Microsoft Corporation") &&
        host_read_into(p, text, sizeof text, "/sys/class/dmi/id/product_name") &&
        !strcmp(text, "Virtual Machine"))
        vm(h, "hyper-v", "product_name: Virtual Machine");
    buf_init(&b, HOST_FILE_MAX);
    // Firecracker has neither firmware texts nor PCI: virtio devices stand on the command line.
    if (host_read(p, &b, "/proc/cmdline") && (host_contains(buf_bytes(&b), "virtio_mmio.device") ||
                                              host_contains(buf_bytes(&b), "firecracker")))
        vm(h, "firecracker", "/proc/cmdline");
    if (host_read_into(p, text, sizeof text, "/sys/hypervisor/type") && *text)
        vm(h, text, "/sys/hypervisor/type");
    if (host_read(p, &b, "/proc/cpuinfo")) {
        struct bytes flags = host_field(buf_bytes(&b), "flags", ':');
        while (flags.n)
            if (bytes_is(bytes_cut(&flags, ' '), "hypervisor"))
                vm(h, "unknown", "cpu flag hypervisor");
    }
    buf_fini(&b);
}

static void detect_board(struct host_profile *h, const struct host_probe *p)
{
    uint64_t number;
    if (!host_read_into(p, h->board, sizeof h->board, "/proc/device-tree/model"))
        (void)host_read_into(p, h->board, sizeof h->board, "/sys/firmware/devicetree/base/model");
    if (bytes_starts(bytes_of(h->board), BYTES("Raspberry Pi ")) &&
        host_number(bytes_from(bytes_of(h->board), 13), &number) && number < 100)
        h->raspberry_pi = (uint32_t)number;
    if (bytes_starts(bytes_of(h->board), BYTES("Raspberry Pi Compute Module ")) &&
        host_number(bytes_from(bytes_of(h->board), 28), &number) && number < 100)
        h->raspberry_pi = (uint32_t)number;
    if (!*h->board)
        (void)host_read_into(p, h->board, sizeof h->board, "/sys/class/dmi/id/board_name");
}

void host_detect_place(struct host_profile *h, const struct host_probe *p)
{
    detect_container(h, p);
    detect_vm(h, p);
    detect_board(h, p);
}
