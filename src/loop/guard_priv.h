// guard_priv.h: the parts of the guard process: its command line, the tree below it, its cgroup,
// and its words with the node.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_GUARD_PRIV_H
#define PLEXUS_LOOP_GUARD_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Descriptors of the guard: 0 /dev/null or the child's input, 1 and 2 its output, 3 the socket to
// the node.
enum { GUARD_CONTROL_FD = 3 };

// Node to guard, one byte each. End of file: the node is gone, kill all.
enum { GUARD_TERM = 'T', GUARD_KILL = 'K', GUARD_MEASURE = 'M' };
// Guard to node, one line each:
//   P pid                  the child is about to run (said by itself, before any output)
//   F errno text           it could not be started
//   M bytes                memory of the tree
//   X code signal over     the child has ended (code -1: by the signal); over 1: memory limit

// The command line: letters with a value, "--", the child's argv. Zero is not passed.
struct guard_opts {
    uint64_t memory_bytes; // m
    uint64_t cpu_milli;    // c
    uint64_t files;        // f
    uint64_t files_soft;   // s: the soft limit before the node raised its own
    uint64_t core_bytes;   // k
    int nice;              // n
    const char *cwd;       // d
    char **argv;
};

struct guard_pids {
    pid_t *p;
    size_t n, cap;
};
void guard_pids_free(struct guard_pids *v);
// All descendants of root (not root itself). 0 or E_*.
int guard_tree(pid_t root, struct guard_pids *ret);
// All processes of the session, besides root.
int guard_session(pid_t root, struct guard_pids *ret);
void guard_kill_pids(const struct guard_pids *v);
// Memory of these processes: proportional share (PSS), 0 when it cannot be told.
uint64_t guard_pss(const struct guard_pids *v);
// Quick upper bound of the same.
uint64_t guard_rss(const struct guard_pids *v);
// Closes every descriptor from first on.
void guard_close_from(int first);

// A cgroup (v2) of our own below or beside the node's, where that is delegated.
struct guard_cgroup {
    char path[512]; // "": none
    bool memory, cpu;
};
// root: the mount; own: the node's cgroup as in /proc/self/cgroup. Leaves path empty when the
// needed controllers or rights are missing.
void guard_cgroup_open_at(struct guard_cgroup *g, const char *root, const char *own,
                          const struct guard_opts *o, pid_t id);
void guard_cgroup_open(struct guard_cgroup *g, const struct guard_opts *o);
bool guard_cgroup_join(const struct guard_cgroup *g); // the calling process
bool guard_cgroup_oom(const struct guard_cgroup *g);  // did its memory limit kill?
void guard_cgroup_close(struct guard_cgroup *g);

#endif
