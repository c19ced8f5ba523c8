// net.js: the page's only way to the node: requests with the key, and streams of server-sent events
// read by fetch (an EventSource cannot carry a key).
// SPDX-License-Identifier: Apache-2.0

const KEY = "plexus.key";
let onLocked = () => {};

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

// fn(status, message) is called when the node refuses for want of a key or of a scope.
export function whenLocked(fn) {
  onLocked = fn;
}

export class Refused extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function refusal(response) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // not JSON: the status has to do
  }
  const what = error && error.message ? String(error.message)
    : `the node answered ${response.status} ${response.statusText}`;
  return new Refused(response.status, what, error && error.code ? String(error.code) : "");
}

// The answer when it is 2xx, else Refused, with status 0 when the node is not reached.
export async function call(method, path, { body, signal, accept } = {}) {
  const headers = {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (accept) headers.Accept = accept;
  const response = await fetch(path, {
    method, headers, signal, cache: "no-store", credentials: "omit", redirect: "error",
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch((e) => {
    throw e.name === "AbortError" ? e : new Refused(0, "the node cannot be reached", "");
  });
  if (response.ok) return response;
  const error = await refusal(response);
  if (error.status === 401) onLocked(error.status, error.message);
  throw error;
}

// Server-sent events (HTML standard, 9.2.6) as {event, data} or {comment}, as they come.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let name = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((e) => {
        throw e.name === "AbortError" ? e : new Refused(0, "the connection to the node broke off", "");
      });
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield { event: name || "message", data: data.join("\n") };
          name = "";
          data = [];
        } else if (line.startsWith(":")) {
          yield { comment: line.slice(1).trim() };
        } else {
          const colon = line.indexOf(":");
          const field = colon < 0 ? line : line.slice(0, colon);
          const content = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (field === "data") data.push(content);
          else if (field === "event") name = content;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const SILENCE_MS = 45000; // the node speaks at least each 15 s

// Follows a stream for ever. on: {open(), event(name, value), lost(error, retryMs), locked(error)}.
// Returns {retry()}: try now, also after a new key.
export function follow(path, on) {
  let attempt = 0;
  let wake = () => {};
  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  const once = async () => {
    const stop = new AbortController();
    let timer = 0;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), SILENCE_MS);
    };
    alive();
    try {
      const response = await call("GET", path, { signal: stop.signal, accept: "text/event-stream" });
      attempt = 0;
      on.open();
      for await (const e of events(response)) {
        alive();
        if (e.event) on.event(e.event, e.data);
      }
    } finally {
      clearTimeout(timer);
    }
  };
  (async () => {
    for (;;) {
      let error = null;
      try {
        await once();
      } catch (e) {
        error = e;
      }
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        on.locked(error);
        await pause(3600000);
      } else {
        const ms = Math.min(5000, 500 * 2 ** attempt++);
        on.lost(error, ms);
        await pause(ms);
      }
    }
  })();
  return { retry: () => wake() };
}
