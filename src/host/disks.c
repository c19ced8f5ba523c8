// disks.c: block devices and what they are good for.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

#define SECTOR 512 // the unit of /sys/block/*/size, whatever the device's own sector is

// Devices that stand for no disk of their own.
static const char *const not_disks[] = {"loop", "ram", "zram", "dm-", "md",
                                        "sr",   "nbd", "fd",   "zd",  "mtdblock"};

static bool skip(struct bytes name)
{
    for (size_t i = 0; i < sizeof not_disks / sizeof *not_disks; i++)
        if (bytes_starts(name, bytes_of(not_disks[i])))
            return true;
    // Boot and protected areas of an eMMC are no place for data.
    return bytes_find(name, BYTES("boot")) > 0 || bytes_find(name, BYTES("rpmb")) > 0;
}

static int nibble(const char *hex, size_t at)
{
    char c = hex[at];
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static int byte_at(const char *hex, size_t at)
{
    return nibble(hex, at * 2) * 16 + nibble(hex, at * 2 + 1);
}

// The SD Status register (512 bits as 128 hex digits): SPEED_CLASS is byte 8, UHS_SPEED_GRADE the
// upper half of byte 14, VIDEO_SPEED_CLASS byte 15, APP_PERF_CLASS the lower half of byte 21 (SD
// Physical Layer Simplified Specification, section 4.10.2).
static void sd_speed(struct host_disk *d, const struct host_probe *p)
{
    static const int classes[] = {0, 2, 4, 6, 10};
    char ssr[129] = "";
    size_t n = 0;
    if (!host_read_into(p, ssr, sizeof ssr, "/sys/block/%s/device/ssr", d->name) ||
        strlen(ssr) < 44)
        return;
    const struct {
        char sign;
        int value;
    } parts[] = {
        {'C', byte_at(ssr, 8) < 5 ? classes[byte_at(ssr, 8)] : 0},
        {'U', byte_at(ssr, 14) >> 4},
        {'V', byte_at(ssr, 15)},
        {'A', byte_at(ssr, 21) & 15},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].value && n < sizeof d->speed)
            n += (size_t)snprintf(d->speed + n, sizeof d->speed - n, "%s%c%d", n ? " " : "",
                                  parts[i].sign, parts[i].value);
}

static bool on_usb(const struct host_disk *d, const struct host_probe *p)
{
    struct buf b;
    char path[64];
    buf_init(&b, 4096);
    (void)snprintf(path, sizeof path, "/sys/block/%s", d->name);
    bool usb = p->link(p->self, path, &b) >= 0 && bytes_find(buf_bytes(&b), BYTES("/usb")) >= 0;
    buf_fini(&b);
    return usb;
}

static const char *kind_of(struct host_disk *d, const struct host_probe *p)
{
    struct bytes name = bytes_of(d->name);
    char type[16] = "", vendor[32] = "";
    (void)host_read_into(p, vendor, sizeof vendor, "/sys/block/%s/device/vendor", d->name);
    if (bytes_starts(name, BYTES("nvme")))
        return "nvme";
    if (bytes_starts(name, BYTES("mmcblk"))) {
        (void)host_read_into(p, type, sizeof type, "/sys/block/%s/device/type", d->name);
        if (strcmp(type, "SD") != 0)
            return "eMMC";
        sd_speed(d, p);
        return "microSD";
    }
    if (bytes_starts(name, BYTES("vd")) || bytes_starts(name, BYTES("xvd")) ||
        bytes_starts(name, BYTES("pmem")) || !strcmp(vendor, "QEMU") || !strcmp(vendor, "VMware") ||
        !strcmp(vendor, "Msft"))
        return "virtual";
    if (on_usb(d, p))
        return "usb";
    return host_read_u64(p, 0, "/sys/block/%s/queue/rotational", d->name) ? "hdd" : "ssd";
}

void host_detect_disks(struct host_profile *h, const struct host_probe *p)
{
    struct buf b;
    buf_init(&b, 65536);
    struct bytes names = host_list(p, &b, "/sys/block") ? buf_bytes(&b) : BYTES_NONE;
    while (names.n && h->disk_count < HOST_DISKS_MAX) {
        struct bytes name = bytes_cut(&names, '\n');
        struct host_disk *d = &h->disks[h->disk_count];
        if (!name.n || name.n >= sizeof d->name || skip(name))
            continue;
        memset(d, 0, sizeof *d);
        HOST_COPY(d->name, name);
        uint64_t sectors = host_read_u64(p, 0, "/sys/block/%s/size", d->name);
        if (!sectors || sectors > UINT64_MAX / SECTOR) // an empty card reader
            continue;
        d->bytes = sectors * SECTOR;
        if (!host_read_into(p, d->model, sizeof d->model, "/sys/block/%s/device/model", d->name))
            (void)host_read_into(p, d->model, sizeof d->model, "/sys/block/%s/device/name",
                                 d->name);
        HOST_COPY_STR(d->kind, kind_of(d, p));
        h->disk_count++;
    }
    buf_fini(&b);
}
