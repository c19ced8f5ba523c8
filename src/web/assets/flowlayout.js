// flowlayout.js: where each task of a flow stands: tasks below each other, branches of a fork beside
// each other, what is inside a task in its box. Pure: the same graph gives the same picture.
// SPDX-License-Identifier: Apache-2.0

export const LEAF = { w: 206, h: 48 };
const GAP = 28;    // between tasks of a list: room for an arrow
const LANE = 18;   // between branches
const PAD = 14;
const HEAD = 50;   // of a box
const CASE = 17;   // a line of a switch
const TITLE = 20;  // over a catch

function children(byParent, pointer, branch) {
  return (byParent.get(pointer) || []).filter((t) => !branch || t.branch === branch);
}

function stack(byParent, tasks) {
  const items = tasks.map((t) => measure(byParent, t));
  const w = Math.max(0, ...items.map((i) => i.w));
  let y = 0;
  for (const item of items) {
    item.x = (w - item.w) / 2;
    item.y = y;
    y += item.h + GAP;
  }
  return { items, w, h: Math.max(0, y - GAP) };
}

function beside(lists, lane = LANE) {
  const h = Math.max(0, ...lists.map((l) => l.h + (l.title ? TITLE : 0)));
  let x = 0;
  const items = [];
  const titles = [];
  for (const list of lists) {
    const top = list.title ? TITLE : 0;
    if (list.title) titles.push({ text: list.title, x: x + list.w / 2, y: 12 });
    for (const item of list.items) items.push({ ...item, x: item.x + x, y: item.y + top });
    x += list.w + lane;
  }
  return { items, titles, w: Math.max(0, x - lane), h };
}

// {task, x, y, w, h, inside: {items, titles}} with places relative to the parent's corner.
function measure(byParent, task) {
  const kids = children(byParent, task.pointer);
  if (!kids.length) {
    const cases = task.kind === "switch" ? (task.case || []).length : 0;
    return { task, w: LEAF.w, h: LEAF.h + cases * CASE };
  }
  let inside;
  if (task.kind === "fork") inside = beside(kids.map((k) => stack(byParent, [k])));
  else if (task.kind === "try") {
    const handler = children(byParent, task.pointer, "catch");
    const lists = [{ ...stack(byParent, children(byParent, task.pointer, "try")), title: handler.length ? "try" : "" }];
    if (handler.length) lists.push({ ...stack(byParent, handler), title: "catch" });
    inside = beside(lists);
  } else inside = stack(byParent, kids);
  const w = Math.max(LEAF.w, inside.w + 2 * PAD);
  const shift = (w - inside.w) / 2;
  return {
    task, w, h: HEAD + inside.h + PAD,
    inside: {
      items: inside.items.map((i) => ({ ...i, x: i.x + shift, y: i.y + HEAD })),
      titles: (inside.titles || []).map((t) => ({ ...t, x: t.x + shift, y: t.y + HEAD })),
    },
  };
}

function place(item, dx, dy, out) {
  const x = item.x + dx;
  const y = item.y + dy;
  out.boxes.push({ task: item.task, x, y, w: item.w, h: item.h, box: Boolean(item.inside) });
  if (!item.inside) return;
  for (const t of item.inside.titles) out.titles.push({ text: t.text, x: t.x + x, y: t.y + y });
  for (const i of item.inside.items) place(i, x, y, out);
}

// tasks: of flow_plan_graph. {boxes: [{task, x, y, w, h, box}], titles, lines: [{from, to, label, points}], w, h}
export function layout(tasks) {
  const byParent = new Map();
  for (const t of tasks) {
    const key = t.parent || "";
    if (!byParent.has(key)) byParent.set(key, []);
    byParent.get(key).push(t);
  }
  const out = { boxes: [], titles: [], lines: [] };
  const own = (byParent.get("") || []).filter((t) => !t.pointer.startsWith("/use/"));
  const used = (byParent.get("") || []).filter((t) => t.pointer.startsWith("/use/"));
  const lists = [stack(byParent, own)];
  if (used.length) lists.push({ ...stack(byParent, used), title: "functions" });
  const top = beside(lists, 5 * LANE);
  for (const t of top.titles) out.titles.push({ ...t, x: t.x + PAD, y: t.y + 6 });
  for (const item of top.items) place(item, PAD, 6, out);
  out.w = top.w + 2 * PAD;
  out.h = top.h + 12;
  lines(tasks, out);
  return out;
}

function lines(tasks, out) {
  const at = new Map(out.boxes.map((b) => [b.task.pointer, b]));
  let bends = 0;
  for (const t of tasks) {
    const from = at.get(t.pointer);
    const siblings = tasks.filter((s) => s.parent === t.parent && s.branch === t.branch);
    const mine = siblings.indexOf(t);
    const parent = tasks.find((s) => s.pointer === t.parent);
    if (parent && parent.kind === "fork") continue; // branches lead nowhere but out
    const seen = new Set();
    (t.then || []).forEach((target, i) => {
      const to = at.get(target);
      if (!to || seen.has(target)) return;
      seen.add(target);
      const label = t.kind === "switch" ? (t.case || [])[i] || "" : "";
      const next = siblings[mine + 1] && siblings[mine + 1].pointer === target;
      if (next) {
        out.lines.push({ from: t.pointer, to: target, label: seen.size > 1 || (t.then || []).length > 1 ? label : "",
          points: [[from.x + from.w / 2, from.y + from.h], [to.x + to.w / 2, to.y]] });
        return;
      }
      const [a, b] = [mine, siblings.findIndex((s) => s.pointer === target)].sort((m, n) => m - n);
      const between = siblings.slice(a, b + 1).map((s) => at.get(s.pointer));
      const side = Math.max(...between.map((s) => s.x + s.w)) + 12 + (bends++ % 5) * 9;
      const y1 = from.y + Math.min(from.h - 10, LEAF.h / 2 + 6);
      const y2 = to.y + LEAF.h / 2 - 4;
      out.lines.push({ from: t.pointer, to: target, label, bent: true,
        points: [[from.x + from.w, y1], [side, y1], [side, y2], [to.x + to.w, y2]] });
      out.w = Math.max(out.w, side + 14);
    });
  }
}
