// wasm_abi_test.c: our own prototypes of wasmtime's C API against those of the package that the
// library came in, so that a newer one that differs is noticed. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "enclave/enclave.h"
#include "enclave/wasm_api_priv.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void compare(void **state)
{
    (void)state;
    char found[512], real[PATH_MAX], command[PATH_MAX + 128], bindings[PATH_MAX + 32];
    if (enclave_find(found, sizeof found, NULL) != 0 || !realpath(found, real))
        skip();
    char *folder = dirname(dirname(real)); // wasmtime/linux-x86_64/_libwasmtime.so
    (void)snprintf(bindings, sizeof bindings, "%s/_bindings.py", folder);
    if (access(bindings, R_OK) != 0)
        skip(); // a library from elsewhere
    (void)snprintf(command, sizeof command, "python3 tests/lib/wasm_abi.py '%s'", dirname(folder));
    FILE *f = popen(command, "w");
    assert_non_null(f);
#define STRUCT(ours, theirs) fprintf(f, "struct %s %zu", theirs, sizeof(struct ours))
#define FIELD(ours, field, theirs) fprintf(f, " %s=%zu", theirs, offsetof(struct ours, field))
    STRUCT(wasm_vec, "wasm_byte_vec_t");
    FIELD(wasm_vec, size, "size");
    FIELD(wasm_vec, data, "data");
    fputc('\n', f);
    STRUCT(wasm_vec, "wasm_exporttype_vec_t");
    fputc('\n', f);
    STRUCT(wasm_func, "wasmtime_func");
    fputc('\n', f);
    STRUCT(wasm_instance, "wasmtime_instance");
    fputc('\n', f);
    STRUCT(wasm_extern, "wasmtime_extern");
    FIELD(wasm_extern, kind, "kind");
    FIELD(wasm_extern, of, "of");
    fputc('\n', f);
    STRUCT(wasm_linear, "wasmtime_linear_memory");
    FIELD(wasm_linear, get, "get_memory");
    FIELD(wasm_linear, grow, "grow_memory");
    FIELD(wasm_linear, finalizer, "finalizer");
    fputc('\n', f);
    STRUCT(wasm_creator, "wasmtime_memory_creator");
    FIELD(wasm_creator, make, "new_memory");
    fputc('\n', f);
    fprintf(f, "struct wasmtime_val_raw %zu\n", sizeof(union wasm_raw));
    fprintf(f, "enum wasmtime_trap_code_enum WASMTIME_TRAP_CODE_STACK_OVERFLOW %d\n",
            WASM_TRAP_STACK);
    fprintf(f, "enum wasmtime_trap_code_enum WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED %d\n",
            WASM_TRAP_UNREACHABLE);
    fprintf(f, "enum wasmtime_trap_code_enum WASMTIME_TRAP_CODE_INTERRUPT %d\n",
            WASM_TRAP_INTERRUPT);
    fprintf(f, "enum wasmtime_trap_code_enum WASMTIME_TRAP_CODE_OUT_OF_FUEL %d\n", WASM_TRAP_FUEL);
#define X(type, name, args) fprintf(f, "function %s %s|%s\n", #name, #type, #args);
    WASM_API(X)
#undef X
    assert_int_equal(pclose(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(compare)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
