// app.js: the console. Holds what the node last told, and hands each change to the views.
// SPDX-License-Identifier: Apache-2.0
import { $, announce, attr, h, show, text, toast } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call, follow, key, whenLocked } from "/assets/net.js";
import * as chat from "/assets/chat.js";
import * as flows from "/assets/flows.js";
import * as tools from "/assets/tools.js";
import * as log from "/assets/log.js";
import * as mesh from "/assets/mesh.js";
import * as models from "/assets/models.js";
import * as requests from "/assets/requests.js";

const root = document.documentElement;
const store = {
  node: null, machine: null, memory: null, totals: null,
  models: new Map(),   // name → row, with at: when it was told
  requests: new Map(), // id → row, with at
};
let startedAt = 0;  // by this page's clock
let heardAt = 0;
let link = "connecting";
let nextTry = 0;

// ---- header and machine --------------------------------------------------------------------------

function drawNode() {
  const n = store.node;
  const env = ["dev", "staging", "prod"].includes(n.environment) ? n.environment : "other";
  root.dataset.env = env;
  text($("node-name"), n.name || "plexus");
  text($("env"), n.environment || "no environment");
  show($("env"), true);
  text($("node-line"), [`plexus ${n.version}`, n.context].filter(Boolean).join(" · "));
  text($("node-address"), n.address || location.origin);
  document.title = `${n.name || "plexus"} · ${n.environment || "plexus"}`;
  $("node-line").title = `config ${n.config || "made by the node"}, data ${n.data}, pid ${n.pid}, started ${n.started}`;
}

function drawMachine() {
  const m = store.machine;
  const cpus = Number.isInteger(m.cpus) ? m.cpus : m.cpus.toFixed(1);
  const rows = [
    ["CPU", `${m.cpu || "unknown"}`, `${cpus} ${m.cpus === 1 ? "core" : "cores"}`],
    ["Memory", format.bytes(m.memory_bytes), `${format.bytes(m.memory_available_bytes)} available`],
    ...(m.gpus.length ? m.gpus.map((g) => ["GPU", g.name, format.bytes(g.memory_bytes)])
      : [["GPU", "none", ""]]),
  ];
  $("machine").replaceChildren(...rows.map(([what, value, more]) =>
    h("div", {}, h("dt", {}, what), h("dd", {}, h("span", {}, value),
      more ? h("span", { class: "dim" }, more) : null))));
  text($("machine-class"), m.class);
  show($("machine-class"), Boolean(m.class));
}

function drawUptime() {
  if (store.node) text($("node-uptime"), format.clock(performance.now() - startedAt));
}

// ---- the link to the node ------------------------------------------------------------------------

function setLink(state) {
  if (link !== state && (state === "lost" || (state === "live" && link === "lost")))
    announce(state === "lost" ? "Disconnected from the node" : "Connected to the node again");
  link = state;
  drawLink();
}

function drawLink() {
  const draining = link === "live" && store.node && store.node.draining;
  root.dataset.link = draining ? "draining" : link;
  text($("link-text"), draining ? "draining" : { lost: "disconnected", locked: "needs a key" }[link] || link);
  show($("lost"), link === "lost");
  show($("key-form"), link === "locked");
  show($("forget-key"), Boolean(key.get()));
  if (link !== "lost") return;
  const left = Math.max(0, Math.ceil((nextTry - performance.now()) / 1000));
  const seen = heardAt ? `What you see is ${format.clock(performance.now() - heardAt)} old. ` : "";
  text($("lost-text"), `${seen}${left ? `Trying again in ${left} s.` : "Trying now …"}`);
}

function lock(message) {
  text($("key-why"), message);
  const first = link !== "locked";
  setLink("locked");
  if (first) $("key-input").focus();
}

// ---- what the node tells -------------------------------------------------------------------------

const stamped = (row) => ({ ...row, at: performance.now() });

function takeState(s) {
  store.node = s.node;
  store.machine = s.machine;
  store.memory = s.memory;
  store.totals = s.totals;
  store.models = new Map(s.models.map((m) => [m.name, stamped(m)]));
  store.requests = new Map(s.requests.map((r) => [r.id, stamped(r)]));
  startedAt = performance.now() - s.node.uptime_ms;
  drawNode();
  drawMachine();
  drawUptime();
  models.draw(store);
  requests.draw(store);
  chat.draw(store);
  log.drawModels(store);
  if (link !== "live") {
    setLink("live");
    log.history();
    mesh.ask();
    flows.begin(s.flows);
    tools.begin(s.tools);
  }
  drawLink();
}

const SAY = { WARM: "is ready", LOADING: "is loading", FAILED: "failed", UNLOADED: "is unloaded" };

function takeModel(row) {
  const before = store.models.get(row.name);
  store.models.set(row.name, stamped(row));
  if (before && before.state !== row.state && SAY[row.state])
    announce(`${row.name} ${SAY[row.state]}`);
  models.draw(store);
  chat.draw(store);
  if (!before) log.drawModels(store);
}

// How busy a model is, and when it would leave, changes with requests that are no news of the model:
// asked for at most once a second.
let refreshing = false;

function refreshSoon() {
  if (refreshing) return;
  refreshing = true;
  setTimeout(async () => {
    const asked = performance.now();
    try {
      const { models: rows } = await (await call("GET", "/api/models")).json();
      for (const row of rows) {
        const known = store.models.get(row.name);
        if (known && known.at <= asked) takeModel(row); // else an event was quicker
      }
    } catch {
      // the stream tells when the node is away
    }
    refreshing = false;
  }, 1000);
}

const taking = {
  state: takeState,
  model: takeModel,
  request(row) {
    if (row.end || !store.requests.has(row.id)) refreshSoon();
    requests.take(store, stamped(row));
  },
  stat(s) {
    store.memory = s.memory;
    store.totals = s.totals;
    models.drawMemory(store);
    requests.drawTotals(store);
  },
  mesh(m) {
    mesh.take(m);
    chat.draw(store);
  },
  flow(f) {
    flows.changed(f);
  },
  tool(t) {
    tools.changed(t);
  },
  config(c) {
    toast(`The configuration was read again: ${format.plural((c.changes || []).length, "change")}.`);
  },
};

const stream = follow("/api/events", {
  open() {
    heardAt = performance.now();
  },
  event(name, data) {
    heardAt = performance.now();
    if (name === "log") {
      log.take(data);
      return;
    }
    let value = null;
    try {
      value = JSON.parse(data);
    } catch {
      return; // half a frame of a node that went away
    }
    if (taking[name]) taking[name](value);
  },
  lost(error, ms) {
    nextTry = performance.now() + ms;
    setLink("lost");
  },
  locked(error) {
    lock(error.message);
  },
});

whenLocked((status, message) => lock(message));
$("lost-retry").addEventListener("click", () => stream.retry());
$("key-form").addEventListener("submit", (e) => {
  e.preventDefault();
  key.set($("key-input").value.trim());
  $("key-input").value = "";
  setLink("connecting");
  stream.retry();
});
$("forget-key").addEventListener("click", () => {
  key.set("");
  location.replace("/");
});
$("skip").addEventListener("click", (e) => {
  e.preventDefault();
  chat.focus();
});
document.addEventListener("keydown", (e) => {
  const typing = e.target.matches && e.target.matches("input, textarea, select");
  if (e.key !== "/" || typing || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  chat.focus();
});
attr(root, "data-ready", "");

setInterval(() => {
  drawUptime();
  drawLink();
  models.tick(store);
  requests.tick(store);
  chat.tick(store);
  flows.tick();
}, 500);
setInterval(() => requests.sample(store), 1000);
