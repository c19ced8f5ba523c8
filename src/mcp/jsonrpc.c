// jsonrpc.c: JSON-RPC 2.0 messages read and built (jsonrpc.org/specification), as MCP narrows them:
// ids are text or integers, never null; params and results are objects.
// SPDX-License-Identifier: Apache-2.0
#include "mcp/mcp.h"

static bool good_id(const struct val *id)
{
    return (val_is(id, JSON_STR) && val_bytes(id).n <= JSONRPC_ID_MAX) ||
           (val_is(id, JSON_NUM) && val_is_int(id));
}

static int read_error(struct jsonrpc *m, const struct val *error, struct err *e)
{
    const struct val *code = val_get_cstr(error, "code");
    if (!val_is(error, JSON_OBJ) || !val_is_int(code))
        return err_set(e, E_INVALID, "error must be an object with an integer code");
    m->kind = JSONRPC_ERROR;
    m->code = val_i64(code, JSONRPC_INTERNAL);
    m->text = val_bytes(val_get_cstr(error, "message"));
    m->data = val_get_cstr(error, "data");
    return 0;
}

static int read_call(struct jsonrpc *m, const struct val *message, struct err *e)
{
    const struct val *method = val_get_cstr(message, "method");
    if (!val_is(method, JSON_STR) || val_bytes(method).n == 0)
        return err_set(e, E_INVALID, "method must be a text that is not empty");
    m->method = val_bytes(method);
    m->params = val_get_cstr(message, "params");
    if (m->params && !val_is(m->params, JSON_OBJ))
        return err_set(e, E_INVALID, "params must be an object");
    m->kind = m->id ? JSONRPC_REQUEST : JSONRPC_NOTIFICATION;
    return 0;
}

int jsonrpc_read(struct jsonrpc *ret, const struct val *message, struct err *e)
{
    *ret = (struct jsonrpc){0};
    if (!val_is(message, JSON_OBJ))
        return err_set(e, E_INVALID, "a message must be an object");
    struct val *id = val_get_cstr(message, "id");
    if (good_id(id))
        ret->id = id;
    if (!bytes_is(val_bytes(val_get_cstr(message, "jsonrpc")), "2.0"))
        return err_set(e, E_INVALID, "jsonrpc must be \"2.0\"");
    const struct val *error = val_get_cstr(message, "error");
    ret->result = val_get_cstr(message, "result");
    if (id && !ret->id && !(error && val_is(id, JSON_NULL)))
        return err_set(e, E_INVALID, "id must be an integer or a text of at most %d bytes",
                       JSONRPC_ID_MAX);
    if (val_get_cstr(message, "method")) {
        if (ret->result || error)
            return err_set(e, E_INVALID, "a message has either a method or an answer");
        return read_call(ret, message, e);
    }
    if (error && ret->result)
        return err_set(e, E_INVALID, "an answer has either a result or an error");
    if (error)
        return read_error(ret, error, e);
    if (!ret->result)
        return err_set(e, E_INVALID, "neither method nor result nor error");
    if (!ret->id || !val_is(ret->result, JSON_OBJ))
        return err_set(e, E_INVALID, "an answer has an id and an object as its result");
    ret->kind = JSONRPC_RESULT;
    return 0;
}

static struct val *envelope(void)
{
    return val_put_cstr(val_obj(), "jsonrpc", val_cstr("2.0"));
}

struct val *jsonrpc_request(struct val *takes_id, const char *method, struct val *takes_params)
{
    struct val *v = val_put_cstr(envelope(), "id", takes_id);
    v = val_put_cstr(v, "method", val_cstr(method));
    return takes_params ? val_put_cstr(v, "params", takes_params) : v;
}

struct val *jsonrpc_notification(const char *method, struct val *takes_params)
{
    struct val *v = val_put_cstr(envelope(), "method", val_cstr(method));
    return takes_params ? val_put_cstr(v, "params", takes_params) : v;
}

struct val *jsonrpc_result(struct val *takes_id, struct val *takes_result)
{
    return val_put_cstr(val_put_cstr(envelope(), "id", takes_id), "result", takes_result);
}

struct val *jsonrpc_error(struct val *takes_id, int code, struct bytes text, struct val *takes_data)
{
    struct val *v = envelope();
    if (takes_id)
        v = val_put_cstr(v, "id", takes_id);
    struct val *error = val_put_cstr(val_obj(), "code", val_int(code));
    error = val_put_cstr(error, "message", val_str(text));
    if (takes_data)
        error = val_put_cstr(error, "data", takes_data);
    return val_put_cstr(v, "error", error);
}
