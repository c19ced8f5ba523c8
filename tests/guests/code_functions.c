// code_functions.c: counts vowels, and gives its answer through a function of the host.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

#include "vowels.h"

__attribute__((import_module("extism:host/user"), import_name("hello_world"))) extern uint64_t
hello_world(uint64_t handle);

PDK_TOOL(count_vowels)
{
    size_t n;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    struct pdk_out o = {0};
    pdk_puts(&o, "{\"count\":");
    pdk_putu(&o, vowels(in, n));
    pdk_puts(&o, "}");
    uint64_t handle = hello_world(pdk_block(o.p, o.n));
    pdk_output_set(handle, pdk_length(handle));
    return 0;
}
