// flows.js: runs of flows: their list, one run live with its picture, and what may be done with it.
// SPDX-License-Identifier: Apache-2.0
import { $, announce, attr, h, keyed, show, text, toast } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call, events } from "/assets/net.js";
import { GLYPH, graph, moreWords } from "/assets/flowgraph.js";
import * as start from "/assets/flowstart.js";

const LIST_MS = 500;   // the list is asked for at most so often
const VIEW_MS = 200;   // the open run, too
const OPEN = ["pending", "running", "waiting", "suspended", "stalled"];

let rows = [];
let more = false;
let off = "";          // why there are no flows
let run = null;        // the open run, as GET /api/flows/ID gives it
let task = null;       // pointer of the chosen one
let tab = "graph";
let watching = null;   // AbortController of the open run's stream
let said = new Map();  // pointer → what a model says just now
let picture = null;
let editing = "";      // "skip", "edit", "signal": what the small form is for

const path = (id, what) => `/api/flows/${encodeURIComponent(id)}${what || ""}`;
const tookOf = (r) => (r.started && r.closed ? format.span(Date.parse(r.closed) - Date.parse(r.started)) : "");
const when = (iso) => {
  const d = new Date(iso);
  const day = d.toDateString() === new Date().toDateString() ? "" : `${d.toLocaleDateString("en-CA")} `;
  return day + format.time(iso).slice(0, 8);
};

// A function that runs at once, and then at most each ms.
function calm(ms, fn) {
  let timer = 0;
  let again = false;
  const go = async () => {
    timer = 1;
    again = false;
    await fn().catch(() => {}); // the node's stream tells when it is away
    setTimeout(() => {
      timer = 0;
      if (again) go();
    }, ms);
  };
  return () => {
    if (timer) again = true;
    else go();
  };
}

// ---- the list ------------------------------------------------------------------------------------

async function load() {
  const query = new URLSearchParams({ limit: "30" });
  if ($("flows-status").value) query.set("status", $("flows-status").value);
  if ($("flows-name").value.trim()) query.set("name", $("flows-name").value.trim());
  try {
    const answer = await (await call("GET", `/api/flows?${query}`)).json();
    rows = answer.flows;
    more = answer.more;
    off = "";
  } catch (e) {
    if (e.status === 0) throw e;
    rows = [];
    off = e.message;
  }
  drawList();
}
const ask = calm(LIST_MS, load);

document.addEventListener("visibilitychange", () => !document.hidden && !$("flows-panel").hidden && ask());

// The node told whether it keeps flows.
export function begin(on) {
  show($("flows-panel"), Boolean(on));
  if (!on) return;
  ask();
  byHash();
}

function makeRow(r) {
  const item = { id: r.id };
  item.chip = h("span", { class: "chip" });
  item.name = h("span", { class: "strong" });
  item.open = h("button", { type: "button", class: "row-open", onclick: () => open(item.id) }, item.name);
  item.version = h("span", { class: "dim" });
  item.ident = h("td", { "data-label": "Run", class: "mono" });
  item.started = h("td", { "data-label": "Started", class: "num" });
  item.took = h("td", { "data-label": "Took", class: "num" });
  item.note = h("td", { "data-label": "Note" });
  item.el = h("tr", { "data-run": r.id, onclick: (e) => {
    if (!e.target.closest("button")) open(item.id);
  } }, h("td", { "data-label": "State" }, item.chip), h("td", { "data-label": "Flow" }, item.open, " ", item.version),
  item.ident, item.started, item.took, item.note);
  return item;
}

// What went wrong, and where.
function noteWords(note) {
  if (!note || typeof note === "string") return note || "";
  return [note.error, note.task ? `at ${String(note.task).split("/").pop()}` : ""].filter(Boolean).join(" ");
}

function noteOf(r) {
  if (r.status === "stalled") return `${noteWords(r.note)}: a person is wanted`;
  if (r.wake && OPEN.includes(r.status)) return `wakes ${when(r.wake)}`;
  return noteWords(r.note) || (r.by ? `by ${r.by}` : "");
}

function drawList() {
  keyed($("flows"), rows, (r) => r.id, makeRow, (item, r) => {
    text(item.chip, `${GLYPH[r.status] || ""} ${r.status}`);
    item.chip.dataset.state = r.status;
    text(item.name, `${r.namespace === "default" ? "" : `${r.namespace}/`}${r.name}`);
    text(item.version, r.version);
    text(item.ident, r.id);
    text(item.started, r.started ? when(r.started) : "");
    text(item.took, tookOf(r));
    text(item.note, noteOf(r));
    attr(item.el, "aria-selected", run && run.id === r.id ? "true" : null);
  });
  const live = rows.filter((r) => OPEN.includes(r.status)).length;
  text($("flows-count"), `${live} open`);
  show($("flows-count"), live > 0);
  show($("flows-table"), rows.length > 0);
  show($("flows-more"), more);
  const filtered = $("flows-status").value || $("flows-name").value;
  text($("flows-empty"), off || (filtered ? "No run fits." : "No run yet. A flow is a file: run one, or write one with “plexus flow new”."));
  show($("flows-empty"), rows.length === 0);
  show($("flows-run"), !off);
}

// ---- one run, live -------------------------------------------------------------------------------

async function view() {
  if (!run) return;
  const id = run.id;
  const got = await (await call("GET", path(id))).json();
  if (run && run.id === id) take(got);
}
const look = calm(VIEW_MS, view);

function take(r) {
  const before = run && run.id === r.id ? run.status : "";
  run = r;
  if (before && before !== r.status) announce(`${r.name} is ${r.status}`);
  if (!OPEN.includes(r.status)) said = new Map();
  drawRun();
}

async function watch(id, stop) {
  while (!stop.signal.aborted) {
    try {
      const response = await call("GET", path(id, "/events"), { signal: stop.signal, accept: "text/event-stream" });
      for await (const e of events(response)) {
        if (stop.signal.aborted) return;
        if (e.event === "run") take(JSON.parse(e.data));
        else if (e.event === "progress") speak(JSON.parse(e.data));
        else if (e.event) look();
        if (e.event === "end") return;
      }
    } catch (e) {
      if (e.name === "AbortError") return;
      if (e.status === 404 || e.status === 403) {
        toast(e.message, true);
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function speak(p) {
  const words = p.detail && typeof p.detail.text === "string" ? p.detail.text : "";
  if (!words) return;
  said.set(p.task, words);
  drawPicture();
  if (p.task === task) drawTask();
}

export function open(id) {
  if (watching) watching.abort();
  run = { id, name: "", status: "" };
  task = null;
  said = new Map();
  setTab("graph");
  $("flow-said").hidden = true;
  ask_(false);
  watching = new AbortController();
  watch(id, watching);
  if (location.hash !== `#flow/${encodeURIComponent(id)}`) history.replaceState(null, "", `#flow/${encodeURIComponent(id)}`);
  show($("flow"), true);
  drawList();
  $("flow-h").focus();
}

function close() {
  if (watching) watching.abort();
  const id = run && run.id;
  run = null;
  watching = null;
  show($("flow"), false);
  history.replaceState(null, "", "/");
  drawList();
  const row = id && document.querySelector(`[data-run="${CSS.escape(id)}"] .row-open`);
  if (row) row.focus();
}

const statesOf = () => new Map(((run.view || {}).tasks || []).map((t) => [t.task, t]));

function drawPicture() {
  if (run && run.graph && tab === "graph") picture.draw(run.graph.tasks, statesOf(), said);
}

const ACTS = { // which states each may be done in
  pause: ["pending", "running", "waiting"], resume: ["suspended"], cancel: OPEN, terminate: OPEN,
  retry: ["faulted", "stalled"], signal: OPEN,
};

function drawRun() {
  const r = run;
  text($("flow-name"), `${r.namespace && r.namespace !== "default" ? `${r.namespace}/` : ""}${r.name || r.id}`);
  text($("flow-version"), r.version || "");
  show($("flow-version"), Boolean(r.version));
  text($("flow-chip"), `${GLYPH[r.status] || ""} ${r.status}`);
  $("flow-chip").dataset.state = r.status;
  show($("flow-chip"), Boolean(r.status));
  text($("flow-line"), [r.id, r.started ? `started ${when(r.started)}` : "", r.by ? `by ${r.by}` : "", tookOf(r) ? `took ${tookOf(r)}` : "",
    r.wake && OPEN.includes(r.status) ? `wakes ${when(r.wake)}` : "", r.entries ? `${format.count(r.entries)} entries` : "", noteWords(r.note)].filter(Boolean).join(" · "));
  for (const [what, states] of Object.entries(ACTS)) show($(`flow-${what}`), states.includes(r.status));
  const v = r.view || {};
  if (!task) drawWhole(v);
  else drawTask();
  drawPicture();
}

// ---- what stands beside the picture --------------------------------------------------------------

function whole(value) {
  return value && typeof value === "object" && "$cut" in value
    ? `${value.preview}…\n(${format.bytes(value.$cut)} in all; “Whole values” loads them)` : JSON.stringify(value, null, 2);
}

function problem(e) {
  const type = String(e.type || "error").split("/").pop();
  return [`${type}${e.status ? ` ${e.status}` : ""}`, e.title, e.detail].filter(Boolean).join("\n");
}

function values(pairs) {
  const key = JSON.stringify(pairs);
  if ($("flow-values").filled === key) return; // what is selected there stays so
  $("flow-values").filled = key;
  $("flow-values").replaceChildren(...pairs.filter(([, v]) => v !== undefined && v !== null).flatMap(([name, v]) => [
    h("h4", {}, name),
    h("pre", { tabindex: "0", class: name === "Error" ? "bad" : null }, name === "Error" ? problem(v) : whole(v)),
  ]));
}

function drawWhole(v) {
  text($("flow-what"), "The whole run");
  text($("flow-what-more"), "Choose a task for what went in and out of it.");
  for (const what of ["retry", "skip", "edit"]) show($(`task-${what}`), false);
  show($("task-none"), false);
  show($("flow-said"), false);
  values([["Error", v.error], ["Input", v.input], ["Context", v.context], ["Output", v.output]]);
}

function drawTask() {
  const t = run.graph.tasks.find((x) => x.pointer === task);
  const s = statesOf().get(task);
  if (!t) return;
  text($("flow-what"), t.name);
  text($("flow-what-more"), [s ? s.state : "pending", moreWords(t, s), s && s.started ? `since ${when(s.started)}` : "",
    t.line ? `line ${t.line}` : ""].filter(Boolean).join(" · "));
  const failed = Boolean(s && ["faulted", "stalled"].includes(s.state) && ["faulted", "stalled"].includes(run.status));
  show($("task-retry"), failed);
  show($("task-edit"), failed);
  show($("task-skip"), failed || Boolean(s && ["running", "waiting", "retrying"].includes(s.state) && OPEN.includes(run.status)));
  show($("task-none"), true);
  const words = said.get(task);
  show($("flow-said"), Boolean(words) && Boolean(s && s.state === "running"));
  if (words) text($("flow-said"), words);
  values([["Error", s && s.error], ["Input", s && s.input], ["Output", s && s.output]]);
}

function pick(pointer) {
  task = task === pointer ? null : pointer;
  picture.mark(task);
  ask_(false);
  drawRun();
}

// ---- hands ---------------------------------------------------------------------------------------

async function act(what, body) {
  const id = run.id;
  $("flow-acts").disabled = true;
  try {
    const answer = await (await call("POST", path(id, `/${what}`), { body: body || {} })).json();
    announce(`${run && run.name}: ${answer.status}`);
    if (answer.id && answer.id !== id) open(answer.id);
    else if (run && run.id === id && (!watching || watching.signal.aborted || !OPEN.includes(run.status))) open(id); // it goes on
    else look();
    ask();
  } catch (e) {
    toast(e.message, true);
  }
  $("flow-acts").disabled = false;
}

const FORMS = {
  skip: ["What shall the task give? (JSON)", () => "null"],
  edit: ["What shall the task get? (JSON)", () => JSON.stringify((statesOf().get(task) || {}).input ?? null, null, 2)],
  signal: ["The event: its type, and data (JSON)", () => "{}"],
};

// The small form for a value; false closes it.
function ask_(what) {
  editing = what || "";
  show($("flow-form"), Boolean(what));
  if (!what) return;
  text($("flow-form-label"), FORMS[what][0]);
  show($("flow-type"), what === "signal");
  $("flow-type").required = what === "signal";
  $("flow-value").value = FORMS[what][1]();
  $(what === "signal" ? "flow-type" : "flow-value").focus();
}

function submit(e) {
  e.preventDefault();
  let value;
  try {
    value = JSON.parse($("flow-value").value.trim() || "null");
  } catch (error) {
    toast(`That is no JSON: ${error.message}`, true);
    return;
  }
  const what = editing;
  ask_(false);
  if (what === "skip") act("skip", { task, output: value });
  else if (what === "edit") act("edit", { task, input: value });
  else act("signal", { type: $("flow-type").value.trim(), data: value });
}

async function full() {
  try {
    take(await (await call("GET", path(run.id, "?full=1"))).json());
  } catch (e) {
    toast(e.message, true);
  }
}

// ---- tabs ----------------------------------------------------------------------------------------

const INTO = ["started", "evaluated", "done", "failed", "fired", "event", "hand", "tick", "rolled"];

async function history_() {
  const { entries } = await (await call("GET", path(run.id, "/history"))).json();
  $("flow-history").replaceChildren(...entries.map((e) => {
    const into = INTO.includes(e.t);
    const data = e.data === undefined ? "" : JSON.stringify(e.data);
    return h("tr", {}, h("td", { class: "num" }, String(e.n)), h("td", { class: "num dim" }, e.at ? format.time(e.at) : ""),
      h("td", { class: into ? "into" : "out" }, `${into ? "←" : "→"} ${e.t}`), h("td", { class: "num" }, e.id ? String(e.id) : ""),
      h("td", { class: "mono data", title: data }, data.length > 300 ? `${data.slice(0, 300)}…` : data),
      h("td", {}, into && e.n > 1 ? h("button", { type: "button", class: "quiet", "aria-label": `Run again from entry ${e.n}`,
        onclick: () => act("reset", { to: e.n }) }, "From here") : null));
  }));
}

async function setTab(name) {
  tab = name;
  for (const b of document.querySelectorAll("#flow-tabs button")) attr(b, "aria-selected", b.dataset.tab === name);
  show($("flow-body"), name === "graph");
  show($("flow-history-box"), name === "history");
  show($("flow-document"), name === "document");
  if (name === "graph") drawPicture();
  try {
    if (name === "history") await history_();
  } catch (e) {
    toast(e.message, true);
  }
  if (name === "document") text($("flow-document"), run.document || "");
}

// ---- the whole -----------------------------------------------------------------------------------

// {"id","status","task","kind"} of the node's events; id null: many at once.
export function changed(f) {
  if (f.id && run && run.id === f.id && !OPEN.includes(run.status) && OPEN.includes(f.status)) open(f.id); // somebody mended it
  if (!document.hidden) ask();
}

export function tick() {
  if (run && run.view && OPEN.includes(run.status)) drawPicture();
}

picture = graph($("flow-picture"), { pick });
$("flow-picture").addEventListener("click", () => task && pick(task));
$("flow-close").addEventListener("click", close);
$("flow-full").addEventListener("click", full);
for (const what of ["pause", "resume", "cancel", "terminate", "retry"])
  $(`flow-${what}`).addEventListener("click", () => act(what));
$("flow-signal").addEventListener("click", () => ask_("signal"));
$("task-retry").addEventListener("click", () => act("retry", { task }));
$("task-skip").addEventListener("click", () => ask_("skip"));
$("task-edit").addEventListener("click", () => ask_("edit"));
$("task-none").addEventListener("click", () => pick(task));
$("flow-form").addEventListener("submit", submit);
$("flow-form-no").addEventListener("click", () => ask_(false));
$("flows-status").addEventListener("change", ask);
$("flows-name").addEventListener("input", ask);
for (const b of document.querySelectorAll("#flow-tabs button")) b.addEventListener("click", () => setTab(b.dataset.tab));
$("flow").addEventListener("keydown", (e) => {
  if (e.key === "Escape" && editing) ask_(false);
  else if (e.key === "Escape" && task) pick(task);
});
start.ready({ started: (id) => {
  open(id);
  ask();
} });
function byHash() {
  const m = /^#flow\/(.+)$/.exec(location.hash);
  if (m && (!run || run.id !== decodeURIComponent(m[1]))) open(decodeURIComponent(m[1]));
}
window.addEventListener("hashchange", byHash);

