// requests.js: requests in flight, totals, and how many come a second.
// SPDX-License-Identifier: Apache-2.0
import { $, attr, h, keyed, show, svg, text } from "/assets/dom.js";
import * as format from "/assets/format.js";

const ENDED_MS = 4000; // an ended request stays visible for so long
const ENDED_MAX = 6;
const ROWS_MAX = 100;
const SAMPLES = 120; // one a second
const WIDTH = 240;
const HEIGHT = 40;

const samples = [];
let area = null;
let line = null;

function make() {
  const cell = (label, cls) => h("td", { "data-label": label, class: cls });
  const item = {
    model: cell("Model", "strong"), path: cell("Path"), state: cell("State"), age: cell("Age", "num"),
    first: cell("First byte", "num"), tokens: cell("Tokens", "num"), rate: cell("Tokens/s", "num"),
    key: cell("Key"),
  };
  item.el = h("tr", {}, item.model, item.path, item.state, item.age, item.first, item.tokens,
    item.rate, item.key);
  return item;
}

// An answer that comes whole has no time between its first byte and its last to count tokens in.
function rate(r) {
  return r.stream ? r.tokens_per_s : r.age_ms > 0 ? (r.tokens * 1000) / r.age_ms : 0;
}

function update(item, r) {
  text(item.model, r.model || "–");
  text(item.path, r.path);
  text(item.state, r.end ? "done" : r.stream && r.state === "running" ? "streaming" : r.state);
  item.el.className = r.end ? "ended" : r.state === "waiting" ? "waiting" : "running";
  text(item.age, format.span(r.end ? r.age_ms : r.age_ms + (performance.now() - r.at)));
  text(item.first, r.first_byte_ms >= 0 ? format.span(r.first_byte_ms) : "–");
  text(item.tokens, r.tokens ? format.count(r.tokens) : "–");
  text(item.rate, rate(r) > 0 ? format.rate(rate(r)) : "–");
  text(item.key, r.key || "–");
}

export function take(store, row) {
  store.requests.delete(row.id); // an ended one moves behind
  store.requests.set(row.id, row);
  draw(store);
}

export function draw(store) {
  const now = performance.now();
  const rows = [...store.requests.values()];
  const ended = rows.filter((r) => r.end);
  ended.forEach((r, i) => {
    if (now - r.at > ENDED_MS || i < ended.length - ENDED_MAX) store.requests.delete(r.id);
  });
  const live = rows.filter((r) => !r.end).sort((a, b) => b.age_ms + now - b.at - (a.age_ms + now - a.at));
  const seen = [...live.slice(0, ROWS_MAX), ...ended.filter((r) => store.requests.has(r.id)).reverse()];
  keyed($("requests"), seen, (r) => r.id, make, update);
  show($("requests-empty"), seen.length === 0);
  show($("requests-table"), seen.length > 0);
  text($("requests-count"), `${live.length} in flight`);
  show($("requests-count"), live.length > 0);
  drawTotals(store);
}

export function tick(store) {
  if (store.requests.size) draw(store);
}

// ---- totals --------------------------------------------------------------------------------------

const FIGURES = [["Requests", "requests"], ["Errors", "errors"], ["Tokens in", "tokens_in"],
  ["Tokens out", "tokens_out"], ["Connections", "connections"]];

export function drawTotals(store) {
  const t = store.totals;
  if (!t) return;
  const rows = FIGURES.map(([label, name]) => ({ label, value: format.short(t[name]), bad: name === "errors" && t[name] > 0 }));
  rows.push({ label: "Requests/s", value: format.rate(t.requests_per_s) });
  keyed($("totals"), rows, (r) => r.label, (r) => {
    const value = h("dd", {});
    return { value, el: h("div", {}, h("dt", {}, r.label), value) };
  }, (item, r) => {
    text(item.value, r.value);
    item.value.classList.toggle("bad", Boolean(r.bad));
  });
}

export function sample(store) {
  samples.push(store.totals ? store.totals.requests_per_s : 0);
  if (samples.length > SAMPLES) samples.shift();
  if (!line) {
    area = svg("polygon", { class: "area" });
    line = svg("polyline", { class: "line" });
    $("spark").append(area, line);
  }
  const peak = Math.max(...samples);
  const scale = (HEIGHT - 3) / Math.max(peak, 1);
  const step = WIDTH / (SAMPLES - 1);
  const from = WIDTH - (samples.length - 1) * step;
  const points = samples.map((v, i) => `${(from + i * step).toFixed(1)},${(HEIGHT - 1.5 - v * scale).toFixed(1)}`);
  attr(line, "points", points.join(" "));
  attr(area, "points", `${from.toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`);
  text($("spark-peak"), format.rate(peak));
}
