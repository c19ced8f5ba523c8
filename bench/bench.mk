# bench.mk: builds the bench clients; included by the top Makefile, which runs bench/$(BENCH).py.
BENCH_FLAGS := -std=c17 -O2 -g -Wall -Wextra -Wshadow -Werror
BENCH_PROGRAMS := build/bench/load build/bench/ready build/bench/streams build/bench/label_decide build/bench/mesh_svid \
                  build/bench/bus build/bench/mesh_route

build/bench/load: bench/load.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $<

build/bench/ready: bench/ready.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $<

build/bench/streams: bench/streams.c bench/client.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $< -lssl -lcrypto

# The bus in memory: it prints its own marks.
build/bench/bus: bench/bus.c $(O)/libplexus.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(FEATURES) -Isrc -o $@ $< $(O)/libplexus.a $(LIBS)

build/bench/label_decide: bench/label_decide.c $(O)/libplexus.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(FEATURES) -Isrc -o $@ $< $(O)/libplexus.a $(LIBS)

build/bench/mesh_svid: bench/mesh_svid.c $(O)/libplexus.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(FEATURES) -Isrc -o $@ $< $(O)/libplexus.a $(LIBS)

# Links plexus itself, as it is released.
build/bench/mesh_route: bench/mesh_route.c $(O)/libplexus.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) $(FEATURES) -Isrc -o $@ $< $(O)/libplexus.a $(LIBS)

.PHONY: bench-build bench-litellm
bench-build: $(BENCH_PROGRAMS) build/tests/scripted

# LiteLLM for scale: 300 MB in an environment of its own, only when asked for.
bench-litellm:
	sh tools/setup bench-litellm
