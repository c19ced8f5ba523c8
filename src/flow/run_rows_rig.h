// run_rows_rig.h: for tests: each part of the language in a small document, with what comes out and
// what is commanded on the way.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_RUN_ROWS_RIG_H
#define PLEXUS_FLOW_RUN_ROWS_RIG_H

#include "flow/flow_rig.h"

#define ROWS (sizeof rows / sizeof *rows)
#define HEAD "document: {dsl: '1.0.3', namespace: test, name: small, version: '1.0.0'}\n"
#define STALLS                                                                                     \
    "document: {dsl: '1.0.3', namespace: test, name: small, version: '1.0.0', metadata: {plexus: " \
    "{stall: true}}}\n"
#define HTTP(name, path)                                                                           \
    "  - " name ": {call: http, with: {method: get, endpoint: 'https://fake/" path "'}}\n"
#define ERRORS "https://serverlessworkflow.io/spec/1.0.0/errors/"

struct row {
    const char *name, *doc, *input;
    const char *want; // output, or error (its members), or the status
    const char *trace; // commands and notes; NULL: not looked at
    const char *events[8];
};

static const struct row rows[] = {
    // ---- data flow ----
    {"input, output, export",
     HEAD "input: {from: .in}\n"
          "do:\n"
          "  - a: {input: {from: .n}, set: {n: '${ . + 1 }', was: '${ $input }'}, output: {as: "
          "'${ {m: .n, was} }'}, export: {as: '${ $context + {seen: $output.m} }'}}\n"
          "  - b: {set: {all: '${ . }', ctx: '${ $context }', raw: '${ $workflow.input }'}}\n"
          "output: {as: '${ . + {end: $context.seen} }'}\n",
     "{in: {n: 4}}",
     "{all: {m: 5, was: 4}, ctx: {seen: 5}, raw: {in: {n: 4}}, end: 5}",
     "started:* started:a completed:a started:b completed:b completed:* end:completed",
     {0}},
    {"if skips, and its then with it",
     HEAD "do:\n"
          "  - a: {if: '${ .go }', set: {x: 1}, then: end}\n"
          "  - b: {set: {y: '${ . }'}}\n",
     "{go: false}",
     "{y: {go: false}}",
     "started:* skipped:a started:b completed:b completed:* end:completed",
     {0}},
    {"the descriptors",
     HEAD "do:\n"
          "  - a: {set: {t: '${ $task.name + $task.reference }', id: '${ $workflow.id }', r: '${ "
          "$runtime.name }', d: '${ $task.definition.metadata.k }', at: '${ "
          "$task.startedAt.epoch.seconds }', iso: '${ $workflow.startedAt.iso8601 }', n: '${ "
          "$workflow.definition.document.name }'}, metadata: {k: v}}\n",
     "{}",
     "{t: a/do/0/a, id: run-1, r: plexus, d: v, at: 1790000000, iso: '2026-09-21T14:13:20.000Z', "
     "n: "
     "small}",
     NULL,
     {0}},
    {"$task.output is the raw one",
     HEAD "do:\n"
          "  - a: {set: {n: 1}, output: {as: .n}, export: {as: '${ {raw: $task.output, out: "
          "$output} }'}}\n"
          "  - b: {set: '${ $context }'}\n",
     "{}",
     "{raw: {n: 1}, out: 1}",
     NULL,
     {0}},
    {"an input that does not fit",
     HEAD "do:\n"
          "  - a: {input: {schema: {format: json, document: {type: object, required: [id]}}}, set: "
          "{x: 1}}\n",
     "{}",
     "{type: '" ERRORS "validation', status: 400, instance: /do/0/a}",
     "started:* started:a faulted:a faulted:* end:faulted",
     {0}},
    {"an output that does not fit",
     HEAD "do:\n  - a: {set: {x: 1}}\n"
          "output: {schema: {format: json, document: {type: object, required: [id]}}}\n",
     "{}",
     "{type: '" ERRORS "validation', status: 400, instance: ''}",
     "started:* started:a completed:a faulted:* end:faulted",
     {0}},
    {"an expression that fails",
     HEAD "do:\n  - a: {set: {x: '${ .a.b }'}}\n",
     "{a: 1}",
     "{type: '" ERRORS "expression', status: 400, instance: /do/0/a}",
     NULL,
     {0}},
    {"set gives what its expression gives",
     HEAD "do:\n  - a: {set: '${ .list }'}\n",
     "{list: [1, 2]}",
     "[1, 2]",
     NULL,
     {0}},
    // ---- the way ----
    {"then: a name, exit, end",
     HEAD
     "do:\n"
     "  - a: {set: {n: 1}, then: c}\n"
     "  - b: {set: {n: '${ .n * 10 }'}, then: end}\n"
     "  - c: {do: [{d: {set: {n: '${ .n + 1 }'}, then: exit}}, {e: {set: {n: 99}}}], then: b}\n",
     "{}",
     "{n: 20}",
     "started:* started:a completed:a started:c started:d completed:d completed:c started:b "
     "completed:b completed:* end:completed",
     {0}},
    {"end from deep inside",
     HEAD "do:\n"
          "  - a: {for: {in: '${ [1, 2, 3] }'}, do: [{b: {do: [{c: {set: {at: '${ $item }'}, then: "
          "end}}]}}]}\n"
          "  - z: {set: {never: true}}\n",
     "{}",
     "{at: 1}",
     "started:* started:a started:b started:c completed:c cancelled:b cancelled:a completed:* "
     "end:completed",
     {0}},
    {"switch",
     HEAD
     "do:\n"
     "  - a: {switch: [{one: {when: '${ .n == 1 }', then: b}}, {other: {then: c}}, {two: {when: "
     "'${ .n == 2 }', then: end}}]}\n"
     "  - b: {set: {got: b}, then: end}\n"
     "  - c: {set: {got: c}}\n",
     "{n: 2}",
     "{n: 2}",
     NULL,
     {0}},
    {"switch without a case that fits goes on",
     HEAD
     "do:\n  - a: {switch: [{one: {when: '${ .n == 1 }', then: end}}]}\n  - b: {set: {x: 1}}\n",
     "{n: 2}",
     "{x: 1}",
     NULL,
     {0}},
    // ---- for ----
    {"for: each, at, while",
     HEAD
     "do:\n"
     "  - a: {for: {each: pet, in: .pets, at: i}, while: '${ (.sum // 0) < 5 }', do: [{b: {set: "
     "{sum: '${ (.sum // 0) + $pet * ($i + 1) }'}}}]}\n",
     "{pets: [1, 2, 3, 4]}",
     "{sum: 5}",
     "started:* started:a started:b completed:b started:b completed:b completed:a completed:* "
     "end:completed",
     {0}},
    {"for over nothing gives its input",
     HEAD "do:\n  - a: {for: {in: .none}, do: [{b: {set: {x: 1}}}]}\n",
     "{k: 1}",
     "{k: 1}",
     NULL,
     {0}},
    {"for over what is no array",
     HEAD "do:\n  - a: {for: {in: .k}, do: [{b: {set: {x: 1}}}]}\n",
     "{k: 1}",
     "{type: '" ERRORS "expression', instance: /do/0/a}",
     NULL,
     {0}},
    {"exit ends an iteration",
     HEAD "do:\n"
          "  - a: {for: {in: '${ [1, 2] }'}, do: [{b: {set: {n: '${ $item }'}, then: exit}}, {c: "
          "{set: {n: 99}}}]}\n",
     "{}",
     "{n: 2}",
     NULL,
     {0}},
    {"loops in loops see each other's items",
     HEAD
     "do:\n"
     "  - a: {for: {each: x, in: '${ [1, 2] }'}, do: [{b: {for: {each: y, in: '${ [10, 20] }'}, "
     "do: [{c: {set: {all: '${ (.all // []) + [$x * $y] }'}}}]}}]}\n",
     "{}",
     "{all: [10, 20, 20, 40]}",
     NULL,
     {0}},
    // ---- fork ----
    {"fork gives all in order",
     HEAD
     "do:\n"
     "  - f: {fork: {branches: [{a: {set: {a: 1}}}, {b: {do: [{c: {set: {b: 2}}}, {d: {set: {b: "
     "'${ .b + 1 }'}}}]}}, {e: {wait: {seconds: 1}}}]}}\n",
     "{k: 0}",
     "[{a: 1}, {b: 3}, {k: 0}]",
     "started:* started:f started:a completed:a started:b started:e waiting:e started:c "
     "completed:c "
     "started:d completed:d completed:b timer:wait+1000 completed:e completed:f completed:* "
     "end:completed",
     {0}},
    {"compete: the first wins, the others are cancelled",
     HEAD
     "do:\n"
     "  - f: {fork: {compete: true, branches: [{slow: {wait: PT10S}}, {call: {call: http, with: "
     "{method: get, endpoint: 'https://fake/never'}}}, {fast: {do: [{w: {wait: PT1S}}, {s: {set: "
     "{won: fast}}}]}}]}}\n",
     "{}",
     "{won: fast}",
     "started:* started:f started:slow waiting:slow started:call started:fast started:w waiting:w "
     "timer:wait+10000 act:http timer:wait+1000 completed:w started:s completed:s completed:fast "
     "cancelled:slow cancelled:call completed:f completed:* cancel cancel end:completed",
     {0}},
    {"compete: who fails is out",
     HEAD "do:\n"
          "  - f: {fork: {compete: true, branches: [{bad: {raise: {error: {type: 'https://x/y', "
          "status: 500}}}}, {good: {wait: PT1S}}]}}\n",
     "{k: 1}",
     "{k: 1}",
     NULL,
     {0}},
    {"compete: when all fail it fails",
     HEAD "do:\n"
          "  - f: {fork: {compete: true, branches: [{bad: {raise: {error: {type: 'https://x/1', "
          "status: 500}}}}, {worse: {raise: {error: {type: 'https://x/2', status: 501}}}}]}}\n",
     "{}",
     "{type: 'https://x/2', status: 501, instance: /do/0/f/fork/branches/1/worse}",
     NULL,
     {0}},
    {"a branch that fails ends the fork",
     HEAD "do:\n"
          "  - f: {fork: {branches: [{bad: {raise: {error: {type: 'https://x/y', status: 500}}}}, "
          "{good: {wait: PT1S}}]}}\n",
     "{}",
     "{type: 'https://x/y', status: 500}",
     NULL,
     {0}},
    // ---- errors ----
    {"raise says where",
     HEAD "do:\n"
          "  - a: {raise: {error: {type: 'https://x/y', status: 418, title: '${ .t }', detail: "
          "short}}}\n",
     "{t: Teapot}",
     "{type: 'https://x/y', status: 418, title: Teapot, detail: short, instance: /do/0/a}",
     NULL,
     {0}},
    {"catch by type and status, under a name, with a handler",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/404'}}}]\n"
          "      catch: {errors: {with: {type: "
          "'https://serverlessworkflow.io/dsl/errors/types/communication', status: 404}}, as: err, "
          "do: [{h: {set: {was: '${ $err.status }', at: '${ $err.instance }', in: '${ .k }'}}}]}\n",
     "{k: 7}",
     "{was: 404, at: /do/0/t/try/0/c, in: 7}",
     "started:* started:t started:c act:http faulted:c started:h completed:h completed:t "
     "completed:* "
     "end:completed",
     {0}},
    {"what the filter does not name rises on",
     HEAD "do:\n"
          "  - outer:\n"
          "      try:\n"
          "        - inner:\n"
          "            try: [{c: {call: http, with: {method: get, endpoint: "
          "'https://fake/fail/500'}}}]\n"
          "            catch: {errors: {with: {status: 404}}, do: [{no: {set: {no: true}}}]}\n"
          "      catch: {when: '${ $error.status == 500 }', do: [{h: {set: {outer: true}}}]}\n",
     "{}",
     "{outer: true}",
     "started:* started:outer started:inner started:c act:http faulted:c faulted:inner started:h "
     "completed:h completed:outer completed:* end:completed",
     {0}},
    {"exceptWhen",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/404'}}}]\n"
          "      catch: {exceptWhen: '${ $error.status == 404 }', do: [{h: {set: {x: 1}}}]}\n",
     "{}",
     "{status: 404}",
     NULL,
     {0}},
    {"caught without a handler: the try gives its input",
     HEAD "do:\n"
          "  - t: {try: [{c: {raise: {error: {type: 'https://x/y', status: 500}}}}], catch: {}}\n",
     "{k: 1}",
     "{k: 1}",
     NULL,
     {0}},
    {"an error in the handler is not caught by its own try",
     HEAD
     "do:\n"
     "  - t: {try: [{c: {raise: {error: {type: 'https://x/1', status: 500}}}}], catch: {do: [{h: "
     "{raise: {error: {type: 'https://x/2', status: 501}}}}]}}\n",
     "{}",
     "{type: 'https://x/2', instance: /do/0/t/catch/do/0/h}",
     NULL,
     {0}},
    {"retry: constant",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/flaky/2'}}}]\n"
          "      catch: {retry: {delay: {seconds: 3}, backoff: {constant: {}}, limit: {attempt: "
          "{count: 2}}}}\n",
     "{}",
     "3",
     "started:* started:t started:c act:http faulted:c retried:t timer:retry+3000 started:c "
     "act:http "
     "faulted:c retried:t timer:retry+3000 started:c act:http completed:c completed:t completed:* "
     "end:completed",
     {0}},
    {"retry: linear, and no more",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/503'}}}]\n"
          "      catch: {retry: {delay: {seconds: 1}, backoff: {linear: {}}, limit: {attempt: "
          "{count: 3}}}}\n",
     "{}",
     "{status: 503, instance: /do/0/t/try/0/c}",
     "started:* started:t started:c act:http faulted:c retried:t timer:retry+1000 started:c "
     "act:http "
     "faulted:c retried:t timer:retry+2000 started:c act:http faulted:c retried:t timer:retry+3000 "
     "started:c act:http faulted:c faulted:t faulted:* end:faulted",
     {0}},
    {"retry: exponential, then the handler",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/503'}}}]\n"
          "      catch: {retry: {delay: {seconds: 1}, backoff: {exponential: {}}, limit: {attempt: "
          "{count: 3}}}, do: [{h: {set: {gave: up}}}]}\n",
     "{}",
     "{gave: up}",
     "started:* started:t started:c act:http faulted:c retried:t timer:retry+1000 started:c "
     "act:http "
     "faulted:c retried:t timer:retry+2000 started:c act:http faulted:c retried:t timer:retry+4000 "
     "started:c act:http faulted:c started:h completed:h completed:t completed:* end:completed",
     {0}},
    {"retry: when",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/400'}}}]\n"
          "      catch: {retry: {when: '${ $error.status >= 500 }', delay: {seconds: 1}}, do: [{h: "
          "{set: {x: 1}}}]}\n",
     "{}",
     "{x: 1}",
     "started:* started:t started:c act:http faulted:c started:h completed:h completed:t "
     "completed:* "
     "end:completed",
     {0}},
    {"retry: exponential with a factor, a cap and no jitter to speak of",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/flaky/3'}}}]\n"
          "      catch: {retry: {delay: {seconds: 1}, backoff: {exponential: {}}, jitter: {from: "
          "{milliseconds: 7}, to: {milliseconds: 7}}}}\n",
     "{}",
     "4",
     "started:* started:t started:c act:http faulted:c retried:t timer:retry+1007 started:c "
     "act:http "
     "faulted:c retried:t timer:retry+2007 started:c act:http faulted:c retried:t timer:retry+4007 "
     "started:c act:http completed:c completed:t completed:* end:completed",
     {0}},
    {"retry: the whole time",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/503'}}}]\n"
          "      catch: {retry: {delay: {seconds: 2}, limit: {duration: {seconds: 5}}}}\n",
     "{}",
     "{status: 503}",
     "started:* started:t started:c act:http faulted:c retried:t timer:retry+2000 started:c "
     "act:http "
     "faulted:c retried:t timer:retry+2000 started:c act:http faulted:c faulted:t faulted:* "
     "end:faulted",
     {0}},
    {"retry: an attempt that is too long",
     HEAD "do:\n"
          "  - t:\n"
          "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/never'}}}]\n"
          "      catch: {retry: {delay: {seconds: 1}, limit: {attempt: {count: 1, duration: "
          "{seconds: 9}}}}, do: [{h: {set: {was: '${ $error.status }'}}}]}\n",
     "{}",
     "{was: 408}",
     "started:* started:t started:c timer:timeout+9000 act:http cancelled:c retried:t cancel "
     "timer:retry+1000 started:c timer:timeout+9000 act:http cancelled:c started:h completed:h "
     "completed:t completed:* cancel end:completed",
     {0}},
    // ---- time ----
    {"a task that is too long",
     HEAD "do:\n  - a: {wait: PT1M, timeout: {after: {seconds: 30}}}\n",
     "{}",
     "{type: '" ERRORS "timeout', status: 408, instance: /do/0/a}",
     "started:* started:a waiting:a timer:timeout+30000 timer:wait+60000 faulted:a faulted:* "
     "cancel "
     "end:faulted",
     {0}},
    {"a timeout is caught; the timer of one that is in time goes",
     HEAD "do:\n"
          "  - t: {try: [{a: {do: [{b: {wait: PT1M}}], timeout: {after: PT5S}}}], catch: {errors: "
          "{with: {status: 408}}, do: [{c: {wait: PT1S, timeout: {after: PT5S}}}, {d: {set: {late: "
          "true}}}]}}\n",
     "{}",
     "{late: true}",
     "started:* started:t started:a started:b waiting:b timer:timeout+5000 timer:wait+60000 "
     "cancelled:b faulted:a started:c waiting:c cancel timer:timeout+5000 timer:wait+1000 "
     "completed:c "
     "started:d completed:d completed:t completed:* cancel end:completed",
     {0}},
    {"a workflow that is too long",
     HEAD "do:\n  - a: {wait: PT1M}\ntimeout: {after: {seconds: 30}}\n",
     "{}",
     "{type: '" ERRORS "timeout', status: 408, instance: ''}",
     NULL,
     {0}},
    {"durations from expressions",
     HEAD "do:\n  - a: {wait: '${ .for }'}\n",
     "{for: PT2S}",
     "{for: PT2S}",
     "started:* started:a waiting:a timer:wait+2000 completed:a completed:* "
     "end:completed",
     {0}},
    // ---- outside ----
    {"call: arguments",
     HEAD "do:\n"
          "  - a: {call: http, with: {method: post, endpoint: 'https://fake/echo/{id}', body: {n: "
          "'${ .n + 1 }'}}}\n",
     "{id: 'x y', n: 1}",
     "{n: 2}",
     NULL,
     {0}},
    {"call: a function of the document",
     HEAD
     "use: {functions: {twice: {set: {n: '${ .n * 2 }'}, output: {as: '${ . + {in: $input} }'}}}}\n"
     "do:\n  - a: {call: twice, with: {n: '${ .k }'}}\n  - b: {call: twice}\n",
     "{k: 4}",
     "{n: 16, in: {n: 8, in: {n: 4}}}",
     NULL,
     {0}},
    {"call: secrets stay out of the history",
     HEAD
     "use: {secrets: [key]}\n"
     "do:\n"
     "  - a: {call: http, with: {method: post, endpoint: 'https://fake/echo', body: {k: '${ .n + "
     "$secrets.key + $input.n }', n: '${ .n }'}}}\n",
     "{n: x}",
     "{n: x, k: {$late: {program: '.n + $secrets.key + $input.n', input: {n: x}, vars: {input: {n: "
     "x}}}}}",
     NULL,
     {0}},
    {"call: what looks like a secret's expression in data is refused",
     HEAD
     "do:\n"
     "  - a: {call: http, with: {method: post, endpoint: 'https://fake/echo', body: '${ . }'}}\n",
     "{k: [{$late: {program: $secrets.key, vars: {}}}]}",
     "{type: '" ERRORS "expression', instance: /do/0/a}",
     NULL,
     {0}},
    {"a function that calls itself",
     HEAD "use: {functions: {f: {call: f, with: {n: '${ .n }'}}}}\n"
          "do:\n  - a: {call: f, with: {n: 1}}\n",
     "{}",
     "{type: '" ERRORS "runtime', status: 500}",
     NULL,
     {0}},
    {"a value that grows deeper and deeper",
     HEAD "do:\n  - a: {set: {x: '${ [.] }'}, then: a}\n",
     "{}",
     "{type: '" ERRORS "expression', instance: /do/0/a}",
     NULL,
     {0}},
    {"loose: what is no expression is a text",
     HEAD "evaluate: {mode: loose}\n"
          "do:\n  - a: {set: {x: .n, y: some plain text, z: .n.m}}\n",
     "{n: 1}",
     "{x: 1, y: some plain text, z: .n.m}",
     NULL,
     {0}},
    {"run: shell",
     HEAD
     "do:\n"
     "  - a: {run: {shell: {command: '${ \"echo \" + .x }'}}}\n"
     "  - b: {run: {shell: {command: date}, return: code}, input: {from: '${ {} }'}, export: "
     "{as: '${ {code: .} }'}}\n"
     "  - c: {run: {shell: {command: date}, return: all}}\n"
     "  - d: {run: {shell: {command: date}, await: false}}\n"
     "  - e: {run: {shell: {command: date}, return: none}, output: {as: '${ [$context.code, .] "
     "}'}}\n",
     "{x: hi}",
     "[3, null]",
     "started:* started:a act:shell completed:a started:b act:shell completed:b started:c "
     "act:shell "
     "completed:c started:d completed:d started:e act:shell act:shell completed:e completed:* "
     "end:completed",
     {0}},
    {"run: workflow",
     HEAD
     "do:\n"
     "  - a: {run: {workflow: {namespace: n, name: w, version: '1.0.0', input: {x: '${ .k }'}}}}\n"
     "  - b: {run: {workflow: {namespace: n, name: w, version: '1.0.0', input: {x: 2}}, await: "
     "false}}\n",
     "{k: 1}",
     "{child: {x: 1}}",
     NULL,
     {0}},
    {"emit",
     HEAD "do:\n"
          "  - a: {emit: {event: {with: {source: 'https://x', type: t.v1, data: {n: '${ .n }'}}}}, "
          "output: {as: "
          "'${ .id |= startswith(\"run-1-\") }'}}\n",
     "{n: 1}",
     "{source: 'https://x', type: t.v1, data: {n: 1}, specversion: '1.0', id: true, time: "
     "'2026-09-21T14:13:20.000Z'}",
     "started:* started:a act:emit completed:a completed:* end:completed",
     {0}},
    // ---- listen ----
    {"listen: one",
     HEAD "do:\n  - a: {listen: {to: {one: {with: {type: t.v1, data: '${ .n > 1 }'}}}}}\n",
     "{}",
     "[{n: 2}]",
     "started:* started:a waiting:a listen completed:a completed:* cancel end:completed",
     {"{\"event\":{\"type\":\"t.v2\",\"data\":{\"n\":3}}}",
      "{\"event\":{\"type\":\"t.v1\",\"data\":{\"n\":1}}}",
      "{\"event\":{\"type\":\"t.v1\",\"data\":{\"n\":2}}}"}},
    {"listen: all, as envelopes, in the order of their coming",
     HEAD "do:\n"
          "  - a: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}, read: envelope}}\n",
     "{}",
     "[{type: b, data: 1}, {type: a, data: 3}]",
     NULL,
     {"{\"event\":{\"type\":\"b\",\"data\":1}}", "{\"event\":{\"type\":\"b\",\"data\":2}}",
      "{\"event\":{\"type\":\"a\",\"data\":3}}"}},
    {"listen: any of them",
     HEAD "do:\n  - a: {listen: {to: {any: [{with: {type: a}}, {with: {type: b}}]}}}\n",
     "{}",
     "[1]",
     NULL,
     {"{\"event\":{\"type\":\"c\",\"data\":0}}", "{\"event\":{\"type\":\"b\",\"data\":1}}"}},
    {"listen: any until enough",
     HEAD "do:\n  - a: {listen: {to: {any: [], until: '${ length > 2 }'}}}\n",
     "{}",
     "[1, 2, 3]",
     NULL,
     {"{\"event\":{\"type\":\"a\",\"data\":1}}", "{\"event\":{\"type\":\"b\",\"data\":2}}",
      "{\"event\":{\"type\":\"c\",\"data\":3}}"}},
    {"listen: any until another event",
     HEAD "do:\n"
          "  - a: {listen: {to: {any: [{with: {type: a}}], until: {one: {with: {type: stop}}}}}}\n",
     "{}",
     "[1, 2]",
     NULL,
     {"{\"event\":{\"type\":\"a\",\"data\":1}}", "{\"event\":{\"type\":\"a\",\"data\":2}}",
      "{\"event\":{\"type\":\"stop\"}}"}},
    {"listen: patterns and parts of data",
     HEAD
     "do:\n"
     "  - a: {listen: {to: {one: {with: {type: 'order[.](placed|paid)', data: {who: ann}}}}}}\n",
     "{}",
     "[{who: ann, n: 2}]",
     NULL,
     {"{\"event\":{\"type\":\"order.sent\",\"data\":{\"who\":\"ann\",\"n\":0}}}",
      "{\"event\":{\"type\":\"order.paid\",\"data\":{\"who\":\"bob\",\"n\":1}}}",
      "{\"event\":{\"type\":\"order.paid\",\"data\":{\"who\":\"ann\",\"n\":2}}}"}},
    {"listen: correlation, learnt and expected",
     HEAD "do:\n"
          "  - a: {listen: {to: {all: [{with: {type: a}, correlate: {room: {from: .data.room}}}, "
          "{with: {type: b}, correlate: {room: {from: .data.room}, who: {from: .data.who, expect: "
          "'${ .me }'}}}]}}}\n",
     "{me: ann}",
     "[{room: 1}, {room: 1, who: ann}]",
     NULL,
     {"{\"event\":{\"type\":\"a\",\"data\":{\"room\":1}}}",
      "{\"event\":{\"type\":\"b\",\"data\":{\"room\":2,\"who\":\"ann\"}}}",
      "{\"event\":{\"type\":\"b\",\"data\":{\"room\":1,\"who\":\"bob\"}}}",
      "{\"event\":{\"type\":\"b\",\"data\":{\"room\":1,\"who\":\"ann\"}}}"}},
    {"listen: foreach",
     HEAD
     "do:\n"
     "  - a:\n"
     "      listen: {to: {any: [{with: {type: a}}], until: '${ ($context.n // 0) == 2 }'}}\n"
     "      foreach: {item: ev, at: i, do: [{w: {wait: PT1S}}, {s: {set: {got: '${ $ev * 10 + $i "
     "}'}}}], output: {as: .got}, export: {as: '${ {n: (($context.n // 0) + 1)} }'}}\n",
     "{}",
     "[10, 21]",
     NULL,
     {"{\"event\":{\"type\":\"a\",\"data\":1}}", "{\"event\":{\"type\":\"a\",\"data\":2}}",
      "{\"event\":{\"type\":\"a\",\"data\":3}}"}},
    {"a subscription's messages, one after the other",
     HEAD
     "do:\n"
     "  - a:\n"
     "      call: asyncapi\n"
     "      with:\n"
     "        document: {endpoint: 'https://fake/asyncapi.json'}\n"
     "        operation: hear\n"
     "        subscription: {consume: {amount: 2}, foreach: {item: m, at: i, do: [{b: {set: {got: "
     "'${ $m.n * 10 + $i }'}}}], output: {as: .got}, export: {as: '${ $context + {last: .} }'}}}\n"
     "  - c: {set: {all: '${ . }', last: '${ $context.last }'}}\n",
     "{}",
     "{all: [10, 21], last: 21}",
     "started:* started:a act:asyncapi started:b completed:b started:b completed:b completed:a "
     "started:c completed:c completed:* end:completed",
     {0}},
    {"a signal waits for its listen; an event does not",
     HEAD "do:\n"
          "  - w: {wait: PT10S}\n"
          "  - a: {listen: {to: {one: {with: {type: go}}}}}\n"
          "  - b: {listen: {to: {one: {with: {type: go}}}}, timeout: {after: PT1M}}\n",
     "{}",
     "{status: 408, instance: /do/2/b}",
     NULL,
     {"{\"event\":{\"type\":\"go\",\"data\":0}}",
      "{\"event\":{\"type\":\"go\",\"data\":1},\"signal\":true}"}},
    // ---- extensions ----
    {"extensions: before and after, once",
     HEAD
     "use: {extensions: [{log: {extend: set, when: '${ .k != 9 }', before: [{x: {call: http, with: "
     "{method: post, endpoint: 'https://fake/echo', body: {at: '${ $task.reference }'}}, export: "
     "{as: "
     "'${ $context + {before: .at} }'}}}], after: [{y: {set: {dropped: true}}}]}}]}\n"
     "do:\n"
     "  - a: {set: {k: 9}}\n"
     "  - b: {set: {was: '${ . }', ctx: '${ $context }'}}\n",
     "{k: 1}",
     "{was: {k: 9}, ctx: {before: /do/0/a}}",
     "started:* started:a started:x act:http completed:x completed:a started:b started:y "
     "completed:y "
     "completed:b completed:* end:completed",
     {0}},
    {"extensions: exit instead of the task",
     HEAD
     "use: {extensions: [{mock: {extend: call, when: '${ $task.with.endpoint.uri | "
     "startswith(\"https://mocked\") }', before: [{i: {set: {content: {foo: bar}}, then: "
     "exit}}]}}]}\n"
     "do:\n  - a: {call: http, with: {method: get, endpoint: {uri: 'https://mocked/x'}}, output: "
     "{as: .content}}\n",
     "{}",
     "{foo: bar}",
     "started:* started:a started:i completed:i completed:a completed:* end:completed",
     {0}},
    // ---- what goes wrong in documents ----
    {"a failure without a word",
     HEAD "do:\n" HTTP("a", "bare"),
     "{}",
     "{type: '" ERRORS "runtime', status: 500, instance: /do/0/a}",
     NULL,
     {0}},
    {"secrets cannot be handed over",
     HEAD "use: {secrets: [key], functions: {f: {set: {x: '${ .k }'}}}}\n"
          "do:\n  - a: {call: f, with: {k: '${ $secrets.key }'}}\n",
     "{}",
     "{type: '" ERRORS "authorization', status: 403, instance: /do/0/a}",
     NULL,
     {0}},
    {"an address made of an object",
     HEAD "do:\n" HTTP("a", "{id}"),
     "{id: {}}",
     "{type: '" ERRORS "expression'}",
     NULL,
     {0}},
    {"an address with a name for nothing",
     HEAD
     "do:\n"
     "  - a: {call: http, with: {method: post, endpoint: 'https://fake/echo/{no}/{n}', body: 1}}\n",
     "{n: 4}",
     "1",
     NULL,
     {0}},
    {"a duration that is none",
     HEAD "do:\n  - a: {wait: '${ .for }'}\n",
     "{for: soon}",
     "{type: '" ERRORS "expression', instance: /do/0/a}",
     NULL,
     {0}},
    {"a filter of errors that fails itself",
     HEAD "do:\n"
          "  - o:\n"
          "      try:\n"
          "        - t: {try: [{c: {raise: {error: {type: 'https://x/1', status: 500}}}}], catch: "
          "{when: '${ "
          "$error.type.x }', do: [{h: {set: {x: 1}}}]}}\n"
          "      catch: {do: [{g: {set: {t: '${ $error.type }', at: '${ $error.instance }'}}}]}\n",
     "{}",
     "{t: '" ERRORS "expression', at: /do/0/o/try/0/t}",
     NULL,
     {0}},
    {"an attempt that is too long, and a catch that does not take it",
     HEAD
     "do:\n"
     "  - t:\n"
     "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/never'}}}]\n"
     "      catch: {errors: {with: {status: 500}}, retry: {limit: {attempt: {count: 1, duration: "
     "PT9S}}}}\n"
     "      timeout: {after: PT1M}\n",
     "{}",
     "{status: 408, instance: /do/0/t}",
     "started:* started:t started:c timer:timeout+60000 timer:timeout+9000 act:http cancelled:c "
     "faulted:t faulted:* cancel cancel end:faulted",
     {0}},
    {"retry at once",
     HEAD "do:\n"
          "  - t: {try: [{c: {call: http, with: {method: get, endpoint: "
          "'https://fake/flaky/1'}}}], catch: "
          "{retry: {limit: {attempt: {count: 3}}}}}\n",
     "{}",
     "2",
     "started:* started:t started:c act:http faulted:c retried:t started:c act:http completed:c "
     "completed:t completed:* end:completed",
     {0}},
    {"extensions of all, of composite tasks",
     HEAD
     "use: {extensions: [{x: {extend: composite, before: [{c: {set: {x: 1}}}]}}, {y: {extend: all, "
     "after: [{d: {set: {x: 1}}}]}}]}\n"
     "do:\n  - a: {do: [{b: {set: {n: 1}}}]}\n",
     "{}",
     "{n: 1}",
     "started:* started:a started:c completed:c started:b started:d completed:d completed:b "
     "started:d "
     "completed:d completed:a completed:* end:completed",
     {0}},
    {"listen: raw data, a foreach without tasks",
     HEAD "do:\n"
          "  - a:\n"
          "      listen: {to: {any: [{with: {type: a}}], until: '${ length == 2 }'}, read: raw}\n"
          "      foreach: {item: ev, output: {as: '${ [$ev, $index] }'}}\n",
     "{}",
     "[[aGk=, 0], [2, 1]]",
     NULL,
     {"{\"event\":{\"type\":\"a\",\"data_base64\":\"aGk=\"}}",
      "{\"event\":{\"type\":\"a\",\"data\":2}}"}},
    {"listen: an event for which the filter has no answer does not fit",
     HEAD "do:\n  - a: {listen: {to: {one: {with: {type: a, data: '${ .n.m > 1 }'}}}}}\n",
     "{}",
     "[{n: {m: 2}}]",
     NULL,
     {"{\"event\":{\"type\":\"a\",\"data\":{\"n\":\"text\"}}}",
      "{\"event\":{\"type\":\"a\",\"data\":7}}",
      "{\"event\":{\"type\":\"a\",\"data\":{\"n\":{\"m\":2}}}}"}},
    {"listen: two signals, each taken once",
     HEAD
     "do:\n"
     "  - w: {wait: PT1S}\n"
     "  - a: {listen: {to: {one: {with: {type: go}}}}, output: {as: '.[0]'}, export: {as: '.'}}\n"
     "  - b: {listen: {to: {one: {with: {type: go}}}}, output: {as: '${ [$context, .[0]] }'}}\n",
     "{}",
     "[1, 2]",
     NULL,
     {"{\"event\":{\"type\":\"go\",\"data\":1},\"signal\":true}",
      "{\"event\":{\"type\":\"go\",\"data\":2},\"signal\":true}"}},
    // ---- hands ----
    {"the workflow's own input is put right",
     STALLS "input: {schema: {format: json, document: {type: object, required: [id]}}}\n"
            "do:\n  - a: {set: {id: '${ .id }', raw: '${ $workflow.input.id }'}}\n",
     "{}",
     "{id: 5, raw: 5}",
     NULL,
     {"{\"action\":\"edit\",\"input\":{\"id\":5}}"}},
    {"the workflow's own output is tried again",
     HEAD "do:\n  - a: {set: {n: 1}}\noutput: {as: '${ .n.m }'}\n",
     "{}",
     "{type: '" ERRORS "expression', instance: ''}",
     NULL,
     {"{\"action\":\"retry\"}"}},
    {"opened again: what was awaited is asked for anew, with its timeout",
     HEAD "do:\n"
          "  - f: {fork: {branches: [{a: {listen: {to: {one: {with: {type: go}}}}, timeout: "
          "{after: PT1H}}}, {b: "
          "{call: http, with: {method: get, endpoint: 'https://fake/flaky/1'}}}]}}\n",
     "{}",
     "[[1], 2]",
     "started:* started:f started:a waiting:a started:b timer:timeout+3600000 listen act:http "
     "faulted:b "
     "faulted:* cancel cancel end:faulted resumed:* retried:b waiting:a timer:timeout+3600000 "
     "listen "
     "act:http completed:b completed:a completed:f completed:* cancel cancel end:completed",
     {"{\"action\":\"retry\",\"task\":\"b\"}", "{\"event\":{\"type\":\"go\",\"data\":1}}"}},
    {"stalled: a person lets it go on",
     STALLS "do:\n" HTTP("a", "flaky/1") "  - b: {set: {n: '${ . }'}}\n",
     "{}",
     "{n: 2}",
     "started:* started:a act:http faulted:a stall retried:a act:http completed:a started:b "
     "completed:b completed:* end:completed",
     {"{\"action\":\"retry\",\"task\":\"/do/0/a\",\"by\":\"ann\"}"}},
    {"stalled: skipped, with an output",
     STALLS "do:\n" HTTP("a", "fail/500") "  - b: {set: {n: '${ .x }'}}\n",
     "{}",
     "{n: 5}",
     NULL,
     {"{\"action\":\"skip\",\"task\":\"a\",\"output\":{\"x\":5}}"}},
    {"stalled: another input",
     STALLS "do:\n  - a: {input: {from: .x.y}, set: {n: '${ . }'}}\n",
     "{x: 1}",
     "{n: 6}",
     NULL,
     {"{\"action\":\"edit\",\"task\":\"a\",\"input\":{\"x\":{\"y\":6}}}"}},
    {"a faulted run is opened again",
     HEAD
     "do:\n"
     "  - f: {fork: {branches: [{a: {wait: PT5S}}, {b: {call: http, with: {method: get, endpoint: "
     "'https://fake/flaky/1'}}}]}}\n",
     "{k: 1}",
     "[{k: 1}, 2]",
     "started:* started:f started:a waiting:a started:b timer:wait+5000 act:http faulted:b "
     "faulted:* "
     "cancel end:faulted resumed:* retried:b waiting:a timer:wait+5000 act:http completed:b "
     "completed:a "
     "completed:f completed:* end:completed",
     {"{\"action\":\"retry\"}"}},
    {"retry now, not after the delay",
     HEAD "do:\n"
          "  - t: {try: [{c: {call: http, with: {method: get, endpoint: "
          "'https://fake/flaky/1'}}}], catch: "
          "{retry: {delay: {days: 1}}}}\n",
     "{}",
     "2",
     "started:* started:t started:c act:http faulted:c retried:t timer:retry+86400000 started:c "
     "cancel "
     "act:http completed:c completed:t completed:* end:completed",
     {"{\"action\":\"retry\",\"task\":\"/do/0/t/try/0/c\"}"}},
    {"pause and resume",
     HEAD "do:\n  - a: {listen: {to: {one: {with: {type: go}}}}}\n",
     "{}",
     "[1]",
     "started:* started:a waiting:a listen suspended:* resumed:* completed:a completed:* cancel "
     "end:completed",
     {"{\"action\":\"pause\"}", "{\"event\":{\"type\":\"go\",\"data\":1}}",
      "{\"action\":\"resume\"}"}},
    {"cancel",
     HEAD "do:\n" HTTP("a", "never"),
     "{}",
     "cancelled",
     "started:* started:a act:http cancelled:a cancelled:* cancel end:cancelled",
     {"{\"action\":\"cancel\",\"by\":\"ann\",\"reason\":\"no need\"}"}},
    {"terminate",
     HEAD "do:\n  - a: {wait: PT1H}\n",
     "{}",
     "terminated",
     NULL,
     {"{\"action\":\"terminate\"}"}},
};

static inline struct rig *rig_play(const struct row *row, bool far, struct rng *rng)
{
    struct rig *w = mem_new(struct rig);
    assert_non_null(w);
    w->act = rig_acts;
    w->trace_notes = w->trace_commands = true;
    w->events = row->events;
    w->rng = rng;
    rig_open(w, row->doc);
    rig_far(w, far);
    assert_int_equal(rig_start(w, rig_yaml(row->input)), 0);
    rig_go(w);
    return w;
}

static inline void rig_done(struct rig *w)
{
    rig_close(w);
    mem_free(w);
}

#endif
