// x509.h: certificates (RFC 5280) and requests for them (RFC 2986), P-256 only where made here.
// Mechanics and facts; what a certificate must be like to be an identity is trust/svid.h's.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_X509_H
#define PLEXUS_CRYPTO_X509_H

#include "crypto/sign.h"

#define X509_CHAIN_MAX 8         // certificates that a peer may send
#define X509_DER_MAX (16 * 1024) // one certificate or request
#define X509_ROOTS_MAX 32
#define X509_SERIAL_MAX 20 // RFC 5280, section 4.1.2.2

// ---- PEM (RFC 7468) ----

int x509_pem_put(struct buf *out, const char *label, struct bytes der); // "CERTIFICATE"
// Takes the next block of that label off *rest into der (cleared before). 1: one, 0: no more;
// E_PARSE: broken text.
int x509_pem_next(struct bytes *rest, const char *label, struct buf *der, struct err *e);

// ---- requests ----

int x509_csr_make(const struct crypto_key *k, struct buf *out_der, struct err *e);
// Checks that it is signed by the key it names (proof of possession) and gives that key (P-256
// only). Names and extensions that it asks for are not looked at. E_PARSE, E_SECURITY,
// E_UNSUPPORTED.
int x509_csr_open(struct bytes der, struct crypto_key **ret_public, struct err *e);

// ---- making ----

// A self-signed authority: CA with path length 0, certificate and CRL signing, subject O=plexus,
// URI SAN uri ("spiffe://DOMAIN").
int x509_authority(const struct crypto_key *k, const char *uri, int64_t not_before_ms,
                   int64_t not_after_ms, struct buf *out_der, struct err *e);

// An authority made ready: one issue costs one signature and no parsing.
struct x509_signer;
int x509_signer_new(struct x509_signer **ret, const struct crypto_key *k, struct bytes ca_der,
                    struct err *e); // copies; E_INVALID: key and certificate do not belong together
void x509_signer_free(struct x509_signer *s);

struct x509_issue_args {
    const struct crypto_key *key; // the holder's public half
    const char *uri; // the one URI SAN
    int64_t not_before_ms, not_after_ms; // wall; seconds in the certificate
    uint64_t epoch; // below 2^63: first 8 bytes of the serial number; 8 random bytes follow
};
// A leaf: no CA, key usage digitalSignature and keyAgreement, extended usage server and client
// authentication, subject O=plexus.
int x509_issue(const struct x509_signer *s, const struct x509_issue_args *args, struct buf *out_der,
               struct err *e);

// ---- looking ----

enum { // key usage, as the bits of RFC 5280, section 4.2.1.3
    X509_USE_SIGN = 1, // digitalSignature
    X509_USE_CERT_SIGN = 2, // keyCertSign
    X509_USE_CRL_SIGN = 4, // cRLSign
    X509_USE_OTHER = 8,
};
#define X509_URI_MAX 2049
struct x509_info {
    bool ca, self_signed; // self_signed: issuer is subject, and its own key signed it
    bool has_usage, has_extended, server, client; // extended usage: which of the two it names
    unsigned usage; // X509_USE_*, when has_usage
    int uri_count; // URI SANs
    char uri[X509_URI_MAX]; // the first; "" when none, or when it has NUL bytes or is too long
    int64_t not_before_ms, not_after_ms;
    uint8_t serial[X509_SERIAL_MAX]; // big-endian, serial_n bytes
    int serial_n;
    uint64_t epoch; // first 8 of the serial's 16 bytes; 0 when it is longer
    uint8_t key_hash[32]; // SHA-256 of the SubjectPublicKeyInfo
};
int x509_info(struct bytes der, struct x509_info *ret,
              struct err *e); // E_PARSE: also trailing bytes
int x509_key(struct bytes der, struct crypto_key **ret_public, struct err *e);

// Trusted authorities made ready.
struct x509_roots;
int x509_roots_new(struct x509_roots **ret, const struct bytes *der, int count, struct err *e);
void x509_roots_free(struct x509_roots *r);
// Path validation (RFC 5280, section 6) of der[0] through der[1...] to a root, at now_ms. E_PARSE;
// E_SECURITY with the reason: not signed by these roots, expired and since when, not yet valid and
// until when, a bad signature, an unknown critical extension, ...
int x509_chain(const struct x509_roots *r, const struct bytes *der, int count, int64_t now_ms,
               struct err *e);

#endif
