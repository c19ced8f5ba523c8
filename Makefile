# plexus: `make up` serves real models, `make test` proves it, `make help` lists the rest.
# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VERSION := 0.1.0
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
# mode: opt (what is shipped), san (address and undefined behaviour), tsan, cover, plain (for valgrind)
MODE ?= opt
PREFIX ?= /usr/local
DATA ?= data
JOBS := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/plexus
# clang-format and clang-tidy come pinned (tools/setup test writes where); SUITES: public test data
export PLEXUS_SUITES ?= $(abspath ../shared/suites)

# ---- set-up: everything below needs build/deps.mk, which tools/setup writes --------------------
NO_SETUP := help clean distclean distclean-cache
ifneq ($(filter-out $(NO_SETUP),$(or $(MAKECMDGOALS),help)),)
include build/deps.mk
endif
build/deps.mk: deps/pins.txt tools/setup
	@sh tools/setup build

# ---- sources -----------------------------------------------------------------------------------
ALL_C   := $(sort $(wildcard src/*/*.c))
TEST_C  := $(filter %_test.c,$(ALL_C))
FUZZ_C  := $(filter %_fuzz.c,$(ALL_C))
# The simulator is linked instead of room loop, by test programs only.
SIM_C   := $(filter-out %_test.c,$(wildcard src/sim/*.c))
LIB_C   := $(filter-out %_test.c %_fuzz.c src/app/main.c $(SIM_C),$(ALL_C))
GEN_C   := build/gen/assets_config.c build/gen/assets_catalog.c build/gen/assets_flow.c build/gen/assets_gate.c build/gen/assets_temporal.c build/gen/assets_tool.c build/gen/assets_templates.c build/gen/assets_web.c
WEB_FILES := $(sort $(wildcard src/web/assets/*))
TOOL_TEMPLATES := $(sort $(wildcard src/tool/templates/*/*.* src/tool/templates/*/src/*))
FLOW_CATALOG := $(sort $(wildcard src/flow/catalog/*/*.yaml))
GATE_SCHEMAS := $(sort $(wildcard src/gate/schemas/v1/*.json))

O := build/$(MODE)-$(notdir $(CC))
PKG := libuv libssl libcrypto yaml-0.1 libpcre2-8 sqlite3 libnghttp2
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Werror
CFLAGS_opt   := -O2 -g
CFLAGS_san   := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DPLEXUS_FAULTS
CFLAGS_tsan  := -O1 -g -fsanitize=thread -DPLEXUS_FAULTS
CFLAGS_plain := -O1 -g -DPLEXUS_FAULTS
CFLAGS_cover := -O0 -g --coverage -DPLEXUS_FAULTS
UNAME := $(shell uname -s)
FEATURES := $(if $(filter Darwin,$(UNAME)),-D_DARWIN_C_SOURCE,-D_GNU_SOURCE)
CFLAGS := -std=c17 $(FEATURES) -DPLEXUS_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS_$(MODE)) -Isrc -Ibuild/gen -MMD -MP $(CFLAGS_EXTRA)
DEPFLAGS := -I$(YYJSON_DIR) -I$(LLHTTP_DIR) $(shell pkg-config --cflags $(PKG) 2>/dev/null)
# Static where the distribution has the archive, so that one binary runs on; OpenSSL stays shared.
ifeq ($(UNAME),Linux)
LIBDIRS := $(shell pkg-config --variable=libdir $(PKG) 2>/dev/null | tr ' ' '\n' | sort -u)
pick = $(firstword $(wildcard $(foreach d,$(LIBDIRS) /usr/lib/$(shell $(CC) -dumpmachine 2>/dev/null),$(d)/lib$(1)_a.a $(d)/lib$(1).a)) -l$(1))
LIBS := $(call pick,uv) $(call pick,yaml) $(call pick,pcre2-8) $(call pick,sqlite3) $(call pick,nghttp2) -lssl -lcrypto -lpthread -ldl -lm -lrt
else
LIBS := $(shell pkg-config --libs $(PKG)) -lpthread
endif
VENDOR_O := $(O)/vendor/yyjson.o $(O)/vendor/llhttp.o $(O)/vendor/llhttp_api.o $(O)/vendor/llhttp_http.o
LIB_O := $(LIB_C:%.c=$(O)/%.o) $(GEN_C:build/gen/%.c=$(O)/gen/%.o) $(VENDOR_O)
BIN := $(O)/plexus
TESTS := $(TEST_C:src/%.c=$(O)/test/%)

.PHONY: help all clean
help: ## this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

all: build/plexus ## build/plexus
build/plexus: $(BIN)
	@mkdir -p build && cp -f $(BIN) build/plexus.new && mv -f build/plexus.new build/plexus

$(BIN): $(O)/src/app/main.o $(O)/libplexus.a
	$(CC) $(CFLAGS_$(MODE)) $(LDFLAGS) -o $@ $(O)/src/app/main.o $(O)/libplexus.a $(LIBS)
$(O)/libplexus.a: $(LIB_O)
	@rm -f $@ && $(AR) rcs $@ $(LIB_O)
$(O)/src/%.o: src/%.c build/deps.mk | $(GEN_C)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) $(DEPFLAGS) -c $< -o $@
$(O)/gen/%.o: build/gen/%.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -c $< -o $@
# Third-party C from pinned packages: our warnings are not theirs.
VENDOR_CFLAGS := -std=c17 -O2 -g $(filter -fsanitize% -fno-%,$(CFLAGS_$(MODE))) -w
$(O)/vendor/yyjson.o: $(YYJSON_DIR)/yyjson.c
	@mkdir -p $(@D) && $(CC) $(VENDOR_CFLAGS) -DYYJSON_DISABLE_INCR_READER=1 -c $< -o $@
$(O)/vendor/llhttp.o: $(LLHTTP_DIR)/llhttp.c
	@mkdir -p $(@D) && $(CC) $(VENDOR_CFLAGS) -I$(LLHTTP_DIR) -c $< -o $@
$(O)/vendor/llhttp_api.o: $(LLHTTP_DIR)/api.c
	@mkdir -p $(@D) && $(CC) $(VENDOR_CFLAGS) -I$(LLHTTP_DIR) -c $< -o $@
$(O)/vendor/llhttp_http.o: $(LLHTTP_DIR)/http.c
	@mkdir -p $(@D) && $(CC) $(VENDOR_CFLAGS) -I$(LLHTTP_DIR) -c $< -o $@

# ---- generated C: files that are embedded ------------------------------------------------------
build/gen/assets_config.c: tools/embed.py src/config/schema.json
	@mkdir -p $(@D) && python3 tools/embed.py $@ config_schema=src/config/schema.json
build/gen/assets_flow.c: tools/embed.py src/flow/schema.json
	@mkdir -p $(@D) && python3 tools/embed.py $@ flow_schema=src/flow/schema.json
build/gen/assets_tool.c: tools/embed.py src/tool/manifest.json
	@mkdir -p $(@D) && python3 tools/embed.py $@ tool_manifest=src/tool/manifest.json
build/gen/assets_templates.c: tools/embed.py $(TOOL_TEMPLATES)
	@mkdir -p $(@D) && python3 tools/embed.py $@ --table tool_templates $(foreach f,$(TOOL_TEMPLATES),$(f:src/tool/templates/%=%)=$(f))
build/gen/assets_catalog.c: tools/embed.py $(FLOW_CATALOG)
	@mkdir -p $(@D) && python3 tools/embed.py $@ --table flow_catalog $(foreach f,$(FLOW_CATALOG),$(f:src/flow/catalog/%=%)=$(f))
build/gen/assets_gate.c: tools/embed.py $(GATE_SCHEMAS)
	@mkdir -p $(@D) && python3 tools/embed.py $@ $(foreach f,$(GATE_SCHEMAS),gate_$(basename $(notdir $(f)))=$(f))
build/gen/assets_web.c: tools/embed.py $(WEB_FILES)
	@mkdir -p $(@D) && python3 tools/embed.py $@ --table web $(WEB_FILES)
# What of Temporal's API is needed: src/temporal/api.txt names the messages.
build/gen/temporal_api.pb: tools/temporal_api.py src/temporal/api.txt build/deps.mk
	@mkdir -p $(@D) && python3 tools/temporal_api.py $(TEMPORAL_API) $@ $$(sed '/^#/d' src/temporal/api.txt)
build/gen/assets_temporal.c: tools/embed.py build/gen/temporal_api.pb
	@mkdir -p $(@D) && python3 tools/embed.py $@ temporal_api=build/gen/temporal_api.pb

# ---- tests: one program per x_test.c, each run by itself ---------------------------------------
$(O)/test/%: $(O)/src/%.o $(O)/libplexus.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_$(MODE)) $(LDFLAGS) -o $@ $< $(O)/libplexus.a -lcmocka $(LIBS)
SIM_O := $(SIM_C:%.c=$(O)/%.o)
$(filter $(O)/test/sim/%,$(TESTS)): $(O)/test/sim/%: $(O)/src/sim/%.o $(SIM_O) $(O)/libplexus.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_$(MODE)) $(LDFLAGS) -o $@ $< $(SIM_O) $(O)/libplexus.a -lcmocka $(LIBS)
build/suite: tests/suite.c
	@mkdir -p $(@D)
	@$(CC) -std=c17 $(FEATURES) $(WARN) -O1 -o $@ $< -lcmocka
.SECONDARY: $(TEST_C:%.c=$(O)/%.o)

.PHONY: check test test-run unit unit-run integration programs rooms rooms-run format reformat second-compiler
programs: $(TESTS) # test programs of this MODE
	@:
# Only goals that need clang, the clients and a browser fetch them; `make up` does not.
CLANG ?= clang
TEST_GOALS := sim sim-many check test test-run unit unit-run integration format reformat second-compiler programs \
              asan tsan tsan-run valgrind valgrind-run torture tidy fuzz-build fuzz-replay fuzz-smoke cover mutate
build/test.mk: deps/pins.txt tools/setup
	@sh tools/setup test
ifneq ($(filter $(TEST_GOALS),$(MAKECMDGOALS)),)
-include build/test.mk
else
-include $(wildcard build/test.mk)
endif
# The metaschemas that test data of JSON Schema refers to.
export PLEXUS_NODE_JS = $(NODE)
export SCHEMAS_DIR = $(TEST_PYTHONPATH)/jsonschema_specifications/schemas
include tests/guests/guests.mk
INTEGRATION = 'tests/*/*_test.py' 'tests/*/*_test.sh'
NEEDED := build/suite build/tests/scripted build/tests/mcp_server build/tests/mcp_client $(GUESTS)

check: build/test.mk ## format, rooms' law, generated docs, build, unit tests (a minute)
	@$(MAKE) -j$(JOBS) MODE=plain programs $(NEEDED) $(O:build/$(MODE)%=build/plain%)/plexus format docs-check
	@$(MAKE) MODE=plain rooms-run unit-run
rooms: build/plexus ## the rooms' law: includes, links, names, variables
	@$(MAKE) rooms-run
rooms-run:
	@python3 tools/rooms $(O)
FORMATTED = $$(git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'bench/*.c' 'bench/*.h')
format: build/test.mk ## clang-format decides
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)
reformat: build/test.mk ## it does
	@$(CLANG_FORMAT) -i $(FORMATTED)
unit: build/test.mk ## unit tests under address and undefined-behaviour sanitizers (T=word picks)
	@$(MAKE) -j$(JOBS) MODE=san programs $(NEEDED)
	@$(MAKE) MODE=san unit-run
unit-run:
	@build/suite $(TESTS) -- $(T)
integration: build/test.mk ## the binary against real engines and clients (T=word picks)
	@$(MAKE) -j$(JOBS) all $(NEEDED) build/engines/llama-server
	@build/suite $(INTEGRATION) -- $(T)
second-compiler: build/test.mk ## clang reads all sources, warnings are errors
	@$(MAKE) -j$(JOBS) $(ALL_C:%.c=build/second/%.ok)
build/second/%.ok: %.c | $(GEN_C)
	@mkdir -p $(@D) && echo "  CLANG $<"
	@$(CLANG) $(CFLAGS) $(DEPFLAGS) -MT $@ -MF $(@:.ok=.d) -fsyntax-only $<
	@touch $@
test: build/test.mk ## everything that CI runs
	@$(MAKE) second-compiler
	@$(MAKE) tidy
	@$(MAKE) fuzz-replay
	@$(MAKE) -j$(JOBS) all $(NEEDED) build/engines/llama-server bench-build
	@$(MAKE) -j$(JOBS) MODE=san programs
	@$(MAKE) MODE=san test-run
test-run:
	@build/suite $(TESTS) $(INTEGRATION) -- $(T)

# ---- the simulator: many nodes in virtual time, everything from one seed ------------------------
.PHONY: sim sim-many
SIM = build/san-$(notdir $(CC))/test/sim/mesh_sim_test
sim: ## one play of the simulator: SEED=n, also NODES=, SECONDS=, TRACE=1
	@$(MAKE) -j$(JOBS) MODE=san $(SIM)
	@$(SIM) one $(or $(SEED),1) $(or $(NODES),0) $(or $(SECONDS),0) $(if $(TRACE),trace)
sim-many: ## N=200 plays from FIRST=1 on
	@$(MAKE) -j$(JOBS) MODE=san $(SIM)
	@$(SIM) many $(or $(N),200) $(or $(FIRST),1)

# ---- the same tests, looked at harder ----------------------------------------------------------
.PHONY: asan tsan valgrind torture tidy
asan: build/test.mk ## the binary's tests with a binary under address and undefined-behaviour sanitizers
	@$(MAKE) -j$(JOBS) MODE=san $(O:build/$(MODE)%=build/san%)/plexus $(NEEDED) build/engines/llama-server
	@PLEXUS_BIN=$(O:build/$(MODE)%=build/san%)/plexus build/suite $(INTEGRATION) -- $(T)
TSAN_TESTS := base/log_test base/thread_test loop/loop_test ctl/ctl_test adapters/journal_sqlite_test enclave/enclave_test enclave/bad_guests_test
tsan: build/test.mk ## the tests with threads under the thread sanitizer
	@$(MAKE) MODE=tsan JOBS=$(JOBS) tsan-run
tsan-run: $(NEEDED)
	@$(MAKE) -j$(JOBS) $(TSAN_TESTS:%=$(O)/test/%)
	@TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp halt_on_error=1" build/suite $(TSAN_TESTS:%=$(O)/test/%) -- $(T)
VALGRIND_TESTS = $(filter $(foreach r,base text models http,$(O)/test/$(r)/%),$(TESTS))
valgrind: build/test.mk ## units of base, text, models and http under valgrind: no error, no leak
	@$(MAKE) MODE=plain JOBS=$(JOBS) valgrind-run
valgrind-run: $(NEEDED)
	@$(MAKE) -j$(JOBS) $(VALGRIND_TESTS)
	@SUITE_UNDER='valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible --suppressions=tests/valgrind.supp' \
	    build/suite $(VALGRIND_TESTS) -- $(T)
torture: build/test.mk ## memory that runs out at each point in turn
	@$(MAKE) unit T='torture $(T)'
# Each file once after it changed, as a compiler would.
TIDY_C := $(filter-out %_test.c %_fuzz.c,$(ALL_C))
tidy: build/test.mk ## clang-tidy, what changed since it last was clean
	@$(MAKE) -j$(JOBS) $(TIDY_C:%.c=build/tidy/%.ok)
build/tidy/%.ok: %.c .clang-tidy | $(GEN_C)
	@mkdir -p $(@D) && echo "  TIDY $<"
	@$(CC) $(filter-out -MMD -MP,$(CFLAGS)) $(DEPFLAGS) -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	@$(CLANG_TIDY) --quiet $< -- $(filter-out -MMD -MP,$(CFLAGS)) $(DEPFLAGS:-I%=-isystem %) 2>$(@:.ok=.log) || { cat $(@:.ok=.log); exit 1; }
	@touch $@

# ---- fuzzing: libFuzzer, parsers only ----------------------------------------------------------
FUZZ_LIB_C := $(filter src/base/% src/text/% src/config/% src/host/% src/trust/% src/crypto/% src/mesh/% src/flow/% src/tool/% src/mcp/% src/toolbox/loop_plan.c src/toolbox/loop_turn.c src/toolbox/loop_say.c src/toolbox/tools_words.c src/prims/diff.c,$(LIB_C))
FUZZ_O := $(FUZZ_LIB_C:%.c=build/fuzz/%.o) build/fuzz/gen/assets_config.o build/fuzz/gen/assets_flow.o build/fuzz/gen/assets_catalog.o build/fuzz/gen/assets_tool.o build/fuzz/gen/assets_templates.o
FUZZERS := $(FUZZ_C:src/%.c=build/fuzz/%)
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -DPLEXUS_FAULTS
build/fuzz/src/%.o: src/%.c | $(GEN_C)
	@mkdir -p $(@D) && $(CLANG) $(filter-out $(CFLAGS_$(MODE)),$(CFLAGS)) $(FUZZ_FLAGS) $(DEPFLAGS) -c $< -o $@
build/fuzz/gen/%.o: build/gen/%.c
	@mkdir -p $(@D) && $(CLANG) -std=c17 $(FEATURES) -Isrc $(FUZZ_FLAGS) -c $< -o $@
build/fuzz/vendor.o: $(YYJSON_DIR)/yyjson.c
	@mkdir -p $(@D) && $(CLANG) -O1 -w -fsanitize=address -c $< -o $@
build/fuzz/llhttp.o: $(LLHTTP_DIR)/llhttp.c $(LLHTTP_DIR)/api.c $(LLHTTP_DIR)/http.c
	@mkdir -p $(@D) && for f in $^; do $(CLANG) -O1 -w -fsanitize=address -I$(LLHTTP_DIR) -c $$f -o build/fuzz/ll_$$(basename $$f .c).o; done; $(LD) -r -o $@ build/fuzz/ll_*.o
build/fuzz/%_fuzz: build/fuzz/src/%_fuzz.o $(FUZZ_O) build/fuzz/vendor.o build/fuzz/llhttp.o
	@mkdir -p $(@D) && $(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)
.SECONDARY: $(FUZZ_C:%.c=build/fuzz/%.o) $(FUZZ_O)
.PHONY: fuzz-build fuzzers fuzz-replay fuzz-smoke
fuzz-build: build/test.mk
	@$(MAKE) -j$(JOBS) fuzzers
fuzzers: $(FUZZERS)
	@:
fuzz-replay: fuzz-build ## each fuzz target over its corpus
	@for f in $(FUZZERS); do sh tools/fuzz $$f 0 || exit 1; done
fuzz-smoke: fuzz-build ## each fuzz target for FUZZ_S seconds (60), from its corpus (T=word picks)
	@for f in $(foreach w,$(or $(T),/),$(foreach f,$(FUZZERS),$(if $(findstring $(w),$(f)),$(f)))); do sh tools/fuzz $$f $(or $(FUZZ_S),60) || exit 1; done

bench: all bench-build ## make bench BENCH=gateway (or mesh): the marks, `name value unit`
	@sh tools/setup bench >&2
	@python3 bench/$(BENCH).py
.PHONY: bench

# ---- the main job ------------------------------------------------------------------------------
up: build/engines/llama-server ## set up, build, serve real models on http://127.0.0.1:8000
	@$(MAKE) -j$(JOBS) build/plexus
	@exec build/plexus up --config plexus.yaml --data $(DATA)
build/engines/llama-server: deps/pins.txt tools/setup tools/llama_server.py
	@sh tools/setup engine wasm
.PHONY: up engine-from-source install dist docs
engine-from-source: ## llama.cpp from source (7 minutes of CPU), for machines without AVX2
	@sh tools/setup engine-source

clean: ## removes build/
	rm -rf build
distclean-cache: ## removes the cache of downloads and models
	rm -rf $(CACHE)

include tests/engine/engine.mk
include tests/mcp/mcp.mk
include bench/bench.mk
-include $(shell find $(O) build/fuzz build/tidy build/second -name '*.d' 2>/dev/null)

# ---- macOS: the sources compile for it (arm64); nothing is linked, nothing is run ---------------
MACOS_O := $(patsubst %.c,build/macos/%.o,$(LIB_C) src/app/main.c $(GEN_C))
MACOS_VENDOR_C := $(YYJSON_DIR)/yyjson.c $(LLHTTP_DIR)/llhttp.c $(LLHTTP_DIR)/api.c $(LLHTTP_DIR)/http.c
MACOS_CC = ZIG_GLOBAL_CACHE_DIR=$(CACHE)/zig ZIG_LOCAL_CACHE_DIR=build/macos/cache $(ZIG) cc -target aarch64-macos.14.0 -O1 -UNDEBUG
MACOS_CFLAGS = $(filter-out $(CFLAGS_$(MODE)),$(CFLAGS:-D_GNU_SOURCE=-D_DARWIN_C_SOURCE)) -I$(YYJSON_DIR) -I$(LLHTTP_DIR)
ifneq ($(filter macos macos-%,$(MAKECMDGOALS)),)
include build/macos.mk
-include $(MACOS_O:.o=.d)
endif
build/macos.mk: deps/pins.txt tools/setup
	@sh tools/setup macos
build/macos/%.o: %.c build/macos.mk | $(GEN_C)
	@mkdir -p $(@D) && echo "  MACOS $<"
	@$(MACOS_CC) $(MACOS_CFLAGS) -isystem build/macos/include -c $< -o $@
.PHONY: macos
macos: $(MACOS_O) ## all sources through a compiler for macOS on arm64: warnings are errors, nothing is linked or run
	@for f in $(MACOS_VENDOR_C); do $(MACOS_CC) $(VENDOR_CFLAGS) -I$(LLHTTP_DIR) -c $$f -o build/macos/vendor.o || exit 1; done
	@echo "macos: $(words $(MACOS_O) $(MACOS_VENDOR_C)) files compile"

# ---- docs, install, dist -----------------------------------------------------------------------
.PHONY: docs docs-check install uninstall dist cover mutate
docs: ## refreshes what is made from the sources: docs/CONFIG.md, the table of rooms, the life of a model, NOTICE
	@python3 tools/gen_config_doc.py && python3 tools/gen_docs.py && python3 tools/gen_notice.py
docs-check: ## are they current?
	@python3 tools/gen_config_doc.py --check && python3 tools/gen_docs.py --check && python3 tools/gen_notice.py --check
install: all ## binary, manual page, completions, systemd units, the fetched engine: below PREFIX (/usr/local), DESTDIR
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' sh tools/install put
uninstall: ## takes them away again
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' sh tools/install take
dist: ## build/dist/plexus-VERSION.tar.gz of what is committed, and its sha256
	@mkdir -p build/dist
	@git archive --prefix=plexus-$(VERSION)/ HEAD | gzip -n -9 >build/dist/plexus-$(VERSION).tar.gz
	@cd build/dist && sha256sum plexus-$(VERSION).tar.gz | tee plexus-$(VERSION).tar.gz.sha256
cover: build/test.mk build/suite ## branch coverage by room: units, then the binary's tests (T=word picks, COVER=units: units only)
	@$(MAKE) -j$(JOBS) MODE=cover programs build/cover-$(notdir $(CC))/plexus build/tests/scripted $(if $(COVER),,build/engines/llama-server)
	@find build/cover-$(notdir $(CC)) -name '*.gcda' -delete
	@PLEXUS=build/cover-$(notdir $(CC))/plexus PLEXUS_BIN=build/cover-$(notdir $(CC))/plexus build/suite \
	    'build/cover-$(notdir $(CC))/test/*/*_test' $(if $(COVER),,$(INTEGRATION)) -- $(T) || echo 'cover: not all tests passed' >&2
	@python3 tools/cover.py build/cover-$(notdir $(CC)) $(COVER_FLAGS)
mutate: build/test.mk ## N (100) small mutations: how many do the unit tests notice? (SEED, MUTATE_MINUTES=60, T=word picks files)
	@$(MAKE) -j$(JOBS) MODE=san programs
	@$(MAKE) MODE=san mutate-run
mutate-run: export MUTATE_CFLAGS = $(CFLAGS) $(DEPFLAGS)
mutate-run: export MUTATE_LIBS = -lcmocka $(LIBS)
mutate-run:
	@python3 tools/mutate.py --objects $(O) --cc '$(CC)' --count $(or $(N),100) \
	    --jobs $(JOBS) --minutes $(or $(MUTATE_MINUTES),60) $(if $(SEED),--seed $(SEED)) $(T)
.PHONY: mutate-run
