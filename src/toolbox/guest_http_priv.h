// guest_http_priv.h: a name resolved on a helper thread. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_GUEST_HTTP_PRIV_H
#define PLEXUS_TOOLBOX_GUEST_HTTP_PRIV_H

#include "toolbox/guest_http.h"

struct guest_resolve {
    struct work_req work;
    char host[256];
    struct guest_http_address addresses[GUEST_HTTP_ADDRESSES];
    int count; // or E_*
    struct err err;
    int (*resolve)(void *user, const char *host, struct guest_http_address *ret, struct err *e);
    void *user;
    void (*done)(struct guest_resolve *g); // on the loop thread, later
};
// resolve, user and done are set. E_FULL, E_NOMEM, E_INVALID: done does not come.
int guest_resolve_start(struct guest_resolve *g, struct work *w, struct bytes host, struct err *e);

#endif
