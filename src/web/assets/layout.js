// layout.js: where the nodes of the mesh stand: pure, and the same for the same nodes and width.
// This node is the centre, since what it tells is seen from here.
// SPDX-License-Identifier: Apache-2.0

const ROW = 21;     // height of one name of a model or engine
const WIDE = 640;   // narrower: a column instead of two sides
const FEW = 7;      // so many nodes have the names of their models beside them

// Contexts stay together ("dev.aipc.node1": environment.class.node), then names as people count.
export function order(nodes, self) {
  const key = (n) => (n.context || "").split(".").slice(0, 2).join(".");
  return [...nodes].sort((a, b) => (b.name === self) - (a.name === self)
    || key(a).localeCompare(key(b)) || a.name.localeCompare(b.name, "en", { numeric: true }));
}

// What stands beside a node: its engines, then its models, those that answer at once first.
const RANK = { WARM: 0, LOADING: 1, DRAINING: 2, FAILED: 3 };
export function parts(node, most) {
  const rank = (m) => (m.state in RANK ? RANK[m.state] : 4);
  const models = [...(node.models || [])].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  const all = [...(node.engines || []).map((e) => ({ what: "engine", name: e.name, state: "" })),
    ...models.map((m) => ({ what: "model", name: m.name, state: m.state, active: m.active || 0, kind: m.kind }))];
  const shown = all.length > most ? all.slice(0, most - 1) : all;
  return { shown, more: all.length - shown.length };
}

const rowsOf = (p) => p.shown.length + (p.more ? 1 : 0);

// Names beside a hub: on its right (1), on its left (-1) or below it (0). titled: its own name stands
// above them.
function list(x, y, r, side, p, titled) {
  const n = rowsOf(p), lines = n + (titled ? 1 : 0);
  return Array.from({ length: n }, (_, i) => (side
    ? { x: x + side * (r + 34), y: y + (lines - n + i - (lines - 1) / 2) * ROW, anchor: side > 0 ? "start" : "end" }
    : { x: x - 46, y: y + r + 55 + i * ROW, anchor: "start" }));
}

function place(node, x, y, r, side, most, titled) {
  const p = parts(node, most);
  return { node, x, y, r, side, label: titled ? "beside" : "below", titleY: titled ? -(rowsOf(p) / 2) * ROW : 0,
    parts: p, spots: list(x, y, r, side, p, titled) };
}

function slot(node, r, most) {
  return Math.max(2 * r + 58, rowsOf(parts(node, most)) * ROW + 26);
}

function solo(nodes, width) {
  const r = 30, most = 7;
  const height = Math.max(132, slot(nodes[0], r, most));
  return { kind: "few", most: 9, height, places: [place(nodes[0], Math.min(width * 0.25, 96), height / 2 - 8, r, 1, most)] };
}

// Two sides with this node between them.
function wide(nodes, width) {
  const [self, ...others] = nodes;
  const r = nodes.length < 4 ? 30 : 26, most = nodes.length < 4 ? 7 : 5;
  const inset = Math.max(190, width * 0.235);
  const sides = others.length === 1 ? [[self], others]
    : [others.filter((_, i) => i % 2), others.filter((_, i) => i % 2 === 0)];
  const tall = sides.map((s) => s.reduce((sum, n) => sum + slot(n, r, most), 0));
  // All hang on the height of this node, whose own models stand below it.
  const half = Math.max(...tall) / 2;
  const middle = Math.max(half, r + 34) + 8;
  const height = middle + Math.max(half + 4, others.length > 1 ? r + 62 + rowsOf(parts(self, most)) * ROW : 0);
  const places = [];
  sides.forEach((side, k) => {
    const gap = (2 * half - tall[k]) / (side.length + 1);
    let y = middle - half;
    for (const n of side) {
      const h = slot(n, r, most);
      y += gap;
      places.push(place(n, k ? width - inset : inset, y + h / 2 - 8, r, k ? 1 : -1, most));
      y += h;
    }
  });
  if (others.length > 1) places.unshift(place(self, width / 2, middle - 8, r + 4, 0, most));
  return { kind: "few", most: 9, height, places };
}

// One below the other, for a phone.
function column(nodes) {
  const r = 23, most = 5, places = [];
  let y = 4;
  for (const n of nodes) {
    const h = Math.max(2 * r + 22, (rowsOf(parts(n, most)) + 1) * ROW + 20);
    places.push(place(n, 86, y + h / 2, r, 1, most, true));
    y += h;
  }
  return { kind: "few", most: 9, height: y + 4, places, column: true };
}

// n points on an ellipse with the same way between neighbours, from the top on.
function around(n, rx, ry) {
  const steps = 720, at = [0];
  const point = (i) => [rx * Math.sin((i / steps) * 2 * Math.PI), -ry * Math.cos((i / steps) * 2 * Math.PI)];
  for (let i = 1; i <= steps; i++) {
    const [a, b] = [point(i - 1), point(i)];
    at.push(at[i - 1] + Math.hypot(b[0] - a[0], b[1] - a[1]));
  }
  let i = 0;
  return Array.from({ length: n }, (_, k) => {
    const want = ((k + 0.5) / n) * at[steps];
    while (at[i + 1] < want) i++;
    return point(i + (want - at[i]) / (at[i + 1] - at[i]));
  });
}

// Which ring each of n nodes is on, so that neighbours in the order stay neighbours on the screen.
function deal(n, weights) {
  const sum = weights.reduce((a, b) => a + b, 0), given = weights.map(() => 0);
  return Array.from({ length: n }, (_, i) => {
    let best = 0;
    weights.forEach((w, k) => {
      if ((w / sum) * (i + 1) - given[k] > (weights[best] / sum) * (i + 1) - given[best]) best = k;
    });
    given[best]++;
    return best;
  });
}

function rings(nodes, width) {
  const [self, ...others] = nodes;
  const n = others.length, narrow = width < WIDE;
  const scales = n <= (narrow ? 10 : 16) ? [1] : n <= (narrow ? 30 : 34) ? [0.56, 1] : [0.4, 0.7, 1];
  const r = n <= 16 ? 17 : n <= 34 ? 13 : narrow ? 9 : 11;
  const height = narrow ? width * (n > 30 ? 1.7 : 1.3) : Math.min(scales.length > 2 ? 640 : scales.length > 1 ? 560 : 430, width * 0.62);
  const rx = width / 2 - (narrow ? 26 : 62), ry = height / 2 - 36;
  const ring = deal(n, scales.map((s) => s * (rx + ry)));
  const spots = scales.map((s, k) => around(ring.filter((x) => x === k).length, rx * s, ry * s));
  const cx = width / 2, cy = height / 2 - 6, next = scales.map(() => 0);
  const label = narrow && n > 10 ? "hover" : "below";
  const places = others.map((node, i) => {
    const [x, y] = spots[ring[i]][next[ring[i]]++];
    return { node, x: cx + x, y: cy + y, r, side: 0, label, parts: parts(node, 9), spots: [] };
  });
  places.unshift({ node: self, x: cx, y: cy, r: r + 8, side: 0, label: "below", parts: parts(self, 9), spots: [] });
  // So much room has a name below its hub.
  const letters = n <= 16 ? 16 : n <= 34 ? 12 : 10;
  return { kind: "many", height, places, letters, most: narrow ? 4 : 6 };
}

export function layout(nodes, self, width) {
  const sorted = order(nodes, self);
  if (!sorted.length) return { kind: "few", most: 9, height: 0, places: [] };
  if (sorted.length === 1) return solo(sorted, width);
  if (sorted.length <= FEW) return width >= WIDE ? wide(sorted, width) : column(sorted);
  return rings(sorted, width);
}

// A curve from one place to another, bent to its right by bow, that ends at their rims.
export function curve(a, b, bow, gap = 5) {
  const dx = b.x - a.x, dy = b.y - a.y, d = Math.hypot(dx, dy) || 1;
  const c = { x: (a.x + b.x) / 2 - (dy / d) * bow, y: (a.y + b.y) / 2 + (dx / d) * bow };
  const rim = (p) => {
    const l = Math.hypot(c.x - p.x, c.y - p.y) || 1, k = (p.r + gap) / l;
    return { x: p.x + (c.x - p.x) * k, y: p.y + (c.y - p.y) * k };
  };
  const s = rim(a), e = rim(b), n = (v) => Math.round(v * 10) / 10;
  return `M${n(s.x)} ${n(s.y)}Q${n(c.x)} ${n(c.y)} ${n(e.x)} ${n(e.y)}`;
}
