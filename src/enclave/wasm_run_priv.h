// wasm_run_priv.h: between the parts that make an instance and that call into it. SPDX-License-
// Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_WASM_RUN_PRIV_H
#define PLEXUS_ENCLAVE_WASM_RUN_PRIV_H

#include "enclave/enclave_priv.h"

// Makes j->inst, without any code of the guest run. On failure j->inst may be half made.
int wasm_inst_new(struct wasm_job *j, struct err *e);
// Instantiates and initializes: runs the guest. false: it ended, j says how.
bool wasm_inst_start(struct wasm_job *j);
bool wasm_inst_function(struct wasm_inst *i, const struct wasm_export *x, struct wasm_func *ret);
// Runs the guest. false: it ended badly.
bool wasm_enter(struct wasm_job *j, const struct wasm_func *f, union wasm_raw *args, size_t n);
// Takes what wasmtime says about an end and puts it into j, unless a host function has.
void wasm_ended(struct wasm_job *j, void *error, void *trap);

#endif
