// tools.js: what can be called on this node: who allowed it, what it may do, its calls as they happen.
// SPDX-License-Identifier: Apache-2.0
import { $, announce, attr, h, keyed, show, text, toast } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call } from "/assets/net.js";

const CALLS_MAX = 30;

let rows = [];
let chosen = "";
let detail = null;
let calls = [];
let servers = [];
let asking = 0;

const path = (name, what) => `/api/tools/${encodeURIComponent(name)}${what || ""}`;
const EFFECTS = { reads: "read", writes: "write", destroys: "overwrite", network: "use the network", runs: "run programs", costs: "cost" };
const words = (t) => t.effects.map((e) => EFFECTS[e]).filter(Boolean).join(", ") || "compute only";

// ---- the list ------------------------------------------------------------------------------------

async function load() {
  try {
    rows = (await (await call("GET", "/api/tools")).json()).tools;
    calls = (await (await call("GET", `/api/tools/calls?limit=${CALLS_MAX}`)).json()).calls;
    servers = (await (await call("GET", "/api/tools/servers")).json()).servers;
  } catch (e) {
    if (e.status === 0) return; // the stream tells when the node is away
    rows = [];
    text($("tools-empty"), e.message);
  }
  draw();
  drawCalls();
  drawServers();
}

// News come in bursts: asked at most twice a second.
function ask() {
  if (asking) return;
  asking = setTimeout(() => {
    asking = 0;
    load();
    if (chosen) open(chosen, true);
  }, 500);
}

export function begin(on) {
  show($("tools-panel"), Boolean(on));
  if (on) load();
}

// A frame of the node's stream: a call began or ended, or the list is another one.
export function changed(t) {
  if (t.list) {
    ask();
    return;
  }
  calls = [t, ...calls.filter((c) => c.id !== t.id)].sort((a, b) => b.id - a.id).slice(0, CALLS_MAX);
  drawCalls();
  if (t.status !== "running") ask();
}

function fits(t) {
  const find = $("tools-find").value.trim().toLowerCase();
  const only = $("tools-only").value;
  return (!find || `${t.name} ${t.title || ""} ${t.source}`.toLowerCase().includes(find))
    && (!only || (only === "granted") === Boolean(t.granted));
}

function makeRow(t) {
  const item = { name: t.name };
  item.chip = h("span", { class: "chip" });
  item.label = h("span", { class: "strong mono" });
  item.title = h("span", { class: "dim" });
  item.source = h("td", { "data-label": "From" });
  item.may = h("td", { "data-label": "May" });
  item.calls = h("td", { "data-label": "Calls", class: "num" });
  item.denied = h("td", { "data-label": "Denied", class: "num" });
  item.errors = h("td", { "data-label": "Failed", class: "num" });
  item.el = h("tr", { "data-tool": t.name, onclick: (e) => {
    if (!e.target.closest("button")) open(item.name);
  } }, h("td", { "data-label": "State" }, item.chip),
  h("td", { "data-label": "Tool" }, h("button", { type: "button", class: "row-open", onclick: () => open(item.name) }, item.label), " ", item.title),
  item.source, item.may, item.calls, item.denied, item.errors);
  return item;
}

function draw() {
  const shown = rows.filter(fits);
  keyed($("tools"), shown.slice(0, 200), (t) => t.name, makeRow, (item, t) => {
    text(item.chip, t.granted ? "✓ allowed" : "? asks");
    item.chip.dataset.state = t.granted ? "completed" : "waiting";
    text(item.label, t.name);
    text(item.title, t.title && t.title !== t.name ? t.title : "");
    text(item.source, t.source);
    text(item.may, words(t));
    text(item.calls, t.calls || "");
    text(item.denied, t.denied || "");
    text(item.errors, t.errors || "");
    attr(item.el, "aria-selected", chosen === t.name ? "true" : null);
  });
  text($("tools-count"), shown.length === rows.length ? rows.length : `${shown.length} of ${rows.length}`);
  show($("tools-count"), rows.length > 0);
  show($("tools-table"), shown.length > 0);
  if (!rows.length && !$("tools-empty").textContent.includes("node ")) text($("tools-empty"), "");
  if (!shown.length)
    text($("tools-empty"), rows.length ? "No tool fits." : "No tool yet: tools.folders in plexus.yaml, mcp.servers, or plexus tool add.");
  show($("tools-empty"), !shown.length);
}

// ---- one of them ---------------------------------------------------------------------------------

function example(schema) {
  const props = (schema && schema.properties) || {};
  const out = {};
  for (const name of (schema && schema.required) || []) {
    const p = props[name] || {};
    out[name] = p.default ?? (p.examples && p.examples[0]) ?? { string: "", integer: 0, number: 0, boolean: false, array: [], object: {} }[p.type] ?? null;
  }
  return JSON.stringify(out, null, 2);
}

async function open(name, again) {
  try {
    detail = await (await call("GET", path(name))).json();
  } catch (e) {
    if (!again) toast(e.message, true);
    if (e.status === 404) close();
    return;
  }
  if (again && chosen !== name) return;
  if (!again) {
    $("tool-input").value = example(detail.input);
    show($("tool-answer"), false);
  }
  chosen = name;
  text($("tool-h"), name);
  text($("tool-about"), detail.description || "");
  text($("tool-facts"), [detail.urn, `from ${detail.source}`, detail.label && `label ${detail.label}`].filter(Boolean).join(" · "));
  keyed($("tool-permissions"), (detail.permissions || []).map((p) => ({ p })), (r) => r.p, (r) => ({ el: h("li", {}, r.p) }), () => {});
  text($("tool-schemas"), JSON.stringify({ input: detail.input, output: detail.output || null }, null, 2));
  show($("tool-grant"), !detail.granted);
  show($("tool-revoke"), Boolean(detail.granted) && detail.effects.length > 0);
  show($("tool-remove"), detail.source === "capability");
  show($("tool-yes-box"), !detail.granted);
  show($("tool"), true);
  draw();
  if (!again) $("tool-h").focus();
}

function close() {
  chosen = "";
  detail = null;
  show($("tool"), false);
  draw();
}

async function act(method, what, said) {
  const name = chosen;
  try {
    await call(method, path(name, what), method === "POST" ? { body: {} } : {});
    announce(`${name} ${said}`);
  } catch (e) {
    toast(e.message, true);
  }
  await load();
  if (method === "DELETE") close();
  else open(name, true);
}

// The text of a structured answer is often the same as JSON: then that is shown readably.
function answerText(r) {
  const said = r.content.map((c) => (c.type === "text" ? c.text : `[${c.type} ${c.mimeType || ""}]`)).join("\n");
  const same = r.structured && !r.is_error && (!said || said.trim().startsWith("{"));
  return same ? JSON.stringify(r.structured, null, 2) : said;
}

async function callIt(e) {
  e.preventDefault();
  let input = null;
  try {
    input = JSON.parse($("tool-input").value || "{}");
  } catch (error) {
    toast(`The input is not JSON: ${error.message}`, true);
    return;
  }
  const body = { input };
  if ($("tool-yes").checked && !detail.granted) body.confirmed = true;
  $("tool-call").disabled = true;
  try {
    const r = await (await call("POST", path(chosen, "/call"), { body })).json();
    text($("tool-answer"), answerText(r));
    $("tool-answer").dataset.state = r.is_error ? "bad" : "good";
  } catch (error) {
    text($("tool-answer"), error.message);
    $("tool-answer").dataset.state = "bad";
  }
  $("tool-call").disabled = false;
  $("tool-yes").checked = false;
  show($("tool-answer"), true);
}

// ---- calls ---------------------------------------------------------------------------------------

function makeCall() {
  const item = {};
  item.chip = h("span", { class: "chip" });
  item.tool = h("td", { "data-label": "Tool", class: "mono" });
  item.who = h("td", { "data-label": "For" });
  item.began = h("td", { "data-label": "Began", class: "num" });
  item.took = h("td", { "data-label": "Took", class: "num" });
  item.memory = h("td", { "data-label": "Memory", class: "num" });
  item.el = h("tr", {}, h("td", { "data-label": "State" }, item.chip), item.tool, item.who, item.began, item.took, item.memory);
  return item;
}

const CALL_STATE = { running: "running", ok: "completed", denied: "cancelled" };

function drawCalls() {
  keyed($("tool-calls"), calls, (c) => c.id, makeCall, (item, c) => {
    text(item.chip, c.status);
    item.chip.dataset.state = CALL_STATE[c.status] || "faulted";
    text(item.tool, c.tool);
    text(item.who, c.who || "");
    text(item.began, c.started ? format.time(c.started).slice(0, 8) : "");
    text(item.took, c.status === "running" ? "" : format.span(Math.max(1, Math.round((c.took_us || 0) / 1000))));
    text(item.memory, c.memory_bytes ? format.bytes(c.memory_bytes) : "");
  });
  show($("tool-calls-table"), calls.length > 0);
  show($("tool-calls-h"), calls.length > 0);
}

// ---- external MCP servers ------------------------------------------------------------------------

function makeServer() {
  const item = {};
  item.chip = h("span", { class: "chip" });
  item.name = h("td", { "data-label": "Server", class: "mono" });
  item.what = h("td", { "data-label": "What it is" });
  item.tools = h("td", { "data-label": "Tools", class: "num" });
  item.note = h("td", { "data-label": "Note" });
  item.el = h("tr", {}, h("td", { "data-label": "State" }, item.chip), item.name, item.what, item.tools, item.note);
  return item;
}

// A stranger's server names the address: only the web's, opened beside this page and told nothing of it.
function login(note, address) {
  if (note.firstChild?.href === address) return;
  if (/^https?:\/\//.test(address))
    note.replaceChildren(h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, "Log in"));
  else text(note, address);
}

function drawServers() {
  keyed($("tool-servers"), servers, (s) => s.name, makeServer, (item, s) => {
    text(item.chip, s.state);
    item.chip.dataset.state = s.state === "ready" ? "completed" : s.state === "starting" ? "running" : "faulted";
    text(item.name, s.name);
    text(item.what, [s.server, s.revision].filter(Boolean).join(", "));
    text(item.tools, s.tools);
    if (s.login) {
      login(item.note, s.login);
      return;
    }
    text(item.note, s.state !== "ready" ? s.why || s.last_words
      : s.changed || s.flagged ? `${s.changed + s.flagged} not what they were: look at them` : "");
  });
  show($("tool-servers-table"), servers.length > 0);
  show($("tool-servers-h"), servers.length > 0);
}

$("tools-find").addEventListener("input", draw);
$("tools-only").addEventListener("change", draw);
$("tool-close").addEventListener("click", close);
$("tool-grant").addEventListener("click", () => act("POST", "/grant", "is allowed"));
$("tool-revoke").addEventListener("click", () => act("POST", "/revoke", "is not allowed any more"));
$("tool-remove").addEventListener("click", () => act("DELETE", "", "is removed"));
$("tool-form").addEventListener("submit", callIt);
