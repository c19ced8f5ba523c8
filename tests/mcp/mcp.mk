# mcp.mk: builds the MCP server of the tests; included by the top Makefile.
build/tests/mcp_server: tests/mcp/everything_server.c $(O)/libplexus.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(DEPFLAGS) -o $@.new $< $(O)/libplexus.a $(LIBS) && mv -f $@.new $@
