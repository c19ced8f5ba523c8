// cloudevent.h: CloudEvents 1.0 (cloudevents/spec v1.0.2): as JSON (structured mode, json-format
// section 3) and as headers with the data beside them (binary mode of the HTTP and NATS bindings).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_CLOUDEVENT_H
#define PLEXUS_TEXT_CLOUDEVENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define CLOUDEVENT_EXT_MAX 16
#define CLOUDEVENT_JSON "application/cloudevents+json"

enum cloudevent_kind { CLOUDEVENT_STR, CLOUDEVENT_INT, CLOUDEVENT_BOOL };
// What data is: nothing, JSON text, other text (UTF-8), bytes.
enum cloudevent_data { CLOUDEVENT_NONE, CLOUDEVENT_VALUE, CLOUDEVENT_TEXT, CLOUDEVENT_BYTES };

struct cloudevent_ext { // an extension attribute; in headers all are text
    struct bytes name;  // a-z and 0-9, at most 20
    enum cloudevent_kind kind;
    struct bytes text;  // also of numbers and true, false: their canonical text
};

struct cloudevent {
    struct bytes id, source, type;              // required, not empty
    struct bytes subject, time, content, schema; // "content" is datacontenttype; p NULL: absent
    struct cloudevent_ext ext[CLOUDEVENT_EXT_MAX];
    size_t ext_count;
    enum cloudevent_data kind;
    struct bytes data;
    bool has_version; // specversion 1.0 was said (headers)
};

// Required attributes, forms (RFC 3339 time, RFC 2046 media type, URI reference), names, doubles.
// E_INVALID says which attribute.
int cloudevent_check(const struct cloudevent *c, struct err *e);
struct bytes cloudevent_find(const struct cloudevent *c, const char *name); // an extension's text
int cloudevent_add(struct cloudevent *c, const char *name, struct bytes text); // E_FULL

// Structured mode. Strings are copied into the arena. E_PARSE, E_INVALID, E_FULL (too many
// extensions), E_NOMEM.
int cloudevent_parse(struct cloudevent *ret, struct arena *a, struct bytes json, struct err *e);
int cloudevent_put(struct buf *out, const struct cloudevent *c); // checked before

// Binary mode: lines "ce-id: ...\r\n", and "Content-Type: ...\r\n".
int cloudevent_put_headers(struct buf *out, const struct cloudevent *c);
// One header of a message. 1: it was an attribute and is taken; 0: none of ours. ret is zeroed
// before the first; after the last: cloudevent_check (has_version must be set). The data are the
// message's.
int cloudevent_header(struct cloudevent *ret, struct arena *a, struct bytes name,
                      struct bytes value, struct err *e);

// Bytes out of base64 (RFC 4648, section 4), strict. E_INVALID, E_NOMEM.
int cloudevent_base64(struct bytes *ret, struct arena *a, struct bytes text, struct err *e);
int cloudevent_put_base64(struct buf *out, struct bytes data);
int64_t cloudevent_time(struct bytes rfc3339); // milliseconds since 1970 UTC; 0: not a time

#endif
