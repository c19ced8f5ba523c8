// guest_resolve.c: a name resolved on a helper thread, by the system. SPDX-License-Identifier:
// Apache-2.0
#include "toolbox/guest_http_priv.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int by_system(void *user, const char *host, struct guest_http_address *ret, struct err *e)
{
    (void)user;
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *all = NULL;
    int rc = getaddrinfo(host, NULL, &want, &all), count = 0;
    if (rc != 0)
        return err_set(e, E_NOTFOUND, "%s", gai_strerror(rc));
    for (struct addrinfo *it = all; it && count < GUEST_HTTP_ADDRESSES; it = it->ai_next)
        if (getnameinfo(it->ai_addr, it->ai_addrlen, ret[count].text, sizeof ret->text, NULL, 0,
                        NI_NUMERICHOST) == 0)
            count++;
    freeaddrinfo(all);
    return count;
}

static void run(struct work_req *w)
{
    struct guest_resolve *g = w->user;
    g->count = (g->resolve ? g->resolve : by_system)(g->user, g->host, g->addresses, &g->err);
}

static void done(struct work_req *w)
{
    struct guest_resolve *g = w->user;
    g->done(g);
}

int guest_resolve_start(struct guest_resolve *g, struct work *w, struct bytes host, struct err *e)
{
    if (host.n >= sizeof g->host)
        return err_set(e, E_INVALID, "a host's name has at most 255 characters");
    memcpy(g->host, host.p, host.n);
    g->host[host.n] = '\0';
    g->count = 0;
    g->err = (struct err){0};
    g->work = (struct work_req){.run = run, .done = done, .user = g};
    int rc = work_start(w, &g->work);
    return rc == 0 ? 0 : err_set(e, rc, "names cannot be resolved now");
}
