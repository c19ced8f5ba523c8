// log.js: the tail of the node's log, at most 500 lines, by model and level.
// SPDX-License-Identifier: Apache-2.0
import { $, attr, h, text } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call } from "/assets/net.js";

const LINES_MAX = 500;
const LEVELS = ["debug", "info", "warn", "error"];

let lines = []; // {raw, level, model, el}
let paused = false;
let missed = 0;
let waiting = [];
let planned = false;

function value(v) {
  return typeof v === "string" ? v : JSON.stringify(v);
}

function parse(raw) {
  let o = null;
  try {
    o = JSON.parse(raw);
  } catch {
    // not JSON: shown as it is
  }
  if (!o || typeof o !== "object" || Array.isArray(o)) o = { event: raw };
  const { time, level, event, ...fields } = o;
  const name = LEVELS.includes(level) ? level : "info";
  const row = { raw, level: LEVELS.indexOf(name), model: typeof o.model === "string" ? o.model : "" };
  const rest = h("span", { class: "fields" });
  for (const [k, v] of Object.entries(fields)) rest.append(h("b", {}, `${k}=`), `${value(v)} `);
  row.el = h("li", { class: name },
    h("time", { title: time ? String(time) : null }, time ? format.time(time) : ""),
    h("span", { class: "level" }, name),
    h("span", { class: "event" }, event === undefined ? "" : String(event)), rest);
  return row;
}

function wanted(row) {
  const model = $("log-model").value;
  return row.level >= Number($("log-level").value) && (!model || row.model === model);
}

function atEnd() {
  const box = $("log");
  return box.scrollHeight - box.scrollTop - box.clientHeight < 30;
}

function toEnd() {
  $("log").scrollTop = $("log").scrollHeight;
}

function trim() {
  while (lines.length > LINES_MAX) lines.shift().el.remove();
}

// Lines come in bursts: the page is changed once a frame.
function flush() {
  planned = false;
  if (paused) return; // planned before the pause: what waits comes when the log goes on
  const follow = atEnd();
  const rows = waiting.map(parse);
  waiting = [];
  lines.push(...rows);
  $("log").append(...rows.filter(wanted).map((r) => r.el));
  trim();
  if (follow) toEnd();
}

export function take(raw) {
  waiting.push(raw);
  if (waiting.length > LINES_MAX) waiting.shift();
  if (paused) {
    missed++;
    text($("log-pause"), `Go on (${missed} new)`);
  } else if (!planned) {
    planned = true;
    setTimeout(flush, 60);
  }
}

function redraw() {
  $("log").replaceChildren(...lines.filter(wanted).map((r) => r.el));
  toEnd();
}

// What was said before this page listened; lines that are there already are not told twice.
export async function history() {
  let old = [];
  try {
    const response = await call("GET", "/api/logs?lines=200");
    old = (await response.text()).split("\n").filter(Boolean);
  } catch {
    return; // the stream goes on without
  }
  const have = new Set([...lines.map((l) => l.raw), ...waiting]);
  const fresh = old.filter((raw) => !have.has(raw)).map(parse);
  if (!fresh.length) return;
  lines = [...lines, ...fresh].sort((a, b) => stamp(a.raw) < stamp(b.raw) ? -1 : stamp(a.raw) > stamp(b.raw) ? 1 : 0);
  trim();
  redraw();
}

// ISO times compare as text; a line without one stays in front.
function stamp(raw) {
  const at = raw.indexOf('"time":"');
  return at < 0 ? "" : raw.slice(at + 8, at + 32);
}

export function drawModels(store) {
  const select = $("log-model");
  const had = select.value;
  const names = [...store.models.keys()];
  select.replaceChildren(h("option", { value: "" }, "every model"),
    ...names.map((n) => h("option", { value: n }, n)));
  select.value = names.includes(had) ? had : "";
  if (select.value !== had) redraw();
}

$("log-model").addEventListener("change", redraw);
$("log-level").addEventListener("change", redraw);
$("log-pause").addEventListener("click", () => {
  paused = !paused;
  missed = 0;
  attr($("log-pause"), "aria-pressed", paused);
  text($("log-pause"), paused ? "Go on" : "Pause");
  if (!paused) flush();
});
