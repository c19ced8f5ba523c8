// chat.js: talk to a model, or let an embedding model compare two texts.
// SPDX-License-Identifier: Apache-2.0
import { $, announce, h, show, text } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call, events } from "/assets/net.js";
import { models as elsewhere } from "/assets/mesh.js";
import { loading } from "/assets/models.js";

let rows = new Map(); // models by name
const history = [];   // {role, content} of this page's conversation
let running = null;   // what is known of the answer that is being made
let comparing = false;

const isEmbedding = (m) => m.kind === "embedding";
const chosen = () => rows.get($("try-model").value);

// ---- which model ---------------------------------------------------------------------------------

let drawn = "";

export function draw(store) {
  // Any node answers for all: also what only other nodes have can be asked here.
  rows = new Map(store.models);
  for (const m of elsewhere()) {
    const known = rows.get(m.name);
    if (!known) rows.set(m.name, { ...m, nodes: [m.node] });
    else if (known.nodes) known.nodes.push(m.node);
  }
  const all = [...rows.values()];
  const want = JSON.stringify(all.map((m) => [m.name, m.kind, m.nodes]));
  if (want !== drawn) {
    drawn = want;
    drawChoice(all);
  }
  drawKind();
}

function drawChoice(all) {
  const select = $("try-model");
  const had = select.value;
  const group = (label, models) => (models.length
    ? h("optgroup", { label }, ...models.map((m) =>
      h("option", { value: m.name }, m.nodes ? `${m.name} (on ${m.nodes.join(", ")})` : m.name))) : null);
  const chats = all.filter((m) => !isEmbedding(m));
  select.replaceChildren(...[group("Chat", chats), group("Compare texts", all.filter(isEmbedding))].filter(Boolean));
  if (!all.length) select.append(h("option", {}, "no model"));
  select.disabled = !all.length;
  if (rows.has(had)) select.value = had;
  else if (chats.length) select.value = (chats.find((m) => m.state === "WARM") || chats[0]).name;
}

function drawKind() {
  const m = chosen();
  show($("chat"), !m || !isEmbedding(m));
  show($("compare"), Boolean(m && isEmbedding(m)));
  $("chat-send").disabled = !m || Boolean(running);
  $("compare-send").disabled = !m || comparing;
}

export function focus() {
  const m = chosen();
  (m && isEmbedding(m) ? $("text-a") : $("prompt")).focus();
}

// ---- chat ----------------------------------------------------------------------------------------

function atEnd() {
  const t = $("talk");
  return t.scrollHeight - t.scrollTop - t.clientHeight < 60;
}

function toEnd() {
  $("talk").scrollTop = $("talk").scrollHeight;
}

function bubble(role, who) {
  const b = {
    text: h("div", { class: "said" }), note: h("p", { class: "note dim" }),
    thought: h("div", { class: "said" }), state: h("p", { class: "wait" }),
  };
  b.thinking = h("details", { class: "thinking", hidden: true }, h("summary", {}, "Thoughts"), b.thought);
  b.el = h("article", { class: `bubble ${role}`, "aria-label": who },
    h("p", { class: "who dim" }, who), b.thinking, b.text, b.state, b.note);
  show(b.note, false);
  show(b.state, false);
  show($("talk-empty"), false);
  $("talk").append(b.el);
  toEnd();
  return b;
}

function fail(b, message) {
  show(b.state, false);
  b.el.append(h("p", { class: "error", role: "alert" }, message));
  toEnd();
}

// While nothing was said yet: what the model is doing.
function waitWords(name) {
  const m = rows.get(name);
  if (!m || m.state === "WARM") return m && m.waiting ? "waiting for a free slot" : "thinking";
  return m.state === "LOADING" ? loading(m).words : `${m.state.toLowerCase()}, waiting`;
}

export function tick() {
  if (running && !running.started && !running.spoken) text(running.b.state, waitWords(running.model));
}

function body(run) {
  const wish = { model: run.model, stream: true, stream_options: { include_usage: true } };
  const system = $("system").value.trim();
  if (run.completes) {
    wish.prompt = run.prompt;
  } else {
    wish.messages = [...history];
    if (system) wish.messages.unshift({ role: "system", content: system });
  }
  const temperature = Number.parseFloat($("temperature").value);
  const most = Number.parseInt($("max-tokens").value, 10);
  if (temperature >= 0) wish.temperature = temperature;
  if (most > 0) wish.max_tokens = most;
  return wish;
}

// What the node says while it waits: ": NAME loading weights, about 3 s left".
function hear(run, comment) {
  if (!comment || run.started) return;
  run.spoken = comment.startsWith(`${run.model} `) ? comment.slice(run.model.length + 1) : comment;
  text(run.b.state, run.spoken);
}

function begin(run) {
  if (run.started) return;
  run.started = performance.now();
  show(run.b.state, false);
}

function hearDelta(run, chunk) {
  if (chunk.error) throw new Error(chunk.error.message || "the answer broke off");
  if (chunk.usage) run.usage = chunk.usage;
  const choice = chunk.choices && chunk.choices[0];
  const delta = (choice && (choice.delta || { content: choice.text })) || {};
  const thought = delta.reasoning_content || delta.reasoning;
  const follow = atEnd();
  if (thought) {
    begin(run);
    show(run.b.thinking, true);
    run.b.thought.append(thought);
  }
  if (delta.content) {
    begin(run);
    run.content += delta.content;
    run.b.text.append(delta.content);
  }
  if (thought || delta.content) {
    run.pieces++;
    run.last = performance.now();
  }
  if (choice && choice.finish_reason) run.reason = choice.finish_reason;
  if (follow) toEnd();
}

function note(run, stopped) {
  const words = [];
  const tokens = (run.usage && run.usage.completion_tokens) || run.pieces;
  if (run.started) words.push(`first token after ${format.span(run.started - run.sent)}`);
  if (tokens) words.push(format.plural(tokens, "token"));
  if (run.started && tokens > 1 && run.last > run.started)
    words.push(`${format.rate(((tokens - 1) * 1000) / (run.last - run.started))} tokens/s`);
  if (run.reason === "length") words.push("cut at the token limit");
  if (stopped) words.push("stopped");
  text(run.b.note, words.join(" · "));
  show(run.b.note, words.length > 0);
}

async function answer(run) {
  const path = run.completes ? "/v1/completions" : "/v1/chat/completions";
  const response = await call("POST", path, { body: body(run), signal: run.stop.signal });
  for await (const e of events(response)) {
    if (e.comment !== undefined) hear(run, e.comment);
    else if (e.data === "[DONE]") run.whole = true;
    else if (e.data) hearDelta(run, JSON.parse(e.data));
  }
  if (!run.whole && !run.reason) throw new Error("the stream ended before the answer was whole");
}

async function send() {
  const prompt = $("prompt").value.trim();
  const m = chosen();
  if (!prompt || !m || running || isEmbedding(m)) return;
  $("prompt").value = "";
  grow();
  history.push({ role: "user", content: prompt });
  const asked = bubble("user", "You");
  asked.text.append(prompt);
  const run = {
    stop: new AbortController(), model: m.name, b: bubble("assistant", m.name), sent: performance.now(),
    prompt, completes: m.kind === "completion", started: 0, last: 0, pieces: 0, content: "", spoken: "", usage: null, reason: "", whole: false,
  };
  running = run;
  text(run.b.state, waitWords(m.name));
  show(run.b.state, true);
  show($("chat-stop"), true);
  show($("chat-send"), false);
  drawKind();
  let error = null;
  try {
    await answer(run);
  } catch (e) {
    error = e;
  }
  running = null;
  const hadFocus = document.activeElement === $("chat-stop");
  show($("chat-stop"), false);
  show($("chat-send"), true);
  drawKind();
  if (hadFocus) $("prompt").focus();
  show(run.b.state, false);
  const follow = atEnd();
  note(run, run.stop.signal.aborted);
  if (run.content) history.push({ role: "assistant", content: run.content });
  else history.pop(); // a question without an answer is not asked again with the next
  if (error && !run.stop.signal.aborted) fail(run.b, error.message);
  else announce(run.content.slice(0, 500));
  if (follow) toEnd();
}

function grow() {
  const p = $("prompt");
  p.style.height = "auto";
  p.style.height = `${Math.min(p.scrollHeight + 2, 200)}px`;
}

$("chat-form").addEventListener("submit", (e) => {
  e.preventDefault();
  send();
});
$("prompt").addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  send();
});
$("prompt").addEventListener("input", grow);
$("chat-stop").addEventListener("click", () => running && running.stop.abort());
$("chat-clear").addEventListener("click", () => {
  if (running) running.stop.abort();
  history.length = 0;
  $("talk").replaceChildren($("talk-empty"));
  show($("talk-empty"), true);
  $("prompt").focus();
});
$("try-model").addEventListener("change", drawKind);

// ---- compare two texts ---------------------------------------------------------------------------

function cosine(a, b) {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}

function nearness(c) {
  return c >= 0.8 ? "nearly the same" : c >= 0.5 ? "close" : c >= 0.25 ? "related" : "far apart";
}

async function compare() {
  const m = chosen();
  if (!m || comparing) return;
  const out = $("compare-result");
  const sent = performance.now();
  comparing = true;
  drawKind();
  const wait = h("p", { class: "wait" }, waitWords(m.name));
  out.replaceChildren(wait);
  const timer = setInterval(() => text(wait, waitWords(m.name)), 500);
  try {
    const response = await call("POST", "/v1/embeddings",
      { body: { model: m.name, input: [$("text-a").value, $("text-b").value] } });
    const { data } = await response.json();
    const c = cosine(data[0].embedding, data[1].embedding);
    const fill = h("span", {});
    fill.style.width = `${Math.max(0, Math.min(1, c)) * 100}%`;
    out.replaceChildren(
      h("p", { class: "figure" }, h("strong", { id: "cosine" }, c.toFixed(3)), h("span", { class: "dim" }, nearness(c))),
      h("div", { class: "progress", role: "img", "aria-label": `cosine ${c.toFixed(3)}` }, fill),
      h("p", { class: "dim" }, `${format.count(data[0].embedding.length)} numbers each, ` +
        `${format.span(performance.now() - sent)}`));
  } catch (e) {
    out.replaceChildren(h("p", { class: "error" }, e.message));
  }
  clearInterval(timer);
  comparing = false;
  drawKind();
}

$("compare").addEventListener("submit", (e) => {
  e.preventDefault();
  compare();
});
