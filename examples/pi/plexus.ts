// plexus.ts: the coding agent pi (npm @mariozechner/pi-coding-agent) on a plexus node: its tools run in the node's
// sandbox instead of in pi's own process, and the node's chat models are its models.
// SPDX-License-Identifier: Apache-2.0
//
//   PLEXUS_URL=http://127.0.0.1:8000 PLEXUS_KEY=... pi -e plexus.ts --provider plexus --model NAME
//
// The node's configuration grants the folder in which pi is started, and what changes something:
//   tools: { folders: [{ path: /home/me/project, write: true }], allow: [write_file, edit_file, bash] }
import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { resolve } from "node:path";
import { Type } from "typebox";

const base = (process.env.PLEXUS_URL ?? "http://127.0.0.1:8000").replace(/\/+$/, "");
const key = process.env.PLEXUS_KEY ?? "";
const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };

type Block = { type: "text"; text: string } | { type: "image"; data: string; mimeType: string };

async function call(name: string, input: Record<string, unknown>, signal?: AbortSignal) {
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
  const answer = await fetch(`${base}/api/tools/${name}/call`, {
    method: "POST", headers, signal, body: JSON.stringify({ input: given }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body?.error?.message ?? `${name}: HTTP ${answer.status}`);
  const content = body.content as Block[];
  if (body.is_error) throw new Error(content.map((block) => (block.type === "text" ? block.text : "")).join("\n"));
  return { content, details: body.structured ?? {} };
}

const path = (text: string) => Type.String({ description: text });
const count = (text: string) => Type.Optional(Type.Integer({ minimum: 1, description: text }));

// Pi's own names and arguments, so that models that know pi know these; what they are called on the node; and how
// the arguments are put there.
const tools = [
  { name: "read", tool: "read_file", text: "Read a file: text by lines, or an image.",
    parameters: Type.Object({ path: path("File to read"), offset: count("First line, from 1"), limit: count("Most lines") }),
    input: (p: any, cwd: string) => ({ path: resolve(cwd, p.path), offset: p.offset, limit: p.limit }) },
  { name: "write", tool: "write_file", text: "Make a file, or replace it whole; folders above it are made.",
    parameters: Type.Object({ path: path("File to write"), content: Type.String() }),
    input: (p: any, cwd: string) => ({ path: resolve(cwd, p.path), content: p.content }) },
  { name: "edit", tool: "edit_file",
    text: "Replace texts in a file. Each oldText must be in the file exactly once, as it is now; edits must not overlap.",
    parameters: Type.Object({ path: path("File to change"),
                              edits: Type.Array(Type.Object({ oldText: Type.String(), newText: Type.String() })) }),
    input: (p: any, cwd: string) => ({ path: resolve(cwd, p.path),
                                       edits: p.edits.map((e: any) => ({ old_text: e.oldText, new_text: e.newText })) }) },
  { name: "bash", tool: "bash",
    text: "Run a command with bash in a sandbox: it sees this folder, the system's programs and a /tmp of its own.",
    parameters: Type.Object({ command: Type.String(), timeout: Type.Optional(Type.Number({ description: "Seconds" })) }),
    input: (p: any, cwd: string) => ({ command: p.command, timeout_s: p.timeout, cwd }) },
  { name: "grep", tool: "grep_files", text: "Lines of files that fit a regular expression (POSIX extended) or contain a text.",
    parameters: Type.Object({ pattern: Type.String(), path: Type.Optional(path("File or folder")),
                              glob: Type.Optional(Type.String()), ignoreCase: Type.Optional(Type.Boolean()),
                              literal: Type.Optional(Type.Boolean()), context: Type.Optional(Type.Integer({ minimum: 0 })),
                              limit: count("Most matches") }),
    input: (p: any, cwd: string) => ({ pattern: p.pattern, path: resolve(cwd, p.path ?? "."), glob: p.glob,
                                       ignore_case: p.ignoreCase, literal: p.literal, context: p.context, limit: p.limit }) },
  { name: "find", tool: "find_files", text: "Files whose name fits a pattern such as *.ts or src/**/*.ts.",
    parameters: Type.Object({ pattern: Type.String(), path: Type.Optional(path("Folder")), limit: count("Most results") }),
    input: (p: any, cwd: string) => ({ pattern: p.pattern, path: resolve(cwd, p.path ?? "."), limit: p.limit }) },
  { name: "ls", tool: "list_files", text: "Names in a folder.",
    parameters: Type.Object({ path: Type.Optional(path("Folder")), limit: count("Most names") }),
    input: (p: any, cwd: string) => ({ path: resolve(cwd, p.path ?? "."), limit: p.limit }) },
];

async function models() {
  const answer = await fetch(`${base}/v1/models`, { headers });
  if (!answer.ok) throw new Error(`the node at ${base} answers ${answer.status}: is PLEXUS_KEY a key of it?`);
  return ((await answer.json()).data as { id: string }[]).map(({ id }) => ({
    id, name: id, reasoning: false, input: ["text" as const, "image" as const],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, contextWindow: 32768, maxTokens: 4096,
    compat: { supportsDeveloperRole: false, supportsReasoningEffort: false },
  }));
}

export default async function (pi: ExtensionAPI) {
  pi.registerProvider("plexus", { baseUrl: `${base}/v1`, apiKey: key || "none", api: "openai-completions", models: await models() });
  for (const { name, tool, text, parameters, input } of tools)
    pi.registerTool({
      name, label: name, description: text, parameters,
      execute: (_id, given, signal, _onUpdate, ctx) => call(tool, input(given, ctx.cwd), signal),
    });
  // What the person types after "!" stays in the sandbox, too.
  pi.on("user_bash", async (event) => {
    try {
      const { details } = await call("bash", { command: event.command, cwd: event.cwd });
      return { result: { output: details.stdout + details.stderr, exitCode: 0, cancelled: false, truncated: details.truncated } };
    } catch (error) {
      return { result: { output: String((error as Error).message), exitCode: 1, cancelled: false, truncated: false } };
    }
  });
}
