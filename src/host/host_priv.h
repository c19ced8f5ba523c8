// host_priv.h: what the files of this room share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HOST_HOST_PRIV_H
#define PLEXUS_HOST_HOST_PRIV_H

#include "host/host.h"

// text.c: small readers over a probe. Paths are printf formats.
void host_copy(char *to, size_t size, struct bytes from); // cut at size, trimmed, printable
#define HOST_COPY(array, from) host_copy((array), sizeof(array), (from))
#define HOST_COPY_STR(array, text) host_copy((array), sizeof(array), bytes_of(text))
bool host_contains(struct bytes text, const char *part); // without case
// Fills b (cleared before) with the file's text; false: not there or not readable.
bool host_read(const struct host_probe *p, struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool host_list(const struct host_probe *p, struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool host_fact(const struct host_probe *p, struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// Trimmed text of a file or fact into an array; it stays as it was when there is none.
bool host_read_into(const struct host_probe *p, char *to, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool host_fact_into(const struct host_probe *p, char *to, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// Decimal or 0x number at the start of a file or fact; fallback when there is none.
uint64_t host_read_u64(const struct host_probe *p, uint64_t fallback, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t host_fact_u64(const struct host_probe *p, uint64_t fallback, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool host_number(struct bytes text, uint64_t *ret); // leading blanks, then decimal or 0x
// Value of the first line "key<sep>value" (blanks around are cut off); BYTES_NONE: none.
struct bytes host_field(struct bytes text, const char *key, char sep);

// The parts of host_detect; each fills its own part of the profile.
void host_detect_cpu(struct host_profile *h, const struct host_probe *p);
void host_detect_memory(struct host_profile *h, const struct host_probe *p);
void host_detect_limits(struct host_profile *h, const struct host_probe *p); // cgroups: cpu, memory
void host_detect_disks(struct host_profile *h, const struct host_probe *p);
void host_detect_gpus(struct host_profile *h, const struct host_probe *p, int64_t timeout_ms);
void host_detect_place(struct host_profile *h, const struct host_probe *p); // container, VM, board
void host_detect_mac(struct host_profile *h, const struct host_probe *p);
// Path of this process's group in the hierarchy that has the controller: "/sys/fs/cgroup/...".
// 2 or 1: the version; 0: none.
int host_cgroup_path(const struct host_probe *p, const char *controller, char *path, size_t size);

// nvml.c: the library as a table, so that tests bring their own.
struct host_nvml_pci { // nvmlPciInfo_t of nvml.h
    char bus_id_legacy[16];
    unsigned int domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
};
struct host_nvml_memory { // nvmlMemory_t
    unsigned long long total, free, used;
};
struct host_nvml_api { // names and types as in nvml.h; 0 is NVML_SUCCESS; NULL: not in this library
    int (*init)(void);
    int (*shutdown)(void);
    int (*driver_version)(char *, unsigned int);
    int (*cuda_version)(int *);
    int (*count)(unsigned int *);
    int (*by_index)(unsigned int, void **);
    int (*name)(void *, char *, unsigned int);
    int (*uuid)(void *, char *, unsigned int);
    int (*memory)(void *, struct host_nvml_memory *);
    int (*compute)(void *, int *, int *);
    int (*pci)(void *, struct host_nvml_pci *);
    int (*mig_mode)(void *, unsigned int *, unsigned int *);
    int (*mig_max)(void *, unsigned int *);
    int (*mig_by_index)(void *, unsigned int, void **);
    int (*gpu_instance)(void *, unsigned int *);
    int (*compute_instance)(void *, unsigned int *);
    int (*virtualization)(void *, int *);
    const char *(*error)(int);
};
int host_nvml_ask(const struct host_nvml_api *api, struct host_nvml *ret, struct err *e);
int host_nvml_write(struct buf *out, const struct host_nvml *n); // JSON, read by host_nvml_read
int host_nvml_read(struct host_nvml *ret, const struct json *v, struct err *e);
int host_nvml_child(int fd); // loads the library, asks, writes JSON {"error":..} or the answer

// child.c
struct host_child {
    const char *const *argv; // program, or NULL:
    int (*fn)(int fd); // function that runs in the forked child
    int64_t timeout_ms;
    size_t out_max;
};
// Collects what the child writes to its standard output. 0 when it ended with 0; E_NOTFOUND (no
// such program), E_UNAVAILABLE (other end), E_TIMEOUT (killed), E_TOOBIG, E_IO.
int host_child_run(const struct host_child *c, struct buf *out, struct err *e);

#endif
