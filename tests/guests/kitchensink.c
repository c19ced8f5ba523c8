// kitchensink.c: a little of everything: input, config, vars, log, a function of the host.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

__attribute__((import_module("extism:host/user"), import_name("shout"))) extern uint64_t
shout(uint64_t handle);

PDK_TOOL(everything)
{
    size_t n, before_n = 0, loud_n = 0;
    char *in = pdk_input(&n);
    if (!in)
        return 1;
    char *before = pdk_text(pdk_var_get(pdk_block("last", 4)), &before_n);
    char *greeting = pdk_config("greeting");
    char *loud = pdk_text(shout(pdk_block(in, n)), &loud_n);
    pdk_log_debug(pdk_block("debug line", 10));
    pdk_log_info(pdk_block("info line", 9));
    pdk_log_warn(pdk_block("warn line", 9));
    pdk_log_error(pdk_block("error line", 10));
    pdk_var_set(pdk_block("last", 4), pdk_block(in, n));
    struct pdk_out o = {0};
    pdk_puts(&o, greeting ? greeting : "-");
    pdk_putc(&o, ' ');
    pdk_add(&o, loud ? loud : "-", loud ? loud_n : 1);
    pdk_putc(&o, ' ');
    pdk_add(&o, before ? before : "-", before ? before_n : 1);
    return pdk_done(&o);
}

PDK_TOOL(forget)
{
    pdk_var_set(pdk_block("last", 4), 0);
    return 0;
}
