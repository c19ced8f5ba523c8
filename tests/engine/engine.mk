# engine.mk: builds the scripted engine; included by the top Makefile.
build/tests/scripted: tests/engine/scripted.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -O2 -g -Wall -Wextra -Wshadow -Werror $(CFLAGS_EXTRA) -o $@ $<

.PHONY: scripted
scripted: build/tests/scripted
