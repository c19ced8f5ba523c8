// dom.js: small helpers to make and change elements. Text is only ever set as text.
// SPDX-License-Identifier: Apache-2.0

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

// h("button", {class: "x", onclick: fn, "aria-label": "y"}, "text", child, ...)
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(el, props, children) {
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else el.setAttribute(key, value === true ? "" : String(value));
  }
  el.append(...children.filter((c) => c !== null && c !== undefined));
  return el;
}

// Each setter leaves the page alone when nothing changed: less work, and a selection stays.
export function text(el, value) {
  const s = String(value);
  if (el.textContent !== s) el.textContent = s;
}

export function attr(el, name, value) {
  if (value === null || value === undefined || value === false) el.removeAttribute(name);
  else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, String(value));
}

export function show(el, on) {
  if (el.hidden === on) el.hidden = !on;
}

// Brings the children of a list in line with rows: one element a key, made once, moved when needed.
export function keyed(parent, rows, keyOf, make, update) {
  const old = parent.keyed || new Map();
  const now = new Map();
  let at = parent.firstElementChild;
  for (const row of rows) {
    const key = keyOf(row);
    if (now.has(key)) continue;
    const item = old.get(key) || make(row);
    now.set(key, item);
    update(item, row);
    if (item.el === at) at = at.nextElementSibling;
    else parent.insertBefore(item.el, at);
  }
  for (const [key, item] of old) if (!now.has(key)) item.el.remove();
  parent.keyed = now;
}

// A short message at the edge of the page; errors stay longer.
export function toast(message, isError) {
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Dismiss" }, "✕");
  const el = h("div", { class: isError ? "toast bad" : "toast", role: isError ? "alert" : "status" },
    h("span", {}, message), close);
  const end = () => el.remove();
  close.addEventListener("click", end);
  $("toasts").append(el);
  while ($("toasts").childElementCount > 4) $("toasts").firstElementChild.remove();
  setTimeout(end, isError ? 12000 : 5000);
}

// What a screen reader is told, last word wins.
export function announce(message) {
  $("announce").textContent = message;
}
