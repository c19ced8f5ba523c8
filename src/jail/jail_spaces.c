// jail_spaces.c: namespaces (namespaces(7)): each by itself, so that what one machine refuses does
// not take the others away. SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "jail/jail_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    (void)close(fd);
    return ok;
}

// The same numbers inside as outside: files keep their owners, and root without a capability is
// nobody special.
static void user_space(struct jail_making *m)
{
    char map[64];
    if (unshare(CLONE_NEWUSER) < 0) {
        jail_lacks(m, JAIL_USER, "the kernel refuses it: %s", strerror(errno));
        return;
    }
    (void)put("/proc/self/setgroups", "deny"); // needed before gid_map without rights
    (void)snprintf(map, sizeof map, "%u %u 1", (unsigned)m->gid, (unsigned)m->gid);
    bool good = put("/proc/self/gid_map", map);
    (void)snprintf(map, sizeof map, "%u %u 1", (unsigned)m->uid, (unsigned)m->uid);
    if (good && put("/proc/self/uid_map", map))
        jail_on(m, JAIL_USER);
    else
        jail_lacks(m, JAIL_USER, "its numbers cannot be set: %s", strerror(errno));
}

static void space(struct jail_making *m, enum jail_layer layer, int flags)
{
    if (unshare(flags) == 0)
        jail_on(m, layer);
    else if (errno == EPERM && m->r.layer[JAIL_USER].standing == JAIL_ON)
        jail_lacks(m, layer, "user namespaces have no rights here (AppArmor, or a container)");
    else
        jail_lacks(m, layer, "the kernel refuses it: %s", strerror(errno));
}

void jail_spaces_enter(struct jail_making *m)
{
    m->uid = geteuid();
    m->gid = getegid();
    user_space(m);
    space(m, JAIL_ROOT, CLONE_NEWNS); // jail_root says whether it really is
    space(m, JAIL_PID, CLONE_NEWPID);
    space(m, JAIL_IPC, CLONE_NEWIPC | CLONE_NEWUTS);
    // Without any socket there is no network; to make a namespace for it takes time.
    if (m->o->network || m->o->bare)
        jail_not_asked(m, JAIL_NET);
    else
        space(m, JAIL_NET, CLONE_NEWNET);
}

static void loopback_up(void)
{
    struct ifreq r = {.ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    memcpy(r.ifr_name, "lo", 3);
    (void)ioctl(fd, SIOCSIFFLAGS, &r); // without it a program has no loopback: no danger
    (void)close(fd);
}

void jail_spaces_rest(struct jail_making *m)
{
    if (m->r.layer[JAIL_NET].standing == JAIL_ON)
        loopback_up();
    if (m->r.layer[JAIL_IPC].standing == JAIL_ON)
        (void)sethostname("plexus", 6); // a name tells nothing then; the old one would not hurt
}
#else
extern int jail_spaces_is_for_linux; // a file of C has at least one declaration
#endif
