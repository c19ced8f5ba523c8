# mcp.mk: builds the test client of MCP; included by the top Makefile.
build/tests/everything_client: tests/mcp/everything_client.c $(O)/libplexus.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/libplexus.a $(LIBS)
