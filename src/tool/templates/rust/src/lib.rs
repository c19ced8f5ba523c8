// lib.rs: what the tool does. The input is a JSON object that fits the schema in capability.json; what
// is answered must fit the one of the output.
use extism_pdk::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Input {
    text: String,
}

#[derive(Serialize)]
struct Output {
    words: usize,
    lines: usize,
    bytes: usize,
}

#[plugin_fn]
pub fn run(Json(input): Json<Input>) -> FnResult<Json<Output>> {
    Ok(Json(Output {
        words: input.text.split_whitespace().count(),
        lines: input.text.lines().count(),
        bytes: input.text.len(),
    }))
}
