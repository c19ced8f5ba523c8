// clients.mjs: the official JavaScript client against a running node; run by clients_js_test.py.
// Arguments: NODE_PATH BASE_URL JSON-of-keys ENGINE_URL [minilm]. Prints one line a case.
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [modules, baseURL, keyText, engineURL, minilm] = process.argv.slice(2);
const OpenAI = createRequire(modules + "/")("openai").OpenAI;
const keys = JSON.parse(keyText);
const hello = [{ role: "user", content: "hello" }];
const say = (text) => [{ role: "user", content: `!script ${text}` }];
const client = (name = "all", more = {}) =>
  new OpenAI({ baseURL, apiKey: keys[name] ?? name, maxRetries: 0, timeout: 30000, ...more });
const stats = async () => (await fetch(engineURL + "/_stats")).json();
const last = async () => (await (await fetch(engineURL + "/_last")).text()).split("\r\n\r\n");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, condition, ms = 3000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) if (await condition()) return;
  assert.fail(`did not happen: ${what}`);
}

async function fails(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor, kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

const cases = {
  async models() {
    const names = [];
    for await (const model of client().models.list()) names.push(model.id);
    assert.ok(names.includes("talk") && names.includes("tiny-chat"), names);
    assert.equal((await client().models.retrieve("talk")).id, "talk");
  },

  async chat() {
    const answer = await client().chat.completions.create({ model: "talk", messages: hello, max_tokens: 9, top_k: 3 });
    assert.equal(answer.object, "chat.completion");
    assert.ok(answer.choices[0].message.content.length > 20 && answer.usage.total_tokens > 0);
    assert.deepEqual(JSON.parse((await last())[1]), { model: "talk", messages: hello, max_tokens: 9, top_k: 3 });
  },

  async stream() {
    const numbers = [];
    let usage;
    for await (const chunk of await client().chat.completions.create({
      model: "talk", messages: say("frames=12"), stream: true, stream_options: { include_usage: true } })) {
      const text = chunk.choices[0]?.delta?.content;
      if (text) numbers.push(parseInt(text));
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual(numbers, Array.from({ length: 12 }, (_, i) => i + numbers[0]));
    assert.ok(usage.completion_tokens > 0);
    const helper = client().chat.completions.stream({ model: "talk", messages: hello });
    assert.ok((await helper.finalContent()).length > 0);
  },

  async completions() {
    const answer = await client().completions.create({ model: "talk", prompt: "Once", max_tokens: 4 });
    assert.equal(answer.object, "text_completion");
    assert.ok(answer.choices[0].text.length > 0);
  },

  async tools() {
    const tools = [{ type: "function", function: { name: "get_weather", parameters: {
      type: "object", properties: { city: { type: "string" } } } } }];
    const answer = await client().chat.completions.create({ model: "talk", messages: hello, tools, tool_choice: "required" });
    const call = answer.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, "get_weather");
    JSON.parse(call.function.arguments);
    assert.deepEqual(JSON.parse((await last())[1]).tools, tools);
    const round = await client().chat.completions.create({ model: "talk", tools, messages: [
      ...hello, answer.choices[0].message, { role: "tool", tool_call_id: call.id, content: "22 degrees" }] });
    assert.ok(round.choices[0].message.content.length > 0);
    let text = "";
    for await (const chunk of await client().chat.completions.create({ model: "talk", messages: hello, tools, stream: true }))
      for (const part of chunk.choices[0]?.delta?.tool_calls ?? []) text += part.function?.arguments ?? "";
    JSON.parse(text);
  },

  async embeddings() {
    const ask = { model: "vectors", input: ["a", "b"] };
    const numbers = await client().embeddings.create({ ...ask, encoding_format: "float" });
    const decoded = await client().embeddings.create(ask); // asks for base64 and decodes it
    const text = await client().embeddings.create({ ...ask, encoding_format: "base64" });
    assert.equal(numbers.data[1].embedding.length, 24);
    assert.equal(typeof text.data[0].embedding, "string");
    numbers.data.forEach((row, i) => row.embedding.forEach((x, k) =>
      assert.ok(Math.abs(x - decoded.data[i].embedding[k]) < 1e-5, `${x} ${decoded.data[i].embedding[k]}`)));
  },

  async requestId() {
    const { data, response, request_id } = await client().chat.completions.create(
      { model: "talk", messages: hello }, { headers: { "X-Request-Id": "from-js" } }).withResponse();
    assert.equal(response.headers.get("x-request-id"), "from-js");
    assert.equal(request_id, "from-js");
    assert.ok(data.choices.length);
  },

  async errors() {
    const chat = client().chat.completions;
    let e = await fails(OpenAI.NotFoundError, () => chat.create({ model: "tolk", messages: hello }));
    assert.ok(e.status === 404 && e.param === "model" && e.message.includes('"talk"') && e.requestID, e);
    e = await fails(OpenAI.BadRequestError, () => chat.create({ model: "talk", messages: [{ role: "king", content: "x" }] }));
    assert.equal(e.param, "messages[0].role");
    e = await fails(OpenAI.BadRequestError, () => chat.create({ model: "talk", messages: hello, stream: "yes" }));
    assert.equal(e.param, "stream");
    assert.equal(e.type, "invalid_request_error");
    e = await fails(OpenAI.AuthenticationError, () => client("plx_" + "C".repeat(43)).models.list());
    assert.equal(e.type, "authentication_error");
    e = await fails(OpenAI.PermissionDeniedError, () => client("reader").models.list());
    assert.equal(e.type, "permission_error");
    const limited = client("limited");
    await limited.models.list();
    e = await fails(OpenAI.RateLimitError, () => limited.models.list());
    assert.ok(parseInt(e.headers.get("retry-after")) >= 1);
    e = await fails(OpenAI.InternalServerError, () => chat.create({ model: "broken", messages: hello }));
    assert.ok(e.status === 502 && e instanceof OpenAI.APIError, e);
    e = await fails(OpenAI.InternalServerError, () => chat.create({ model: "talk", messages: say("status=503") }));
    assert.equal(e.status, 503);
    await fails(OpenAI.UnprocessableEntityError, () => chat.create({ model: "talk", messages: say("status=422") }));
  },

  async errorInTheStream() {
    const stream = await client().chat.completions.create({ model: "talk", messages: say("frames=9 cut_at_frame=4"), stream: true });
    let seen = 0;
    const e = await fails(OpenAI.APIError, async () => { for await (const _ of stream) seen++; });
    assert.ok(seen >= 4 && e.message.includes("engine"), `${seen} ${e.message}`);
  },

  async cancel() {
    const before = await stats();
    const stream = await client().chat.completions.create({ model: "talk", messages: say("frames=1000000 gap_ms=2"), stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 5) stream.controller.abort();
    await until("the engine stopped", async () => (await stats()).aborted === before.aborted + 1);
    const control = new AbortController();
    setTimeout(() => control.abort(), 200);
    await fails(OpenAI.APIUserAbortError, () => client().chat.completions.create(
      { model: "talk", messages: say("hang") }, { signal: control.signal }));
    await until("the engine stopped again", async () => (await stats()).aborted === before.aborted + 2);
  },

  async timeouts() {
    const began = Date.now();
    await fails(OpenAI.APIConnectionTimeoutError, () => client("all", { timeout: 300 }).chat.completions.create(
      { model: "talk", messages: say("first_byte_ms=20000") }));
    assert.ok(Date.now() - began < 3000);
    await fails(OpenAI.APIConnectionError, () => client("all", { baseURL: "http://127.0.0.1:1/v1" }).models.list());
  },

  async manyAtOnce() {
    const one = async (i) => {
      let count = 0;
      for await (const chunk of await client().chat.completions.create({ model: "talk", messages: say(`frames=${i + 1}`), stream: true }))
        count += chunk.choices[0]?.delta?.content ? 1 : 0;
      return count;
    };
    const counts = await Promise.all(Array.from({ length: 30 }, (_, i) => one(i)));
    assert.deepEqual(counts, Array.from({ length: 30 }, (_, i) => i + 1));
  },

  async realChat() {
    const ask = { model: "tiny-chat", messages: [{ role: "user", content: "Do you send my words anywhere?" }], temperature: 0 };
    const answer = (await client().chat.completions.create(ask)).choices[0].message.content;
    assert.ok(answer.includes("machine"), answer);
    let text = "";
    for await (const chunk of await client().chat.completions.create({ ...ask, stream: true }))
      text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, answer);
  },

  async realEmbedding() {
    if (!minilm) return console.log("not run: build/models/minilm-f16.gguf is not there (make up fetches it)");
    const answer = await client().embeddings.create({ model: "minilm", input: "A cat sits on the mat." });
    assert.equal(answer.data[0].embedding.length, 384);
    const length = Math.sqrt(answer.data[0].embedding.reduce((sum, x) => sum + x * x, 0));
    assert.ok(Math.abs(length - 1) < 1e-3, `${length}`);
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}: ${error.stack}`);
  }
}
console.log(`${Object.keys(cases).length} cases, ${failed} failed`);
process.exit(failed ? 1 : 0);
