// graph.js: the picture of the mesh: nodes, engines, models and traffic in plain SVG. Colour says the
// domain (violet thinks, cyan connects, coral computes), the line says how: solid now, dashed later,
// dotted unsure. State is also said by shape and words, never by colour alone.
// SPDX-License-Identifier: Apache-2.0
import { attr, h, keyed, svg, text } from "/assets/dom.js";
import { curve, layout } from "/assets/layout.js";
import * as format from "/assets/format.js";

const TIP = 1.1;        // the corners of a diamond, beside the rim of a circle
const DOTS = 9;         // models and engines around a small hub
const MOVING = 48;      // so many lines move at most: the picture stays quiet, the fan too

export const latency = (us) => (us < 1000 ? `${us} µs` : `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms`);
export const isGone = (n) => n.state === "dead" || n.state === "left" || n.state === "removed";

export function stateWords(n) {
  return [n.state, n.draining && !isGone(n) ? "draining" : "", n.breaker_open ? "resting after failures" : ""]
    .filter(Boolean).join(", ");
}

export function loadOf(n) {
  const slots = (n.models || []).reduce((sum, m) => sum + (m.state === "WARM" ? m.slots || 0 : 0), 0);
  return { active: n.active || 0, waiting: n.waiting || 0, slots };
}

function sentence(n) {
  const load = loadOf(n), models = n.models || [];
  const warm = models.filter((m) => m.state === "WARM").map((m) => m.name);
  return [n.name, n.self ? "this node" : "", stateWords(n), `${load.active} active`,
    n.self || !n.rtt_us || isGone(n) ? "" : latency(n.rtt_us),
    models.length ? `${format.plural(models.length, "model")}${warm.length ? `, warm: ${warm.join(", ")}` : ""}` : "no models",
  ].filter(Boolean).join(", ");
}

const cut = (s, n) => (s.length > n ? `${s.slice(0, n - 1)}…` : s);

// ---- lines ---------------------------------------------------------------------------------------

// The standing links, as seen from here, and the traffic on them: one line for each pair and domain.
function linesOf(mesh, at, rates) {
  const lines = [];
  const carries = new Set((mesh.traffic || []).flatMap((t) => (t.from === mesh.self ? [t.to] : t.to === mesh.self ? [t.from] : [])));
  const unsure = (n) => n.state === "suspect" || n.breaker_open;
  for (const n of mesh.nodes)
    if (!n.self && n.state !== "removed" && !(carries.has(n.name) && !isGone(n)) && at.has(n.name) && at.has(mesh.self))
      lines.push({ key: `link ${n.name}`, from: mesh.self, to: n.name, link: true, domain: "nervous",
        style: isGone(n) ? "gone" : unsure(n) ? "tentative" : "primary", rate: 0, active: 0, bow: 0, of: n.name });
  const sums = new Map();
  for (const t of mesh.traffic || []) {
    if (!at.has(t.from) || !at.has(t.to)) continue;
    const key = `${t.from} ${t.to} ${t.domain}`;
    const sum = sums.get(key) || { key, from: t.from, to: t.to, domain: t.domain, style: "async",
      active: 0, rate: 0, requests: 0, models: [] };
    sum.active += t.active;
    sum.requests += t.requests;
    sum.rate += rates(`${t.from} ${t.to} ${t.model}`);
    sum.models.push(t.model);
    const rank = { primary: 2, async: 1, tentative: 3 };
    if ((rank[t.style] || 0) > rank[sum.style]) sum.style = t.style;
    sums.set(key, sum);
  }
  const seen = new Map();
  for (const line of sums.values()) {
    const pair = `${line.from} ${line.to}`, nth = seen.get(pair) || 0;
    seen.set(pair, nth + 1);
    line.bow = 16 + 13 * nth;
    lines.push(line);
  }
  return lines;
}

function makeLine(line) {
  const base = svg("path", { class: "base" });
  const beads = line.link ? null : svg("path", { class: "beads", "pathLength": "100" });
  const title = svg("title", {});
  return { base, beads, title, el: svg("g", {}, title, base, beads) };
}

function drawLine(item, line, at, l, moving) {
  const a = at.get(line.from), b = at.get(line.to);
  const down = b.y > a.y ? 1 : -1; // in a column all lines bend to the left
  const bow = l.column ? down * Math.min(124, Math.abs(b.y - a.y) * 0.33 + line.bow / 2) : line.bow;
  const d = curve(a, b, bow);
  const busy = line.active > 0 || line.rate > 0;
  attr(item.el, "class", `line ${line.link ? "link" : "traffic"} ${line.domain} ${line.style}${busy ? " busy" : ""}`);
  attr(item.el, "data-ends", `${line.from} ${line.to}`);
  attr(item.base, "d", d);
  const width = line.link ? 1.2 : busy ? Math.min(l.most, 2 + Math.log2(1 + line.rate + line.active)) : 1.6;
  item.base.style.strokeWidth = `${width}px`;
  text(item.title, line.link ? `${line.from} – ${line.to}`
    : `${line.from} → ${line.to}: ${line.models.join(", ")}; ${line.active} active, ${format.rate(line.rate)}/s, ${format.count(line.requests)} in all`);
  if (!item.beads) return;
  attr(item.beads, "d", d);
  item.beads.classList.toggle("moving", busy && moving);
  item.beads.style.strokeWidth = `${Math.max(2.4, width * 0.8)}px`;
  item.beads.style.animationDuration = `${Math.max(0.7, 3 - Math.log2(1 + line.rate) * 0.5).toFixed(2)}s`;
}

// ---- hubs ----------------------------------------------------------------------------------------

function ringPath(r, share) {
  const angle = Math.min(0.9999, share) * 2 * Math.PI;
  const n = (v) => Math.round(v * 100) / 100;
  return `M0 ${-r}A${r} ${r} 0 ${angle > Math.PI ? 1 : 0} 1 ${n(r * Math.sin(angle))} ${n(-r * Math.cos(angle))}`;
}

function makeHub(p, on) {
  const item = { name: p.node.name };
  item.halo = svg("circle", { class: "halo" });
  item.own = svg("circle", { class: "own" });
  item.body = svg("path", { class: "body" });
  item.load = svg("path", { class: "load" });
  item.count = svg("text", { class: "count", "text-anchor": "middle", dy: "0.36em" });
  item.mark = svg("path", { class: "mark" });
  item.label = svg("text", { class: "name", "text-anchor": "middle" });
  item.sub = svg("text", { class: "sub", "text-anchor": "middle" });
  item.parts = svg("g", { class: "parts" });
  item.el = svg("g", {
    role: "button", tabindex: "-1", "data-node": p.node.name,
    onclick: () => on.pick(p.node.name),
    onpointerenter: () => on.look(p.node.name), onpointerleave: () => on.look(null),
    onfocus: () => on.look(p.node.name), onblur: () => on.look(null),
  }, item.halo, item.parts, item.own, item.body, item.load, item.count, item.mark, item.label, item.sub);
  return item;
}

// A weak node that only delegates is a diamond, all others are round.
const shape = (n, r) => (n.profile === "edge"
  ? `M0 ${-r * TIP}L${r * TIP} 0L0 ${r * TIP}L${-r * TIP} 0Z`
  : `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`);

function drawHub(item, p, few, letters, env) {
  const n = p.node, load = loadOf(n), r = p.r, busy = load.active > 0;
  attr(item.el, "class", `hub ${n.state}${n.draining ? " draining" : ""}${n.self ? " self" : ""}${busy ? " busy" : ""}${p.label === "hover" ? " bare" : ""}${n.environment && n.environment !== env ? " foreign" : ""}`);
  attr(item.el, "transform", `translate(${p.x.toFixed(1)} ${p.y.toFixed(1)})`);
  attr(item.el, "aria-label", sentence(n));
  attr(item.el, "data-env", n.environment || null);
  attr(item.halo, "r", r + (few ? 17 : 9));
  const rim = n.profile === "edge" ? r * TIP : r;
  attr(item.own, "r", n.self ? rim + 4.5 : 0);
  attr(item.body, "d", shape(n, r));
  const share = load.slots ? load.active / load.slots : busy ? 1 : 0;
  attr(item.load, "d", share && !isGone(n) ? ringPath(r, share) : "M0 0");
  text(item.count, isGone(n) ? "" : few || busy ? load.active : "");
  attr(item.mark, "d", n.state === "dead" || n.state === "removed" ? `M${-r * 0.36} ${-r * 0.36}L${r * 0.36} ${r * 0.36}M${r * 0.36} ${-r * 0.36}L${-r * 0.36} ${r * 0.36}` : "M0 0");
  text(item.label, few ? cut(n.name, 22) : cut(n.name, letters));
  const beside = p.label === "beside";
  text(item.sub, few ? (n.state === "alive" ? (n.draining ? "draining" : n.self ? "this node" : n.rtt_us ? latency(n.rtt_us) : "") : n.state) : "");
  for (const [el, dy] of [[item.label, few ? 18 : 15], [item.sub, 33]]) {
    attr(el, "text-anchor", beside ? "start" : "middle");
    attr(el, "x", beside ? r + 28 : 0);
    attr(el, "y", beside ? p.titleY + 4 : rim + dy);
  }
  if (beside) attr(item.sub, "x", Math.round(r + 36 + item.label.getComputedTextLength()));
  keyed(item.parts, rowsFor(p, few), (x) => x.key, makePart, (row, x) => drawPart(row, x, p, few));
}

function rowsFor(p, few) {
  if (isGone(p.node)) return [];
  const rows = p.parts.shown.map((x, i) => ({ ...x, i, key: `${x.what} ${x.name}` }));
  if (few && p.parts.more) rows.push({ what: "more", name: `${p.parts.more} more`, i: rows.length, key: "more", state: "" });
  return rows;
}

function makePart(x) {
  const item = { line: svg("path", { class: "stem" }), title: svg("title", {}) };
  item.dot = x.what === "engine" ? svg("rect", { class: "bit", rx: 1.6 }) : svg("circle", { class: "bit" });
  item.name = svg("text", { class: "part-name", dy: "0.34em" });
  item.el = svg("g", {}, item.title, item.line, item.dot, item.name);
  return item;
}

function drawPart(item, x, p, few) {
  attr(item.el, "class", `part is-${x.what} ${x.state || ""}${x.active ? " busy" : ""}`);
  text(item.title, x.what === "more" ? x.name : `${x.what} ${x.name}${x.state ? `, ${x.state.toLowerCase()}` : ""}`);
  let px, py, size;
  if (few) {
    const spot = p.spots[x.i];
    px = spot.x - p.x;
    py = spot.y - p.y;
    size = 5;
    text(item.name, cut(x.name, 22) + (x.active ? ` · ${x.active}` : ""));
    attr(item.name, "text-anchor", spot.anchor);
    attr(item.name, "x", px + (spot.anchor === "end" ? -12 : 12));
    attr(item.name, "y", py);
    const from = p.side ? p.side * (p.r + 5) : 0;
    attr(item.line, "d", x.what === "more" ? "M0 0" : p.side
      ? `M${from} ${(py * 0.3).toFixed(1)}Q${(px * 0.78).toFixed(1)} ${(py * 0.85).toFixed(1)} ${(px - p.side * 7).toFixed(1)} ${py}`
      : `M${px - 12} ${p.r + 47}L${px - 12} ${py}L${px - 7} ${py}`);
  } else {
    const shown = Math.min(DOTS, p.parts.shown.length), far = p.r + 7;
    const angle = ((x.i - (shown - 1) / 2) * (p.r > 14 ? 10 : 8)) / far;
    px = far * Math.sin(angle);
    py = -far * Math.cos(angle);
    size = p.r > 14 ? 3.1 : 2.5;
    text(item.name, "");
    attr(item.line, "d", "M0 0");
  }
  if (x.what === "engine") {
    attr(item.dot, "x", px - size + 0.5);
    attr(item.dot, "y", py - size + 0.5);
    attr(item.dot, "width", size * 2 - 1);
    attr(item.dot, "height", size * 2 - 1);
  } else {
    attr(item.dot, "cx", px);
    attr(item.dot, "cy", py);
    attr(item.dot, "r", x.what === "more" ? 0 : size);
  }
}

// ---- the picture ---------------------------------------------------------------------------------

// on: {pick(name)}: a node was chosen. Returns {draw(mesh, rates), mark(name)}.
export function graph(root, on) {
  const lines = svg("g", { class: "lines" }), hubs = svg("g", { class: "hubs" });
  const picture = svg("svg", { class: "picture", role: "group", "aria-label": "The mesh: arrow keys go from node to node" }, lines, hubs);
  const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  let mesh = null, rates = () => 0, width = 0, marked = null, looked = null, places = [], tab = null;
  root.append(picture, tip);

  function look(name) {
    looked = name;
    const place = name && places.find((p) => p.node.name === name);
    root.classList.toggle("looking", Boolean(place));
    const near = new Set([name]);
    for (const el of lines.children) {
      const ends = el.dataset.ends.split(" ");
      const on_ = ends.includes(name);
      el.classList.toggle("near", on_);
      if (on_) ends.forEach((x) => near.add(x));
    }
    for (const el of hubs.children) el.classList.toggle("near", near.has(el.dataset.node));
    tip.hidden = !place;
    if (place) drawTip(place);
  }

  function drawTip(p) {
    const n = p.node, load = loadOf(n), models = n.models || [];
    const rows = [
      [n.context, [n.profile === "edge" ? "edge" : "", ...(n.roles || [])].filter(Boolean).join(", ")].filter(Boolean).join(" · "),
      isGone(n) ? "" : `${load.active} active${load.slots ? ` of ${load.slots}` : ""}${load.waiting ? `, ${load.waiting} waiting` : ""}${n.self || !n.rtt_us ? "" : ` · ${latency(n.rtt_us)} away`}`,
    ].filter(Boolean);
    const shown = models.slice(0, 6);
    tip.replaceChildren(h("strong", {}, n.name), h("span", { class: `word ${n.state}` }, ` ${stateWords(n)}`),
      ...rows.map((r) => h("p", { class: "dim" }, r)),
      ...shown.map((m) => h("p", { class: "tip-model", "data-state": m.state }, h("i", {}), m.name, h("span", { class: "dim" }, ` ${(m.state || "").toLowerCase()}${m.active ? `, ${m.active} active` : ""}`))));
    if (models.length > shown.length) tip.append(h("p", { class: "dim" }, `and ${models.length - shown.length} more`));
    const half = 120;
    tip.style.left = `${Math.max(0, Math.min(width - 2 * half, p.x - half))}px`;
    const above = p.y > picture.clientHeight / 2;
    tip.style.top = above ? "" : `${p.y + p.r + 26}px`;
    tip.style.bottom = above ? `${picture.clientHeight - p.y + p.r + 14}px` : "";
  }

  function paint() {
    if (!mesh || width < 40) return;
    const l = layout(mesh.nodes.filter((n) => n.state !== "removed" || n.name === marked), mesh.self, width);
    const few = l.kind === "few";
    places = l.places;
    const at = new Map(places.map((p) => [p.node.name, p]));
    picture.classList.toggle("many", !few);
    attr(picture, "viewBox", `0 0 ${Math.round(width)} ${Math.ceil(l.height)}`);
    attr(picture, "width", Math.round(width));
    attr(picture, "height", Math.ceil(l.height));
    const all = linesOf(mesh, at, rates);
    const movers = new Set(all.filter((x) => !x.link).sort((a, b) => b.rate - a.rate).slice(0, MOVING).map((x) => x.key));
    keyed(lines, all, (x) => x.key, makeLine, (item, x) => drawLine(item, x, at, l, movers.has(x.key)));
    keyed(hubs, places, (p) => p.node.name, (p) => makeHub(p, { pick: on.pick, look }),
      (item, p) => drawHub(item, p, few, l.letters, mesh.environment));
    if (!at.has(tab)) tab = mesh.self;
    for (const el of hubs.children) {
      attr(el, "tabindex", el.dataset.node === tab ? 0 : -1);
      attr(el, "aria-pressed", el.dataset.node === marked);
    }
    if (looked && at.has(looked)) look(looked);
    else if (looked) look(null);
  }

  // One stop for Tab; the arrows go to the nearest node that way.
  picture.addEventListener("keydown", (e) => {
    const name = e.target.dataset && e.target.dataset.node;
    const here = places.find((p) => p.node.name === name);
    if (!here) return;
    if (e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      on.pick(name);
      return;
    }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    let to = e.key === "Home" ? places[0] : e.key === "End" ? places[places.length - 1] : null;
    if (!way && !to) return;
    e.preventDefault();
    let best = Infinity;
    for (const p of way ? places : []) {
      const along = (p.x - here.x) * way[0] + (p.y - here.y) * way[1];
      const across = Math.abs((p.x - here.x) * way[1]) + Math.abs((p.y - here.y) * way[0]);
      if (p === here || along < 4 || along + 2.2 * across >= best) continue;
      best = along + 2.2 * across;
      to = p;
    }
    if (!to) return;
    tab = to.node.name;
    paint();
    hubs.querySelector(`[data-node="${CSS.escape(tab)}"]`).focus();
  });

  new ResizeObserver(() => {
    const now = root.clientWidth;
    if (Math.abs(now - width) < 1) return;
    width = now;
    paint();
  }).observe(root);

  return {
    draw(m, r) {
      mesh = m;
      rates = r;
      if (!width) width = root.clientWidth;
      paint();
    },
    mark(name) {
      marked = name;
      if (name) tab = name;
      paint();
    },
  };
}
