// doctor_facts.c: gathers what the doctor judges. Nothing is judged here.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM_MS 4000 // docker's client waits long for a daemon that is not there

static void program_text(const struct host_probe *p, char *to, size_t size, const char *const *argv)
{
    struct buf b;
    buf_init(&b, 65536);
    if (p->run(p->self, argv, PROGRAM_MS, &b) == 0)
        host_copy(to, size, buf_bytes(&b));
    buf_fini(&b);
}

// Where the node looks for llama.cpp's server too: the variable, PATH, beside its own binary.
static void find_engine(const struct host_probe *p, char *to, size_t size)
{
    static const char *const beside[] = {"engines/llama-server", "../libexec/plexus/llama-server"};
    char path[600], mode[16];
    struct buf self;
    if (host_fact_into(p, to, size, "env PLEXUS_LLAMA_SERVER") ||
        host_fact_into(p, to, size, "exec llama-server"))
        return;
    buf_init(&self, 400);
    if (p->link(p->self, "/proc/self/exe", &self) == 0) {
        char *slash = strrchr((char *)(uintptr_t)buf_cstr(&self), '/');
        for (size_t i = 0; slash && !*to && i < sizeof beside / sizeof *beside; i++) {
            (void)snprintf(path, sizeof path, "%.*s/%s", (int)(slash - self.p), self.p, beside[i]);
            if (host_fact_into(p, mode, sizeof mode, "access %s", path) && strchr(mode, 'r'))
                host_copy(to, size, bytes_of(path));
        }
    }
    buf_fini(&self);
}

static void gather_tools(struct host_facts *f, const struct host_probe *p,
                         const struct host_doctor_args *args)
{
    static const char *const docker[] = {"docker", "--version", NULL};
    static const char *const server[] = {"docker", "version", "--format", "{{.Server.Version}}",
                                         NULL};
    static const char *const compose[] = {"docker", "compose", "version", "--short", NULL};
    char text[128] = "", path[160] = "";
    f->tools.containers = args->containers;
    f->tools.local_engines = args->local_engines;
    (void)host_fact_into(p, f->tools.ctk, sizeof f->tools.ctk, "exec nvidia-ctk");
    find_engine(p, f->tools.llama_server, sizeof f->tools.llama_server);
    HOST_COPY_STR(f->engine, args->engine ? args->engine : f->tools.llama_server);
    f->tools.docker_there = host_fact_into(p, path, sizeof path, "exec docker");
    if (!f->tools.docker_there)
        return;
    program_text(p, text, sizeof text, docker); // "Docker version 27.1.1, build 6312585"
    struct bytes rest = bytes_of(text);
    if (bytes_starts(rest, BYTES("Docker version ")))
        rest = bytes_from(rest, 15);
    HOST_COPY(f->tools.docker, bytes_cut(&rest, ','));
    program_text(p, f->tools.compose, sizeof f->tools.compose, compose);
    *text = 0;
    program_text(p, text, sizeof text, server);
    f->tools.docker_answers = *text != 0;
}

// A CDI file names the driver's libraries with their version: ".../libcuda.so.575.57.08".
static void gather_cdi(struct host_facts *f, const struct host_probe *p)
{
    static const char *const folders[] = {"/etc/cdi", "/var/run/cdi"};
    struct buf names, text;
    buf_init(&names, 65536);
    buf_init(&text, HOST_FILE_MAX);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct bytes rest = host_list(p, &names, "%s", folders[i]) ? buf_bytes(&names) : BYTES_NONE;
        while (rest.n && !*f->cdi.path) {
            struct bytes name = bytes_cut(&rest, '\n');
            if (host_contains(name, "nvidia") && name.n < 40)
                (void)snprintf(f->cdi.path, sizeof f->cdi.path, "%s/%.*s", folders[i],
                               BYTES_FMT(name));
        }
    }
    if (*f->cdi.path && host_read(p, &text, "%s", f->cdi.path)) {
        struct bytes rest = buf_bytes(&text);
        ptrdiff_t at;
        while (!*f->cdi.driver && (at = bytes_find(rest, BYTES("libcuda.so."))) >= 0) {
            rest = bytes_from(rest, (size_t)at + 11);
            size_t n = 0;
            while (n < rest.n && ((rest.p[n] >= '0' && rest.p[n] <= '9') || rest.p[n] == '.'))
                n++;
            if (n > 2) // "libcuda.so.1" is only the short name
                HOST_COPY(f->cdi.driver, bytes_first(rest, n));
        }
    }
    buf_fini(&names);
    buf_fini(&text);
}

// Two numbers of a fact: "bytes total".
static bool pair(const struct host_probe *p, const char *fact, const char *path, uint64_t *a,
                 uint64_t *b)
{
    char text[96] = "";
    if (!host_fact_into(p, text, sizeof text, "%s %s", fact, path))
        return false;
    struct bytes rest = bytes_of(text);
    return host_number(bytes_cut(&rest, ' '), a) && host_number(rest, b);
}

static void gather_data(struct host_facts *f, const struct host_probe *p, const char *dir)
{
    char text[64] = "", *slash;
    unsigned uid = 0, gid = 0, mode = 0;
    HOST_COPY_STR(f->data.path, dir ? dir : "");
    HOST_COPY_STR(f->data.nearest, f->data.path);
    if (!*f->data.path)
        return;
    f->data.exists = host_fact_into(p, text, sizeof text, "stat %s", f->data.path);
    while (!*text && (slash = strrchr(f->data.nearest, '/'))) {
        *slash = 0;
        if (slash == f->data.nearest)
            HOST_COPY_STR(f->data.nearest, "/");
        if (host_fact_into(p, text, sizeof text, "stat %s", f->data.nearest) ||
            !strcmp(f->data.nearest, "/"))
            break;
    }
    if (sscanf(text, "%u %u %o", &uid, &gid, &mode) == 3) {
        f->data.uid = uid;
        f->data.mode = mode;
    }
    *text = 0;
    (void)host_fact_into(p, text, sizeof text, "access %s", f->data.nearest);
    f->data.writable = strchr(text, 'w') != NULL;
    f->data.space_known = pair(p, "free", f->data.nearest, &f->data.free, &f->data.total);
    (void)pair(p, "inodes", f->data.nearest, &f->data.inodes_free, &f->data.inodes_total);
}

static void add_secret(struct host_facts *f, const struct host_probe *p, const char *path)
{
    char text[64] = "", kind = 0;
    unsigned uid = 0, gid = 0, mode = 0;
    if (f->secret_count >= HOST_SECRETS_MAX || strlen(path) >= sizeof f->secrets[0].path ||
        !host_fact_into(p, text, sizeof text, "stat %s", path) ||
        sscanf(text, "%u %u %o %c", &uid, &gid, &mode, &kind) != 4)
        return;
    struct host_secret *s = &f->secrets[f->secret_count++];
    *s = (struct host_secret){.uid = uid, .mode = mode, .folder = kind == 'd'};
    HOST_COPY_STR(s->path, path);
}

static void gather_secrets(struct host_facts *f, const struct host_probe *p, const char *dir)
{
    char path[4200];
    struct buf names;
    if (!dir)
        return;
    (void)snprintf(path, sizeof path, "%s/keys.json", dir);
    add_secret(f, p, path);
    (void)snprintf(path, sizeof path, "%s/mesh", dir);
    add_secret(f, p, path);
    buf_init(&names, 65536);
    struct bytes rest = host_list(p, &names, "%s", path) ? buf_bytes(&names) : BYTES_NONE;
    while (rest.n) {
        struct bytes name = bytes_cut(&rest, '\n');
        (void)snprintf(path, sizeof path, "%s/mesh/%.*s", dir, BYTES_FMT(name));
        if (name.n)
            add_secret(f, p, path);
    }
    buf_fini(&names);
}

static void gather_engines(struct host_facts *f, const struct host_probe *p,
                           const struct host_doctor_args *args)
{
    f->engine_count = (uint32_t)args->engine_count;
    for (size_t i = 0; i < args->engine_count && f->open_count < HOST_OPEN_MAX; i++) {
        struct host_open *o = &f->open[f->open_count];
        if (!host_fact_into(p, o->address, sizeof o->address, "listens %lld",
                            (long long)args->engines[i].pid))
            continue;
        HOST_COPY_STR(o->model, args->engines[i].model);
        o->wanted = args->engines[i].expose;
        f->open_count++;
    }
}

static void gather_user(struct host_facts *f, const struct host_probe *p)
{
    f->user.uid = (uint32_t)host_fact_u64(p, UINT32_MAX, "user uid");
    f->user.gid = (uint32_t)host_fact_u64(p, UINT32_MAX, "user gid");
    f->user.known = f->user.uid != UINT32_MAX;
    (void)host_fact_into(p, f->user.name, sizeof f->user.name, "user name");
}

static void gather_limits(struct host_facts *f, const struct host_probe *p)
{
    char path[256] = "", text[64] = "";
    struct buf b;
    buf_init(&b, 65536);
    f->nofile_soft = host_fact_u64(p, 0, "nofile soft");
    f->nofile_hard = host_fact_u64(p, 0, "nofile hard");
    f->nproc_soft = host_fact_u64(p, 0, "nproc soft");
    f->memlock_soft = host_fact_u64(p, 0, "memlock soft");
    f->overcommit = (int)host_read_u64(p, (uint64_t)-1, "/proc/sys/vm/overcommit_memory");
    int version = host_cgroup_path(p, "memory", f->cgroup_path, sizeof f->cgroup_path);
    if (version == 2 && host_read(p, &b, "%s/cgroup.controllers", f->cgroup_path))
        f->cgroup_memory = host_contains(buf_bytes(&b), "memory");
    if (version)
        f->cgroup_writable =
            host_fact_into(p, text, sizeof text, "access %s/cgroup.procs", f->cgroup_path) &&
            strchr(text, 'w') != NULL;
    if (host_cgroup_path(p, "pids", path, sizeof path))
        f->pids_max = host_read_u64(p, 0, "%s/pids.max", path);
    if (host_read(p, &b,
                  "/sys/kernel/mm/transparent_hugepage/enabled")) { // "always [madvise] never"
        struct bytes rest = buf_bytes(&b);
        (void)bytes_cut(&rest, '[');
        HOST_COPY(f->huge_pages, bytes_cut(&rest, ']'));
    }
    buf_fini(&b);
}

static void take_times(struct host_facts *f, const struct host_doctor_args *args)
{
    f->wall_s = args->wall_s;
    f->cert_from_s = args->cert_from_s;
    f->cert_to_s = args->cert_to_s;
}

static void gather_clock(struct host_facts *f, const struct host_probe *p)
{
    struct buf b;
    buf_init(&b, 4096);
    (void)host_fact_into(p, f->clock, sizeof f->clock, "clock");
    // systemd-timesyncd says it by a file, also where the kernel's flag is not kept.
    if (host_read(p, &b, "/run/systemd/timesync/synchronized"))
        HOST_COPY_STR(f->clock, "synchronised");
    buf_fini(&b);
}

void host_doctor_gather(struct host_facts *ret, const struct host_probe *probe,
                        const struct host_profile *profile, const struct host_doctor_args *args)
{
    memset(ret, 0, sizeof *ret);
    ret->node_running = args->node_running;
    if (args->mesh)
        ret->mesh = *args->mesh;
    if (args->webhook)
        ret->webhook = *args->webhook;
    if (args->flows)
        ret->flows = *args->flows;
    if (args->calls)
        ret->calls = *args->calls;
    for (uint32_t i = 0; i < profile->gpu_count; i++)
        ret->nouveau = ret->nouveau || !strcmp(profile->gpus[i].driver, "nouveau");
    gather_user(ret, probe);
    gather_tools(ret, probe, args);
    gather_cdi(ret, probe);
    gather_data(ret, probe, args->data_dir);
    gather_secrets(ret, probe, args->data_dir);
    gather_engines(ret, probe, args);
    gather_limits(ret, probe);
    gather_clock(ret, probe);
    take_times(ret, args);
    for (size_t i = 0; i < args->port_count && ret->port_count < HOST_PORTS_MAX; i++) {
        uint32_t at = ret->port_count++;
        ret->ports[at].port = args->ports[i];
        (void)host_fact_into(probe, ret->ports[at].state, sizeof ret->ports[at].state, "port %u",
                             (unsigned)args->ports[i]);
    }
}

void host_boot_gather(struct host_facts *ret, const struct host_probe *probe,
                      const struct host_doctor_args *args)
{
    memset(ret, 0, sizeof *ret);
    gather_user(ret, probe);
    gather_data(ret, probe, args->data_dir);
    gather_secrets(ret, probe, args->data_dir);
    take_times(ret, args); // whether it is kept right is the doctor's question, not the start's
}
