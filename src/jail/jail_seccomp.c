// jail_seccomp.c: the filter of system calls, as a classic BPF program (seccomp(2), kernel's
// Documentation/userspace-api/seccomp_filter.rst). What is dangerous is refused by name; what is
// newer than this list does not exist; the rest is a program's daily work, kept in bounds by the
// other layers. SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "jail/jail_priv.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

#ifdef ARCH
// The same on all these machines since Linux 5.1; older headers do not have them all.
enum {
    NR_IO_URING_SETUP = 425,
    NR_IO_URING_ENTER = 426,
    NR_IO_URING_REGISTER = 427,
    NR_OPEN_TREE = 428,
    NR_MOVE_MOUNT = 429,
    NR_FSOPEN = 430,
    NR_FSCONFIG = 431,
    NR_FSMOUNT = 432,
    NR_FSPICK = 433,
    NR_CLONE3 = 435,
    NR_OPENAT2 = 437,
    NR_PIDFD_GETFD = 438,
    NR_PROCESS_MADVISE = 440,
    NR_MOUNT_SETATTR = 442,
    NR_QUOTACTL_FD = 443,
    NR_MEMFD_SECRET = 447,
    NR_PROCESS_MRELEASE = 448,
    NR_FCHMODAT2 = 452,
    NR_STATMOUNT = 457,
    NR_LISTMOUNT = 458,
    NR_NEWEST = 462, // mseal, Linux 6.10
};

// Refused with EPERM.
static const int refused[] = {
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    NR_PIDFD_GETFD,
    NR_PROCESS_MADVISE,
    NR_PROCESS_MRELEASE,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    NR_OPEN_TREE,
    NR_MOVE_MOUNT,
    NR_FSOPEN,
    NR_FSCONFIG,
    NR_FSMOUNT,
    NR_FSPICK,
    NR_MOUNT_SETATTR,
    NR_STATMOUNT,
    NR_LISTMOUNT,
    SYS_unshare,
    SYS_setns,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_acct,
    SYS_quotactl,
    NR_QUOTACTL_FD,
    SYS_open_by_handle_at,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_syslog,
    SYS_vhangup,
    SYS_fanotify_init,
    SYS_fanotify_mark,
    SYS_move_pages,
    SYS_migrate_pages,
    NR_MEMFD_SECRET,
// Not on all machines, or leaving the headers.
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_lookup_dcookie
    SYS_lookup_dcookie,
#endif
#ifdef SYS_nfsservctl
    SYS_nfsservctl,
#endif
#ifdef SYS_uselib
    SYS_uselib,
#endif
#ifdef SYS__sysctl
    SYS__sysctl,
#endif
#ifdef SYS_create_module
    SYS_create_module,
#endif
#ifdef SYS_query_module
    SYS_query_module,
#endif
#ifdef SYS_sysfs
    SYS_sysfs,
#endif
#ifdef __x86_64__
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
};

// As if the kernel did not have them: programs have another way.
static const int unknown[] = {
    NR_IO_URING_SETUP, NR_IO_URING_ENTER, NR_IO_URING_REGISTER,
    NR_CLONE3, // its flags lie where no filter can look
    // Memory that is no process' own, so that nobody counts it: /dev/shm is bounded.
    SYS_memfd_create, SYS_shmget};

// A bit of an argument that must not be set. then: which argument must have one of `when` too.
struct bits {
    int nr, arg;
    uint32_t mask;
    int then;
    uint32_t when;
};
enum {
    SPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
        CLONE_NEWNET | CLONE_NEWCGROUP,
    SETID = S_ISUID | S_ISGID,
    MAKES = 0100 | 020000000, // O_CREAT, __O_TMPFILE
};
// A file that gives its owner's rights to whoever runs it would outlive the jail.
static const struct bits bits[] = {
    {SYS_clone, 0, SPACES, -1, 0},   {SYS_fchmod, 1, SETID, -1, 0},
    {SYS_fchmodat, 2, SETID, -1, 0}, {NR_FCHMODAT2, 2, SETID, -1, 0},
    {SYS_mknodat, 2, SETID, -1, 0},  {SYS_openat, 3, SETID, 2, MAKES},
#ifdef __x86_64__
    {SYS_chmod, 1, SETID, -1, 0},    {SYS_creat, 1, SETID, -1, 0},
    {SYS_mknod, 1, SETID, -1, 0},    {SYS_open, 2, SETID, 1, MAKES},
#endif
};

// Commands of ioctl: words put into a terminal's input, and the console's.
static const uint32_t commands[] = {0x5412 /* TIOCSTI */, 0x541C /* TIOCLINUX */,
                                    0x541D /* TIOCCONS */, 0x5423 /* TIOCSETD */};

struct program {
    struct sock_filter at[512];
    unsigned short n;
    bool full;
};

static void add(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->n == sizeof p->at / sizeof *p->at) {
        p->full = true;
        return;
    }
    p->at[p->n++] = (struct sock_filter){code, jt, jf, k};
}

static void load(struct program *p, size_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

// The low half of an argument: the kernel takes all of these as 32 bits. Little endian.
static void load_arg(struct program *p, int arg)
{
    load(p, offsetof(struct seccomp_data, args) + (size_t)arg * 8);
}

static void answer(struct program *p, uint32_t action)
{
    add(p, BPF_RET | BPF_K, 0, 0, action);
}

static void fail_with(struct program *p, int error)
{
    answer(p, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA));
}

static void deny(struct program *p, int nr, int error)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)nr);
    fail_with(p, error);
}

static void prologue(struct program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH); // another word size: other numbers
    answer(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
    add(p, BPF_JMP | BPF_JGT | BPF_K, 0, 1, NR_NEWEST); // x32 too
    fail_with(p, ENOSYS);
}

static void deny_bits(struct program *p, const struct bits *b)
{
    uint8_t more = b->then >= 0 ? 2 : 0;
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(4 + more), (uint32_t)b->nr);
    load_arg(p, b->arg);
    add(p, BPF_JMP | BPF_JSET | BPF_K, 0, (uint8_t)(1 + more), b->mask);
    if (more) {
        load_arg(p, b->then);
        add(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, b->when);
    }
    fail_with(p, EPERM);
    load(p, offsetof(struct seccomp_data, nr));
}

static void deny_commands(struct program *p)
{
    const uint8_t n = sizeof commands / sizeof *commands;
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(2 + 2 * n), SYS_ioctl);
    load_arg(p, 1);
    for (uint8_t i = 0; i < n; i++)
        deny(p, (int)commands[i], EPERM);
    load(p, offsetof(struct seccomp_data, nr));
}

// socket(): only these families, and nothing raw.
static void sockets(struct program *p, const struct jail_making *m)
{
    int family[4];
    uint8_t n = 0;
    bool own_net = m->r.layer[JAIL_NET].standing == JAIL_ON;
    if (m->r.layer[JAIL_ROOT].standing == JAIL_ON) // else a path leads to the machine's sockets
        family[n++] = AF_UNIX;
    if (own_net || m->o->network) {
        family[n++] = AF_INET;
        family[n++] = AF_INET6;
    }
    if (m->o->bare)
        n = 0;
    // jump over all: the loads and compares of families, the refusal, three for the type
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(n + 8), SYS_socket);
    load_arg(p, 0);
    for (uint8_t i = 0; i < n; i++)
        add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(n - i), 0, (uint32_t)family[i]);
    fail_with(p, EAFNOSUPPORT);
    load_arg(p, 1);
    add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SOCK_RAW);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 10 /* SOCK_PACKET */);
    fail_with(p, EPERM);
    load(p, offsetof(struct seccomp_data, nr));
}

static void build(struct program *p, const struct jail_making *m)
{
    prologue(p);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        deny(p, refused[i], EPERM);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        deny(p, unknown[i], ENOSYS);
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        deny_bits(p, &bits[i]);
    deny_commands(p);
    sockets(p, m);
    if (m->o->bare) {
        deny(p, SYS_execve, EPERM);
        deny(p, SYS_execveat, EPERM);
    } else {
        deny(p, NR_OPENAT2, ENOSYS); // its mode lies where no filter can look
    }
    answer(p, SECCOMP_RET_ALLOW);
}

void jail_hold_group(const struct jail_report *r)
{
    struct program p;
    if (r->layer[JAIL_PID].standing == JAIL_ON)
        return;
    memset(&p, 0, sizeof p);
    prologue(&p);
    deny(&p, SYS_setsid, EPERM);
    deny(&p, SYS_setpgid, EPERM);
    answer(&p, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = {p.n, p.at};
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog); // the first one was taken, too
}

void jail_seccomp(struct jail_making *m)
{
    struct program p;
    memset(&p, 0, sizeof p);
    build(&p, m);
    struct sock_fprog prog = {p.n, p.at};
    if (p.full)
        jail_lacks(m, JAIL_SECCOMP, "its program is too long");
    else if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
        jail_lacks(m, JAIL_SECCOMP, "the kernel refuses it: %s", strerror(errno));
    else
        jail_on(m, JAIL_SECCOMP);
}

#else
void jail_seccomp(struct jail_making *m)
{
    jail_lacks(m, JAIL_SECCOMP, "not made for this processor");
}

void jail_hold_group(const struct jail_report *r)
{
    (void)r;
}
#endif
#else
extern int jail_seccomp_is_for_linux; // a file of C has at least one declaration
#endif
