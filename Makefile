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
LIB_C   := $(filter-out %_test.c %_fuzz.c src/app/main.c,$(ALL_C))
GEN_C   := build/gen/assets_config.c build/gen/assets_gate.c build/gen/assets_web.c
WEB_FILES := $(sort $(wildcard src/web/assets/*))
GATE_SCHEMAS := $(sort $(wildcard src/gate/schemas/v1/*.json))

O := build/$(MODE)-$(notdir $(CC))
PKG := libuv libssl libcrypto yaml-0.1 libpcre2-8
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Werror
CFLAGS_opt   := -O2 -g
CFLAGS_san   := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DPLEXUS_FAULTS
CFLAGS_tsan  := -O1 -g -fsanitize=thread -DPLEXUS_FAULTS
CFLAGS_plain := -O1 -g -DPLEXUS_FAULTS
CFLAGS_cover := -O0 -g --coverage -DPLEXUS_FAULTS
CFLAGS := -std=c17 -D_GNU_SOURCE -DPLEXUS_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS_$(MODE)) -Isrc -Ibuild/gen -MMD -MP $(CFLAGS_EXTRA)
DEPFLAGS := -I$(YYJSON_DIR) -I$(LLHTTP_DIR) $(shell pkg-config --cflags $(PKG) 2>/dev/null)
# Static where the distribution has the archive, so that one binary runs on; OpenSSL stays shared.
UNAME := $(shell uname -s)
ifeq ($(UNAME),Linux)
LIBDIRS := $(shell pkg-config --variable=libdir $(PKG) 2>/dev/null | tr ' ' '\n' | sort -u)
pick = $(firstword $(wildcard $(foreach d,$(LIBDIRS) /usr/lib/$(shell $(CC) -dumpmachine),$(d)/lib$(1).a)) -l$(1))
LIBS := $(call pick,uv) $(call pick,yaml) $(call pick,pcre2-8) -lssl -lcrypto -lpthread -ldl -lm -lrt
else
LIBS := $(shell pkg-config --libs $(PKG)) -lpthread
endif
VENDOR_O := $(O)/vendor/yyjson.o $(O)/vendor/llhttp.o $(O)/vendor/llhttp_api.o $(O)/vendor/llhttp_http.o
LIB_O := $(LIB_C:%.c=$(O)/%.o) $(GEN_C:build/gen/%.c=$(O)/gen/%.o) $(VENDOR_O)
BIN := $(O)/plexus
TESTS := $(TEST_C:src/%.c=$(O)/test/%)

.PHONY: help all up test check clean
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
build/gen/assets_gate.c: tools/embed.py $(GATE_SCHEMAS)
	@mkdir -p $(@D) && python3 tools/embed.py $@ $(foreach f,$(GATE_SCHEMAS),gate_$(basename $(notdir $(f)))=$(f))
build/gen/assets_web.c: tools/embed.py $(WEB_FILES)
	@mkdir -p $(@D) && python3 tools/embed.py $@ --table web $(WEB_FILES)

# ---- tests: one program per x_test.c, each run by itself ---------------------------------------
$(O)/test/%: $(O)/src/%.o $(O)/libplexus.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_$(MODE)) $(LDFLAGS) -o $@ $< $(O)/libplexus.a -lcmocka $(LIBS)
.PHONY: tests-build
tests-build: $(TESTS)

clean: ## removes build/
	rm -rf build
distclean-cache: ## removes the cache of downloads and models
	rm -rf $(CACHE)

include tests/engine/engine.mk
include bench/bench.mk
-include $(shell find $(O) -name '*.d' 2>/dev/null)
