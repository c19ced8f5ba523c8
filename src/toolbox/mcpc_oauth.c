// mcpc_oauth.c: a login at an MCP server's authorization server.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

struct bytes mcpc_token(struct mcpc_srv *s)
{
    (void)s;
    return BYTES_NONE;
}

bool mcpc_login(struct mcpc_srv *s, int http_status, struct bytes www_authenticate)
{
    (void)s;
    (void)http_status;
    (void)www_authenticate;
    return false;
}

void mcpc_login_free(struct mcpc_srv *s)
{
    (void)s;
}

int mcpc_redirected(struct mcpc *m, struct bytes query, struct err *e)
{
    (void)m;
    (void)query;
    return err_set(e, E_NOTFOUND, "no login waits for this");
}
