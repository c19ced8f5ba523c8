// proto_priv.h: the types of a set, as proto_*.c make and walk them.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_PROTO_PRIV_H
#define PLEXUS_TEXT_PROTO_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "text/proto.h"

#define PROTO_DEPTH_MAX 100          // as protobuf's own readers
#define PROTO_BYTES_MAX ((size_t)64 << 20)
#define PROTO_NAMES_MAX 100000
#define PROTO_NUMBER_MAX ((1u << 29) - 1)

// Numbers of google.protobuf.FieldDescriptorProto.Type.
enum proto_type {
    PROTO_UNKNOWN = 0, // of a text: message or enum, proto_link knows
    PROTO_DOUBLE,
    PROTO_FLOAT,
    PROTO_INT64,
    PROTO_UINT64,
    PROTO_INT32,
    PROTO_FIXED64,
    PROTO_FIXED32,
    PROTO_BOOL,
    PROTO_STRING,
    PROTO_GROUP,
    PROTO_MESSAGE,
    PROTO_BYTES,
    PROTO_UINT32,
    PROTO_ENUM,
    PROTO_SFIXED32,
    PROTO_SFIXED64,
    PROTO_SINT32,
    PROTO_SINT64,
};
enum proto_wire { PROTO_VARINT, PROTO_I64, PROTO_LEN, PROTO_SGROUP, PROTO_EGROUP, PROTO_I32 };

struct proto_enum {
    struct bytes name;
    struct proto_value {
        struct bytes name;
        int32_t number;
    } *values;
    size_t count, cap;
};

struct proto_field {
    struct bytes name, json; // json: lowerCamelCase
    uint32_t number;
    enum proto_type type;
    bool repeated, packed;
    bool presence; // its default value is told from its absence: optional, oneof, proto2
    int oneof;     // -1: none; a synthetic one counts as none
    struct bytes type_name;
    const struct proto_message *message;
    const struct proto_enum *enumeration;
};

// Messages that JSON shows in another way.
enum proto_known {
    PROTO_PLAIN,
    PROTO_TIMESTAMP,
    PROTO_DURATION,
    PROTO_ANY,
    PROTO_STRUCT,
    PROTO_VALUE,
    PROTO_LIST,
    PROTO_WRAPPER,
    PROTO_MASK,
};

struct proto_message {
    struct proto *set;
    struct bytes name;
    enum proto_known known;
    bool map_entry;
    struct proto_field *fields; // by number, after proto_link
    size_t count, cap;
    struct proto_message *next; // all of the set
};

struct proto_rpc {
    struct bytes service, name, in, out;
    bool client_stream, server_stream;
    struct proto_rpc *next;
};

struct proto {
    struct arena *arena;
    struct map *messages, *enums; // by full name
    struct proto_message *all;
    struct proto_rpc *rpcs;
    struct bytes *imports;
    size_t import_count, import_cap;
};

int proto_add_message(struct proto *p, struct bytes name, struct proto_message **ret,
                      struct err *e); // keeps name as it is
int proto_add_field(struct proto_message *m, const struct proto_field *f, struct err *e);
int proto_add_enum(struct proto *p, struct bytes name, struct proto_enum **ret, struct err *e);
int proto_add_value(struct proto *p, struct proto_enum *n, struct bytes name, int32_t number,
                    struct err *e);
struct bytes proto_join(struct proto *p, struct bytes scope,
                        struct bytes name); // p NULL: no memory
const struct proto_field *proto_field_numbered(const struct proto_message *m, uint32_t number);
const struct proto_field *proto_field_named(const struct proto_message *m, struct bytes name);
bool proto_packable(enum proto_type t);

// One field off *rest. E_PARSE.
struct proto_slice {
    uint32_t number;
    enum proto_wire wire;
    uint64_t scalar;   // VARINT, I64, I32
    struct bytes data; // LEN; of a group: what is in it
};
int proto_next(struct bytes *rest, struct proto_slice *ret, int depth, struct err *e);
int proto_varint(struct bytes *rest, uint64_t *ret);
void proto_put_varint(struct buf *out, uint64_t v);
void proto_put_key(struct buf *out, uint32_t number, enum proto_wire wire);

int proto_decode_at(const struct proto_message *m, struct bytes wire, int depth, struct val **ret,
                    struct err *e);
int proto_encode_at(const struct proto_message *m, const struct val *v, int depth, struct buf *out,
                    struct err *e);
// Messages of a kind other than PROTO_PLAIN.
int proto_known_decode(const struct proto_message *m, struct bytes wire, int depth,
                       struct val **ret, struct err *e);
int proto_known_encode(const struct proto_message *m, const struct val *v, int depth,
                       struct buf *out, struct err *e);
int proto_scalar_decode(const struct proto_field *f, const struct proto_slice *s, int depth,
                        struct val **ret, struct err *e);

#endif
