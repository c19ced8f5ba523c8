// mesh.js: the mesh: its picture, a card for each node, and what may be done with them.
// SPDX-License-Identifier: Apache-2.0
import { $, announce, attr, h, keyed, show, text, toast } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call } from "/assets/net.js";
import { graph, isGone, latency, loadOf, stateWords } from "/assets/graph.js";
import { order } from "/assets/layout.js";

const RATE_MS = 900;    // counters this far apart make a rate
const COMPACT = 12;     // more cards than this are short ones
const FIND = 8;         // more nodes than this can be searched

let mesh = null;
let picture = null;
let chosen = null;      // name of the node whose card is open
let removing = "";      // name of the node that the question is about
let only = "";          // only cards of this state
let counted = null;     // {at, requests: Map} of a while ago
let rates = new Map();
const busy = new Set();

export const models = () => (mesh && mesh.joined
  ? mesh.nodes.filter((n) => !n.self && !isGone(n) && n.environment === mesh.environment)
    .flatMap((n) => (n.models || []).map((m) => ({ ...m, node: n.name }))) : []);

// ---- rates ---------------------------------------------------------------------------------------

function count(m) {
  const now = performance.now();
  const requests = new Map((m.traffic || []).map((t) => [`${t.from} ${t.to} ${t.model}`, t.requests]));
  if (counted && now - counted.at < RATE_MS) return;
  rates = new Map();
  for (const [key, value] of requests) {
    const before = counted ? counted.requests.get(key) ?? 0 : value;
    rates.set(key, Math.max(0, value - before) / ((now - (counted ? counted.at : now - 1000)) / 1000));
  }
  counted = { at: now, requests };
}

// ---- what may be done ----------------------------------------------------------------------------

async function act(name, method, path, done) {
  busy.add(name);
  drawCards();
  try {
    await call(method, path);
    announce(`${name}: ${done}`);
    take(await (await call("GET", "/api/mesh")).json());
  } catch (e) {
    toast(`${name}: ${e.message}`, true);
  }
  busy.delete(name);
  drawCards();
}

const nodePath = (name, what) => `/api/mesh/nodes/${encodeURIComponent(name)}${what}`;

function drain(n) {
  const what = n.draining ? "undrain" : "drain";
  return act(n.name, "POST", nodePath(n.name, `/${what}`), n.draining ? "gets work again" : "gets no new work");
}

function askRemove(n) {
  removing = n.name;
  text($("remove-name"), n.name);
  text($("remove-what"), isGone(n)
    ? "Its name becomes free, and its identity is refused from now on."
    : `It is ${stateWords(n)} now. All nodes refuse its identity within seconds, and what runs there for others is cut.`);
  $("remove").showModal();
}

function remove(yes) {
  const name = removing;
  removing = "";
  $("remove").close();
  if (yes && name) act(name, "DELETE", nodePath(name, ""), "is removed");
}

async function makeToken() {
  $("mesh-add").disabled = true;
  try {
    const made = await (await call("POST", "/api/mesh/tokens", { body: { ttl: "10m" } })).json();
    $("join-line").value = made.command;
    text($("join-until"), `For one machine, until ${format.time(made.expires).slice(0, 5)}. Run it there while its plexus is up.`);
    show($("join"), true);
    await copyLine();
  } catch (e) {
    toast(`No token: ${e.message}`, true);
  }
  $("mesh-add").disabled = false;
}

// The clipboard needs https or this machine; elsewhere the line is selected for the keyboard.
async function copyLine() {
  $("join-line").select();
  try {
    await navigator.clipboard.writeText($("join-line").value);
    text($("join-copy"), "Copied");
    announce("The command is copied");
    setTimeout(() => text($("join-copy"), "Copy"), 2500);
  } catch {
    $("join-line").focus();
  }
}

// ---- cards ---------------------------------------------------------------------------------------

function makeCard(n) {
  const item = { name: n.name };
  const button = (what, click) => h("button", { type: "button", "data-act": what, onclick: click });
  const now = () => mesh.nodes.find((x) => x.name === item.name) || n;
  item.tags = h("span", { class: "tags" });
  item.chip = h("span", { class: "chip" });
  item.what = h("p", { class: "dim what" });
  item.now = h("p", { class: "now" });
  item.fill = h("span", {});
  item.load = h("div", { class: "progress", "aria-hidden": "true" }, item.fill);
  item.models = h("ul", { class: "node-models" });
  item.more = h("dl", { class: "more" });
  item.open = h("button", { type: "button", class: "quiet", "data-act": "more", onclick: () => pick(item.name, false) }, "More");
  item.drain = button("drain", () => drain(now()));
  item.remove = button("remove", () => askRemove(now()));
  text(item.remove, "Remove…");
  item.el = h("li", { class: "node", "data-card": n.name },
    h("div", { class: "node-head" }, h("h3", {}, h("i", { "aria-hidden": "true" }), h("span", { class: "node-name" }, n.name)), item.chip),
    item.tags, item.what, item.now, item.load, item.models, item.more,
    h("div", { class: "acts" }, item.open, item.drain, item.remove));
  return item;
}

// Rebuilt only when it says something else: what is selected there stays so.
function fill(el, rows, make) {
  const key = JSON.stringify(rows);
  if (el.filled === key) return;
  el.filled = key;
  el.replaceChildren(...rows.map(make));
}

function nowWords(n) {
  const load = loadOf(n), words = [];
  if (n.state === "suspect") return `not heard for ${format.span(n.heard_ms)}: no new work goes there`;
  if (isGone(n)) return n.since_ms >= 0 ? `${n.state === "dead" ? "dead" : n.state} for ${format.clock(n.since_ms)}` : "";
  words.push(`${load.active}${load.slots ? ` of ${load.slots}` : ""} active`);
  if (load.waiting) words.push(`${load.waiting} waiting`);
  if (!n.self && n.rtt_us) words.push(`${latency(n.rtt_us)} away`);
  if (n.memory_free > 0) words.push(`${format.bytes(n.memory_free)} free`);
  return words.join(" · ");
}

function facts(n) {
  const names = (list) => (list || []).map((x) => x.name + (x.address ? ` (${x.address})` : "")).join(", ");
  return [
    ["Identity", n.id], ["Address", (n.addresses || []).join(", ")], ["Clearance", n.clearance],
    ["Version", n.version],
    ["Sent there", n.requests ? `${format.count(n.requests)}, ${format.count(n.failures || 0)} failed` : ""],
    ["Engines", names(n.engines)], ["Services", names(n.services)], ["Queues", names(n.queues)],
  ].filter((row) => row[1]);
}

function drawCard(item, n) {
  const load = loadOf(n), gone = isGone(n), waits = busy.has(n.name), open = chosen === n.name;
  const compact = mesh.nodes.length > COMPACT;
  const tags = [n.self ? "this node" : "", n.name === mesh.authority ? "authority" : "", n.name === mesh.standby ? "standby" : "",
    n.profile === "edge" ? "edge" : "", n.environment && n.environment !== mesh.environment ? n.environment : "",
    n.breaker_open ? "resting" : ""].filter(Boolean);
  const word = n.draining && !gone ? "draining" : n.state;
  item.el.dataset.state = word;
  attr(item.el, "data-env", n.environment && n.environment !== mesh.environment ? n.environment : null);
  item.el.classList.toggle("open", open);
  text(item.chip, word);
  item.chip.dataset.state = word;
  fill(item.tags, tags, (t) => h("span", { class: "tag" }, t));
  show(item.tags, tags.length > 0);
  text(item.what, [n.context, ...(n.roles || [])].filter(Boolean).join(" · "));
  text(item.now, nowWords(n));
  show(item.load, !gone && load.slots > 0);
  item.fill.style.width = `${load.slots ? Math.min(100, (load.active / load.slots) * 100) : 0}%`;
  const all = n.models || [], most = open ? all.length : compact ? 3 : 6;
  const rows = [...all].sort((a, b) => (b.state === "WARM") - (a.state === "WARM")).slice(0, most);
  if (all.length > rows.length) rows.push({ name: `${all.length - rows.length} more`, state: "", more: true });
  keyed(item.models, gone ? [] : rows, (m) => m.name, (m) => {
    const row = { dot: h("i", { "aria-hidden": "true" }), name: h("span", {}), state: h("span", { class: "dim" }) };
    row.el = h("li", {}, row.dot, row.name, row.state);
    return row;
  }, (row, m) => {
    row.el.dataset.state = m.state;
    row.el.classList.toggle("rest", Boolean(m.more));
    text(row.name, m.name);
    text(row.state, m.more ? "" : m.active ? `${m.active}${m.slots ? ` of ${m.slots}` : ""}` : (m.state || "").toLowerCase());
  });
  show(item.more, open);
  if (open) fill(item.more, facts(n), ([a, b]) => h("div", {}, h("dt", {}, a), h("dd", {}, b)));
  attr(item.open, "aria-expanded", open);
  attr(item.open, "aria-label", `${open ? "Less" : "More"} of ${n.name}`);
  text(item.open, open ? "Less" : "More");
  text(item.drain, n.draining ? "Undrain" : "Drain");
  attr(item.drain, "aria-label", `${n.draining ? "Undrain" : "Drain"} ${n.name}`);
  item.drain.disabled = waits;
  show(item.drain, mesh.joined && !gone);
  attr(item.remove, "aria-label", `Remove ${n.name}`);
  item.remove.disabled = waits;
  show(item.remove, mesh.joined && !n.self && n.state !== "removed");
}

function pick(name, scroll) {
  chosen = chosen === name && !scroll ? null : name;
  if (scroll) {
    only = "";
    $("mesh-find").value = "";
  }
  picture.mark(chosen);
  drawCards();
  const card = document.querySelector(`[data-card="${CSS.escape(name)}"]`);
  if (scroll && card) card.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function fits(n) {
  const want = $("mesh-find").value.trim().toLowerCase();
  const word = n.draining && !isGone(n) ? "draining" : n.state;
  if (only && word !== only) return false;
  return !want || [n.name, n.context, ...(n.roles || []), ...(n.models || []).map((m) => m.name)]
    .some((s) => (s || "").toLowerCase().includes(want));
}

function drawStates() {
  const counts = new Map();
  for (const n of mesh.nodes) {
    const word = n.draining && !isGone(n) ? "draining" : n.state;
    counts.set(word, (counts.get(word) || 0) + 1);
  }
  if (only && !counts.has(only)) only = "";
  const words = ["alive", "draining", "suspect", "dead", "left", "removed"].filter((w) => counts.has(w));
  keyed($("mesh-states"), words, (w) => w, (w) => ({
    el: h("button", { type: "button", class: "chip", "data-state": w, onclick: () => {
      only = only === w ? "" : w;
      drawStates();
      drawCards();
    } }),
  }), (item, w) => {
    text(item.el, `${counts.get(w)} ${w}`);
    attr(item.el, "aria-pressed", only === w);
  });
}

function drawCards() {
  if (!mesh) return;
  const all = order(mesh.nodes, mesh.self), rows = all.filter(fits);
  const list = $("nodes");
  list.classList.toggle("compact", all.length > COMPACT);
  keyed(list, rows, (n) => n.name, makeCard, drawCard);
  show($("nodes-none"), rows.length === 0);
}

// ---- the whole -----------------------------------------------------------------------------------

function holder(what) {
  const node = mesh[what];
  return node === mesh.self ? `this node is the ${what}` : node ? `${what} ${node}` : "";
}

function drawHead() {
  const many = mesh.nodes.length > 1;
  document.documentElement.dataset.mesh = many ? "many" : "one";
  text($("mesh-name"), mesh.joined ? mesh.trust_domain : "");
  show($("mesh-name"), Boolean(mesh.joined));
  show($("mesh-add"), Boolean(mesh.joined && mesh.is_authority));
  show($("mesh-alone"), !many && !mesh.joined);
  show($("mesh-first"), !many && Boolean(mesh.joined));
  text($("models-empty"), many ? "This node has no model of its own: it asks the others." : "No model is configured yet.");
  show($("mesh-states"), many);
  show($("mesh-legend"), many);
  text($("talk-empty"), `Ask something. The answer is made on ${many ? "your own machines" : "this machine"}.`);
  show($("nodes-box"), many);
  show($("mesh-find"), mesh.nodes.length > FIND);
  const until = mesh.svid ? Date.parse(mesh.svid.expires) - Date.now() : 0;
  text($("mesh-line"), mesh.joined ? [
    holder("authority"), holder("standby"),
    mesh.svid ? until > 0 ? `identity renews itself, good for ${format.clock(until)}` : "identity has expired: the authority is away" : "",
  ].filter(Boolean).join(" · ") : "");
  $("mesh-line").classList.toggle("bad", Boolean(mesh.svid) && until <= 0);
}

export function take(m) {
  const before = new Map(mesh ? mesh.nodes.map((n) => [n.name, n.state]) : []);
  mesh = m;
  for (const n of m.nodes)
    if (before.has(n.name) && before.get(n.name) !== n.state) announce(`${n.name} is ${n.state}`);
  if (chosen && !m.nodes.some((n) => n.name === chosen)) chosen = null;
  count(m);
  show($("mesh"), true);
  drawHead();
  drawStates();
  drawCards();
  picture.draw(m, (key) => rates.get(key) || 0);
}

// Events come when something happens; this is for the first look.
export async function ask() {
  try {
    take(await (await call("GET", "/api/mesh")).json());
  } catch {
    // the stream tells when the node is away
  }
}

picture = graph($("mesh-picture"), { pick: (name) => (mesh.nodes.length > 1 ? pick(name, true) : undefined) });
$("mesh-add").addEventListener("click", makeToken);
$("join-copy").addEventListener("click", copyLine);
$("join-close").addEventListener("click", () => {
  $("join-line").value = "";
  show($("join"), false);
  $("mesh-add").focus();
});
$("mesh-find").addEventListener("input", drawCards);
$("remove-no").addEventListener("click", () => remove(false));
$("remove-yes").addEventListener("click", () => remove(true));
