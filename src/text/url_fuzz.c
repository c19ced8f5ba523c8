// url_fuzz.c: any bytes as an address, a path, a query; what is encoded must decode to itself.
// SPDX-License-Identifier: Apache-2.0
#include "text/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes text = {(const char *)p, n};
    struct url u;
    struct url_addr a;
    struct err e = {0};
    if (url_parse(&u, text, &e) != e.code || (!e.code && (!u.host.n || !u.port)))
        abort();
    e.code = 0;
    if (url_addr_parse(&a, text, &e) != e.code)
        abort();
    (void)url_is_loopback(text);
    struct buf encoded, decoded;
    buf_init(&encoded, 1 << 20);
    buf_init(&decoded, 1 << 20);
    if (url_encode(&encoded, text))
        abort();
    if (!url_path_decode(&decoded, buf_bytes(&encoded), NULL) &&
        !bytes_eq(buf_bytes(&decoded), text))
        abort();
    buf_clear(&decoded);
    (void)url_path_decode(&decoded, text, NULL);
    buf_clear(&decoded);
    (void)url_query(text, "name", &decoded);
    buf_clear(&decoded);
    if (n && url_query(buf_bytes(&encoded), "", &decoded))
        abort(); // without '=' the whole is a name, and it is not empty
    buf_fini(&encoded);
    buf_fini(&decoded);
    return 0;
}
