// proto_fuzz.c: the first byte picks: any bytes as descriptors, as a .proto text, or as a message
// of a type that has all kinds of fields; what is read is written and reads the same.
// SPDX-License-Identifier: Apache-2.0
#include "text/proto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char types[] =
    "syntax = \"proto3\"; package t; enum E { A = 0; B = 1; }"
    "message M { string a = 1; int32 b = 2; sint64 c = 3; double d = 4; bytes e = 5; E f = 6;"
    " repeated int32 g = 7; repeated string h = 8; map<string, M> i = 9; map<int32, E> j = 10;"
    " optional uint64 k = 11; oneof x { string l = 12; M m = 13; } fixed32 n = 14; bool o = 15;"
    " google.protobuf.Timestamp p = 16; google.protobuf.Duration q = 17;"
    " google.protobuf.Any r = 18; google.protobuf.Struct s = 19; google.protobuf.StringValue u = "
    "20;"
    " google.protobuf.FieldMask v = 21; repeated google.protobuf.Value w = 22; }";

static struct proto *set_of(void)
{
    struct proto *p = NULL;
    if (proto_new(&p, NULL) || proto_add_text(p, bytes_of(types), NULL) || proto_link(p, NULL))
        abort();
    return p;
}

static void message(const struct proto_message *m, struct bytes wire)
{
    struct err e = {0};
    struct val *v = NULL, *again = NULL;
    int rc = proto_decode(m, wire, &v, &e);
    if (rc != e.code)
        abort();
    if (rc)
        return;
    struct buf b;
    buf_init(&b, 1 << 24);
    rc = proto_encode(m, v, &b, &e);
    if (rc && rc != E_INVALID && rc != E_TOOBIG) // Any whose @type is empty, masks, depth
        abort();
    if (!rc) {
        rc = proto_decode(m, buf_bytes(&b), &again, &e);
        if (rc && rc != E_TOOBIG)
            abort();
    }
    buf_fini(&b);
    val_unref(v);
    val_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct proto *set;
    struct bytes in = bytes_from((struct bytes){(const char *)p, n}, 1);
    struct err e = {0};
    if (!n)
        return 0;
    if (!set)
        set = set_of();
    if (*p % 3 == 0) {
        message(proto_message(set, BYTES("t.M")), in);
        return 0;
    }
    struct proto *own = NULL;
    if (proto_new(&own, &e))
        return 0;
    int rc = *p % 3 == 1 ? proto_add_set(own, in, &e) : proto_add_text(own, in, &e);
    if (!rc)
        rc = proto_link(own, &e);
    if (rc != e.code)
        abort();
    proto_free(own);
    return 0;
}
