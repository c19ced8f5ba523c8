// node_caps_priv.h: capabilities of this node.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_CAPS_PRIV_H
#define PLEXUS_APP_NODE_CAPS_PRIV_H

#include "app/node_tools_priv.h"
#include "enclave/enclave.h"
#include "toolbox/capreg.h"
#include "toolbox/caps.h"
#include "toolbox/guest_http.h"

struct node_caps {
    struct node *node;
    struct loop_wake *wake;
    struct guest_http *http;
    struct sandbox *enclave;
    struct capreg *registry; // until caps has it
    struct caps *caps;
    struct capreg_server *serves; // NULL: this node is no registry
    struct http_server *server;
    struct net_listener *listener;
};

#endif
