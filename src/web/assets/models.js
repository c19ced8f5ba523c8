// models.js: the memory bar and the models: state, what is going on, and what may be done.
// SPDX-License-Identifier: Apache-2.0
import { $, attr, h, keyed, show, text, toast } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call } from "/assets/net.js";

const ASIDE = "set aside"; // no model has a space in its name
const COLOURS = 8; // classes c0 to c7 in style.css
const colours = new Map();
const busy = new Set(); // names with a request of ours under way

function colourOf(name) {
  if (name === ASIDE) return "aside";
  if (!colours.has(name)) colours.set(name, colours.size % COLOURS);
  return `c${colours.get(name)}`;
}

// A figure of a row that runs down, as it is now; -1 stays -1.
function left(row, ms) {
  return ms < 0 ? -1 : Math.max(0, ms - (performance.now() - row.at));
}

const holds = (m) => !m.remote && m.memory_bytes > 0 && !["UNLOADED", "FAILED"].includes(m.state);

// Loading, as a sentence and as a share of 1 (-1: unknown).
export function loading(m) {
  const eta = left(m, m.eta_ms);
  const gone = m.since_ms + (performance.now() - m.at);
  let share = m.share;
  if (share < 0 && m.eta_ms > 0) share = Math.min(0.98, gone / (gone + Math.max(eta, 1)));
  const parts = [m.phase || "loading"];
  if (m.share >= 0) parts.push(`${Math.round(m.share * 100)} %`);
  if (m.eta_ms >= 0) parts.push(eta > 0 ? `about ${format.clock(Math.max(1000, eta))} left` : "any moment now");
  else parts.push(`for ${format.clock(gone)}`);
  return { share, words: parts.join(", ") };
}

// ---- memory --------------------------------------------------------------------------------------

export function drawMemory(store) {
  const budget = store.memory.budget_bytes;
  const shares = [...store.models.values()].filter(holds);
  const sum = shares.reduce((n, m) => n + m.memory_bytes, 0);
  const used = Math.max(store.memory.used_bytes, sum); // figures come a little later than models
  // A loaded model is charged with what it was reckoned to need when that is more than it takes.
  const aside = used - sum > used / 100 ? used - sum : 0;
  const whole = Math.max(budget, used, 1);
  const parts = aside ? [...shares, { name: ASIDE, memory_bytes: aside, memory_measured: true, state: "WARM" }] : shares;
  text($("memory-used"), format.bytes(used));
  text($("memory-of"), budget ? `of ${format.bytes(budget)}, ${format.bytes(Math.max(0, budget - used))} free`
    : "in use, no limit is set");
  attr($("memory-bar"), "aria-label", `${format.bytes(used)} of ${format.bytes(whole)} in use` +
    shares.map((m) => `, ${m.name} ${format.bytes(m.memory_bytes)}`).join(""));
  keyed($("memory-bar"), parts, (m) => m.name, (m) => ({ el: h("span", { class: colourOf(m.name) }) }),
    (item, m) => {
      item.el.style.width = `${(m.memory_bytes / whole) * 100}%`;
      item.el.title = `${m.name}: ${format.bytes(m.memory_bytes)}`;
      item.el.classList.toggle("coming", m.state !== "WARM");
    });
  keyed($("memory-legend"), [...parts, { name: "", free: whole - used }],
    (m) => m.name, (m) => {
      const item = { name: h("span", {}), size: h("span", { class: "dim" }) };
      item.el = h("li", {}, h("i", { class: m.name ? colourOf(m.name) : "free", "aria-hidden": "true" }),
        item.name, item.size);
      return item;
    }, (item, m) => {
      text(item.name, m.name || "free");
      text(item.size, m.name ? `${m.memory_measured ? "" : "about "}${format.bytes(m.memory_bytes)}`
        : format.bytes(m.free));
    });
}

// ---- models --------------------------------------------------------------------------------------

async function act(name, what) {
  busy.add(name);
  redraw();
  try {
    await call("POST", `/api/models/${encodeURIComponent(name)}/${what}`);
  } catch (e) {
    toast(`${name}: ${e.message}`, true);
  }
  busy.delete(name);
  redraw();
}

let redraw = () => {};

function make(m) {
  const item = { name: m.name };
  const button = (what, label, click) => h("button", {
    type: "button", "data-act": what, "aria-label": `${label} ${m.name}`, onclick: click,
  }, label);
  item.chip = h("span", { class: "chip" });
  item.pinned = h("span", { class: "tag" }, "pinned");
  item.what = h("p", { class: "dim what" });
  item.now = h("span", { class: "now" });
  item.memory = h("span", { class: "size" });
  item.past = h("p", { class: "dim past" });
  item.fill = h("span", {});
  item.bar = h("div", { class: "progress", role: "progressbar", "aria-label": `Loading ${m.name}` }, item.fill);
  item.why = h("pre", { tabindex: "0" });
  item.failed = h("details", { class: "why", open: true }, h("summary", {}, "Why it failed"), item.why);
  item.load = button("load", "Load", () => act(m.name, "load"));
  item.unload = button("unload", "Unload", () => act(m.name, "unload"));
  item.pin = button("pin", "Pin", () => act(m.name, item.pin.dataset.act));
  item.el = h("li", { class: "model", "data-model": m.name },
    h("div", { class: "who" },
      h("h3", {}, h("i", { class: colourOf(m.name), "aria-hidden": "true" }), h("span", {}, m.name), item.pinned),
      item.what),
    h("div", { class: "how" }, h("p", {}, item.chip, item.now), item.bar, item.past),
    h("div", { class: "cost" }, item.memory),
    h("div", { class: "acts" }, item.load, item.unload, item.pin),
    item.failed);
  return item;
}

function memoryWords(m) {
  if (m.remote) return "elsewhere";
  if (!m.memory_bytes) return "size unknown";
  return `${format.bytes(m.memory_bytes)} ${m.memory_measured ? "measured" : "estimated"}`;
}

function pastWords(m) {
  const words = [];
  if (m.active) words.push(`${m.active} active`);
  if (m.waiting) words.push(`${m.waiting} waiting`);
  if (m.loads) words.push(format.plural(m.loads, "load"));
  if (m.last_load_ms > 0) words.push(`last took ${format.span(m.last_load_ms)}`);
  if (m.restarts) words.push(format.plural(m.restarts, "failed start"));
  if (m.deaths) words.push(format.plural(m.deaths, "death"));
  if (m.evictions) words.push(format.plural(m.evictions, "eviction"));
  return words.join(" · ");
}

function nowWords(m) {
  const idle = left(m, m.idle_left_ms);
  const since = format.clock(m.since_ms + (performance.now() - m.at));
  switch (m.state) {
    case "LOADING": return loading(m).words;
    case "WARM":
      if (m.remote) return "reached by its address";
      if (m.active) return `busy, ${format.plural(m.active, "request")}`;
      return idle >= 0 ? `idle, leaves in ${format.clock(idle)}` : "stays loaded";
    case "DRAINING": return m.active ? `${format.plural(m.active, "request")} to finish` : m.phase || "stopping";
    case "FAILED": return `${since} ago`;
    default: return m.phase ? m.phase : m.waiting ? `${format.plural(m.waiting, "request")} waiting` : "loads when it is asked";
  }
}

function update(item, m) {
  const waits = busy.has(m.name);
  item.el.dataset.state = m.state;
  text(item.chip, m.state);
  item.chip.dataset.state = m.state;
  text(item.what, [m.kind, m.engine, m.context ? `context\u00a0${format.count(m.context)}` : "",
    m.file.split("/").pop()]
    .filter(Boolean).join(" · "));
  item.what.title = m.file;
  text(item.memory, memoryWords(m));
  text(item.past, pastWords(m));
  show(item.pinned, m.pinned);
  show(item.failed, m.failure !== "");
  text(item.failed.firstElementChild, m.state === "FAILED" ? "Why it failed" : "What went wrong last");
  text(item.why, m.failure);
  item.load.disabled = waits || m.remote || !["UNLOADED", "FAILED"].includes(m.state);
  item.unload.disabled = waits || m.remote || !["WARM", "LOADING"].includes(m.state);
  item.pin.disabled = waits || m.remote;
  item.pin.dataset.act = m.pinned ? "unpin" : "pin";
  text(item.pin, m.pinned ? "Unpin" : "Pin");
  attr(item.pin, "aria-label", `${m.pinned ? "Unpin" : "Pin"} ${m.name}`);
  move(item, m);
}

function move(item, m) {
  text(item.now, nowWords(m));
  show(item.bar, m.state === "LOADING");
  if (m.state !== "LOADING") return;
  const { share } = loading(m);
  item.bar.classList.toggle("unknown", share < 0);
  item.fill.style.width = share < 0 ? "" : `${share * 100}%`;
  attr(item.bar, "aria-valuenow", share < 0 ? null : Math.round(share * 100));
}

export function draw(store) {
  const rows = [...store.models.values()];
  redraw = () => draw(store);
  rows.forEach((m) => colourOf(m.name));
  keyed($("models"), rows, (m) => m.name, make, update);
  show($("models-empty"), rows.length === 0);
  text($("models-count"), `${rows.filter((m) => m.state === "WARM").length} of ${rows.length} warm`);
  show($("models-count"), rows.length > 0);
  drawMemory(store);
}

export function tick(store) {
  for (const item of ($("models").keyed || new Map()).values()) {
    const m = store.models.get(item.name);
    if (m) move(item, m);
  }
}
