// proc_in.c: the input of a child: a pipe that is fed as the child reads.
// SPDX-License-Identifier: Apache-2.0
#include "loop/loop_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum { PROC_IN_MAX = 1 << 20 };

static void proc_in_event(uv_poll_t *h, int status, int events);

static void proc_in_watch(struct proc_in *in, bool on)
{
    if (in->watching == on)
        return;
    in->watching = on;
    int rc = on ? uv_poll_start(&in->poll, UV_WRITABLE, proc_in_event) : uv_poll_stop(&in->poll);
    assert(rc == 0); // the pipe is there
    (void)rc;
}

void proc_in_open(struct proc_in *in, struct loop *l, int fd, size_t bytes_max, uv_close_cb closed)
{
    *in = (struct proc_in){.loop = l, .fd = fd, .closed = closed};
    buf_init(&in->wait, bytes_max > 0 ? bytes_max : PROC_IN_MAX);
    int rc = uv_poll_init(&l->uv, &in->poll, fd); // also makes it non-blocking
    assert(rc == 0);
    (void)rc;
}

void proc_in_close(struct proc_in *in)
{
    if (in->fd < 0)
        return;
    uv_close((uv_handle_t *)&in->poll, in->closed);
    (void)close(in->fd);
    in->fd = -1;
    if (in->wait.p != NULL) // it may have been a secret
        mem_wipe(in->wait.p, in->wait.n);
    buf_fini(&in->wait);
}

// How much the pipe took of p; less than n: it is full. E_CLOSED: nobody reads.
static ssize_t proc_in_put(struct proc_in *in, const char *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t some = write(in->fd, p + done, n - done);
        if (some >= 0)
            done += (size_t)some;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return E_CLOSED;
    }
    return (ssize_t)done;
}

static void proc_in_event(uv_poll_t *h, int status, int events)
{
    struct proc_in *in = container_of(h, struct proc_in, poll);
    (void)status; // write(2) says it
    (void)events;
    loop_enter(in->loop);
    ssize_t n = proc_in_put(in, in->wait.p + in->at, in->wait.n - in->at);
    if (n < 0) {
        proc_in_close(in);
        return;
    }
    in->at += (size_t)n;
    if (in->at < in->wait.n)
        return;
    mem_wipe(in->wait.p, in->wait.n);
    buf_clear(&in->wait);
    in->at = 0;
    proc_in_watch(in, false);
    if (in->ending)
        proc_in_close(in);
    else if (in->drain != NULL)
        in->drain(in->user);
}

int proc_in_write(struct proc_in *in, struct bytes data)
{
    ssize_t n = 0;
    if (in->fd < 0 || in->ending)
        return E_CLOSED;
    if (data.n > in->wait.max - (in->wait.n - in->at))
        return E_FULL;
    if (in->wait.n == 0)
        n = proc_in_put(in, data.p, data.n);
    if (n < 0) {
        proc_in_close(in);
        return E_CLOSED;
    }
    if ((size_t)n == data.n)
        return 0;
    buf_drop(&in->wait, in->at);
    in->at = 0;
    if (buf_put(&in->wait, bytes_from(data, (size_t)n)) < 0) // no memory: it must not see a half
        return proc_in_close(in), E_CLOSED;
    proc_in_watch(in, true);
    return 1;
}

void proc_in_end(struct proc_in *in)
{
    in->ending = true;
    if (in->wait.n == 0)
        proc_in_close(in);
}
