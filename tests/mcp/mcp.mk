# mcp.mk: builds the MCP server and the MCP client of the tests; included by the top Makefile.
build/tests/mcp_server: tests/mcp/everything_server.c $(O)/libplexus.a
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/libplexus.a $(LIBS)
build/tests/mcp_client: tests/mcp/everything_client.c $(O)/libplexus.a
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/libplexus.a $(LIBS)
