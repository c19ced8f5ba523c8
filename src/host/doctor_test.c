// doctor_test.c: each check in each of its states, and what is gathered from recorded machines.
// SPDX-License-Identifier: Apache-2.0
#include "host/profiles_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SET(field, text) ((void)snprintf((field), sizeof(field), "%s", (text)))

// A machine on which all is well: one card, containers in use, a node that may start.
static void well(struct host_facts *f, struct host_profile *p)
{
    memset(f, 0, sizeof *f);
    memset(p, 0, sizeof *p);
    SET(f->tools.ctk, "/usr/bin/nvidia-ctk");
    SET(f->tools.docker, "27.1.1");
    SET(f->tools.compose, "v2.29.1");
    f->tools.docker_there = f->tools.docker_answers = f->tools.containers = f->tools.local_engines =
        true;
    SET(f->cdi.path, "/etc/cdi/nvidia.yaml");
    SET(f->cdi.driver, "570.86.16");
    SET(f->user.name, "ada");
    f->user.uid = f->user.gid = 1000;
    f->user.known = true;
    SET(f->data.path, "/home/ada/data");
    SET(f->data.nearest, "/home/ada/data");
    f->data.exists = f->data.writable = f->data.space_known = true;
    f->data.uid = 1000;
    f->data.mode = 0750;
    f->data.free = 100ull << 30;
    f->data.total = 200ull << 30;
    f->data.inodes_free = f->data.inodes_total = 1000000;
    f->port_count = 2;
    f->ports[0].port = 8000;
    f->ports[1].port = 8443;
    SET(f->ports[0].state, "free");
    SET(f->ports[1].state, "free");
    SET(f->clock, "synchronised");
    f->secret_count = 3;
    SET(f->secrets[0].path, "/home/ada/data/keys.json");
    SET(f->secrets[1].path, "/home/ada/data/mesh");
    SET(f->secrets[2].path, "/home/ada/data/mesh/member.json");
    f->secrets[0].uid = f->secrets[1].uid = f->secrets[2].uid = 1000;
    f->secrets[0].mode = f->secrets[2].mode = 0600;
    f->secrets[1].mode = 0755; // what is inside is closed
    f->secrets[1].folder = true;
    f->wall_s = HOST_SINCE_S + 1000;
    f->cert_from_s = HOST_SINCE_S;
    f->cert_to_s = HOST_SINCE_S + 3600;
    f->engine_count = 2;
    f->nofile_soft = 1024;
    f->nofile_hard = 524288;
    f->nproc_soft = 100000;
    f->cgroup_memory = f->cgroup_writable = true;
    SET(f->huge_pages, "madvise");
    SET(f->engine, "/usr/bin/llama-server");
    f->mesh = (struct host_mesh){.joined = true,
                                 .authority_here = true,
                                 .cert_left_s = 3000,
                                 .port = 8001,
                                 .version = "0.1.0",
                                 .authority = "me",
                                 .bus = "embedded",
                                 .peer_count = 2,
                                 .peers = {{"b", "alive", "0.1.0", "10.0.0.2:8001", false},
                                           {"c", "alive", "0.1.0", "10.0.0.3:8001", false}}};
    f->webhook = (struct host_webhook){.configured = true, .waiting = 2};
    f->flows = (struct host_flows){
        .engine = "embedded", .journal = "sqlite", .jq = "libjq 1.6", .open = 3};
    f->calls = (struct host_tools){.known = true,
                                   .sandbox = true,
                                   .capabilities = true,
                                   .wasm = "/usr/lib/libwasmtime.so",
                                   .servers = 2,
                                   .servers_ready = 2};
    SET(f->tools.llama_server, "/usr/bin/llama-server");
    SET(p->os, "linux");
    SET(p->arch, "x86-64");
    SET(p->distro_id, "ubuntu");
    SET(p->machine_class, "gpu");
    SET(p->cpu.model, "CPU");
    p->cpu.avx2 = true;
    p->memory.total = p->memory.effective = p->memory.effective_available = 64ull << 30;
    p->memory.swap_total = p->memory.swap_free = 8ull << 30;
    p->memory.cgroup = 2;
    SET(p->nvidia_driver, "570.86.16");
    SET(p->cuda, "12.8");
    p->gpu_count = 1;
    SET(p->gpus[0].vendor, "nvidia");
    SET(p->gpus[0].name, "RTX 5090");
    SET(p->gpus[0].compute, "12.0");
    SET(p->gpus[0].known_by, "nvml");
    SET(p->gpus[0].driver, "570.86.16");
    SET(p->gpus[0].pci, "0000:01:00.0");
    p->gpus[0].usable = true;
    p->disk_count = 1;
    SET(p->disks[0].name, "nvme0n1");
    SET(p->disks[0].kind, "nvme");
}

static void away(struct host_facts *f) // the authority is another node
{
    f->mesh.authority_here = false;
    SET(f->mesh.authority, "b");
    SET(f->mesh.authority_state, "alive");
}

static void crowd(struct host_facts *f)
{
    f->mesh.peer_count = 6;
    for (int i = 0; i < 6; i++)
        f->mesh.peers[i] = (struct host_peer){"n", "alive", "9", "", false};
}

#define CHANGES(X)                                                                                 \
    X(alone, f->mesh.joined = false)                                                               \
    X(alone_running, f->mesh.joined = false; f->node_running = true)                               \
    X(peer_dead, SET(f->mesh.peers[1].state, "dead"))                                              \
    X(peers_lost, SET(f->mesh.peers[0].state, "suspect"); SET(f->mesh.peers[1].state, "dead");     \
      f->mesh.peers[1].by_tcp = true)                                                              \
    X(peer_left, SET(f->mesh.peers[1].state, "left"); SET(f->mesh.peers[1].version, "0.0.9");      \
      f->mesh.peers[1].by_tcp = true)                                                              \
    X(peer_tcp, f->mesh.peers[1].by_tcp = true)                                                    \
    X(peer_old, SET(f->mesh.peers[0].version, "0.0.9"))                                            \
    X(many_old, crowd(f))                                                                          \
    X(cert_late, f->mesh.renewal_late = true)                                                      \
    X(cert_late_there, away(f); f->mesh.renewal_late = true)                                       \
    X(cert_over, away(f); f->mesh.renewal_late = true; f->mesh.cert_left_s = -7)                   \
    X(authority_there, away(f))                                                                    \
    X(authority_dead, away(f); SET(f->mesh.authority_state, "dead"))                               \
    X(authority_unknown, away(f); SET(f->mesh.authority_state, ""))                                \
    X(authority_standby, away(f); SET(f->mesh.authority_state, "dead");                            \
      f->mesh.standby_alive = true)                                                                \
    X(bus_nats, SET(f->mesh.bus, "nats"))                                                          \
    X(no_webhook, f->webhook.configured = false)                                                   \
    X(webhook_away, f->webhook.failures = 3; f->webhook.failing_s = 9;                             \
      SET(f->webhook.why, "connection refused"))                                                   \
    X(webhook_gone, f->webhook.failures = 9; f->webhook.failing_s = 300; f->webhook.dropped = 4)   \
    X(no_flows, SET(f->flows.engine, ""))                                                          \
    X(no_flows_running, SET(f->flows.engine, ""); f->node_running = true)                          \
    X(journal_held, f->flows.held = true; SET(f->flows.why, "flows.db: another program holds it")) \
    X(journal_stopped, f->flows.stopped = true; SET(f->flows.why, "the disk is full"))             \
    X(on_temporal, SET(f->flows.engine, "temporal"))                                               \
    X(temporal_away, SET(f->flows.engine, "temporal"); f->flows.stopped = true;                    \
      SET(f->flows.why, "connection refused"))                                                     \
    X(no_tools, f->calls = (struct host_tools){0})                                                 \
    X(no_tools_running, f->calls = (struct host_tools){0}; f->node_running = true)                 \
    X(nothing_run, f->calls = (struct host_tools){.known = true})                                  \
    X(sandbox_thin, SET(f->calls.missing, "landlock: paths");                                      \
      SET(f->calls.lost, "files outside the folders are kept away by the own root alone"))         \
    X(sandbox_refused, f->calls.refused = true; f->calls.require = true;                           \
      SET(f->calls.missing, "user namespace"); SET(f->calls.lost, "root inside is root outside"))  \
    X(no_wasmtime, SET(f->calls.wasm, ""))                                                         \
    X(no_wasmtime_needed, SET(f->calls.wasm, ""); f->calls.capabilities = false)                   \
    X(unpublished, f->calls.waiting = 3; SET(f->calls.waiting_why, "connection refused"))          \
    X(index_damaged, f->calls.damaged = 2; f->calls.waiting = 3)                                   \
    X(server_away, f->calls.servers_ready = 1; SET(f->calls.server, "files");                      \
      SET(f->calls.server_why, "it ended with code 1"))                                            \
    X(tool_changed, f->calls.changed = 2)                                                          \
    X(no_libjq, SET(f->flows.jq, ""))                                                              \
    X(nothing, (void)0)                                                                            \
    X(no_card, p->gpu_count = 0)                                                                   \
    X(nouveau, p->gpus[0].usable = false; SET(p->gpus[0].driver, "nouveau"))                       \
    X(nouveau_debian, p->gpus[0].usable = false; SET(p->gpus[0].driver, "nouveau");                \
      SET(p->distro_id, "debian"))                                                                 \
    X(no_driver, p->gpus[0].usable = false; SET(p->gpus[0].driver, ""); SET(p->distro_id, "arch")) \
    X(vfio, p->gpus[0].usable = false; SET(p->gpus[0].driver, "vfio-pci"))                         \
    X(old_driver, SET(p->nvidia_driver, "550.90.07"))                                              \
    X(old_card, SET(p->gpus[0].compute, "6.1"); SET(p->nvidia_driver, "550.90.07"))                \
    X(hung, SET(p->gpu_note, "gpu probe timed out"))                                               \
    X(library_only, p->gpu_count = 0; SET(p->gpu_note, "NVML: start: Driver Not Loaded (9)"))      \
    X(by_proc, SET(p->gpus[0].known_by, "proc"); SET(p->distro_id, "debian"))                      \
    X(mig_empty, p->gpus[0].mig = true; p->gpus[0].usable = false)                                 \
    X(mig_full, p->gpus[0].mig = true; p->gpus[0].slice_count = 4)                                 \
    X(no_ctk, SET(f->tools.ctk, ""))                                                               \
    X(no_ctk_hint, SET(f->tools.ctk, ""); f->tools.containers = false)                             \
    X(no_docker_wish, f->tools.containers = f->tools.docker_there = false)                         \
    X(no_cdi, SET(f->cdi.path, ""))                                                                \
    X(other_cdi, SET(f->cdi.driver, "550.90.07"))                                                  \
    X(silent_cdi, SET(f->cdi.driver, ""))                                                          \
    X(no_docker, f->tools.docker_there = false; SET(f->tools.docker, ""))                          \
    X(old_docker, SET(f->tools.docker, "20.10.24+dfsg1"); SET(p->distro_id, "debian"))             \
    X(deaf_docker, f->tools.docker_answers = false)                                                \
    X(old_compose, SET(f->tools.compose, "1.29.2"))                                                \
    X(no_compose, SET(f->tools.compose, ""); f->tools.containers = false)                          \
    X(no_avx2, p->cpu.avx2 = false; SET(f->tools.llama_server, ""))                                \
    X(no_avx2_own, p->cpu.avx2 = false)                                                            \
    X(arm, SET(p->arch, "arm64"))                                                                  \
    X(no_engine, SET(f->engine, ""))                                                               \
    X(no_engine_edge, SET(f->engine, ""); SET(p->machine_class, "edge"))                           \
    X(no_engine_wish, SET(f->engine, ""); f->tools.local_engines = false)                          \
    X(limited, p->memory.limit = p->memory.effective = 4ull << 30)                                 \
    X(tiny, p->memory.limit = p->memory.effective = 512ull << 20)                                  \
    X(no_memory, p->memory.effective = 0)                                                          \
    X(swapping, p->memory.swap_free = 1ull << 30)                                                  \
    X(no_swap, p->memory.swap_total = 0)                                                           \
    X(strict, f->overcommit = 2)                                                                   \
    X(unknown_overcommit, f->overcommit = -1)                                                      \
    X(root, f->user.uid = 0; SET(f->user.name, "root"))                                            \
    X(root_inside, f->user.uid = 0; SET(p->container, "docker"))                                   \
    X(nameless, SET(f->user.name, ""))                                                             \
    X(unknown_user, f->user.known = false)                                                         \
    X(no_data, f->data.exists = false)                                                             \
    X(no_data_denied, f->data.exists = f->data.writable = false; SET(f->data.nearest, "/srv"))     \
    X(data_denied, f->data.writable = false)                                                       \
    X(data_other, f->data.uid = 0)                                                                 \
    X(data_open, f->data.mode = 0755)                                                              \
    X(data_unnamed, SET(f->data.path, ""))                                                         \
    X(full, f->data.free = 100 << 20)                                                              \
    X(narrow, f->data.free = 5ull << 30)                                                           \
    X(no_inodes, f->data.inodes_free = 3)                                                          \
    X(unknown_space, f->data.space_known = false)                                                  \
    X(slow_card, SET(p->disks[0].kind, "microSD"); SET(p->disks[0].speed, "C10 U1 V10 A1"))        \
    X(fast_card, SET(p->disks[0].kind, "microSD"); SET(p->disks[0].speed, "C10 U3 V30"))           \
    X(no_disk, p->disk_count = 0)                                                                  \
    X(port_used, SET(f->ports[0].state, "used"))                                                   \
    X(port_ours, SET(f->ports[0].state, "used"); f->node_running = true)                           \
    X(port_denied, f->ports[1].port = 443; SET(f->ports[1].state, "denied"))                       \
    X(port_unknown, SET(f->ports[1].state, ""))                                                    \
    X(no_port, f->port_count = 0)                                                                  \
    X(clock_off, SET(f->clock, "unsynchronised"))                                                  \
    X(clock_off_inside, SET(f->clock, "unsynchronised"); SET(p->container, "lxc"))                 \
    X(clock_unknown, SET(f->clock, ""))                                                            \
    X(clock_old, f->wall_s = 1577836800; f->cert_from_s = f->cert_to_s = 0)                        \
    X(clock_old_unlooked, f->wall_s = 0)                                                           \
    X(clock_back, f->wall_s = HOST_SINCE_S - 61)                                                   \
    X(clock_back_inside, f->wall_s = HOST_SINCE_S - 61; SET(p->container, "lxc"))                  \
    X(clock_skewed, f->wall_s = HOST_SINCE_S + 940; f->cert_from_s = HOST_SINCE_S + 1000)          \
    X(clock_ahead, f->wall_s = HOST_SINCE_S + 3601)                                                \
    X(clock_at_end, f->wall_s = HOST_SINCE_S + 3600)                                               \
    X(no_secrets, f->secret_count = 0)                                                             \
    X(only_folder, f->secrets[0] = f->secrets[1]; f->secret_count = 1)                             \
    X(secret_group, f->secrets[2].mode = 0640)                                                     \
    X(secret_world, f->secrets[0].mode = 0604)                                                     \
    X(secret_both, f->secrets[0].mode = 0644; f->secrets[2].mode = 0644)                           \
    X(secret_other, f->secrets[0].mode = 0644; f->secrets[2].uid = 1001)                           \
    X(secret_root, f->user.uid = 0; SET(f->user.name, "root"))                                     \
    X(secret_folder, f->secrets[1].mode = 0775)                                                    \
    X(secret_nobody, f->user.known = false)                                                        \
    X(no_engines, f->engine_count = 0)                                                             \
    X(engine_open, f->open_count = 1; SET(f->open[0].model, "m");                                  \
      SET(f->open[0].address, "0.0.0.0:9000"))                                                     \
    X(engine_wanted, f->open_count = 1; SET(f->open[0].model, "m"); f->open[0].wanted = true;      \
      SET(f->open[0].address, "[::]:9000"))                                                        \
    X(engine_second, f->open_count = 2; f->open[0].wanted = true; SET(f->open[1].model, "n"))      \
    X(data_group, f->data.mode = 0770)                                                             \
    X(data_world, f->data.mode = 0757)                                                             \
    X(data_other_root, f->data.uid = 7; f->user.uid = 0)                                           \
    X(files_few, f->nofile_hard = 4096)                                                            \
    X(files_none, f->nofile_hard = 128)                                                            \
    X(files_endless, f->nofile_hard = UINT64_MAX)                                                  \
    X(files_unknown, f->nofile_hard = 0)                                                           \
    X(pids_few, f->pids_max = 100)                                                                 \
    X(pids_endless, f->nproc_soft = UINT64_MAX)                                                    \
    X(pids_unknown, f->nproc_soft = 0)                                                             \
    X(group_closed, f->cgroup_writable = false)                                                    \
    X(group_inside, f->cgroup_writable = false; SET(p->container, "docker"))                       \
    X(group_old, p->memory.cgroup = 1)                                                             \
    X(group_pi, f->cgroup_memory = false; p->raspberry_pi = 5)                                     \
    X(mac, SET(p->os, "macos"))

#define FUNCTION(name, code)                                                                       \
    static void name(struct host_facts *f, struct host_profile *p)                                 \
    {                                                                                              \
        (void)f;                                                                                   \
        (void)p;                                                                                   \
        code;                                                                                      \
    }
CHANGES(FUNCTION)

static const struct {
    void (*change)(struct host_facts *f, struct host_profile *p);
    const char *id;
    enum host_status status;
    const char *seen, *mend; // parts of the texts
} rows[] = {
    {nothing, "driver", HOST_OK, "driver 570.86.16, CUDA up to 12.8, 1 card", ""},
    {no_card, "driver", HOST_SKIP, "no NVIDIA card", ""},
    {nouveau, "driver", HOST_FAIL, "the driver nouveau", "sudo ubuntu-drivers install"},
    {nouveau_debian, "driver", HOST_FAIL, "nouveau", "sudo apt install nvidia-driver"},
    {no_driver, "driver", HOST_FAIL, "has no driver", "install NVIDIA's driver"},
    {vfio, "driver", HOST_SKIP, "kept for a virtual machine", ""},
    {old_driver, "driver", HOST_WARN, "550.90.07 for RTX 5090", "ubuntu-drivers"},
    {old_card, "driver", HOST_OK, "550.90.07", ""},
    {hung, "driver", HOST_FAIL, "gpu probe timed out", "dmesg"},
    {library_only, "driver", HOST_WARN, "Driver Not Loaded", "dmesg"},
    {by_proc, "driver", HOST_WARN, "1 card", "sudo apt install libnvidia-ml1"},
    {nothing, "mig", HOST_SKIP, "MIG is off", ""},
    {mig_empty, "mig", HOST_FAIL, "no slices", "sudo nvidia-smi mig -i 0000:01:00.0"},
    {mig_empty, "driver", HOST_OK, "1 card", ""},
    {mig_full, "mig", HOST_OK, "4 slices on 1 card", ""},
    {nothing, "toolkit", HOST_OK, "/usr/bin/nvidia-ctk", ""},
    {no_ctk, "toolkit", HOST_FAIL, "no nvidia-ctk", "sudo apt install nvidia-container-toolkit"},
    {no_ctk_hint, "toolkit", HOST_WARN, "no nvidia-ctk", "nvidia-container-toolkit"},
    {no_docker_wish, "toolkit", HOST_SKIP, "no containers", ""},
    {no_card, "toolkit", HOST_SKIP, "no NVIDIA card", ""},
    {nothing, "cdi", HOST_OK, "/etc/cdi/nvidia.yaml, driver 570.86.16", ""},
    {no_cdi, "cdi", HOST_FAIL, "nothing of NVIDIA",
     "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"},
    {other_cdi, "cdi", HOST_FAIL, "driver 550.90.07",
     "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"},
    {silent_cdi, "cdi", HOST_OK, "/etc/cdi/nvidia.yaml", ""},
    {nouveau, "cdi", HOST_SKIP, "no NVIDIA card with a driver", ""},
    {nothing, "docker", HOST_OK, "27.1.1", ""},
    {no_docker, "docker", HOST_FAIL, "not found", "sudo apt install docker.io docker-compose-v2"},
    {old_docker, "docker", HOST_FAIL, "20.10.24", "https://docs.docker.com/engine/install/debian"},
    {deaf_docker, "docker", HOST_FAIL, "does not answer", "usermod -aG docker ada"},
    {no_docker_wish, "docker", HOST_SKIP, "no containers", ""},
    {nothing, "compose", HOST_OK, "v2.29.1", ""},
    {old_compose, "compose", HOST_FAIL, "1.29.2", "docker-compose-v2"},
    {no_compose, "compose", HOST_WARN, "not found", "docker-compose-v2"},
    {no_docker_wish, "compose", HOST_SKIP, "no containers", ""},
    {nothing, "avx2", HOST_OK, "CPU has AVX2", ""},
    {no_avx2, "avx2", HOST_FAIL, "CPU has no AVX2", "make engine-from-source"},
    {no_avx2_own, "avx2", HOST_WARN, "CPU has no AVX2", "make engine-from-source"},
    {arm, "avx2", HOST_SKIP, "x86-64", ""},
    {nothing, "engine", HOST_OK, "/usr/bin/llama-server", ""},
    {no_engine, "engine", HOST_FAIL, "no llama-server", "make up"},
    {no_engine_edge, "engine", HOST_SKIP, "no engine runs", ""},
    {no_engine_wish, "engine", HOST_SKIP, "no engine runs", ""},
    {nothing, "memory", HOST_OK, "64.0 GiB, 64.0 GiB available", ""},
    {limited, "memory", HOST_OK, "4.0 GiB by control group limit (the machine has 64.0 GiB)", ""},
    {tiny, "memory", HOST_WARN, "0.5 GiB by control group", "raise"},
    {no_memory, "memory", HOST_SKIP, "not known", ""},
    {nothing, "swap", HOST_OK, "8.0 of 8.0 GiB free", ""},
    {swapping, "swap", HOST_WARN, "1.0 of 8.0", "ps -eo"},
    {no_swap, "swap", HOST_OK, "none", ""},
    {nothing, "overcommit", HOST_OK, "=0", ""},
    {strict, "overcommit", HOST_WARN, "=2", "sudo sysctl vm.overcommit_memory=0"},
    {unknown_overcommit, "overcommit", HOST_SKIP, "", ""},
    {nothing, "user", HOST_OK, "ada (uid 1000", ""},
    {root, "user", HOST_WARN, "root (uid 0", "useradd"},
    {root_inside, "user", HOST_WARN, "uid 0", "10000:10000"},
    {nameless, "user", HOST_OK, "without a name", ""},
    {unknown_user, "user", HOST_SKIP, "", ""},
    {nothing, "data", HOST_OK, "/home/ada/data, owner 1000, mode 0750", ""},
    {no_data, "data", HOST_OK, "will be made", ""},
    {no_data_denied, "data", HOST_FAIL, "/srv cannot be written",
     "sudo install -d -o ada -m 0750 /home/ada/data"},
    {data_denied, "data", HOST_FAIL, "/home/ada/data cannot be written",
     "sudo chown -R ada /home/ada/data"},
    {data_other, "data", HOST_FAIL, "owner 0", "sudo chown -R ada /home/ada/data"},
    {data_other_root, "data", HOST_OK, "owner 7", ""},
    {data_group, "data", HOST_FAIL, "mode 0770", "chmod go-w /home/ada/data"},
    {data_world, "data", HOST_FAIL, "mode 0757", "chmod go-w /home/ada/data"},
    {data_open, "data", HOST_WARN, "mode 0755", "chmod o-rwx /home/ada/data"},
    {data_unnamed, "data", HOST_SKIP, "", ""},
    {nothing, "space", HOST_OK, "100.0 GiB free of 200.0 GiB", ""},
    {full, "space", HOST_FAIL, "0.1 GiB free", "du -xh"},
    {narrow, "space", HOST_WARN, "5.0 GiB free", "du -xh"},
    {no_inodes, "space", HOST_FAIL, "3 inodes free", "du -xh"},
    {unknown_space, "space", HOST_SKIP, "", ""},
    {nothing, "storage", HOST_OK, "nvme0n1 nvme", ""},
    {slow_card, "storage", HOST_WARN, "microSD C10 U1", "U3"},
    {fast_card, "storage", HOST_OK, "microSD C10 U3", ""},
    {no_disk, "storage", HOST_SKIP, "", ""},
    {nothing, "ports", HOST_OK, "8000 free, 8443 free", ""},
    {port_used, "ports", HOST_FAIL, "8000 used, 8443 free", "ss -ltnp 'sport = :8000'"},
    {port_ours, "ports", HOST_OK, "8000 used by the running node, 8443 free", ""},
    {port_denied, "ports", HOST_FAIL, "443 denied",
     "sudo sysctl net.ipv4.ip_unprivileged_port_start=443"},
    {port_unknown, "ports", HOST_OK, "8443 not known", ""},
    {no_port, "ports", HOST_SKIP, "", ""},
    {nothing, "clock", HOST_OK, "synchronised", ""},
    {clock_off, "clock", HOST_WARN, "unsynchronised", "sudo timedatectl set-ntp true"},
    {clock_off_inside, "clock", HOST_WARN, "unsynchronised", "on the host: sudo"},
    {clock_unknown, "clock", HOST_SKIP, "", ""},
    {clock_old, "clock", HOST_WARN,
     "it says 2020-01-01T00:00:00Z, and this plexus was made after 2026-11-01T00:00:00Z",
     "sudo timedatectl set-ntp true"},
    {clock_old_unlooked, "clock", HOST_OK, "synchronised", ""},
    {clock_back, "clock", HOST_FAIL,
     "it says 2026-10-31T23:58:59Z, and this node's certificate begins at 2026-11-01T00:00:00Z",
     "sudo timedatectl set-ntp true"},
    {clock_back_inside, "clock", HOST_FAIL, "begins at", "on the host: sudo timedatectl"},
    {clock_skewed, "clock", HOST_OK, "synchronised", ""},
    {clock_ahead, "clock", HOST_WARN, "ended at 2026-11-01T01:00:00Z", "sudo timedatectl"},
    {clock_at_end, "clock", HOST_OK, "synchronised", ""},
    {nothing, "secrets", HOST_OK, "2 files, readable by the node alone", ""},
    {no_secrets, "secrets", HOST_SKIP, "no keys", ""},
    {only_folder, "secrets", HOST_SKIP, "no keys", ""},
    {secret_group, "secrets", HOST_FAIL, "/home/ada/data/mesh/member.json, owner 1000, mode 0640",
     "chmod go-rwx /home/ada/data/mesh/member.json"},
    {secret_world, "secrets", HOST_FAIL, "keys.json, owner 1000, mode 0604",
     "chmod go-rwx /home/ada/data/keys.json"},
    {secret_both, "secrets", HOST_FAIL, "mode 0644, and others like it", "keys.json"},
    {secret_other, "secrets", HOST_FAIL, "member.json, owner 1001",
     "sudo chown ada /home/ada/data/mesh/member.json"},
    {secret_root, "secrets", HOST_OK, "2 files", ""},
    {secret_folder, "secrets", HOST_FAIL, "/home/ada/data/mesh, owner 1000, mode 0775",
     "chmod go-w /home/ada/data/mesh"},
    {secret_nobody, "secrets", HOST_OK, "2 files", ""},
    {nothing, "listeners", HOST_OK, "2 running, all of them reachable from this machine alone", ""},
    {no_engines, "listeners", HOST_SKIP, "no engine runs", ""},
    {engine_open, "listeners", HOST_FAIL, "the engine of m listens on 0.0.0.0:9000",
     "let it listen on 127.0.0.1, or set expose: true for the model"},
    {engine_wanted, "listeners", HOST_WARN, "m listens on [::]:9000", "127.0.0.1"},
    {engine_second, "listeners", HOST_FAIL, "the engine of n", "expose: true"},
    {nothing, "files", HOST_OK, "262112 streams", ""},
    {files_few, "files", HOST_WARN, "2016 streams", "LimitNOFILE=65536"},
    {files_none, "files", HOST_FAIL, "32 streams", "LimitNOFILE=65536"},
    {files_endless, "files", HOST_OK, "no hard limit", ""},
    {files_unknown, "files", HOST_SKIP, "", ""},
    {nothing, "processes", HOST_OK, "100000 processes and threads; huge pages: madvise", ""},
    {pids_few, "processes", HOST_WARN, "100 processes", "pids_limit"},
    {pids_endless, "processes", HOST_OK, "no limit", ""},
    {pids_unknown, "processes", HOST_SKIP, "", ""},
    {nothing, "nodes", HOST_OK, "3 alive", ""},
    {alone, "nodes", HOST_SKIP, "only a running node knows", ""},
    {alone_running, "nodes", HOST_SKIP, "in no mesh", ""},
    {peer_dead, "nodes", HOST_WARN, "2 alive, not heard: c dead", "10.0.0.3:8001"},
    {peers_lost, "nodes", HOST_WARN, "1 alive, not heard: b suspect, c dead", "plexus nodes rm b"},
    {peer_left, "nodes", HOST_OK, "2 alive", ""},
    {nothing, "certificate", HOST_OK, "good for 3000 s more", ""},
    {alone, "certificate", HOST_SKIP, "", ""},
    {cert_late, "certificate", HOST_WARN, "its renewal is late", "plexus logs"},
    {cert_late_there, "certificate", HOST_WARN, "late, authority: node b", "start node b"},
    {cert_over, "certificate", HOST_FAIL, "over since 7 s", "port 8001"},
    {nothing, "authority", HOST_OK, "this node holds it", ""},
    {alone, "authority", HOST_SKIP, "", ""},
    {authority_there, "authority", HOST_OK, "node b is alive", ""},
    {authority_dead, "authority", HOST_WARN, "node b is dead", "plexus mesh standby"},
    {authority_unknown, "authority", HOST_WARN, "node b is not known", "start node b"},
    {authority_standby, "authority", HOST_OK, "another node that holds it is alive", ""},
    {nothing, "datagrams", HOST_OK, "come by UDP", ""},
    {alone, "datagrams", HOST_SKIP, "", ""},
    {peer_tcp, "datagrams", HOST_WARN, "not get through from c", "udp dport 8001 accept"},
    {peers_lost, "datagrams", HOST_OK, "", ""}, // who is dead is told there
    {peer_left, "datagrams", HOST_OK, "", ""},
    {nothing, "versions", HOST_OK, "0.1.0 here, and on every living node", ""},
    {alone, "versions", HOST_SKIP, "", ""},
    {peer_old, "versions", HOST_WARN, "0.1.0 here; b 0.0.9", "plexus nodes drain b"},
    {many_old, "versions", HOST_WARN, "n 9, n 9, n 9, n 9, ...", "one version"},
    {peer_left, "versions", HOST_OK, "", ""},
    {nothing, "streams", HOST_OK, "durable streams across machines need NATS", ""},
    {bus_nats, "streams", HOST_OK, "over nats", ""},
    {alone, "streams", HOST_SKIP, "", ""},
    {nothing, "alerts", HOST_OK, "2 wait, 0 were never told", ""},
    {no_webhook, "alerts", HOST_SKIP, "only a running node knows", ""},
    {webhook_away, "alerts", HOST_WARN, "3 tries failed in a row, for 9 s (connection refused)",
     "alerts.webhook"},
    {webhook_gone, "alerts", HOST_FAIL, "4 were never told", "alerts.webhook"},
    {nothing, "journal", HOST_OK, "sqlite, open flows: 3", ""},
    {no_flows, "journal", HOST_SKIP, "only a running node knows", ""},
    {no_flows_running, "journal", HOST_SKIP, "this node runs no flows", ""},
    {journal_stopped, "journal", HOST_FAIL, "sqlite: it stopped: the disk is full", "df -h"},
    {journal_held, "journal", HOST_WARN, "another program holds it", "end the program"},
    {on_temporal, "journal", HOST_OK, "Temporal keeps the flows", ""},
    {temporal_away, "journal", HOST_FAIL, "does not answer: connection refused",
     "flows.temporal.address"},
    {nothing, "libjq", HOST_OK, "libjq 1.6", ""},
    {no_libjq, "libjq", HOST_WARN, "no libjq", "apt install libjq1"},
    {no_flows, "libjq", HOST_SKIP, "only a running node knows", ""},
    {nothing, "sandbox", HOST_OK, "all layers hold", ""},
    {no_tools, "sandbox", HOST_SKIP, "only a running node knows", ""},
    {no_tools_running, "sandbox", HOST_SKIP, "this node has no tools", ""},
    {nothing_run, "sandbox", HOST_SKIP, "no folder is granted", ""},
    {sandbox_thin, "sandbox", HOST_WARN, "missing: landlock: paths", "newer kernel"},
    {sandbox_refused, "sandbox", HOST_FAIL, "missing: user namespace", "userns_clone"},
    {nothing, "wasm", HOST_OK, "/usr/lib/libwasmtime.so", ""},
    {no_tools, "wasm", HOST_SKIP, "only a running node knows", ""},
    {no_wasmtime, "wasm", HOST_WARN, "not found", "tools/setup wasm"},
    {no_wasmtime_needed, "wasm", HOST_SKIP, "no capability is kept", ""},
    {nothing, "registry", HOST_OK, "nothing waits", ""},
    {no_tools, "registry", HOST_SKIP, "only a running node knows", ""},
    {nothing_run, "registry", HOST_SKIP, "no capability is kept", ""},
    {unpublished, "registry", HOST_WARN, "3 wait to be published: connection refused",
     "tools.registry"},
    {index_damaged, "registry", HOST_WARN, "could not be read: 2", "plexus tool add"},
    {nothing, "mcp", HOST_OK, "2 of 2 answer", ""},
    {nothing_run, "mcp", HOST_SKIP, "no external server", ""},
    {no_tools, "mcp", HOST_SKIP, "only a running node knows", ""},
    {server_away, "mcp", HOST_WARN, "1 of 2 answer; files: it ended with code 1",
     "mcp.servers.files"},
    {tool_changed, "mcp", HOST_WARN, "not what they were: 2", "plexus tool grant"},
    {nothing, "cgroup", HOST_OK, "version 2, memory controller there, ours", ""},
    {group_closed, "cgroup", HOST_WARN, "not ours", "Delegate=yes"},
    {group_inside, "cgroup", HOST_WARN, "not ours", ""},
    {group_old, "cgroup", HOST_WARN, "version 1", ""},
    {group_pi, "cgroup", HOST_WARN, "missing", "cgroup_enable=memory"},
    {mac, "cgroup", HOST_SKIP, "", ""},
};

static void every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct host_facts facts;
        struct host_profile profile;
        struct host_finding list[HOST_FINDINGS_MAX];
        const struct host_finding *f = NULL;
        well(&facts, &profile);
        rows[i].change(&facts, &profile);
        size_t n = host_doctor_check(list, &facts, &profile);
        for (size_t k = 0; k < n; k++) {
            f = !strcmp(list[k].id, rows[i].id) ? &list[k] : f;
            // whoever complains says why and, outside of containers, how to mend it
            bool bad = list[k].status == HOST_WARN || list[k].status == HOST_FAIL;
            assert_true(*list[k].seen && bad == (*list[k].means != 0));
            assert_true(bad || !*list[k].mend);
        }
        assert_non_null(f);
        if (f->status != rows[i].status || !strstr(f->seen, rows[i].seen) ||
            !strstr(f->mend, rows[i].mend) || (!*rows[i].mend && *f->mend))
            fail_msg("row %zu %s: %s, \"%s\", mend \"%s\"", i, f->id, host_status_text(f->status),
                     f->seen, f->mend);
        bool failed = false;
        for (size_t k = 0; k < n; k++)
            failed = failed || list[k].status == HOST_FAIL;
        assert_int_equal(host_doctor_exit(list, n), failed);
    }
}

// What stops a start is what fails among these, and nothing else.
static void boots(void **state)
{
    static const struct {
        void (*change)(struct host_facts *f, struct host_profile *p);
        const char *stopped_by; // NULL: the node starts
    } starts[] = {
        {nothing, NULL},       {no_engine, NULL},         {clock_off, NULL},   {clock_ahead, NULL},
        {data_open, NULL},     {data_other, "data"},      {full, NULL},        {port_used, NULL},
        {clock_back, "clock"}, {secret_world, "secrets"}, {engine_open, NULL}, {no_secrets, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(starts); i++) {
        struct host_facts facts;
        struct host_profile profile;
        struct host_finding list[HOST_FINDINGS_MAX];
        const char *found = NULL;
        well(&facts, &profile);
        starts[i].change(&facts, &profile);
        size_t n = host_boot_check(list, &facts);
        assert_int_equal(n, 3);
        for (size_t k = 0; k < n; k++)
            found = list[k].status == HOST_FAIL ? list[k].id : found;
        assert_int_equal(found != NULL, starts[i].stopped_by != NULL);
        if (found)
            assert_string_equal(found, starts[i].stopped_by);
    }
}

static void as_json(void **state)
{
    struct host_facts facts;
    struct host_profile profile;
    struct host_finding list[HOST_FINDINGS_MAX];
    struct json_doc *doc = NULL;
    struct buf b;
    (void)state;
    well(&facts, &profile);
    no_cdi(&facts, &profile);
    size_t n = host_doctor_check(list, &facts, &profile);
    buf_init(&b, 1 << 20);
    assert_int_equal(host_doctor_json(&b, list, n), 0);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), JSON_UNIQUE, NULL), 0);
    assert_false(json_bool(json_get(json_root(doc), "ok"), true));
    assert_int_equal(json_len(json_get(json_root(doc), "findings")), n);
    assert_string_equal(json_cstr(json_ptr(json_root(doc), BYTES("/findings/3/id")), ""), "cdi");
    assert_string_equal(json_cstr(json_ptr(json_root(doc), BYTES("/findings/3/status")), ""),
                        "fail");
    json_free(doc);
    buf_fini(&b);
}

// What the probe of a prepared server answers, and of one where nothing is there.
static void gathers(void **state)
{
    static const char text[] =
        "{\"facts\":{\"uname sysname\":\"Linux\",\"user uid\":\"1000\",\"user "
        "gid\":\"1001\",\"user name\":\"ada\","
        "\"exec docker\":\"/usr/bin/docker\",\"exec nvidia-ctk\":\"/usr/bin/nvidia-ctk\","
        "\"stat /srv/plexus/data/keys.json\":\"5 5 640 f\","
        "\"stat /srv/plexus/data/mesh\":\"6 6 700 d\","
        "\"stat /srv/plexus/data/mesh/member.json\":\"7 7 600 f\",\"listens 77\":\"[::]:1\","
        "\"stat /srv\":\"0 0 755 d\",\"access /srv\":\"r\",\"free /srv\":\"1000 4000\",\"inodes "
        "/srv\":\"5 9\","
        "\"port 8000\":\"used\",\"port 80\":\"denied\",\"clock\":\"unsynchronised\",\"nofile "
        "soft\":\"1024\","
        "\"nofile hard\":\"4096\",\"nproc soft\":\"77\",\"memlock soft\":\"65536\","
        "\"access /sys/fs/cgroup/a/cgroup.procs\":\"rw\"},"
        "\"files\":{\"/srv/plexus/data/mesh/member.json\":\"{}\",\"/var/run/cdi/"
        "other.yaml\":\"\",\"/var/run/cdi/nvidia.yaml\":"
        "[\"- containerPath: /usr/lib/libcuda.so.1\",\"- hostPath: "
        "/usr/lib/libcuda.so.550.90.07\"],"
        "\"/proc/self/cgroup\":\"0::/a\",\"/sys/fs/cgroup/cgroup.controllers\":\"cpu memory pids\","
        "\"/sys/fs/cgroup/a/cgroup.controllers\":\"memory "
        "pids\",\"/sys/fs/cgroup/a/pids.max\":\"512\","
        "\"/proc/sys/vm/overcommit_memory\":\"1\","
        "\"/sys/kernel/mm/transparent_hugepage/enabled\":\"[always] madvise never\","
        "\"/run/systemd/timesync/synchronized\":\"\"},"
        "\"programs\":{\"docker --version\":\"Docker version 27.1.1, build 6312585\\n\","
        "\"docker compose version --short\":\"2.29.1\\n\",\"docker version --format "
        "{{.Server.Version}}\":1}}";
    static const uint16_t ports[] = {8000, 80};
    static const struct host_engine engines[] = {{"shut", 76, false}, {"open", 77, true}};
    struct host_doctor_args args = {.data_dir = "/srv/plexus/data",
                                    .ports = ports,
                                    .port_count = 2,
                                    .containers = true,
                                    .wall_s = 5,
                                    .cert_from_s = 6,
                                    .cert_to_s = 7,
                                    .engines = engines,
                                    .engine_count = 2};
    struct profiles_machine m;
    struct host_profile h = {0};
    struct host_facts f;
    (void)state;
    profiles_parse(&m, bytes_of(text));
    host_doctor_gather(&f, &m.probe, &h, &args);
    assert_string_equal(f.tools.docker, "27.1.1");
    assert_string_equal(f.tools.compose, "2.29.1");
    assert_true(f.tools.docker_there);
    assert_false(f.tools.docker_answers);
    assert_string_equal(f.cdi.path, "/var/run/cdi/nvidia.yaml");
    assert_string_equal(f.cdi.driver, "550.90.07");
    assert_string_equal(f.data.nearest, "/srv");
    assert_false(f.data.exists || f.data.writable);
    assert_int_equal(f.data.free, 1000);
    assert_int_equal(f.data.inodes_total, 9);
    assert_int_equal(f.data.mode, 0755);
    assert_string_equal(f.ports[0].state, "used");
    assert_string_equal(f.ports[1].state, "denied");
    assert_string_equal(f.clock, "synchronised");
    assert_int_equal(f.nofile_hard, 4096);
    assert_int_equal(f.pids_max, 512);
    assert_int_equal(f.overcommit, 1);
    assert_string_equal(f.huge_pages, "always");
    assert_true(f.cgroup_memory && f.cgroup_writable);
    assert_int_equal(f.user.gid, 1001);
    assert_int_equal(f.secret_count, 3);
    assert_string_equal(f.secrets[0].path, "/srv/plexus/data/keys.json");
    assert_int_equal(f.secrets[0].mode, 0640);
    assert_int_equal(f.secrets[2].uid, 7);
    assert_true(f.secrets[1].folder && !f.secrets[2].folder);
    assert_int_equal(f.wall_s * 100 + f.cert_from_s * 10 + f.cert_to_s, 567);
    assert_int_equal(f.engine_count, 2);
    assert_int_equal(f.open_count, 1);
    assert_string_equal(f.open[0].model, "open");
    assert_string_equal(f.open[0].address, "[::]:1");
    assert_true(f.open[0].wanted);
    struct host_facts boot;
    host_boot_gather(&boot, &m.probe, &args);
    assert_int_equal(boot.secret_count, 3);
    assert_int_equal(boot.user.uid, 1000);
    assert_int_equal(boot.cert_to_s, 7);
    assert_string_equal(boot.clock, "");
    profiles_close(&m);

    profiles_parse(&m, BYTES("{}"));
    args = (struct host_doctor_args){.data_dir = "/x", .engine = "wheel"};
    host_doctor_gather(&f, &m.probe, &h, &args);
    assert_false(f.user.known || f.data.exists || f.tools.docker_there);
    assert_string_equal(f.data.nearest, "/");
    assert_string_equal(f.engine, "wheel");
    assert_int_equal(f.overcommit, -1);
    struct host_finding list[HOST_FINDINGS_MAX];
    assert_true(host_doctor_check(list, &f, &h) > 0);
    profiles_close(&m);
}

// The doctor of this very machine says something about everything.
static void here(void **state)
{
    struct host_live *l = host_live_new(NULL);
    struct host_probe p = host_live_probe(l);
    struct host_profile h;
    struct host_facts f;
    struct host_finding list[HOST_FINDINGS_MAX];
    (void)state;
    assert_int_equal(host_detect(&h, &p, NULL, NULL), 0);
    host_doctor_gather(&f, &p, &h,
                       &(struct host_doctor_args){.data_dir = "/tmp/plexus_no_such/data"});
    size_t n = host_doctor_check(list, &f, &h);
    for (size_t i = 0; i < n; i++)
        assert_true(*list[i].seen);
    host_live_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state), cmocka_unit_test(boots), cmocka_unit_test(as_json),
        cmocka_unit_test(gathers),     cmocka_unit_test(here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
