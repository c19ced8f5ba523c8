// doctor.c: judges what was gathered: one function a check, one table of checks. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "host/doctor_priv.h"

#include <stdio.h>
#include <string.h>

#define GIB (1ull << 30)
#define SPACE_FAIL (1 * GIB)  // the journal and one small model would not fit
#define SPACE_WARN (10 * GIB) // a 7 B model at 4 bit needs 4-5 GB beside what is there
#define INODES_FAIL 1000
#define MEMORY_WARN (1 * GIB)
#define STREAMS_OK 10000 // what one node is built to carry
#define STREAMS_FAIL 100
#define FILES_OWN 64     // descriptors that the node needs beside its streams
#define PROCESSES_WARN 256

void host_doctor_say(char *to, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(to, size, fmt, ap);
    va_end(ap);
}

static double gib(uint64_t bytes)
{
    return (double)bytes / (double)GIB;
}

static void check_user(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    bool container = *d->profile->container != 0;
    if (!x->user.known) {
        SKIP(f, "the user is not known");
        return;
    }
    SEEN(f, "%s (uid %u, gid %u)", *x->user.name ? x->user.name : "a user without a name",
         x->user.uid, x->user.gid);
    if (x->user.uid != 0)
        return;
    f->status = HOST_WARN;
    MEANS(f, "plexus needs no root; what breaks out of an engine would be root too");
    if (container)
        MEND(f, "add `user: \"10000:10000\"` to the service in compose.yaml");
    else
        MEND(f, "sudo useradd --create-home plexus && sudo -u plexus -H plexus up");
}

static void check_space(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    if (!x->data.space_known) {
        SKIP(f, "the space is not known");
        return;
    }
    SEEN(f, "%.1f GiB free of %.1f GiB at %s", gib(x->data.free), gib(x->data.total),
         x->data.nearest);
    if (x->data.inodes_total && x->data.inodes_free < INODES_FAIL) {
        f->status = HOST_FAIL;
        SEEN(f, "%llu inodes free at %s", (unsigned long long)x->data.inodes_free, x->data.nearest);
    } else if (x->data.free < SPACE_FAIL) {
        f->status = HOST_FAIL;
    } else if (x->data.free < SPACE_WARN) {
        f->status = HOST_WARN;
    }
    if (f->status != HOST_OK) {
        MEANS(f, "%s",
              f->status == HOST_FAIL ? "accepted work could not be written down"
                                     : "hardly any model fits");
        MEND(f, "du -xh -d 2 %s | sort -h | tail", x->data.nearest);
    }
}

static void check_ports(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    size_t n = 0;
    if (!x->port_count) {
        SKIP(f, "the node listens on no port");
        return;
    }
    for (uint32_t i = 0; i < x->port_count; i++) {
        unsigned port = x->ports[i].port;
        bool used = !strcmp(x->ports[i].state, "used"),
             denied = !strcmp(x->ports[i].state, "denied");
        const char *word = *x->ports[i].state ? x->ports[i].state : "not known";
        if (used && x->node_running)
            word = "used by the running node";
        else if (used && f->status != HOST_FAIL)
            MEND(f, "ss -ltnp 'sport = :%u' shows who has it; or set listen.api to another port",
                 port);
        else if (denied && f->status != HOST_FAIL)
            MEND(f, "sudo sysctl net.ipv4.ip_unprivileged_port_start=%u", port);
        if ((used && !x->node_running) || denied) {
            f->status = HOST_FAIL;
            MEANS(f, "the node cannot listen there");
        }
        if (n < sizeof f->seen)
            n += (size_t)snprintf(f->seen + n, sizeof f->seen - n, "%s%u %s", i ? ", " : "", port,
                                  word);
    }
}

static void check_avx2(const struct host_doctor *d, struct host_finding *f)
{
    if (strcmp(d->profile->arch, "x86-64") != 0) {
        SKIP(f, "only x86-64 has AVX2");
        return;
    }
    SEEN(f, "%s has %sAVX2%s", d->profile->cpu.model, d->profile->cpu.avx2 ? "" : "no ",
         d->profile->cpu.avx512 ? " and AVX-512" : "");
    if (d->profile->cpu.avx2)
        return;
    // An engine of the user's own may be built for this processor; the packaged one is not.
    f->status =
        *d->facts->tools.llama_server || !d->facts->tools.local_engines ? HOST_WARN : HOST_FAIL;
    MEANS(f, "the packaged engine would die by an illegal instruction");
    MEND(f, "make engine-from-source");
}

static void check_engine(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    if (*x->engine) {
        SEEN(f, "%s", x->engine);
        return;
    }
    if (!x->tools.local_engines || !strcmp(d->profile->machine_class, "edge")) {
        SKIP(f, "no engine runs on this machine");
        return;
    }
    f->status = HOST_FAIL;
    SEEN(f, "no llama-server on PATH, and no packaged engine");
    MEANS(f, "models of the engine llama.cpp cannot be loaded");
    MEND(f, "make up (fetches the packaged engine), or put a llama-server on PATH");
}

static void check_memory(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_profile *h = d->profile;
    if (!h->memory.effective) {
        SKIP(f, "the memory is not known");
        return;
    }
    if (h->memory.limit)
        SEEN(f, "%.1f GiB by control group limit (the machine has %.1f GiB), %.1f GiB available",
             gib(h->memory.effective), gib(h->memory.total), gib(h->memory.effective_available));
    else
        SEEN(f, "%.1f GiB, %.1f GiB available", gib(h->memory.effective),
             gib(h->memory.effective_available));
    if (h->memory.effective < MEMORY_WARN) {
        f->status = HOST_WARN;
        MEANS(f, "a node runs, but no model beside it");
        if (h->memory.limit)
            MEND(f, "raise the container's memory limit");
    }
}

static void check_swap(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_profile *h = d->profile;
    if (!h->memory.swap_total) {
        SEEN(f, "none");
        return;
    }
    SEEN(f, "%.1f of %.1f GiB free", gib(h->memory.swap_free), gib(h->memory.swap_total));
    if (h->memory.swap_free < h->memory.swap_total / 2) {
        f->status = HOST_WARN;
        MEANS(f, "the machine has more in memory than it has room for: answers will be slow");
        MEND(f, "ps -eo pid,rss,comm --sort=-rss | head");
    }
}

static void check_overcommit(const struct host_doctor *d, struct host_finding *f)
{
    if (d->facts->overcommit < 0) {
        SKIP(f, "the kernel does not say");
        return;
    }
    SEEN(f, "vm.overcommit_memory=%d", d->facts->overcommit);
    if (d->facts->overcommit == 2) {
        f->status = HOST_WARN;
        MEANS(f, "engines map whole model files; strict accounting may refuse that");
        MEND(f, "sudo sysctl vm.overcommit_memory=0");
    }
}

static void check_files(const struct host_doctor *d, struct host_finding *f)
{
    uint64_t soft = d->facts->nofile_soft, hard = d->facts->nofile_hard;
    if (!hard) {
        SKIP(f, "the limit is not known");
        return;
    }
    uint64_t streams = hard > FILES_OWN ? (hard - FILES_OWN) / 2 : 0; // client and engine side
    if (hard > 1ull << 40)
        SEEN(f, "soft %llu, no hard limit", (unsigned long long)soft);
    else
        SEEN(f, "soft %llu, hard %llu: %llu streams at once (the node takes the hard limit)",
             (unsigned long long)soft, (unsigned long long)hard, (unsigned long long)streams);
    if (streams >= STREAMS_OK)
        return;
    f->status = streams < STREAMS_FAIL ? HOST_FAIL : HOST_WARN;
    MEANS(f, "past that, new streams get 503");
    MEND(f, "LimitNOFILE=65536 in the unit, `ulimits: { nofile: 65536 }` in compose.yaml, or sudo "
            "prlimit "
            "--nofile=65536 --pid $$");
}

static void check_processes(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    uint64_t least = x->nproc_soft;
    if (x->pids_max && (x->pids_max < least || !least))
        least = x->pids_max;
    if (!least) {
        SKIP(f, "the limit is not known");
        return;
    }
    if (least > 1ull << 40)
        SEEN(f, "no limit; huge pages: %s", *x->huge_pages ? x->huge_pages : "not known");
    else
        SEEN(f, "%llu processes and threads; huge pages: %s", (unsigned long long)least,
             *x->huge_pages ? x->huge_pages : "not known");
    if (least < PROCESSES_WARN) {
        f->status = HOST_WARN;
        MEANS(f, "engines start a thread for each core; some will fail to start");
        MEND(f, "TasksMax=4096 in the unit, or `pids_limit: 4096` in compose.yaml");
    }
}

static void check_cgroup(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    int version = d->profile->memory.cgroup;
    if (strcmp(d->profile->os, "linux") != 0) {
        SKIP(f, "only Linux has control groups");
        return;
    }
    SEEN(f, "version %d, memory controller %s, %s", version,
         x->cgroup_memory || version == 1 ? "there" : "missing",
         x->cgroup_writable ? "ours to divide" : "not ours to divide");
    if (version == 2 && x->cgroup_memory && x->cgroup_writable)
        return;
    f->status = HOST_WARN;
    MEANS(f, "memory limits of engines are kept by watching them, not by the kernel");
    if (!x->cgroup_memory && d->profile->raspberry_pi)
        MEND(f,
             "add cgroup_enable=memory cgroup_memory=1 to /boot/firmware/cmdline.txt, then reboot");
    else if (version == 2 && !*d->profile->container)
        MEND(f, "systemd-run --user --scope -p Delegate=yes plexus up");
}

static void check_storage(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_profile *h = d->profile;
    size_t n = 0;
    bool slow = h->disk_count > 0;
    for (uint32_t i = 0; i < h->disk_count; i++) {
        const struct host_disk *k = &h->disks[i];
        bool card = !strcmp(k->kind, "microSD");
        // U3 and V30 both promise 30 MB/s of steady writing (SD specification).
        bool fast = strstr(k->speed, "U3") || strstr(k->speed, "V30") || strstr(k->speed, "V60") ||
                    strstr(k->speed, "V90");
        slow = slow && card && !fast;
        if (n < sizeof f->seen)
            n += (size_t)snprintf(f->seen + n, sizeof f->seen - n, "%s%s %s%s%s", i ? ", " : "",
                                  k->name, k->kind, *k->speed ? " " : "", k->speed);
    }
    if (!h->disk_count)
        SKIP(f, "no disk of its own is seen");
    if (slow) {
        f->status = HOST_WARN;
        MEANS(f, "the journal writes often and small; this card will be slow and wear out");
        MEND(f, "use a card of class U3 or an SSD, and put data: on it");
    }
}

static const struct host_check checks[] = {
    {"driver", "NVIDIA driver", host_doctor_driver, false},
    {"mig", "MIG slices", host_doctor_mig, false},
    {"toolkit", "NVIDIA Container Toolkit", host_doctor_toolkit, false},
    {"cdi", "CDI specification", host_doctor_cdi, false},
    {"docker", "Docker 24 or newer", host_doctor_docker, false},
    {"compose", "Docker Compose 2 or newer", host_doctor_compose, false},
    {"avx2", "AVX2", check_avx2, false},
    {"engine", "engine", check_engine, false},
    {"memory", "memory", check_memory, false},
    {"swap", "swap", check_swap, false},
    {"overcommit", "memory overcommit", check_overcommit, false},
    {"user", "user", check_user, false},
    {"data", "data folder", host_doctor_data, true},
    {"secrets", "files with keys", host_doctor_secrets, true},
    {"space", "free space", check_space, false},
    {"storage", "storage class", check_storage, false},
    {"ports", "ports", check_ports, false},
    {"clock", "clock", host_doctor_clock, true},
    {"listeners", "engines' listeners", host_doctor_listeners, false},
    {"files", "open files", check_files, false},
    {"processes", "processes", check_processes, false},
    {"cgroup", "control group delegation", check_cgroup, false},
    {"nodes", "nodes of the mesh", host_doctor_nodes, false},
    {"certificate", "node's certificate", host_doctor_certificate, false},
    {"authority", "mesh's authority", host_doctor_authority, false},
    {"datagrams", "heartbeats by UDP", host_doctor_datagrams, false},
    {"versions", "versions in the mesh", host_doctor_versions, false},
    {"streams", "streams between machines", host_doctor_streams, false},
    {"alerts", "webhook of alerts", host_doctor_alerts, false},
    {"journal", "journal of flows", host_doctor_journal, false},
    {"libjq", "libjq", host_doctor_libjq, false},
    {"sandbox", "sandbox of programs", host_doctor_sandbox, false},
    {"wasm", "WebAssembly", host_doctor_wasm, false},
    {"registry", "registry of capabilities", host_doctor_registry, false},
    {"mcp", "MCP servers", host_doctor_mcp, false},
};
_Static_assert(sizeof checks / sizeof *checks <= HOST_FINDINGS_MAX, "room for every finding");

static size_t run(struct host_finding *ret, const struct host_doctor *d, bool boot_only)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (boot_only && !checks[i].boot)
            continue;
        ret[n] = (struct host_finding){.id = checks[i].id, .title = checks[i].title};
        checks[i].fn(d, &ret[n++]);
    }
    return n;
}

size_t host_doctor_check(struct host_finding ret[HOST_FINDINGS_MAX], const struct host_facts *facts,
                         const struct host_profile *profile)
{
    return run(ret, &(struct host_doctor){facts, profile}, false);
}

size_t host_boot_check(struct host_finding ret[HOST_FINDINGS_MAX], const struct host_facts *facts)
{
    static const struct host_profile unknown; // only mends look at it
    return run(ret, &(struct host_doctor){facts, &unknown}, true);
}

const char *host_status_text(enum host_status s)
{
    static const char *const texts[] = {"ok", "warn", "fail", "skip"};
    return texts[s];
}

int host_doctor_exit(const struct host_finding *findings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (findings[i].status == HOST_FAIL)
            return 1;
    return 0;
}

int host_doctor_json(struct buf *out, const struct host_finding *findings, size_t count)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_bool(&w, "ok", host_doctor_exit(findings, count) == 0);
    json_w_arr(&w, "findings");
    for (size_t i = 0; i < count; i++) {
        const struct host_finding *f = &findings[i];
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "id", f->id);
        json_w_cstr(&w, "title", f->title);
        json_w_cstr(&w, "status", host_status_text(f->status));
        json_w_cstr(&w, "seen", f->seen);
        json_w_cstr(&w, "means", f->means);
        json_w_cstr(&w, "mend", f->mend);
        json_w_end(&w);
    }
    json_w_end(&w);
    json_w_end(&w);
    return out->failed;
}
