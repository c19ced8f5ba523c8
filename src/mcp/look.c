// look.c: what a server may take from a client: the table of methods, and a message against the
// rules of its revision (2026-07-28, "General fields" and "Server Validation").
// SPDX-License-Identifier: Apache-2.0
#include "mcp/mcp.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *text;
    enum mcp_rev from, to;
} methods[MCP_METHODS] = {
    [MCP_M_INITIALIZE] = {"initialize", MCP_2024_11_05, MCP_2025_11_25},
    [MCP_M_PING] = {"ping", MCP_2024_11_05, MCP_2025_11_25},
    [MCP_M_DISCOVER] = {"server/discover", MCP_2026_07_28, MCP_2026_07_28},
    [MCP_M_TOOLS_LIST] = {"tools/list", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_TOOLS_CALL] = {"tools/call", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_RESOURCES_LIST] = {"resources/list", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_TEMPLATES_LIST] = {"resources/templates/list", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_RESOURCES_READ] = {"resources/read", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_SUBSCRIBE] = {"resources/subscribe", MCP_2024_11_05, MCP_2025_11_25},
    [MCP_M_UNSUBSCRIBE] = {"resources/unsubscribe", MCP_2024_11_05, MCP_2025_11_25},
    [MCP_M_PROMPTS_LIST] = {"prompts/list", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_PROMPTS_GET] = {"prompts/get", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_COMPLETE] = {"completion/complete", MCP_2024_11_05, MCP_2026_07_28},
    [MCP_M_SET_LEVEL] = {"logging/setLevel", MCP_2024_11_05, MCP_2025_11_25},
    [MCP_M_LISTEN] = {"subscriptions/listen", MCP_2026_07_28, MCP_2026_07_28},
    [MCP_M_TASKS_GET] = {"tasks/get", MCP_2025_11_25, MCP_2026_07_28},
    [MCP_M_TASKS_RESULT] = {"tasks/result", MCP_2025_11_25, MCP_2025_11_25},
    [MCP_M_TASKS_LIST] = {"tasks/list", MCP_2025_11_25, MCP_2025_11_25},
    [MCP_M_TASKS_CANCEL] = {"tasks/cancel", MCP_2025_11_25, MCP_2026_07_28},
    [MCP_M_TASKS_UPDATE] = {"tasks/update", MCP_2026_07_28, MCP_2026_07_28},
};

const char *mcp_method_text(enum mcp_method method)
{
    return methods[method].text;
}

bool mcp_method_of(struct bytes text, enum mcp_rev rev, enum mcp_method *ret)
{
    for (unsigned i = 0; i < MCP_METHODS; i++)
        if (bytes_is(text, methods[i].text)) {
            *ret = i;
            return rev >= methods[i].from && rev <= methods[i].to;
        }
    return false;
}

__attribute__((format(printf, 4, 5))) static int refuse(struct mcp_fault *f, int code, int http,
                                                        const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *f = (struct mcp_fault){.code = code, .http = http};
    (void)vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return E_INVALID;
}

static int unsupported(struct mcp_fault *f, struct bytes requested, bool only_modern)
{
    (void)refuse(f, MCP_VERSION_UNSUPPORTED, 400, "Unsupported protocol version");
    struct val *list =
        only_modern ? val_push(val_arr(), val_cstr(mcp_rev_text(MCP_2026_07_28))) : mcp_rev_list();
    struct val *data = val_put_cstr(val_obj(), "supported", list);
    f->data = val_put_cstr(data, "requested", val_str(bytes_first(requested, 64)));
    return E_INVALID;
}

static bool is_modern(const struct mcp_asked *a, const struct mcp_fields *http)
{
    enum mcp_rev rev;
    if (mcp_meta_of(a->m.params, MCP_META_VERSION))
        return true;
    if (!http || !http->version.p)
        return false;
    if (mcp_rev_of(http->version, &rev))
        return rev >= MCP_REV_MODERN;
    return http->method.p != NULL; // a later one, which mirrors its method as 2026-07-28 does
}

static int look_fields(struct mcp_asked *a, const struct mcp_fields *http, struct bytes version,
                       struct mcp_fault *f)
{
    char room[1024];
    struct buf name = {.p = NULL};
    struct bytes wanted = mcp_name_of(a->m.method, a->m.params);
    enum mcp_method method;
    int rc = 0;
    if (!http->version.p)
        return refuse(f, MCP_HEADER_MISMATCH, 400, "Header mismatch: no MCP-Protocol-Version");
    if (!bytes_eq(http->version, version))
        return refuse(f, MCP_HEADER_MISMATCH, 400,
                      "Header mismatch: MCP-Protocol-Version '%.*s' and _meta '%.*s'",
                      BYTES_FMT(bytes_first(http->version, 32)),
                      BYTES_FMT(bytes_first(version, 32)));
    if (!http->method.p)
        return refuse(f, MCP_HEADER_MISMATCH, 400, "Header mismatch: no Mcp-Method");
    if (!bytes_eq(http->method, a->m.method))
        return refuse(
            f, MCP_HEADER_MISMATCH, 400, "Header mismatch: Mcp-Method '%.*s', the body has '%.*s'",
            BYTES_FMT(bytes_first(http->method, 64)), BYTES_FMT(bytes_first(a->m.method, 64)));
    if (!wanted.p || !mcp_method_of(a->m.method, MCP_REV_MODERN, &method))
        return 0;
    if (!http->name.p)
        return refuse(f, MCP_HEADER_MISMATCH, 400, "Header mismatch: no Mcp-Name");
    buf_init(&name, sizeof room * 16);
    if (mcp_header_decode(&name, http->name, NULL) < 0)
        rc = refuse(f, MCP_HEADER_MISMATCH, 400, "Header mismatch: Mcp-Name is not encoded right");
    else if (!bytes_eq(buf_bytes(&name), wanted))
        rc = refuse(f, MCP_HEADER_MISMATCH, 400,
                    "Header mismatch: Mcp-Name '%.*s', the body has '%.*s'",
                    BYTES_FMT(bytes_first(http->name, 64)), BYTES_FMT(bytes_first(wanted, 64)));
    buf_fini(&name);
    return rc;
}

static int look_modern(struct mcp_asked *a, const struct mcp_fields *http, struct mcp_fault *f)
{
    const struct val *version = mcp_meta_of(a->m.params, MCP_META_VERSION);
    const struct val *level = mcp_meta_of(a->m.params, MCP_META_LOG);
    enum mcp_method method;
    if (a->m.kind == JSONRPC_RESULT || a->m.kind == JSONRPC_ERROR)
        return refuse(f, JSONRPC_REQUEST_INVALID, 400, "a client sends no answers");
    a->rev = MCP_REV_MODERN;
    a->has_rev = true;
    if (a->m.kind == JSONRPC_NOTIFICATION)
        return 0;
    a->capabilities = mcp_meta_of(a->m.params, MCP_META_CAPABILITIES);
    if (!val_is(version, JSON_STR))
        return refuse(f, JSONRPC_PARAMS, 400, "params._meta has no " MCP_META_VERSION);
    int rc = http ? look_fields(a, http, val_bytes(version), f) : 0;
    if (rc < 0)
        return rc;
    if (!mcp_rev_of(val_bytes(version), &a->rev))
        return unsupported(f, val_bytes(version), false);
    if (a->rev < MCP_REV_MODERN) // that one begins with a handshake
        return unsupported(f, val_bytes(version), true);
    if (!val_is(a->capabilities, JSON_OBJ))
        return refuse(f, JSONRPC_PARAMS, 400, "params._meta has no " MCP_META_CAPABILITIES);
    if (level && !mcp_level_of(val_bytes(level), &a->level))
        return refuse(f, JSONRPC_PARAMS, 400, "no such log level");
    if (!mcp_method_of(a->m.method, a->rev, &method))
        return refuse(f, JSONRPC_METHOD, 404, "Method not found: %.*s",
                      BYTES_FMT(bytes_first(a->m.method, 64)));
    return 0;
}

int mcp_look(struct mcp_asked *ret, const struct val *message, const struct mcp_fields *http,
             struct mcp_fault *ret_fault)
{
    struct err e = {0};
    *ret = (struct mcp_asked){.level = MCP_LEVELS, .rev = MCP_2025_03_26};
    if (jsonrpc_read(&ret->m, message, &e) < 0)
        return refuse(ret_fault, JSONRPC_REQUEST_INVALID, 400, "Invalid request: %.200s", e.text);
    const struct val *token = mcp_meta_of(ret->m.params, "progressToken");
    if (val_is(token, JSON_STR) || (val_is(token, JSON_NUM) && val_is_int(token)))
        ret->progress_token = val_get_cstr(val_get_cstr(ret->m.params, "_meta"), "progressToken");
    ret->modern = is_modern(ret, http);
    if (ret->modern)
        return look_modern(ret, http, ret_fault);
    if (!http || !http->version.p)
        return 0;
    if (!mcp_rev_of(http->version, &ret->rev))
        return refuse(ret_fault, MCP_CONNECTION, 400,
                      "Bad Request: Unsupported protocol version '%.*s'",
                      BYTES_FMT(bytes_first(http->version, 32)));
    ret->has_rev = true;
    return 0;
}
