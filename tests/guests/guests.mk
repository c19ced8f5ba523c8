# guests.mk: the tests' WebAssembly modules and the example tools, from their C source; included by the
# top Makefile. Without clang's linker for WebAssembly there are none, and their tests skip.
GUEST_CC = $(CLANG) --target=wasm32 -O2 -nostdlib -mbulk-memory -Wall -Wextra -Wno-incompatible-library-redeclaration -Wl,--no-entry -Iexamples/tools
GUESTS_C := $(wildcard tests/guests/*.c)
TOOLS_C := $(wildcard examples/tools/*.c)
WASM_LD := $(shell command -v wasm-ld || command -v wasm-ld-19 || command -v wasm-ld-18 || command -v wasm-ld-14)
GUESTS := $(if $(WASM_LD),$(GUESTS_C:tests/guests/%.c=build/guests/%.wasm) $(TOOLS_C:examples/tools/%.c=build/tools/%.wasm))
build/guests/%.wasm: tests/guests/%.c tests/guests/vowels.h examples/tools/plexus_pdk.h
	@mkdir -p $(@D) && $(GUEST_CC) -o $@ $<
build/tools/%.wasm: examples/tools/%.c examples/tools/plexus_pdk.h
	@mkdir -p $(@D) && $(GUEST_CC) -o $@ $<

# Made with official PDKs: AssemblyScript's compiler comes with the tests' npm packages; Rust is used where
# it and its target wasm32-wasip1 are. What cannot be built is not there, and its test skips.
PDK_AS := build/guests/pdk_as.stamp
PDK_RUST := build/guests/pdk_rust.stamp
$(PDK_AS): tests/guests/as/pdk_as.ts deps/package-lock.json | build/test.mk
	@mkdir -p $(@D) && rm -f build/guests/pdk_as.wasm
	@[ ! -d "$(TEST_NODE_PATH)/assemblyscript" ] || "$(NODE)" "$(TEST_NODE_PATH)/assemblyscript/bin/asc.js" \
	    --path "$(TEST_NODE_PATH)" -O --runtime stub --use abort=pdk_as/myAbort \
	    --baseDir tests/guests/as -o ../../../build/guests/pdk_as.wasm pdk_as.ts
	@[ -z "$(TEST_NODE_PATH)" ] || touch $@
$(PDK_RUST): tests/guests/rust/src/lib.rs tests/guests/rust/Cargo.lock
	@mkdir -p $(@D) && rm -f build/guests/pdk_rust.wasm
	@! command -v cargo >/dev/null || [ ! -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-wasip1" ] || \
	    { cargo build -q --release --locked --manifest-path tests/guests/rust/Cargo.toml \
	        --target wasm32-wasip1 --target-dir build/guests/rust && \
	      cp build/guests/rust/wasm32-wasip1/release/pdk_rust.wasm build/guests; } || \
	    echo "guests: the plugin in Rust cannot be built here; its test skips" >&2
	@touch $@
GUESTS += $(PDK_AS) $(PDK_RUST)
.PHONY: guests
guests: $(GUESTS)
