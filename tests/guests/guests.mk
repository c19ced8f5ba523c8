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
.PHONY: guests
guests: $(GUESTS)
