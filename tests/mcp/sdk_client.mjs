// sdk_client.mjs: the official JavaScript clients against a server; run by clients_test.py.
// Arguments: MODULES URL PLEXUS. Prints one line for each way of connecting.
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, url, plexus] = process.argv.slice(2);
const require = createRequire(modules + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const info = { name: "test", version: "1" };
const stdio = { command: plexus, args: ["--node", url.replace(/\/mcp$/, ""), "mcp"] };

function person(client, schemas) {
  const asked = [];
  client.setRequestHandler(schemas.elicit, async (request) => {
    asked.push(request.params.message);
    const fields = Object.keys(request.params.requestedSchema.properties);
    const value = (name) => (name === "confirm" ? true : "x");
    return { action: "accept", content: Object.fromEntries(fields.map((name) => [name, value(name)])) };
  });
  client.setRequestHandler(schemas.sample, async (request) => {
    asked.push(request.params.messages[0].content.text);
    return { role: "assistant", model: "m", content: { type: "text", text: "Paris" } };
  });
  return asked;
}

async function use(client, asked, what) {
  const tools = (await client.listTools()).tools;
  assert.ok(tools.length > 40 && tools.some((tool) => tool.name === "echo"), JSON.stringify(tools.map((t) => t.name)));
  const sum = await client.callTool({ name: "add_numbers", arguments: { a: 2, b: 3 } });
  assert.deepEqual(sum.structuredContent, { sum: 5 });
  const wrong = await client.callTool({ name: "add_numbers", arguments: { a: "two" } });
  assert.equal(wrong.isError, true);
  await assert.rejects(client.callTool({ name: "no_such_tool", arguments: {} }), /Unknown tool/);
  const sampled = await client.callTool({ name: "test_sampling", arguments: { prompt: "capital?" } });
  assert.equal(sampled.content[0].text, "LLM response: Paris");
  const wiped = await client.callTool({ name: "wipe", arguments: {} });
  assert.ok(!wiped.isError && asked.at(-1).startsWith("Allow the tool wipe"), JSON.stringify([wiped, asked]));
  const read = await client.readResource({ uri: "test://static-text" });
  assert.match(read.contents[0].text, /static text/);
  const prompt = await client.getPrompt({ name: "test_prompt_with_arguments", arguments: { arg1: "a", arg2: "b" } });
  assert.match(prompt.messages[0].content.text, /arg1='a'/);
  await client.close();
  console.log(what);
}

async function first() {
  const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport: Http } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const { StdioClientTransport: Stdio } = await load("@modelcontextprotocol/sdk/client/stdio.js");
  const types = await load("@modelcontextprotocol/sdk/types.js");
  const schemas = { elicit: types.ElicitRequestSchema, sample: types.CreateMessageRequestSchema };
  for (const [what, transport] of [["http", new Http(new URL(url))], ["stdio", new Stdio(stdio)]]) {
    const client = new Client(info, { capabilities: { elicitation: {}, sampling: {} } });
    const asked = person(client, schemas);
    await client.connect(transport);
    await use(client, asked, `javascript 1 ${what}`);
  }
}

async function second() {
  const { Client, StreamableHTTPClientTransport: Http } = await load("@modelcontextprotocol/client");
  const { StdioClientTransport: Stdio } = await load("@modelcontextprotocol/client/stdio");
  const schemas = { elicit: "elicitation/create", sample: "sampling/createMessage" };
  for (const mode of ["auto", "legacy"])
    for (const [what, transport] of [["http", new Http(new URL(url))], ["stdio", new Stdio(stdio)]]) {
      const client = new Client(info, {
        capabilities: { elicitation: {}, sampling: {} },
        versionNegotiation: { mode },
      });
      const asked = person(client, schemas);
      await client.connect(transport);
      await use(client, asked, `javascript 2 ${what} ${mode}: ${client.getNegotiatedProtocolVersion?.() ?? ""}`);
    }
}

await first();
await second();
