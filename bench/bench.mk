# bench.mk: builds the bench clients; included by the top Makefile, which runs bench/$(BENCH).py.
BENCH_FLAGS := -std=c17 -O2 -g -Wall -Wextra -Wshadow -Werror
BENCH_LINKED := bus flows flows_temporal journal label_decide mesh_route mesh_svid tools_wasm
BENCH_PROGRAMS := $(patsubst %,build/bench/%,load ready streams tools_extism $(BENCH_LINKED))

build/bench/load: bench/load.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $<

build/bench/ready: bench/ready.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $<

build/bench/streams: bench/streams.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $< -lssl -lcrypto

build/bench/tools_extism: bench/tools_extism.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(FEATURES) -o $@ $< -ldl

# Those that link plexus itself, as it is released.
$(BENCH_LINKED:%=build/bench/%): build/bench/%: bench/%.c $(O)/libplexus.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(FEATURES) -Isrc -o $@ $< $(O)/libplexus.a $(LIBS)

.PHONY: bench-build bench-litellm
bench-build: $(BENCH_PROGRAMS) build/tests/scripted

# A mesh of 64 in virtual time prints how long a join takes: it is a test, and its figure is a mark.
ifeq ($(BENCH),mesh)
bench-build: build/bench/mesh_sim
endif
# Of WebAssembly the tests' guests are measured.
ifeq ($(BENCH),tools)
bench-build: $(GUESTS) build/bench/caps_test build/tests/mcp_server
endif
build/bench/caps_test: $(O)/test/toolbox/caps_test
	@mkdir -p $(@D) && cp $< $@
build/bench/mesh_sim: $(O)/test/mesh/sim_test
	@mkdir -p $(@D) && cp $< $@

# LiteLLM for scale: 300 MB in an environment of its own, only when asked for.
bench-litellm:
	sh tools/setup bench-litellm
