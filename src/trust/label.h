// label.h: labels on data, clearances on whoever may get it (Bell, LaPadula 1973): no read up, no
// write down. Pure.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_LABEL_H
#define PLEXUS_TRUST_LABEL_H

#include "base/buf.h"
#include "base/err.h"

enum label_level { LABEL_PUBLIC, LABEL_INTERNAL, LABEL_CONFIDENTIAL, LABEL_RESTRICTED };

// A point of the lattice: a level and a set of compartments. The same type is a clearance.
struct label {
    uint8_t level;
    uint64_t compartments; // bit i: the table's name i; all bits: every compartment ("*")
};
#define LABEL_ALL ((struct label){LABEL_RESTRICTED, UINT64_MAX})

// Names of compartments, one table a node. 63 names at most; one more is E_FULL (so refused).
struct label_names;
struct label_names *label_names_new(void);
void label_names_free(struct label_names *n);

#define LABEL_TEXT_MAX 1024 // the text of any label fits
#define LABEL_NAME_MAX 32   // a compartment: a-z 0-9, and - _ inside
// "confidential", "confidential:eng,hr", "restricted:*". E_INVALID with the mend, E_FULL. New names
// are added, all or none.
int label_parse(struct label_names *n, struct bytes text, struct label *ret, struct err *e);
// The same for texts of strangers, who must not fill the table: an unknown name is E_INVALID.
int label_parse_known(const struct label_names *n, struct bytes text, struct label *ret,
                      struct err *e);
void label_put(struct buf *out, const struct label_names *n, struct label l); // names sorted

bool label_dominates(struct label a,
                     struct label b); // a at least as high, has all compartments of b
struct label label_join(struct label a, struct label b);

// ---- the one decision at every crossing ----

// Each is a flow of data to somebody: a read brings it to the reader, a write to what is written.
enum label_op {
    LABEL_READ_REPLY, // an answer, to who asked
    LABEL_READ_RECORD, // of registry, log or state, to who reads
    LABEL_ASK_MODEL, // a request, to a model or its engine
    LABEL_ASK_CLOUD, // the same to tier cloud: restricted never goes there
    LABEL_HOP, // a request, to another node
    LABEL_PUBLISH, // a message, to a subject
    LABEL_DELIVER, // a message, to a subscriber
    LABEL_WRITE_RECORD,
    LABEL_HAND_AGENT, // an agent or parcel, to another node
    LABEL_DECLASSIFY, // data gets a lower label by the word of a key
    LABEL_OPS
};
const char *label_op_name(enum label_op op); // "ask_model": for metrics and events

struct label_crossing {
    enum label_op op;
    struct label data; // what crosses; LABEL_DECLASSIFY: its label before
    struct label clearance; // of who or what gets it; LABEL_DECLASSIFY: of the key that signed
    struct label to; // LABEL_DECLASSIFY only: its label after
    // Only for the sentence of a refusal (names may be NULL when e is):
    const struct label_names *names;
    const char *what, *who; // "the request", "the model small"
};
// 0, or E_SECURITY with both labels in the text. No memory, no text, no call on the way to 0.
int label_decide(const struct label_crossing *x, struct err *e);

// ---- declassification: the only way down ----

// A statement about one piece of data, signed by a key that may. Its text is
// base64url(JSON).base64url(signature), the JSON {"from","to","data","who","reason","at",
// "expires"}: labels, SHA-256 in hex, the key's name, a sentence, seconds since 1970. Signed are
// the bytes LABEL_DECLASS_MARK and the first part of the text (Ed25519, RFC 8032).
#define LABEL_DECLASS_MARK "plexus declassification 1\n"
#define LABEL_DECLASS_TEXT_MAX 8192
#define LABEL_DECLASS_WHO_MAX 64
#define LABEL_DECLASS_REASON_MAX 256
#define LABEL_DECLASS_SKEW_S 60 // a clock may be that much behind the signer's
#define LABEL_SIG_LEN 64
struct label_declass {
    struct label from, to;
    uint8_t data[32];
    char who[LABEL_DECLASS_WHO_MAX + 1];
    char reason[LABEL_DECLASS_REASON_MAX + 1];
    int64_t at_s, expires_s;
};
// Appends the first part. E_INVALID (a word too long or empty), or the buffer's failure.
int label_declass_put(struct buf *out, const struct label_names *n, const struct label_declass *d,
                      struct err *e);
// The bytes to sign, from the first part.
int label_declass_mark(struct buf *out, struct bytes first);
int label_declass_seal(struct buf *out, const uint8_t sig[LABEL_SIG_LEN]); // appends the rest
// Reads without believing. E_INVALID; ret_first: for label_declass_mark; any may be NULL.
int label_declass_parse(const struct label_names *n, struct bytes text, struct label_declass *ret,
                        struct bytes *ret_first, uint8_t ret_sig[LABEL_SIG_LEN], struct err *e);

struct label_declass_args {
    struct label label; // the data's label now: the statement must be about it
    struct bytes data;
    int64_t wall_ms;
    // Is this the signature of that key? 0 with the key's clearance, else E_SECURITY and why.
    int (*verify)(void *user, struct bytes who, struct bytes signed_text,
                  const uint8_t sig[LABEL_SIG_LEN], struct label *ret_clearance, struct err *e);
    void *user; // label_signers_verify: the signers
};
// 0: ret->to is the data's label from now on; the caller logs it. E_INVALID, E_SECURITY, E_NOMEM.
int label_declass_check(const struct label_names *n, struct bytes text,
                        const struct label_declass_args *args, struct label_declass *ret,
                        struct err *e);

// The keys that may sign: made once, asked by label_declass_check.
#define LABEL_SIGNERS_MAX 256
struct label_signers;
struct label_signers *label_signers_new(void);
void label_signers_free(struct label_signers *s);
// key: Ed25519 public key, base64url. E_INVALID, E_EXISTS (name), E_FULL.
int label_signers_add(struct label_signers *s, struct bytes name, struct bytes key,
                      struct label clearance, struct err *e);
// A new key: 32 secret bytes and the public key, both as base64url.
int label_signer_make(struct buf *ret_secret, struct buf *ret_public, struct err *e);
// The whole text of a statement about these data (d->data is not looked at). E_INVALID: the secret.
int label_declass_sign(struct buf *out, const struct label_names *n, const struct label_declass *d,
                       struct bytes data, struct bytes secret, struct err *e);
int label_signers_verify(void *signers, struct bytes who, struct bytes signed_text,
                         const uint8_t sig[LABEL_SIG_LEN], struct label *ret_clearance,
                         struct err *e);

// ---- clearances of bus subjects ----

#define LABEL_SUBJECTS_MAX 1000
#define LABEL_SUBJECT_LEN_MAX 255
struct label_subjects; // rows "prod.organs.>" with clearances; the first that fits counts
struct label_subjects *label_subjects_new(struct label otherwise);
void label_subjects_free(struct label_subjects *t);
// "*" is one word, ">" at the end is one or more. E_INVALID, E_FULL, E_NOMEM.
int label_subjects_add(struct label_subjects *t, struct bytes pattern, struct label clearance,
                       struct err *e);
struct label label_subject(const struct label_subjects *t, struct bytes subject);

#endif
