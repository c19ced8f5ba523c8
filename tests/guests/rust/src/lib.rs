// lib.rs: a plugin made with the official PDK for Rust. SPDX-License-Identifier: Apache-2.0
use extism_pdk::*;

#[plugin_fn]
pub fn count_vowels(text: String) -> FnResult<String> {
    let count = text.chars().filter(|c| "aeiouAEIOU".contains(*c)).count();
    let calls: i64 = var::get("calls")?.unwrap_or(0i64) + 1;
    var::set("calls", calls)?;
    let thing = config::get("thing")?.unwrap_or_default();
    info!("counted");
    Ok(format!("{{\"count\":{count},\"config\":\"{thing}\",\"calls\":{calls}}}"))
}

#[plugin_fn]
pub fn fail(_: String) -> FnResult<String> {
    Err(WithReturnCode::new(Error::msg("no good"), 7))
}
