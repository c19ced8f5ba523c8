// nvml_test.c: cards by a management library made of tables, and its answers over the wire.
// SPDX-License-Identifier: Apache-2.0
#include "host/profiles_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

// ---- a management library made of tables --------------------------------------------------------
static int fake_fail; // NVML's code that init answers

static int fake_init(void)
{
    return fake_fail;
}
static int fake_shutdown(void)
{
    return 0;
}
static int fake_driver(char *to, unsigned int n)
{
    return snprintf(to, n, "575.57.08") < 0;
}
static int fake_cuda(int *v)
{
    *v = 12090;
    return 0;
}
static int fake_count(unsigned int *n)
{
    *n = 3;
    return 0;
}
// Handles: 1, 2 cards; 11, 12 slices of card 1. The third card fell off the bus.
static int fake_by_index(unsigned int i, void **ret)
{
    *ret = (void *)(uintptr_t)(i + 1);
    return i == 2 ? 15 : 0;
}
static int fake_name(void *d, char *to, unsigned int n)
{
    return snprintf(to, n, (uintptr_t)d > 10 ? "NVIDIA Card MIG 1g.24gb" : "NVIDIA Card") < 0;
}
static int fake_uuid(void *d, char *to, unsigned int n)
{
    return snprintf(to, n, "id-%d", (int)(uintptr_t)d) < 0;
}
static int fake_memory(void *d, struct host_nvml_memory *m)
{
    m->total = (uintptr_t)d > 10 ? 24ull << 30 : 96ull << 30;
    return 0;
}
static int fake_compute(void *d, int *a, int *b)
{
    (void)d;
    *a = 12;
    *b = 0;
    return 0;
}
static int fake_pci(void *d, struct host_nvml_pci *p)
{
    (void)snprintf(p->bus_id, sizeof p->bus_id, "00000000:%02X:00.0",
                   0xc0 + (unsigned)(uintptr_t)d);
    return 0;
}
static int fake_mig(void *d, unsigned int *now, unsigned int *then)
{
    *now = *then = (uintptr_t)d == 1;
    return 0;
}
static int fake_mig_max(void *d, unsigned int *n)
{
    (void)d;
    *n = 7;
    return 0;
}
static int fake_mig_at(void *d, unsigned int i, void **ret)
{
    *ret = (void *)(uintptr_t)(10 * (uintptr_t)d + i);
    return i == 1 || i == 2 ? 0 : 6; // NVML_ERROR_NOT_FOUND
}
static int fake_gi(void *d, unsigned int *id)
{
    *id = (unsigned)(uintptr_t)d - 8;
    return 0;
}
static int fake_ci(void *d, unsigned int *id)
{
    (void)d;
    *id = 0;
    return 0;
}
static int fake_virtualization(void *d, int *mode)
{
    *mode = (uintptr_t)d == 2;
    return 0;
}
static const char *fake_error(int code)
{
    return code == 9 ? "Driver Not Loaded" : NULL;
}

static void management_library(void **state)
{
    struct host_nvml_api api = {.init = fake_init,
                                .shutdown = fake_shutdown,
                                .driver_version = fake_driver,
                                .cuda_version = fake_cuda,
                                .count = fake_count,
                                .by_index = fake_by_index,
                                .name = fake_name,
                                .uuid = fake_uuid,
                                .memory = fake_memory,
                                .compute = fake_compute,
                                .pci = fake_pci,
                                .mig_mode = fake_mig,
                                .mig_max = fake_mig_max,
                                .mig_by_index = fake_mig_at,
                                .gpu_instance = fake_gi,
                                .compute_instance = fake_ci,
                                .virtualization = fake_virtualization,
                                .error = fake_error};
    struct host_nvml n, again;
    struct json_doc *doc = NULL;
    struct err e = {0};
    struct buf b;
    (void)state;
    assert_int_equal(host_nvml_ask(&api, &n, &e), 0);
    assert_int_equal(n.count, 2);
    assert_string_equal(n.cuda, "12.9");
    assert_string_equal(n.gpus[0].pci, "0000:c1:00.0");
    assert_string_equal(n.gpus[0].compute, "12.0");
    assert_true(n.gpus[0].mig && n.gpus[0].usable);
    assert_int_equal(n.gpus[0].slice_count, 2);
    assert_string_equal(n.gpus[0].slices[1].profile, "1g.24gb");
    assert_string_equal(n.gpus[0].slices[1].uuid, "id-12");
    assert_int_equal(n.gpus[0].slices[1].gpu_instance, 4);
    assert_string_equal(n.gpus[1].virtualization, "passthrough");
    buf_init(&b, 65536); // over the wire and back
    assert_int_equal(host_nvml_write(&b, &n), 0);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), 0, NULL), 0);
    assert_int_equal(host_nvml_read(&again, json_root(doc), &e), 0);
    assert_memory_equal(&n, &again, sizeof n);
    json_free(doc);
    fake_fail = 9;
    assert_int_equal(host_nvml_ask(&api, &n, &e), E_UNAVAILABLE);
    assert_non_null(strstr(e.text, "Driver Not Loaded"));
    fake_fail = 0;
    // an old library knows less
    api.cuda_version = NULL;
    api.compute = NULL;
    api.pci = NULL;
    api.mig_mode = NULL;
    api.virtualization = NULL;
    api.error = NULL;
    assert_int_equal(host_nvml_ask(&api, &n, &e), 0);
    assert_false(n.gpus[0].mig);
    assert_string_equal(n.gpus[0].pci, "");
    buf_fini(&b);
}

static void wire(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"{\"error\":\"no libnvidia-ml.so.1\",\"symbol\":\"E_NOTFOUND\"}", E_NOTFOUND},
        {"{\"error\":\"x\"}", E_UNAVAILABLE},
        {"{}", E_PARSE},
        {"[]", E_PARSE},
        {"{\"gpus\":{}}", E_PARSE},
        {"{\"gpus\":[1,{\"slices\":[2]}]}", 0},
        {"{\"gpus\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct json_doc *doc = NULL;
        struct host_nvml n;
        assert_int_equal(json_parse(&doc, bytes_of(rows[i].text), 0, NULL), 0);
        assert_int_equal(host_nvml_read(&n, json_root(doc), NULL), rows[i].code);
        json_free(doc);
    }
}

// What the child writes on a machine without the library: an error that is read as one. Where the
// library is there, whatever it says must be readable.
static void child(void **state)
{
    struct json_doc *doc = NULL;
    struct host_nvml n;
    char text[65536];
    size_t used = 0;
    ssize_t got;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(host_nvml_child(ends[1]), 0);
    (void)close(ends[1]);
    while ((got = read(ends[0], text + used, sizeof text - used)) > 0)
        used += (size_t)got;
    (void)close(ends[0]);
    assert_int_equal(json_parse(&doc, (struct bytes){text, used}, 0, NULL), 0);
    int rc = host_nvml_read(&n, json_root(doc), NULL);
    assert_true(rc == 0 || rc == E_NOTFOUND || rc == E_UNAVAILABLE);
    json_free(doc);
    assert_int_equal(host_nvml_child(-1), 1); // nobody to write to
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(child), cmocka_unit_test(wire),
                                       cmocka_unit_test(management_library)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
