// pdk_as.ts: a plugin made with the official PDK for AssemblyScript. SPDX-License-Identifier: Apache-2.0
import { Config, Host, LogLevel, Memory, Var } from "@extism/as-pdk";
import { error_set } from "@extism/as-pdk/lib/env";

export function myAbort(message: string | null, file: string | null, line: u32, column: u32): void {}

export function count_vowels(): i32 {
  const text = Host.inputString();
  let count = 0;
  for (let i = 0; i < text.length; i++)
    if ("aeiouAEIOU".includes(text.charAt(i)) && text.charAt(i) != "") count++;
  const before = Var.getString("calls");
  const calls = (before === null ? 0 : I32.parseInt(before)) + 1;
  Var.set("calls", Uint8Array.wrap(String.UTF8.encode(calls.toString())));
  const thing = Config.get("thing");
  Host.log(LogLevel.Info, "counted");
  Host.outputString(
    '{"count":' + count.toString() + ',"config":"' + (thing === null ? "" : thing) + '","calls":' + calls.toString() + "}"
  );
  return 0;
}

export function fail(): i32 {
  const message = Memory.allocateString("no good");
  error_set(message.offset);
  return 1;
}
