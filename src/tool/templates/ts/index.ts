// index.ts: what the tool does, in AssemblyScript (TypeScript for WebAssembly). The input is a JSON object
// that fits the schema in capability.json; what is answered must fit the one of the output.
import { Host, LogLevel } from "@extism/as-pdk";

// What asc calls when something goes wrong: the call ends as a trap.
function failed(message: string | null, file: string | null, line: u32, column: u32): void {
  Host.log(LogLevel.Error, message ? message : "failed");
  unreachable();
}

// The string member of this name. The host has checked the input by its schema, so it is well-formed.
function text(json: string, name: string): string {
  let at = json.indexOf('"' + name + '"');
  at = json.indexOf('"', json.indexOf(":", at)) + 1;
  let out = "";
  for (; json.charAt(at) != '"'; at++) {
    let c = json.charAt(at);
    if (c == "\\") {
      c = json.charAt(++at);
      if (c == "n") c = "\n";
      else if (c == "t") c = "\t";
      else if (c == "r") c = "\r";
      else if (c == "b") c = "\b";
      else if (c == "f") c = "\f";
      else if (c == "u") {
        c = String.fromCharCode(<i32>parseInt(json.substr(at + 1, 4), 16));
        at += 4;
      }
    }
    out += c;
  }
  return out;
}

export function run(): i32 {
  const given = text(Host.inputString(), "text");
  let words = 0, lines = 0, before = "\n";
  for (let i = 0; i < given.length; i++) {
    const c = given.charAt(i);
    if (before.trim() == "" && c.trim() != "") words++;
    if (before == "\n") lines++;
    before = c;
  }
  const bytes = String.UTF8.byteLength(given);
  Host.outputString('{"words":' + words.toString() + ',"lines":' + lines.toString() + ',"bytes":' + bytes.toString() + "}");
  return 0;
}
