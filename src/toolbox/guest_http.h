// guest_http.h: requests of sandboxed guests (port/sandbox.h), carried out over room http: only to
// hosts that were granted, at each hop; the name is resolved once, its addresses are looked at, and
// the connection goes to the address that was looked at, so that no second answer of a name server
// (DNS rebinding) can lead elsewhere. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_GUEST_HTTP_H
#define PLEXUS_TOOLBOX_GUEST_HTTP_H

#include "port/clock.h"
#include "port/net.h"
#include "port/sandbox.h"
#include "port/work.h"

#define GUEST_HTTP_REDIRECTS 5
#define GUEST_HTTP_ADDRESSES 8

struct guest_http_address {
    char text[48]; // an address, as numbers
};
struct guest_http_args {
    struct net *net;
    struct timers *timers;
    struct work *work; // resolves names
    // The context for https; NULL: E_CONFIG for it. Borrowed as long as the client.
    struct net_tls *(*tls)(void *user, struct err *e);
    // On a helper thread: the addresses of a host, how many, or E_*. NULL: the system's resolver.
    int (*resolve)(void *user, const char *host, struct guest_http_address *ret, struct err *e);
    void *user;
    size_t requests_max; // at once, default 64: then E_FULL
};
struct guest_http;
int guest_http_new(struct guest_http **ret, const struct guest_http_args *args, struct err *e);
// For enclave_args.http. Valid until guest_http_free.
struct sandbox_client guest_http_client(struct guest_http *g);
// Requests that run are forgotten: who waits for them must be gone (enclave_free).
void guest_http_free(struct guest_http *g);

// Is this host granted? Patterns: "api.example.org" (its scheme's own port),
// "api.example.org:8443",
// "*.example.org" (all below it), "*" (every public host), "127.0.0.1:8080".
bool guest_http_granted(const struct bytes *hosts, size_t n, struct bytes host, uint16_t port,
                        bool tls);
// An address (as numbers) that a guest may reach only when a grant names it itself: loopback,
// private, link-local, multicast, reserved, and the same inside of IPv6 (RFC 6890).
bool guest_http_private(const char *address);

#endif
