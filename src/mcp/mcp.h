// mcp.h: the Model Context Protocol's messages (modelcontextprotocol.io, revisions 2024-11-05 to
// 2026-07-28) over JSON-RPC 2.0: reading, building, the header fields of streamable HTTP, and what
// a server may take. Pure: values in, values out. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_MCP_MCP_H
#define PLEXUS_MCP_MCP_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "text/val.h"

// ---- revisions ---------------------------------------------------------------------------------

enum mcp_rev { // in order of time
    MCP_2024_11_05,
    MCP_2025_03_26, // streamable HTTP, batches
    MCP_2025_06_18, // no batches, structured output, elicitation
    MCP_2025_11_25, // tasks in the core
    MCP_2026_07_28, // "modern": no session, each request says everything in _meta
    MCP_REVS,
};
#define MCP_REV_LEGACY MCP_2025_11_25 // the newest with a handshake
#define MCP_REV_MODERN MCP_2026_07_28 // the first without

const char *mcp_rev_text(enum mcp_rev rev); // "2025-11-25"
bool mcp_rev_of(struct bytes text, enum mcp_rev *ret); // false: not known
struct val *mcp_rev_list(void); // array of all, newest first (UnsupportedProtocolVersion's data)

// ---- JSON-RPC 2.0 ------------------------------------------------------------------------------

enum { // error codes
    JSONRPC_PARSE = -32700,
    JSONRPC_REQUEST_INVALID = -32600,
    JSONRPC_METHOD = -32601,
    JSONRPC_PARAMS = -32602,
    JSONRPC_INTERNAL = -32603,
    MCP_CONNECTION = -32000,        // legacy: no or unknown session
    MCP_RESOURCE_UNKNOWN = -32002,  // legacy; modern: JSONRPC_PARAMS
    MCP_HEADER_MISMATCH = -32020,   // modern
    MCP_CAPABILITY_MISSING = -32021, // modern, data.requiredCapabilities
    MCP_VERSION_UNSUPPORTED = -32022, // modern, data.supported, data.requested
};
#define JSONRPC_ID_MAX 256 // bytes of an id that is text

enum jsonrpc_kind { JSONRPC_REQUEST, JSONRPC_NOTIFICATION, JSONRPC_RESULT, JSONRPC_ERROR };
struct jsonrpc { // all borrowed from the message
    enum jsonrpc_kind kind;
    struct val *id;      // text or integer; NULL for notifications (and errors without)
    struct bytes method; // of requests and notifications
    struct val *params;  // an object, or NULL
    struct val *result;  // an object
    int64_t code;        // of an error
    struct bytes text;
    struct val *data; // or NULL
};
// E_INVALID with the reason (JSONRPC_REQUEST_INVALID); ret->id is then still set where there is a
// right one, so that the answer can name it.
int jsonrpc_read(struct jsonrpc *ret, const struct val *message, struct err *e);

// "takes": as in val.h (NULL for a part: NULL; NULL for optional ones: left out).
struct val *jsonrpc_request(struct val *takes_id, const char *method,
                            struct val *takes_params_or_null);
struct val *jsonrpc_notification(const char *method, struct val *takes_params_or_null);
struct val *jsonrpc_result(struct val *takes_id, struct val *takes_result);
struct val *jsonrpc_error(struct val *takes_id_or_null, int code, struct bytes text,
                          struct val *takes_data_or_null);

// ---- parts of messages -------------------------------------------------------------------------

#define MCP_META_VERSION "io.modelcontextprotocol/protocolVersion"
#define MCP_META_CLIENT "io.modelcontextprotocol/clientInfo"
#define MCP_META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define MCP_META_LOG "io.modelcontextprotocol/logLevel"
#define MCP_META_SERVER "io.modelcontextprotocol/serverInfo"
#define MCP_META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"
#define MCP_META_TASK "io.modelcontextprotocol/related-task"
#define MCP_EXT_TASKS "io.modelcontextprotocol/tasks"

struct mcp_info { // Implementation: who one is
    const char *name, *title, *version, *description; // title and description may be NULL
};
struct val *mcp_info_val(const struct mcp_info *info);
struct val *mcp_text_block(struct bytes text); // {"type":"text","text":...}
// Params of "initialize" (legacy).
struct val *mcp_initialize(enum mcp_rev rev, const struct mcp_info *info,
                           struct val *takes_capabilities);
// Puts the members into params._meta that each modern request must have. params NULL: new ones.
struct val *mcp_with_client(struct val *takes_params_or_null, enum mcp_rev rev,
                            const struct mcp_info *info, struct val *takes_capabilities);
// One member of params._meta ("progressToken", MCP_META_LOG ...).
struct val *mcp_with_meta(struct val *takes_params_or_null, const char *key,
                          struct val *takes_value);
struct val *mcp_meta_of(const struct val *params, const char *key); // borrowed; NULL: not there
// Params of tools/call; arguments NULL: {}.
struct val *mcp_call(struct bytes name, struct val *takes_arguments_or_null);
struct val *mcp_cancelled(struct val *takes_id, struct bytes reason); // notification's params
struct val *mcp_progress(struct val *takes_token, double done, double total, // total <= 0: unknown
                         struct bytes text); // may be empty

enum mcp_result_kind { MCP_COMPLETE, MCP_INPUT_REQUIRED, MCP_TASK, MCP_RESULT_UNKNOWN };
enum mcp_result_kind mcp_result_kind(const struct val *result); // by resultType; absent: complete

enum mcp_level { // RFC 5424's, least first
    MCP_DEBUG,
    MCP_INFO,
    MCP_NOTICE,
    MCP_WARNING,
    MCP_LEVEL_ERROR,
    MCP_CRITICAL,
    MCP_ALERT,
    MCP_EMERGENCY,
    MCP_LEVELS, // as a threshold: none
};
const char *mcp_level_text(enum mcp_level level);
bool mcp_level_of(struct bytes text, enum mcp_level *ret);

// ---- what a server may take ---------------------------------------------------------------------

enum mcp_method {
    MCP_M_INITIALIZE,
    MCP_M_PING,
    MCP_M_DISCOVER,
    MCP_M_TOOLS_LIST,
    MCP_M_TOOLS_CALL,
    MCP_M_RESOURCES_LIST,
    MCP_M_TEMPLATES_LIST,
    MCP_M_RESOURCES_READ,
    MCP_M_SUBSCRIBE,
    MCP_M_UNSUBSCRIBE,
    MCP_M_PROMPTS_LIST,
    MCP_M_PROMPTS_GET,
    MCP_M_COMPLETE,
    MCP_M_SET_LEVEL,
    MCP_M_LISTEN,
    MCP_M_TASKS_GET,
    MCP_M_TASKS_RESULT,
    MCP_M_TASKS_LIST,
    MCP_M_TASKS_CANCEL,
    MCP_M_TASKS_UPDATE,
    MCP_METHODS,
};
// A request's method as a revision has it; false: it has no such.
bool mcp_method_of(struct bytes text, enum mcp_rev rev, enum mcp_method *ret);
const char *mcp_method_text(enum mcp_method method);

struct mcp_fields { // header fields of a POST; p NULL: absent
    struct bytes version, method, name;
};
struct mcp_fault { // why not
    int code, http;
    char text[256];
    struct val *data; // the taker's to unref, or NULL
};
struct mcp_asked {
    struct jsonrpc m;
    bool modern; // it says everything itself (_meta); else it belongs to a session
    bool has_rev; // false: legacy without MCP-Protocol-Version
    enum mcp_rev rev;
    enum mcp_level level; // modern: of the log lines it wants, MCP_LEVELS: none
    struct val *capabilities; // modern: the client's, borrowed
    struct val *progress_token; // text or integer, or NULL; borrowed
};
// Looks at one message that a client sent: JSON-RPC, _meta, and (http not NULL) that the header
// fields say the same. Methods of a legacy message are not looked at. 0, or E_INVALID with
// ret_fault (ret->m.id is set where there is one). ret borrows from the message.
int mcp_look(struct mcp_asked *ret, const struct val *message, const struct mcp_fields *http,
             struct mcp_fault *ret_fault);

// ---- streamable HTTP ---------------------------------------------------------------------------

// A header field's value (2026-07-28, "Value Encoding"): as it is, or =?base64?...?=.
int mcp_header_encode(struct buf *out, struct bytes text);
int mcp_header_decode(struct buf *out, struct bytes value, struct err *e); // E_PARSE
// What Mcp-Name holds for this request; BYTES_NONE: the method has none.
struct bytes mcp_name_of(struct bytes method, const struct val *params);
// Lines "Name: value\r\n" that a modern request carries: MCP-Protocol-Version, Mcp-Method, Mcp-Name
// and, of tools/call with the tool's input schema (or NULL), Mcp-Param-*.
int mcp_headers(struct buf *out, enum mcp_rev rev, struct bytes method, const struct val *params,
                const struct val *input_schema);
// x-mcp-header marks of an input schema. E_INVALID: a mark is against the rules (such a tool must
// not be offered); names are unique without case, only plain properties may be marked.
int mcp_marks_check(const struct val *input_schema, struct err *e);
// Calls each(user, name, value) for every marked property that arguments hold (value not null).
// each returns 0 or E_*, which ends the walk.
int mcp_marks_each(const struct val *input_schema, const struct val *arguments,
                   int (*each)(void *user, struct bytes name, const struct val *value), void *user);
// An event of a stream: "id: ...\n" where id is not empty, "data: ...\n\n" of the message's text.
int mcp_event_put(struct buf *out, struct bytes id, const struct val *message);

int mcp_base64(struct buf *out, struct bytes raw); // RFC 4648 section 4, padded: blobs
int mcp_base64_decode(struct buf *out, struct bytes text, struct err *e); // strict; E_PARSE

#endif
