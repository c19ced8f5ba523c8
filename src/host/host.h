// host.h: what this machine is (host profile), whether it is ready (doctor), and what that says to
// its environment file (env). Nothing here keeps state; all reading goes through a probe.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HOST_HOST_H
#define PLEXUS_HOST_HOST_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "text/json.h"

// ---- probe: the only way to the machine ---------------------------------------------------------
#define HOST_GPUS_MAX 16
#define HOST_SLICES_MAX 8 // the driver makes at most 7 MIG devices of one card
#define HOST_DISKS_MAX 24
#define HOST_FILE_MAX (4u << 20) // larger files are cut short with E_TOOBIG

struct host_slice { // one MIG device
    char profile[32]; // "1g.24gb"
    char uuid[64];    // "MIG-..."
    uint64_t memory_bytes;
    uint32_t gpu_instance, compute_instance;
};

struct host_gpu {
    char vendor[16]; // "nvidia", "amd", "intel", "apple"
    char name[96], uuid[64];
    char pci[20];    // "0000:01:00.0"
    char driver[48]; // "550.90.07" for NVIDIA, the kernel module's name for others
    char compute[8]; // CUDA compute capability, "8.9"
    char known_by[16]; // "nvml", "proc", "pci", "sysctl"
    char virtualization[16]; // NVML's word: "", "passthrough", "vgpu", "host-vgpu", "host-vsga"
    uint64_t memory_bytes;      // 0: not known
    bool memory_by_table;       // from the table of known cards, not from the card
    bool unified;               // shares the machine's memory
    bool usable;                // a driver has it and an engine could use it
    bool passed_through;        // given whole to this virtual machine
    bool mig;                   // MIG mode is on: only its slices can be used
    uint32_t slice_count;
    struct host_slice slices[HOST_SLICES_MAX];
};

struct host_nvml { // what the NVIDIA management library says
    char driver[48];
    char cuda[16]; // highest CUDA version of the driver, "12.4"
    uint32_t count;
    struct host_gpu gpus[HOST_GPUS_MAX];
};

// All calls are synchronous and answer 0 or a negative E_*; texts are appended to out.
struct host_probe {
    void *self;
    // A file by its absolute path on that machine. E_NOTFOUND, E_PERM, E_IO, E_TOOBIG.
    int (*read)(void *self, const char *path, struct buf *out);
    // Names in a folder, sorted, each ended by '\n'; without "." and "..".
    int (*list)(void *self, const char *path, struct buf *out);
    // Target of a symbolic link.
    int (*link)(void *self, const char *path, struct buf *out);
    // A named fact that is no file: "uname sysname|nodename|release|machine", "cpus affinity",
    // "sysctl NAME", "env NAME", "exec NAME" (path of a program), "user name|uid|gid",
    // "nofile soft|hard", "nproc soft", "memlock soft", "stat PATH" ("uid gid mode(octal) d|f"),
    // "access PATH" ("rw", "r", ""), "free PATH" ("bytes total"), "inodes PATH" ("free total"),
    // "port N" ("free", "used", "denied"), "listens PID" (host_listens_openly), "clock"
    // ("synchronised", "unsynchronised"), "locked" never asked. E_NOTFOUND when there is none,
    // E_UNSUPPORTED for unknown names.
    int (*fact)(void *self, const char *name, struct buf *out);
    // Standard output of a program (argv ends in NULL), at most 64 KiB, in a child with a deadline.
    // E_NOTFOUND: no such program; E_TIMEOUT; E_UNAVAILABLE: it failed.
    int (*run)(void *self, const char *const *argv, int64_t timeout_ms, struct buf *out);
    // E_NOTFOUND: no library; E_UNAVAILABLE: it says no; E_TIMEOUT: "gpu probe timed out".
    int (*nvml)(void *self, int64_t timeout_ms, struct host_nvml *ret, struct err *e);
};

// The machine itself. root: "/" or a folder tree that stands for it (files, folders and links only;
// facts, programs and NVML stay the machine's). self_exe: path of a program that, called as
// `self_exe _gpu`, runs host_nvml_main; NULL: the probe forks (fine while there is one thread).
struct host_live_args {
    const char *root, *self_exe;
};
struct host_live;
struct host_live *host_live_new(const struct host_live_args *args); // copies args; NULL: no memory
struct host_probe host_live_probe(struct host_live *l); // borrows l
void host_live_free(struct host_live *l);
// Asks NVML here and writes the answer to standard output. Exit code 0.
int host_nvml_main(void);

// A recorded machine: a JSON document (profiles/README.md has its form), borrowed until free.
struct host_replay;
struct host_replay *host_replay_new(const struct json *doc);
struct host_probe host_replay_probe(struct host_replay *r);
void host_replay_free(struct host_replay *r);

// ---- profile ------------------------------------------------------------------------------------
struct host_disk {
    char name[32]; // "nvme0n1"
    char model[64];
    char kind[12]; // "nvme", "ssd", "hdd", "microSD", "eMMC", "usb", "virtual"
    char speed[32]; // SD: "C10 U3 V30 A2"; "" else
    uint64_t bytes;
};

struct host_profile {
    char os[8]; // "linux", "macos"
    char arch[8]; // "x86-64", "arm64", else as the kernel says
    char kernel[96], distro[96], distro_id[32], hostname[128];
    struct {
        char model[96];
        uint32_t sockets, cores, threads; // of the machine
        uint32_t affinity, cpuset; // CPUs this process may run on; 0: not known
        double quota; // cgroup CPU limit in CPUs; 0: none
        double effective; // what counts: the least of all
        uint32_t mhz_max; // 0: not known
        bool avx2, avx512, neon, amx;
    } cpu;
    struct {
        uint64_t total, available, swap_total, swap_free;
        uint64_t limit; // cgroup memory limit; 0: none
        uint64_t effective, effective_available; // what counts
        int cgroup; // 2, 1, or 0: no cgroup found
    } memory;
    uint32_t disk_count;
    struct host_disk disks[HOST_DISKS_MAX];
    uint32_t gpu_count;
    struct host_gpu gpus[HOST_GPUS_MAX];
    char nvidia_driver[48], cuda[16];
    char gpu_note[160]; // why the GPU probe could not tell all: "gpu probe timed out"; "" else
    char container[24]; // "docker", "podman", "lxc", "systemd-nspawn", "kubernetes", ...; "": none
    char container_by[64];
    char vm[24]; // "kvm", "proxmox", "vmware", "firecracker", "wsl", ...; "": none
    char vm_by[64];
    char board[96]; // device tree model or Mac model; "": not said
    uint32_t raspberry_pi; // 4, 5, ...; 0: none
    char machine_class[8]; // "gpu", "cpu", "edge": what plexus itself can use
    char compose_profile[8]; // the same for containers (a Mac's GPU is not reachable from them)
};

// Fills the whole profile. What cannot be read is left empty; only a machine that does not even
// say its name (E_UNAVAILABLE) is an error.
struct host_args {
    int64_t gpu_timeout_ms; // deadline of the NVML child; 0: 5,000
};
int host_detect(struct host_profile *ret, const struct host_probe *probe,
                const struct host_args *args, struct err *e);
// Stable keys; sizes in bytes. Returns the buffer's state.
int host_profile_json(struct buf *out, const struct host_profile *p);

// ---- doctor -------------------------------------------------------------------------------------
enum host_status { HOST_OK, HOST_WARN, HOST_FAIL, HOST_SKIP };

struct host_engine { // a running one
    const char *model;
    int64_t pid;
    bool expose; // the configuration says that others may reach it
};

#define HOST_PEERS_MAX 256
struct host_peer { // another node of the mesh
    char name[64], state[12], version[32]; // state: as `plexus nodes` says it
    char address[96];
    bool by_tcp; // its datagrams do not come through
};
struct host_mesh {
    bool joined;
    bool authority_here, standby_alive; // standby_alive: another living node holds it, too
    bool renewal_late; // half of the time for it is over
    int64_t cert_left_s;
    uint16_t port;
    char version[32], authority[64], authority_state[12]; // state "": not known
    char bus[16]; // "embedded", "nats", "redis"
    uint32_t peer_count;
    struct host_peer peers[HOST_PEERS_MAX];
};
struct host_webhook { // of the alerts
    bool configured;
    uint32_t failures, waiting; // failures: in a row
    int64_t failing_s;
    uint64_t dropped;
    char why[160];
};

struct host_flows { // durable flows
    char engine[16]; // "embedded", "temporal"; "": none
    char journal[16]; // "sqlite", "postgres"
    char jq[64]; // "libjq 1.6"; "": it is not there
    char why[160];
    uint64_t open;
    bool stopped; // the journal, or Temporal does not answer: why
    bool held; // the journal, by another program, or its server is away: why
};

struct host_tools { // what can be called on this node
    bool known; // a running node told
    bool sandbox; // programs are run for callers: the layers below were looked at
    bool require; // tools.sandbox: require
    bool refused; // they are too few: nothing is run
    char missing[200]; // layers that this kernel does not give: "landlock, user namespace"
    char lost[280]; // what they would stop
    bool capabilities; // some are kept
    char wasm[120]; // where wasmtime is; "": not found
    unsigned servers, servers_ready; // external MCP servers
    char server[48], server_why[160]; // one that does not answer
    unsigned changed; // tools of theirs that are not what they were: a person is wanted
    unsigned waiting, damaged; // publications that did not go out; lines of the index
    char waiting_why[160];
};

struct host_doctor_args {
    const char *data_dir; // absolute; may not exist yet
    const uint16_t *ports; // that the node will listen on
    size_t port_count;
    bool containers; // the config runs engines in containers
    bool local_engines; // the config has engines on this machine
    bool node_running; // then the ports are rightly taken
    const char *engine; // engine that was found (path or name); NULL: look for llama-server
    int64_t wall_s; // since 1970; 0: the clock is not looked at
    int64_t cert_from_s, cert_to_s; // life of the node's certificate; 0: it has none
    const struct host_engine *engines;
    size_t engine_count;
    const struct host_mesh *mesh; // NULL: not looked at; also webhook, flows
    const struct host_webhook *webhook;
    const struct host_flows *flows;
    const struct host_tools *calls;
};

#define HOST_PORTS_MAX 16
#define HOST_SECRETS_MAX 32
#define HOST_OPEN_MAX 8
#define HOST_ADDRESS_MAX 64
// No clock is right that is before this: when this version was begun (2026-11-01 UTC).
#define HOST_SINCE_S 1793491200

struct host_secret { // a file of the data folder that holds keys, or its folder
    char path[256];
    uint32_t uid, mode;
    bool folder;
};
struct host_open { // an engine that other machines can reach
    char model[129], address[HOST_ADDRESS_MAX];
    bool wanted;
};
struct host_facts { // all that the checks look at beside the profile
    struct {
        char ctk[160], docker[32], compose[32], llama_server[160]; // "": not found
        bool docker_there, docker_answers, containers, local_engines;
    } tools;
    struct {
        char path[64], driver[48]; // path "": no CDI spec; driver: version its files name
    } cdi;
    bool nouveau;
    struct {
        char name[64];
        uint32_t uid, gid;
        bool known;
    } user;
    struct {
        char path[256], nearest[256]; // nearest: the folder itself or the parent that exists
        bool exists, writable;
        uint32_t uid, mode;
        uint64_t free, total, inodes_free, inodes_total;
        bool space_known;
    } data;
    uint32_t port_count;
    struct {
        uint16_t port;
        char state[8]; // "free", "used", "denied", ""
    } ports[HOST_PORTS_MAX];
    bool node_running;
    uint32_t secret_count;
    struct host_secret secrets[HOST_SECRETS_MAX];
    int64_t wall_s, cert_from_s, cert_to_s; // as in the arguments
    uint32_t engine_count, open_count;
    struct host_open open[HOST_OPEN_MAX];
    char clock[20]; // "synchronised", "unsynchronised", "": not known
    uint64_t nofile_soft, nofile_hard, nproc_soft, memlock_soft, pids_max; // 0: not known
    bool cgroup_memory, cgroup_writable;
    char cgroup_path[256];
    int overcommit; // vm.overcommit_memory; -1: not known
    char huge_pages[16]; // "always", "madvise", "never", ""
    char engine[160];
    struct host_mesh mesh;
    struct host_webhook webhook;
    struct host_flows flows;
    struct host_tools calls;
};

#define HOST_FINDINGS_MAX 40
struct host_finding {
    const char *id, *title;
    enum host_status status;
    char seen[320]; // what was found
    char means[320]; // what that means for plexus; "" when all is well
    char mend[320]; // a command (or edit) that mends it; "" when none is needed or known
};

// Asks the machine (may run docker and nvidia-ctk with deadlines), never fails: what cannot be
// learnt stays empty.
void host_doctor_gather(struct host_facts *ret, const struct host_probe *probe,
                        const struct host_profile *profile, const struct host_doctor_args *args);
// Pure: judges facts. Returns the number of findings, in a fixed order (one for each check).
size_t host_doctor_check(struct host_finding ret[HOST_FINDINGS_MAX], const struct host_facts *facts,
                         const struct host_profile *profile);
// What a start depends on: a part of the two above, without programs and slow files.
void host_boot_gather(struct host_facts *ret, const struct host_probe *probe,
                      const struct host_doctor_args *args);
size_t host_boot_check(struct host_finding ret[HOST_FINDINGS_MAX], const struct host_facts *facts);
// The first address that is not loopback on which this process, or one below it, listens for TCP.
// false: there is none, or it is not known (other systems than Linux). Some milliseconds at most.
bool host_listens_openly(int64_t pid, char ret_address[HOST_ADDRESS_MAX]);
const char *host_status_text(enum host_status s); // "ok", "warn", "fail", "skip"
int host_doctor_exit(const struct host_finding *findings, size_t count); // 0: nothing failed; 1
int host_doctor_json(struct buf *out, const struct host_finding *findings, size_t count);

// ---- env ----------------------------------------------------------------------------------------
// New text of a .env file: every byte of the old text stays as it is, variables that are not set in
// it are added at the end with a comment. Merging the result again changes nothing.
// E_TOOBIG/E_NOMEM from out.
int host_env_merge(struct buf *out, struct bytes old, const struct host_profile *profile,
                   struct err *e);

enum host_env_kind { HOST_ENV_BLANK, HOST_ENV_COMMENT, HOST_ENV_SET, HOST_ENV_BROKEN };
struct host_env_line {
    enum host_env_kind kind;
    struct bytes raw; // with its line end; double-quoted values may go over several lines
    struct bytes name; // HOST_ENV_SET only
    struct bytes value; // as written, with quotes, without blanks and comment around it
};
// Cuts the next line off *rest; false at the end. The raw parts together are the whole text.
bool host_env_next(struct bytes *rest, struct host_env_line *ret);
// The value as a program sees it: quotes off, escapes in double quotes undone.
int host_env_value(struct buf *out, const struct host_env_line *line);
// Value of a variable (the last setting wins); false: not set.
bool host_env_get(struct bytes text, const char *name, struct buf *out);

#endif
