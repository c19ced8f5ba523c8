# sdk_client.py: the official Python client against a server; run by clients_test.py with the SDK on
# PYTHONPATH. Arguments: URL PLEXUS. Prints one line for each way of connecting.
# SPDX-License-Identifier: Apache-2.0
import asyncio
import sys

from mcp import Client, MCPError, types
from mcp.client.stdio import StdioServerParameters


class Person:
    """Answers what the server asks."""

    def __init__(self):
        self.asked, self.logged = [], []

    async def elicit(self, _context, params):
        self.asked.append(params.message)
        fields = params.requested_schema["properties"]
        content = {"confirm": True} if "confirm" in fields else {name: "x" for name in fields}
        return types.ElicitResult(action="accept", content=content)

    async def sample(self, _context, params):
        self.asked.append(params.messages[0].content.text)
        return types.CreateMessageResult(role="assistant", model="m",
                                         content=types.TextContent(type="text", text="Paris"))

    async def log(self, params):
        self.logged.append(params.data)


async def tools(client, person):
    listed, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor) if cursor else await client.list_tools()
        listed += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    names = [tool.name for tool in listed]
    assert names == sorted(names) and len(set(names)) == len(names) > 40, names
    wipe = next(tool for tool in listed if tool.name == "wipe").annotations
    assert wipe.destructive_hint and not wipe.read_only_hint and not wipe.open_world_hint
    adds = next(tool for tool in listed if tool.name == "add_numbers")
    assert adds.annotations.read_only_hint and adds.output_schema["required"] == ["sum"]

    result = await client.call_tool("add_numbers", {"a": 2, "b": 3})
    assert result.structured_content == {"sum": 5} and result.content[0].text == '{"sum":5}', result
    wrong = await client.call_tool("add_numbers", {"a": "two"})
    assert wrong.is_error and "numbers" in wrong.content[0].text, wrong
    try:
        await client.call_tool("no_such_tool", {})
        raise AssertionError("a tool that is not there was called")
    except MCPError as e:
        assert "Unknown tool" in str(e), e

    steps = []

    async def progress(done, total, _text):
        steps.append((done, total))

    await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
    assert steps == [(0, 100), (50, 100), (100, 100)], steps
    result = await client.call_tool("test_sampling", {"prompt": "capital?"})
    assert result.content[0].text == "LLM response: Paris" and "capital?" in person.asked, result
    result = await client.call_tool("wipe", {})  # nobody granted it: the person is asked
    assert not result.is_error and "Allow the tool wipe" in person.asked[-1], (result, person.asked)
    await client.call_tool("test_tool_with_logging", {})
    assert person.logged[:2] == ["Tool execution started", "Tool processing data"], person.logged


async def rest(client):
    uris = [str(r.uri) for r in (await client.list_resources()).resources]
    assert "test://static-text" in uris, uris
    read = await client.read_resource("test://static-text")
    assert "static text" in read.contents[0].text, read
    template = (await client.list_resource_templates()).resource_templates[0]
    assert template.uri_template == "test://template/{id}/data", template
    prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
    assert "arg1='a'" in prompt.messages[0].content.text, prompt
    done = await client.complete(types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments"),
                                 {"name": "arg1", "value": "par"})
    assert done.completion.values == ["paris", "park", "party"], done


async def use(server, mode, what):
    person = Person()
    async with Client(server, mode=mode, elicitation_callback=person.elicit, log_level="debug",
                      sampling_callback=person.sample, logging_callback=person.log) as client:
        known = client.server_info  # not asked for where the revision is given
        assert mode == "2026-07-28" or known.name == "plexus-mcp-test", known
        await tools(client, person)
        await rest(client)
        print(f"python {what} {mode}: {client.protocol_version}", flush=True)


async def main():
    url, plexus = sys.argv[1:]
    stdio = StdioServerParameters(command=plexus, args=["--node", url.removesuffix("/mcp"), "mcp"])
    for server, what in ((url, "http"), (stdio, "stdio")):
        for mode in ("auto", "legacy", "2026-07-28"):
            await asyncio.wait_for(use(server, mode, what), 60)


asyncio.run(main())
