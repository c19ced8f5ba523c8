// flowgraph.js: one run of a flow as a picture: tasks with their state, live. Colour of the border
// is the state, the stripe says what kind of work it is; both are also said in words.
// SPDX-License-Identifier: Apache-2.0
import { attr, svg, text } from "/assets/dom.js";
import * as format from "/assets/format.js";
import { layout } from "/assets/flowlayout.js";

export const GLYPH = { completed: "✓", running: "●", waiting: "◌", retrying: "↻", faulted: "✗", stalled: "!",
  suspended: "‖", skipped: "»", cancelled: "⊘", terminated: "⊘", pending: "·" };

// The domain of a task: thinking, connecting, computing.
function domain(t) {
  if (["model", "agent", "tool"].includes(t.call)) return "cognitive";
  if (["call", "run"].includes(t.kind)) return "organs";
  return ["emit", "listen", "wait"].includes(t.kind) ? "nervous" : "plain";
}

export const kindWords = (t) => [t.kind, t.call || t.run].filter(Boolean).join(" ");

function fit(words, most) {
  return words.length > most ? `${words.slice(0, most - 1)}…` : words;
}

function tookWords(s) {
  if (!s || !s.started) return "";
  const from = Date.parse(s.started);
  if (s.ended) return format.span(Date.parse(s.ended) - from);
  if (s.state === "waiting" && s.due) return `${format.clock(Math.max(0, Date.parse(s.due) - Date.now()))} left`;
  return ["running", "waiting", "retrying", "stalled"].includes(s.state) ? format.clock(Date.now() - from) : "";
}

export function moreWords(t, s) {
  const words = [kindWords(t)];
  if (s && s.iteration !== undefined) words.push(`round ${s.iteration + 1}`);
  else if (s && s.count > 1) words.push(`×${format.count(s.count)}`);
  if (s && s.attempt > 1) words.push(`try ${s.attempt}`);
  const took = tookWords(s);
  if (took) words.push(took);
  return words.join(" · ");
}

export function graph(root, on) {
  let drawn = "";          // the graph that stands there
  let nodes = new Map();   // pointer → {el, name, more, glyph, task}
  let lines = [];
  let chosen = null;

  function makeLine(l) {
    const path = l.bent
      ? `M${l.points[0]} H${l.points[1][0] - 7} Q${l.points[1]} ${l.points[1][0]},${l.points[1][1] + (l.points[2][1] > l.points[1][1] ? 7 : -7)} V${l.points[2][1] + (l.points[2][1] > l.points[1][1] ? -7 : 7)} Q${l.points[2]} ${l.points[2][0] - 7},${l.points[2][1]} H${l.points[3][0] + 2}`
      : `M${l.points[0]} L${l.points[1][0]},${l.points[1][1] - 2}`;
    const el = svg("g", { class: "flow-line" },
      svg("path", { d: path, "marker-end": "url(#flow-arrow)" }),
      l.label ? svg("text", { x: l.bent ? l.points[0][0] + 5 : l.points[0][0] + 6,
        y: l.bent ? l.points[0][1] - 4 : l.points[0][1] + 17 }, fit(l.label, 20)) : null);
    lines.push({ el, from: l.from, to: l.to });
    return el;
  }

  function makeNode(b) {
    const t = b.task;
    const item = { task: t, box: b.box };
    item.glyph = svg("text", { class: "glyph", x: b.x + 17, y: b.y + 21 });
    item.name = svg("text", { class: "name", x: b.x + 32, y: b.y + 21 }, fit(t.name, b.box ? Math.floor(b.w / 8) - 5 : 22));
    item.more = svg("text", { class: "sub", x: b.x + 32, y: b.y + 37 });
    const pick = () => on.pick(t.pointer);
    const cases = !b.box && t.kind === "switch" ? (t.case || []).map((c, i) =>
      svg("text", { class: "sub", x: b.x + 32, y: b.y + 54 + i * 17 }, fit(`${c} → ${leads(t.then[i])}`, 26))) : [];
    item.el = svg("g", { class: `task ${domain(t)}${b.box ? " box" : ""}`, "data-task": t.pointer, tabindex: "0", role: "button",
      onclick: (e) => {
        e.stopPropagation();
        pick();
      },
      onkeydown: (e) => {
        if (e.key !== "Enter" && e.key !== " ") return;
        e.preventDefault();
        pick();
      } },
    svg("rect", { class: "body", x: b.x, y: b.y, width: b.w, height: b.h, rx: 9 }),
    svg("rect", { class: "stripe", x: b.x + 4, y: b.y + 8, width: 4, height: b.box ? 26 : b.h - 16, rx: 2 }),
    item.glyph, item.name, item.more, ...cases);
    nodes.set(t.pointer, item);
    return item.el;
  }

  function build(tasks) {
    const l = layout(tasks);
    nodes = new Map();
    lines = [];
    root.replaceChildren(svg("svg", { class: "flow-picture", viewBox: `0 0 ${Math.ceil(l.w)} ${Math.ceil(l.h)}`,
      width: Math.ceil(l.w), height: Math.ceil(l.h), role: "group", "aria-label": "The tasks of this run" },
    svg("defs", {}, svg("marker", { id: "flow-arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      svg("path", { d: "M0 0 L8 4 L0 8 z", class: "arrow" }))),
    ...l.boxes.map(makeNode),
    ...l.titles.map((t) => svg("text", { class: "lane", x: t.x, y: t.y }, t.text)),
    ...l.lines.map(makeLine)));
    root.firstChild.style.minWidth = `${Math.ceil(l.w * 0.72)}px`; // smaller text is not read any more
  }

  function draw(tasks, states, said) {
    const key = JSON.stringify(tasks);
    if (key !== drawn) build(tasks);
    drawn = key;
    for (const [pointer, item] of nodes) {
      const s = states.get(pointer);
      const state = s ? s.state : "pending";
      item.el.dataset.state = state;
      text(item.glyph, GLYPH[state] || "·");
      const live = said && said.get(pointer);
      text(item.more, fit(live && state === "running" ? `…${live.slice(-24)}` : moreWords(item.task, s), item.box ? 60 : 27));
      attr(item.el, "aria-label", `${item.task.name}, ${state}, ${moreWords(item.task, s)}`);
      attr(item.el, "aria-pressed", chosen === pointer);
    }
    for (const l of lines) {
      const to = states.get(l.to);
      const from = states.get(l.from);
      l.el.classList.toggle("gone-by", Boolean(to && to.count > 0 && from && from.count > 0));
    }
  }

  return {
    draw,
    mark(pointer) {
      chosen = pointer;
      for (const [p, item] of nodes) attr(item.el, "aria-pressed", p === pointer);
    },
  };
}

const leads = (target) => (target === "end" || target === "exit" ? target : String(target).split("/").pop());
