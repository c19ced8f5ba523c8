// label_fuzz.c: any bytes as a label and as a declassification: refused with a sentence, or read,
// and then what is written of it reads the same.
// SPDX-License-Identifier: Apache-2.0
#include "trust/label.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_label(struct label_names *n, struct bytes text)
{
    struct label l, again;
    struct err e = {0};
    struct buf out;
    int rc = label_parse(n, text, &l, &e);
    if (rc != 0) {
        if ((rc != E_INVALID && rc != E_FULL) || e.code != rc || !e.n)
            abort();
        return;
    }
    buf_init(&out, LABEL_TEXT_MAX);
    label_put(&out, n, l);
    if (out.failed || label_parse_known(n, buf_bytes(&out), &again, &e) != 0)
        abort();
    if (again.level != l.level || again.compartments != l.compartments)
        abort();
    buf_fini(&out);
}

static void try_declass(const struct label_names *n, struct bytes text)
{
    struct label_declass d, again;
    struct err e = {0};
    struct buf out, second;
    uint8_t sig[LABEL_SIG_LEN];
    int rc = label_declass_parse(n, text, &d, NULL, sig, &e);
    if (rc != 0) {
        if (rc != E_INVALID || e.code != rc || !e.n)
            abort();
        return;
    }
    buf_init(&out, 2 * LABEL_DECLASS_TEXT_MAX);
    if (label_declass_put(&out, n, &d, &e) != 0 || label_declass_seal(&out, sig) != 0 ||
        label_declass_parse(n, buf_bytes(&out), &again, NULL, NULL, &e) != 0)
        abort();
    buf_init(&second, 2 * LABEL_DECLASS_TEXT_MAX);
    if (label_declass_put(&second, n, &again, &e) != 0 || label_declass_seal(&second, sig) != 0 ||
        !bytes_eq(buf_bytes(&out), buf_bytes(&second)))
        abort();
    buf_fini(&out);
    buf_fini(&second);
}

// The first line is a label (its compartments are then known), the rest a declassification.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = {(const char *)data, size}, line = bytes_cut(&rest, '\n');
    struct label_names *n = label_names_new();
    if (!n)
        return 0;
    try_label(n, line);
    try_declass(n, rest);
    label_names_free(n);
    return 0;
}
