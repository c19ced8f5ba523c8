// proto.h: protocol buffers without generated code: descriptors (a FileDescriptorSet, or .proto
// text) become types; messages are turned into JSON values and back as proto3's JSON mapping says.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_PROTO_H
#define PLEXUS_TEXT_PROTO_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "text/val.h"

struct proto;         // a set of types
struct proto_message; // lives as long as its set

int proto_new(struct proto **ret, struct err *e); // knows google.protobuf's well-known types
void proto_free(struct proto *p);
void proto_auto(struct proto **p);
// Types of a serialized google.protobuf.FileDescriptorSet. E_PARSE, E_TOOBIG, E_NOMEM, E_EXISTS (a
// type of that name is there).
int proto_add_set(struct proto *p, struct bytes set, struct err *e);
// Types and services of a .proto text (proto3; proto2 without groups and extensions). Imports are
// not followed: ask with proto_import. E_PARSE with the line.
int proto_add_text(struct proto *p, struct bytes text, struct err *e);
// What the texts import, but for google/protobuf/*: start with *at = 0; false at the end.
bool proto_import(const struct proto *p, size_t *at, struct bytes *ret_path);
// After the last add: every name must be known. E_NOTFOUND names the one that is not.
int proto_link(struct proto *p, struct err *e);

// "temporal.api.history.v1.History"; NULL: not there.
const struct proto_message *proto_message(const struct proto *p, struct bytes name);
struct bytes proto_message_name(const struct proto_message *m);
struct proto_method {
    const struct proto_message *in, *out;
    bool client_stream, server_stream;
    struct bytes service, name; // the service's full name
};
// service: full name, or its last part where only one has it.
bool proto_method(const struct proto *p, struct bytes service, struct bytes name,
                  struct proto_method *ret);

// JSON value → wire bytes, appended, fields in the order of their numbers. Field names as in JSON
// (lowerCamelCase) or as in the .proto; enums by name or number; 64-bit integers as text or number;
// bytes in base64 (also base64url); null: absent. E_INVALID: "command 3: field attempt: not an
// integer"; unknown fields are refused.
int proto_encode(const struct proto_message *m, const struct val *v, struct buf *out,
                 struct err *e);
// Wire bytes → JSON value. Unknown fields are skipped, what has its default value is absent, 64-bit
// integers are texts, unknown enum numbers are numbers, maps are objects. E_PARSE, E_TOOBIG (nested
// over 100 deep), E_NOMEM.
int proto_decode(const struct proto_message *m, struct bytes wire, struct val **ret, struct err *e);

// RFC 4648 base64: with + and /, padded. Reading also takes the URL alphabet and missing padding.
void proto_base64_put(struct buf *out, struct bytes data);
int proto_base64_get(struct buf *out, struct bytes text); // 0, E_PARSE; the buffer's failures
// google.protobuf.Timestamp's text ("2026-01-31T12:00:00.123Z"), years 1 to 9999. E_PARSE.
int proto_time_get(struct bytes text, int64_t *ret_s, int32_t *ret_ns);
void proto_time_put(struct buf *out, int64_t s, int32_t ns);
// Duration's: "3.5s". E_PARSE.
int proto_duration_get(struct bytes text, int64_t *ret_s, int32_t *ret_ns);
void proto_duration_put(struct buf *out, int64_t s, int32_t ns);

#endif
