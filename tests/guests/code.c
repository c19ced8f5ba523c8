// code.c: counts vowels; a var and a config value go with the answer.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

#include "vowels.h"

PDK_TOOL(count_vowels)
{
    size_t n, value_n = 0;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    pdk_var_set(pdk_block("a", 1), pdk_block("this is var a", 13));
    char *value = pdk_text(pdk_var_get(pdk_block("a", 1)), &value_n);
    char *thing = pdk_config("thing");
    struct pdk_out o = {0};
    pdk_puts(&o, "{\"count\": ");
    pdk_putu(&o, vowels(in, n));
    pdk_puts(&o, ", \"config\": \"");
    pdk_puts(&o, thing ? thing : "<unset by host>");
    pdk_puts(&o, "\", \"a\": ");
    pdk_quote(&o, value ? value : "", value_n);
    pdk_puts(&o, "}");
    return pdk_done(&o);
}
