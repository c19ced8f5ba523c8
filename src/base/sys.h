// sys.h: descriptors with their flags from the start, where the system can; else set right after.
// Between the two another thread's child could inherit one: children close what is not theirs.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_SYS_H
#define PLEXUS_BASE_SYS_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

// All are closed on exec. -1 and errno as the system calls have them; none is left open then.

#ifdef __linux__

static inline int sys_socket(int family) // a stream socket that does not block
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static inline int sys_accept(int fd) // does not block
{
    return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline int sys_socketpair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}

static inline int sys_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC);
}

#else

static inline int sys_flags(int fd, bool nonblock)
{
#ifdef SO_NOSIGPIPE
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on); // fails for a pipe
#endif
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC); // neither fails for an open descriptor
    if (nonblock)
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline int sys_socket(int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    return fd < 0 ? fd : sys_flags(fd, true);
}

static inline int sys_accept(int fd)
{
    int peer = accept(fd, NULL, NULL);
    return peer < 0 ? peer : sys_flags(peer, true);
}

static inline int sys_socketpair(int fds[2])
{
    int rc = socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    for (int i = 0; rc == 0 && i < 2; i++)
        (void)sys_flags(fds[i], false);
    return rc;
}

static inline int sys_pipe(int fds[2])
{
    int rc = pipe(fds);
    for (int i = 0; rc == 0 && i < 2; i++)
        (void)sys_flags(fds[i], false);
    return rc;
}

#endif
#endif
