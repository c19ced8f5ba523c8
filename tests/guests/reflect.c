// reflect.c: what a function of the host makes of its input.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

__attribute__((import_module("extism:host/user"), import_name("host_reflect"))) extern uint64_t
host_reflect(uint64_t handle);

PDK_TOOL(reflect)
{
    size_t n, back_n;
    char *in = pdk_input(&n);
    char *back = in ? pdk_text(host_reflect(pdk_block(in, n)), &back_n) : 0;
    return back ? pdk_output(back, back_n) : pdk_error("no answer");
}
