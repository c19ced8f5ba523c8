// upper.c: a function that takes a handle, for other modules: not a tool.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

__attribute__((export_name("host_reflect"))) uint64_t host_reflect(uint64_t handle);
uint64_t host_reflect(uint64_t handle)
{
    size_t n = (size_t)pdk_length(handle);
    for (size_t i = 0; i < n; i++) {
        uint32_t c = pdk_load_u8(handle + i);
        pdk_store_u8(handle + i, c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    return handle;
}
