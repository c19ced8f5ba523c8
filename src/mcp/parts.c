// parts.c: what MCP's messages are made of: revisions, log levels, params, _meta.
// SPDX-License-Identifier: Apache-2.0
#include "mcp/mcp.h"

static const char *const revisions[MCP_REVS] = {
    [MCP_2024_11_05] = "2024-11-05", [MCP_2025_03_26] = "2025-03-26",
    [MCP_2025_06_18] = "2025-06-18", [MCP_2025_11_25] = "2025-11-25",
    [MCP_2026_07_28] = "2026-07-28",
};
static const char *const levels[MCP_LEVELS] = {
    [MCP_DEBUG] = "debug",     [MCP_INFO] = "info",           [MCP_NOTICE] = "notice",
    [MCP_WARNING] = "warning", [MCP_LEVEL_ERROR] = "error",   [MCP_CRITICAL] = "critical",
    [MCP_ALERT] = "alert",     [MCP_EMERGENCY] = "emergency",
};

const char *mcp_rev_text(enum mcp_rev rev)
{
    return revisions[rev];
}

bool mcp_rev_of(struct bytes text, enum mcp_rev *ret)
{
    for (unsigned i = 0; i < MCP_REVS; i++)
        if (bytes_is(text, revisions[i])) {
            *ret = i;
            return true;
        }
    return false;
}

struct val *mcp_rev_list(void)
{
    struct val *list = val_arr();
    for (unsigned i = MCP_REVS; i-- > 0;)
        list = val_push(list, val_cstr(revisions[i]));
    return list;
}

const char *mcp_level_text(enum mcp_level level)
{
    return level < MCP_LEVELS ? levels[level] : "none";
}

bool mcp_level_of(struct bytes text, enum mcp_level *ret)
{
    for (unsigned i = 0; i < MCP_LEVELS; i++)
        if (bytes_is(text, levels[i])) {
            *ret = i;
            return true;
        }
    return false;
}

struct val *mcp_info_val(const struct mcp_info *info)
{
    struct val *v = val_put_cstr(val_obj(), "name", val_cstr(info->name));
    if (info->title)
        v = val_put_cstr(v, "title", val_cstr(info->title));
    v = val_put_cstr(v, "version", val_cstr(info->version));
    return info->description ? val_put_cstr(v, "description", val_cstr(info->description)) : v;
}

struct val *mcp_text_block(struct bytes text)
{
    return val_put_cstr(val_put_cstr(val_obj(), "type", val_cstr("text")), "text", val_str(text));
}

struct val *mcp_initialize(enum mcp_rev rev, const struct mcp_info *info,
                           struct val *takes_capabilities)
{
    struct val *p = val_put_cstr(val_obj(), "protocolVersion", val_cstr(mcp_rev_text(rev)));
    p = val_put_cstr(p, "capabilities", takes_capabilities);
    return val_put_cstr(p, "clientInfo", mcp_info_val(info));
}

struct val *mcp_meta_of(const struct val *params, const char *key)
{
    return val_get_cstr(val_get_cstr(params, "_meta"), key);
}

struct val *mcp_with_meta(struct val *takes_params, const char *key, struct val *takes_value)
{
    struct val *p = takes_params ? takes_params : val_obj();
    struct val *meta = val_get_cstr(p, "_meta");
    meta = val_is(meta, JSON_OBJ) ? val_ref(meta) : val_obj();
    return val_put_cstr(p, "_meta", val_put_cstr(meta, key, takes_value));
}

struct val *mcp_with_client(struct val *takes_params, enum mcp_rev rev, const struct mcp_info *info,
                            struct val *takes_capabilities)
{
    struct val *p = takes_params ? takes_params : val_obj();
    struct val *meta = val_get_cstr(p, "_meta");
    meta = val_is(meta, JSON_OBJ) ? val_ref(meta) : val_obj();
    meta = val_put_cstr(meta, MCP_META_VERSION, val_cstr(mcp_rev_text(rev)));
    meta = val_put_cstr(meta, MCP_META_CLIENT, mcp_info_val(info));
    meta = val_put_cstr(meta, MCP_META_CAPABILITIES, takes_capabilities);
    return val_put_cstr(p, "_meta", meta);
}

struct val *mcp_call(struct bytes name, struct val *takes_arguments)
{
    struct val *p = val_put_cstr(val_obj(), "name", val_str(name));
    return val_put_cstr(p, "arguments", takes_arguments ? takes_arguments : val_obj());
}

struct val *mcp_cancelled(struct val *takes_id, struct bytes reason)
{
    struct val *p = val_put_cstr(val_obj(), "requestId", takes_id);
    return reason.n ? val_put_cstr(p, "reason", val_str(reason)) : p;
}

struct val *mcp_progress(struct val *takes_token, double done, double total, struct bytes text)
{
    struct val *p = val_put_cstr(val_obj(), "progressToken", takes_token);
    p = val_put_cstr(p, "progress", val_num(done));
    if (total > 0)
        p = val_put_cstr(p, "total", val_num(total));
    return text.n ? val_put_cstr(p, "message", val_str(text)) : p;
}

enum mcp_result_kind mcp_result_kind(const struct val *result)
{
    const struct val *type = val_get_cstr(result, "resultType");
    struct bytes text = val_bytes(type);
    return !type || bytes_is(text, "complete") ? MCP_COMPLETE
           : bytes_is(text, "input_required")  ? MCP_INPUT_REQUIRED
           : bytes_is(text, "task")            ? MCP_TASK
                                               : MCP_RESULT_UNKNOWN;
}
