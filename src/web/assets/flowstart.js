// flowstart.js: a flow is started from a document that was pasted, chosen or kept: what is wrong
// with it is said while it is written. SPDX-License-Identifier: Apache-2.0
import { $, attr, h, show, text, toast } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { call } from "/assets/net.js";

const CHECK_MS = 300; // after the last key
const STARTER = `document:
  dsl: 1.0.3
  namespace: default
  name: hello
  version: 1.0.0
do:
  - greet:
      set:
        greeting: \${ "Hello, " + (.name // "world") }
  - nap:
      wait: PT3S
`;

let timer = 0;
let asked = 0;
let on = {};

function showFindings(list, about) {
  text($("start-state"), list.length ? format.plural(list.length, "finding")
    : about ? `${about.namespace}/${about.name} ${about.version}, ${format.plural(about.tasks || 0, "task")}: well` : "");
  attr($("start-state"), "class", list.length ? "bad" : "good");
  $("start-findings").replaceChildren(...list.map((f) => h("li", {},
    h("button", { type: "button", class: "quiet", onclick: () => go(f.line, f.column) }, f.line ? `line ${f.line}` : "document"),
    h("span", {}, `${f.task ? `${f.task}: ` : ""}${f.message}`))));
  $("start-go").disabled = list.length > 0 || !$("start-text").value.trim();
  $("start-keep").disabled = $("start-go").disabled;
}

function go(line, column) {
  const lines = $("start-text").value.split("\n");
  const at = lines.slice(0, Math.max(0, line - 1)).reduce((n, l) => n + l.length + 1, 0) + Math.max(0, column - 1);
  $("start-text").focus();
  $("start-text").setSelectionRange(at, at + Math.max(0, (lines[line - 1] || "").length - column + 1));
}

async function check() {
  const mine = ++asked;
  const document = $("start-text").value;
  if (!document.trim()) {
    showFindings([], null);
    return;
  }
  try {
    const answer = await (await call("POST", "/api/flows/check", { body: { document } })).json();
    if (mine === asked) showFindings(answer.findings || [], answer.ok ? answer.about : null);
  } catch (e) {
    if (mine === asked) text($("start-state"), e.message);
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(check, CHECK_MS);
}

async function documents() {
  const list = $("start-kept");
  try {
    const { documents: kept } = await (await call("GET", "/api/flows/documents")).json();
    list.replaceChildren(h("option", { value: "" }, "a document of your own"), ...kept.map((d) =>
      h("option", { value: JSON.stringify([d.namespace, d.name, d.version]) }, `${d.namespace}/${d.name} ${d.version}`)));
  } catch {
    list.replaceChildren(h("option", { value: "" }, "a document of your own"));
  }
  chosen();
}

function chosen() {
  const own = !$("start-kept").value;
  show($("start-own"), own);
  show($("start-keep"), own);
  if (own) check();
  else {
    showFindings([], null);
    $("start-go").disabled = false;
  }
}

function input() {
  const words = $("start-input").value.trim();
  return words ? JSON.parse(words) : undefined;
}

async function send(path, body, said) {
  $("start-go").disabled = true;
  try {
    const answer = await (await call("POST", path, { body })).json();
    $("start").close();
    said(answer);
  } catch (e) {
    toast(e.message, true);
    if (e.code === "document") check();
  }
  $("start-go").disabled = false;
}

function run(e) {
  e.preventDefault();
  let value;
  try {
    value = input();
  } catch (error) {
    toast(`The input is no JSON: ${error.message}`, true);
    $("start-input").focus();
    return;
  }
  const kept = $("start-kept").value ? JSON.parse($("start-kept").value) : null;
  const body = kept ? { namespace: kept[0], name: kept[1], version: kept[2] } : { document: $("start-text").value };
  if (value !== undefined) body.input = value;
  send("/api/flows", body, (answer) => on.started(answer.id));
}

async function chooseFile() {
  const file = $("start-file").files[0];
  if (!file) return;
  $("start-text").value = await file.text();
  $("start-file").value = "";
  check();
}

export function ready(handlers) {
  on = handlers;
  $("flows-run").addEventListener("click", () => {
    if (!$("start-text").value) $("start-text").value = STARTER;
    $("start").showModal();
    $("start-text").focus();
    documents();
  });
  $("start-text").addEventListener("input", soon);
  $("start-file").addEventListener("change", chooseFile);
  $("start-kept").addEventListener("change", chosen);
  $("start-form").addEventListener("submit", run);
  $("start-no").addEventListener("click", () => $("start").close());
  $("start-keep").addEventListener("click", () => send("/api/flows/documents", { document: $("start-text").value },
    (d) => toast(`${d.namespace}/${d.name} ${d.version} is kept on the node.`)));
}
