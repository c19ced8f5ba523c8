# corpus_rows.py: each part of the language in a small document: (name, document without its head, input, signals, what the output or
# the error must contain). A signal is (type, data), sent when the run waits. HTTP calls go to the stand-in.
# SPDX-License-Identifier: Apache-2.0
ERRORS = "https://serverlessworkflow.io/spec/1.0.0/errors/"
X = "{type: 'https://x/y', status: 500}"


def http(path, more=""):
    return "{call: http, with: {method: get, endpoint: 'https://httpbin.org/%s'%s}}" % (path, more)


ROWS = [
    # ---- data flow
    ("input, output, export", """
input: {from: .in}
do:
- a: {input: {from: .n}, set: {n: '${ . + 1 }', was: '${ $input }'}, output: {as: '${ {m: .n, was} }'}, export: {as: '${ $context + {seen: $output.m} }'}}
- b: {set: {all: '${ . }', ctx: '${ $context }', raw: '${ $workflow.input }'}}
output: {as: '${ . + {end: $context.seen} }'}""", {"in": {"n": 4}}, (), {"all": {"m": 5, "was": 4}, "ctx": {"seen": 5}, "raw": {"in": {"n": 4}}, "end": 5}),
    ("if skips, and its then with it", "do:\n- a: {if: '${ .go }', set: {x: 1}, then: end}\n- b: {set: {y: '${ . }'}}", {"go": False}, (), {"y": {"go": False}}),
    ("descriptors", "do:\n- a: {set: {t: '${ $task.name + $task.reference }', r: '${ $runtime.name }', d: '${ $task.definition.metadata.k }', n: '${ $workflow.definition.document.name }'}, metadata: {k: v}}",
     {}, (), {"t": "a/do/0/a", "r": "plexus", "d": "v", "n": "row"}),
    ("$task.output is the raw one", "do:\n- a: {set: {n: 1}, output: {as: .n}, export: {as: '${ {raw: $task.output, out: $output} }'}}\n- b: {set: '${ $context }'}", {}, (), {"raw": {"n": 1}, "out": 1}),
    ("set gives a list", "do:\n- a: {set: '${ .list }'}", {"list": [1, 2]}, (), [1, 2]),
    ("numbers, texts and nothing", "do:\n- a: {set: {big: '${ 12345678901234567 }', part: '${ 0.1 + 0.2 }', minus: -0.5, text: 'ä €\\u0001', none: null, yes: true}}", {}, (), {"none": None, "yes": True, "minus": -0.5}),
    ("a large value", "do:\n- a: {set: '${ [range(20000)] }'}\n- b: {set: '${ {n: length, sum: add} }'}", {}, (), {"n": 20000, "sum": 199990000}),
    ("loose", "evaluate: {mode: loose}\ndo:\n- a: {set: {x: .n, y: some plain text, z: .n.m}}", {"n": 1}, (), {"x": 1, "y": "some plain text", "z": ".n.m"}),
    ("an expression for a worker", "do:\n- a: {set: {x: '${ .t | test(\"^a+$\") }', y: '${ [.t | scan(\"a\")] | length }', d: '${ \"2026-01-31T12:00:00Z\" | fromdate }'}}", {"t": "aaa"}, (), {"x": True, "y": 3, "d": 1769860800}),
    ("schemas that fit", "input: {schema: {document: {type: object, required: [n]}}}\ndo:\n- a: {set: '${ .n }', output: {schema: {document: {type: integer}}}, export: {as: '${ {n: .} }', schema: {document: {type: object}}}}\n- b: {set: '${ $context }'}", {"n": 3}, (), {"n": 3}),
    ("an input that does not fit", "do:\n- a: {input: {schema: {document: {type: object, required: [id]}}}, set: {x: 1}}", {}, (), {"type": ERRORS + "validation", "status": 400, "instance": "/do/0/a"}),
    ("an output that does not fit", "do:\n- a: {set: {x: 1}}\noutput: {schema: {document: {type: object, required: [id]}}}", {}, (), {"type": ERRORS + "validation", "status": 400}),
    ("an export that does not fit", "do:\n- a: {set: {x: 1}, export: {as: .x, schema: {document: {type: string}}}}", {}, (), {"type": ERRORS + "validation", "status": 400, "instance": "/do/0/a"}),
    ("an expression that fails", "do:\n- a: {set: {x: '${ .a.b }'}}", {"a": 1}, (), {"type": ERRORS + "expression", "status": 400, "instance": "/do/0/a"}),
    # ---- the way
    ("then: a name, exit, end", "do:\n- a: {set: {n: 1}, then: c}\n- b: {set: {n: '${ .n * 10 }'}, then: end}\n- c: {do: [{d: {set: {n: '${ .n + 1 }'}, then: exit}}, {e: {set: {n: 99}}}], then: b}", {}, (), {"n": 20}),
    ("end from deep inside", "do:\n- a: {for: {in: '${ [1, 2, 3] }'}, do: [{b: {do: [{c: {set: {at: '${ $item }'}, then: end}}]}}]}\n- z: {set: {never: true}}", {}, (), {"at": 1}),
    ("switch", "do:\n- a: {switch: [{one: {when: '${ .n == 1 }', then: b}}, {other: {then: c}}, {two: {when: '${ .n == 2 }', then: end}}]}\n- b: {set: {got: b}, then: end}\n- c: {set: {got: c}}", {"n": 1}, (), {"got": "b"}),
    ("switch: the case without a condition", "do:\n- a: {switch: [{one: {when: '${ .n == 1 }', then: b}}, {other: {then: c}}]}\n- b: {set: {got: b}, then: end}\n- c: {set: {got: c}}", {"n": 7}, (), {"got": "c"}),
    ("back to an earlier task", "do:\n- a: {set: {n: '${ (.n // 0) + 1 }'}}\n- b: {if: '${ .n < 30 }', set: '${ . }', then: a}", {}, (), {"n": 30}),
    # ---- for
    ("for: each, at, while", "do:\n- a: {for: {each: pet, in: .pets, at: i}, while: '${ (.sum // 0) < 5 }', do: [{b: {set: {sum: '${ (.sum // 0) + $pet * ($i + 1) }'}}}]}", {"pets": [1, 2, 3, 4]}, (), {"sum": 5}),
    ("for over nothing", "do:\n- a: {for: {in: .none}, do: [{b: {set: {x: 1}}}]}", {"k": 1}, (), {"k": 1}),
    ("for over no array", "do:\n- a: {for: {in: .k}, do: [{b: {set: {x: 1}}}]}", {"k": 1}, (), {"type": ERRORS + "expression", "instance": "/do/0/a"}),
    ("exit ends an iteration", "do:\n- a: {for: {in: '${ [1, 2] }'}, do: [{b: {set: {n: '${ $item }'}, then: exit}}, {c: {set: {n: 99}}}]}", {}, (), {"n": 2}),
    ("loops in loops", "do:\n- a: {for: {each: x, in: '${ [1, 2] }'}, do: [{b: {for: {each: y, in: '${ [10, 20] }'}, do: [{c: {set: {all: '${ (.all // []) + [$x * $y] }'}}}]}}]}", {}, (), {"all": [10, 20, 20, 40]}),
    ("for with work in it", "do:\n- a: {for: {in: '${ [1, 2, 3, 4] }'}, do: [{b: {run: {shell: {command: 'echo $1', arguments: ['${ $item | tostring }']}}, output: {as: '${ $input + [. | rtrimstr(\"\\n\")] }'}}}]}", [], (), ["1", "2", "3", "4"]),
    # ---- fork
    ("fork gives all in order", "do:\n- f: {fork: {branches: [{a: {set: {a: 1}}}, {b: {do: [{c: {set: {b: 2}}}, {d: {set: {b: '${ .b + 1 }'}}}]}}, {e: {wait: PT0.2S}}]}}", {"k": 0}, (), [{"a": 1}, {"b": 3}, {"k": 0}]),
    ("fork with work in each branch", "do:\n- f: {fork: {branches: [{a: {do: [{a1: {run: {shell: {command: 'sleep 0.1; echo 1'}}}}, {a2: {set: {x: '${ . }'}}}]}}, {b: {do: [{b1: %s}, {b2: {set: {u: '${ .uuid }'}}}]}}]}}" % http("uuid"), {}, (), [{"x": "1\n"}, {"u": "00000000-0000-4000-8000-000000000000"}]),
    ("forks in forks", "do:\n- f: {fork: {branches: [{a: {fork: {branches: [{a1: {set: 1}}, {a2: {set: 2}}]}}}, {b: {fork: {branches: [{b1: {wait: PT0.1S}}, {b2: {set: 3}}]}}}]}}".replace("set: 1", "set: '${ 1 }'").replace("set: 2", "set: '${ 2 }'").replace("set: 3", "set: '${ 3 }'"), {}, (), [[1, 2], [{}, 3]]),
    ("compete: the first wins", "do:\n- f: {fork: {compete: true, branches: [{slow: {wait: PT30S}}, {call: %s}, {fast: {do: [{w: {wait: PT0.2S}}, {s: {set: {won: fast}}}]}}]}}" % http("delay/5"), {}, (), {"won": "fast"}),
    ("compete: who fails is out", "do:\n- f: {fork: {compete: true, branches: [{bad: {raise: {error: %s}}}, {good: {wait: PT0.2S}}]}}" % X, {"k": 1}, (), {"k": 1}),
    ("compete: all fail", "do:\n- f: {fork: {compete: true, branches: [{bad: {raise: {error: {type: 'https://x/1', status: 500}}}}, {worse: {raise: {error: {type: 'https://x/2', status: 501}}}}]}}", {}, (), {"type": "https://x/2", "status": 501}),
    ("a branch that fails ends the fork", "do:\n- f: {fork: {branches: [{bad: {raise: {error: %s}}}, {good: {wait: PT30S}}]}}" % X, {}, (), {"type": "https://x/y", "status": 500}),
    # ---- errors
    ("raise says where", "do:\n- a: {raise: {error: {type: 'https://x/y', status: 418, title: '${ .t }', detail: short}}}", {"t": "Teapot"}, (), {"type": "https://x/y", "status": 418, "title": "Teapot", "detail": "short", "instance": "/do/0/a"}),
    ("raise by name", "use: {errors: {broken: {type: 'https://x/broken', status: 507, title: Broken}}}\ndo:\n- a: {raise: {error: broken}}", {}, (), {"type": "https://x/broken", "status": 507}),
    ("catch by type and status", "do:\n- t:\n    try: [{c: %s}]\n    catch: {errors: {with: {type: '%scommunication', status: 404}}, as: err, do: [{h: {set: {was: '${ $err.status }', at: '${ $err.instance }', in: '${ .k }'}}}]}" % (http("status/404"), ERRORS), {"k": 7}, (), {"was": 404, "at": "/do/0/t/try/0/c", "in": 7}),
    ("an error rises on", "do:\n- outer:\n    try:\n    - inner:\n        try: [{c: %s}]\n        catch: {errors: {with: {status: 404}}, do: [{no: {set: {no: true}}}]}\n    catch: {when: '${ $error.status == 500 }', do: [{h: {set: {outer: true}}}]}" % http("status/500"), {}, (), {"outer": True}),
    ("exceptWhen", "do:\n- t:\n    try: [{c: %s}]\n    catch: {exceptWhen: '${ $error.status == 404 }', do: [{h: {set: {x: 1}}}]}" % http("status/404"), {}, (), {"type": ERRORS + "communication", "status": 404}),
    ("caught without a handler", "do:\n- t: {try: [{c: {raise: {error: %s}}}], catch: {}}" % X, {"k": 1}, (), {"k": 1}),
    ("an error in the handler", "do:\n- t: {try: [{c: {raise: {error: %s}}}], catch: {do: [{h: {raise: {error: {type: 'https://x/2', status: 501}}}}]}}" % X, {}, (), {"type": "https://x/2", "instance": "/do/0/t/catch/do/0/h"}),
    # ---- retries
    ("retry: constant", "do:\n- t:\n    try: [{c: %s}]\n    catch: {retry: {delay: PT0.1S, backoff: {constant: {}}, limit: {attempt: {count: 3}}}}" % http("flaky/a/2"), {}, (), {"count": 3}),
    ("retry: linear, and no more", "do:\n- t:\n    try: [{c: %s}]\n    catch: {retry: {delay: PT0.05S, backoff: {linear: {}}, limit: {attempt: {count: 2}}}}" % http("status/503"), {}, (), {"status": 503, "instance": "/do/0/t/try/0/c"}),
    ("retry: exponential, then the handler", "do:\n- t:\n    try: [{c: %s}]\n    catch: {retry: {delay: PT0.05S, backoff: {exponential: {}}, jitter: {from: PT0S, to: PT0.05S}, limit: {attempt: {count: 2}}}, do: [{h: {set: {gave: up}}}]}" % http("status/503"), {}, (), {"gave": "up"}),
    ("retry: when", "do:\n- t:\n    try: [{c: %s}]\n    catch: {retry: {when: '${ $error.status >= 500 }', delay: PT1H}, do: [{h: {set: {x: 1}}}]}" % http("status/400"), {}, (), {"x": 1}),
    ("retry: an attempt that is too long", "do:\n- t:\n    try: [{c: %s}]\n    catch: {retry: {delay: PT0.1S, limit: {attempt: {count: 1, duration: PT0.3S}}}, do: [{h: {set: {was: '${ $error.status }'}}}]}" % http("delay/5"), {}, (), {"was": 408}),
    ("retry: by name", "use: {retries: {soon: {delay: PT0.05S, limit: {attempt: {count: 5}}}}}\ndo:\n- t:\n    try: [{c: %s}]\n    catch: {retry: soon}" % http("flaky/b/1"), {}, (), {"count": 2}),
    # ---- time
    ("wait", "do:\n- a: {wait: '${ .for }'}\n- b: {wait: {milliseconds: 5}}", {"for": "PT0.1S"}, (), {"for": "PT0.1S"}),
    ("a duration that is none", "do:\n- a: {wait: '${ .for }'}", {"for": "soon"}, (), {"type": ERRORS + "expression", "instance": "/do/0/a"}),
    ("a task that is too long", "do:\n- a: {wait: PT1M, timeout: {after: PT0.2S}}", {}, (), {"type": ERRORS + "timeout", "status": 408, "instance": "/do/0/a"}),
    ("a call that is too long", "do:\n- a: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/5'}, timeout: {after: PT0.2S}}", {}, (), {"type": ERRORS + "timeout", "status": 408, "instance": "/do/0/a"}),
    ("a timeout is caught", "do:\n- t: {try: [{a: {do: [{b: {wait: PT1M}}], timeout: {after: PT0.2S}}}], catch: {errors: {with: {status: 408}}, do: [{c: {wait: PT0.1S, timeout: {after: PT5S}}}, {d: {set: {late: true}}}]}}", {}, (), {"late": True}),
    ("a queue that nobody serves", "do:\n- a: {run: {shell: {command: echo}}, metadata: {plexus: {queue: nobody, start: PT0.3S}}}", {}, (), {"type": ERRORS + "timeout", "status": 408, "instance": "/do/0/a"}),
    ("a queue with a start in time", "do:\n- a: {run: {shell: {command: 'sleep 0.6; echo x'}}, metadata: {plexus: {queue: edge-task-queue, start: PT0.4S}}}", {}, (), "x\n"),
    ("a workflow that is too long", "do:\n- a: {wait: PT1M}\ntimeout: {after: PT0.3S}", {}, (), {"type": ERRORS + "timeout", "status": 408}),
    # ---- outside
    ("call: arguments", "do:\n- a: {call: http, with: {method: post, endpoint: 'https://httpbin.org/anything/{id}', query: {q: '1'}, headers: {X-Kept: '${ .id }'}, body: {n: '${ .n + 1 }'}}, output: {as: '${ {json, args, url, x: .headers[\"X-Kept\"]} }'}}", {"id": "xy", "n": 1}, (), {"json": {"n": 2}, "args": {"q": "1"}, "x": "xy"}),
    ("call: raw and response", "do:\n- a: {call: http, with: {method: get, endpoint: 'https://httpbin.org/uuid', output: raw}, export: {as: '${ {raw: .} }'}}\n- b: {call: http, with: {method: get, endpoint: 'https://httpbin.org/status/204', output: response}, output: {as: '${ [.statusCode, $context.raw] }'}}", {}, (), None),
    ("call: a name that nobody has", "do:\n- a: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:1/'}}", {}, (), {"type": ERRORS + "communication"}),
    ("call: not let in", "do:\n- a: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/basic-auth/ann/right', authentication: {basic: {username: ann, password: wrong}}}}}", {}, (), {"status": 401}),
    ("call: openapi", "do:\n- a: {call: openapi, with: {document: {endpoint: 'https://petstore.swagger.io/v2/swagger.json'}, operationId: findPetsByStatus, parameters: {status: sold}}, output: {as: '${ map(.name) }'}}", {}, (), ["milou", "toto"]),
    ("call: a function of the document", "use: {functions: {twice: {set: {n: '${ .n * 2 }'}, output: {as: '${ . + {in: $input} }'}}}}\ndo:\n- a: {call: twice, with: {n: '${ .k }'}}\n- b: {call: twice}", {"k": 4}, (), {"n": 16, "in": {"n": 8, "in": {"n": 4}}}),
    ("a function that calls itself", "use: {functions: {f: {call: f, with: {n: '${ .n }'}}}}\ndo:\n- a: {call: f, with: {n: 1}}", {}, (), {"type": ERRORS + "runtime", "status": 500}),
    ("a secret", "use: {secrets: [ROW]}\ndo:\n- a: {call: http, with: {method: post, endpoint: 'https://httpbin.org/anything', body: {k: '${ .n + $secrets.ROW }'}}, output: {as: .json}}", {"n": "x"}, (), {"k": "xhush"}),
    ("a secret that is not there", "use: {secrets: [NONE]}\ndo:\n- a: {call: http, with: {method: post, endpoint: 'https://httpbin.org/anything', body: {k: '${ $secrets.NONE }'}}}", {}, (), {"instance": "/do/0/a"}),
    ("run: shell, what it gives", "do:\n- a: {run: {shell: {command: 'echo out; echo err >&2; exit 3'}, return: all}, export: {as: '${ [.] }'}}\n- b: {run: {shell: {command: 'exit 4'}, return: code}, export: {as: '${ $context + [.] }'}}\n- c: {run: {shell: {command: 'echo e >&2'}, return: stderr}, export: {as: '${ $context + [.] }'}}\n- d: {run: {shell: {command: 'true'}, return: none}, output: {as: '${ $context + [.] }'}}", {}, (), [{"code": 3, "stdout": "out\n", "stderr": "err\n"}, 4, "e\n", None]),
    ("run: shell that fails", "do:\n- a: {run: {shell: {command: 'echo bad >&2; exit 3'}}}", {}, (), {"type": ERRORS + "runtime", "instance": "/do/0/a"}),
    ("run: script", "do:\n- a: {run: {script: {language: python, stdin: '${ tojson }', code: 'import json,sys; print(json.load(sys.stdin)[\"n\"] * 2, sys.argv[1])', arguments: [x]}}}", {"n": 21}, (), "42 x\n"),
    ("run: not awaited", "do:\n- a: {run: {shell: {command: 'sleep 0.1'}, await: false}}\n- b: {set: {on: '${ . }'}}", {"k": 1}, (), {"on": {"k": 1}}),
    ("run: a child", "do:\n- a: {run: {workflow: {namespace: test, name: child, version: 1.0.0, input: {n: '${ .k }'}}}}", {"k": 3}, (), {"n": 6}),
    ("run: a child that fails", "do:\n- a: {run: {workflow: {namespace: test, name: child, version: 1.0.0, input: {n: [1]}}}}", {}, (), {"type": ERRORS + "expression", "status": 400}),
    ("run: a child that fails is caught", "do:\n- t: {try: [{a: {run: {workflow: {namespace: test, name: child, version: 1.0.0, input: {n: [1]}}}}}], catch: {do: [{h: {set: {s: '${ $error.status }', t: '${ $error.type }'}}}]}}", {}, (), {"s": 400, "t": ERRORS + "expression"}),
    ("run: a child nobody knows", "do:\n- a: {run: {workflow: {namespace: test, name: nobody, version: 1.0.0}}}", {}, (), {"instance": "/do/0/a"}),
    ("run: children in a fork", "do:\n- f: {fork: {branches: [{a: {run: {workflow: {namespace: test, name: child, version: 1.0.0, input: {n: 1}}}}}, {b: {run: {workflow: {namespace: test, name: child, version: 1.0.0, input: {n: 2}}}}}]}}", {}, (), [{"n": 2}, {"n": 4}]),
    ("emit", "do:\n- a: {emit: {event: {with: {id: '7', source: 'https://x', type: t.v1, time: '2026-01-31T12:00:00Z', subject: s, own: 5, data: {n: '${ .n }'}}}}}", {"n": 1}, (), {"id": "7", "source": "https://x", "type": "t.v1", "data": {"n": 1}, "specversion": "1.0"}),
    # ---- listen
    ("listen: one", "do:\n- a: {listen: {to: {one: {with: {type: t.v1, data: '${ .n > 1 }'}}}}}", {}, (("t.v2", {"n": 3}), ("t.v1", {"n": 1}), ("t.v1", {"n": 2})), [{"n": 2}]),
    ("listen: all, in the order of their coming", "do:\n- a: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}}", {}, (("b", 1), ("b", 2), ("a", 3)), [1, 3]),
    ("listen: any of them", "do:\n- a: {listen: {to: {any: [{with: {type: a}}, {with: {type: b}}]}}}", {}, (("c", 0), ("b", 1)), [1]),
    ("listen: any until enough", "do:\n- a: {listen: {to: {any: [], until: '${ length > 2 }'}}}", {}, (("a", 1), ("b", 2), ("c", 3)), [1, 2, 3]),
    ("listen: any until another event", "do:\n- a: {listen: {to: {any: [{with: {type: a}}], until: {one: {with: {type: stop}}}}}}", {}, (("a", 1), ("a", 2), ("stop", 0)), [1, 2]),
    ("listen: correlation", "do:\n- a: {listen: {to: {all: [{with: {type: a}, correlate: {room: {from: .data.room}}}, {with: {type: b}, correlate: {room: {from: .data.room}, who: {from: .data.who, expect: '${ .me }'}}}]}}}", {"me": "ann"},
     (("a", {"room": 1}), ("b", {"room": 2, "who": "ann"}), ("b", {"room": 1, "who": "bob"}), ("b", {"room": 1, "who": "ann"})), [{"room": 1}, {"room": 1, "who": "ann"}]),
    ("listen: foreach", "do:\n- a:\n    listen: {to: {any: [{with: {type: a}}], until: '${ ($context.n // 0) == 2 }'}}\n    foreach: {item: ev, at: i, do: [{s: {set: {got: '${ $ev * 10 + $i }'}}}], output: {as: .got}, export: {as: '${ {n: (($context.n // 0) + 1)} }'}}", {}, (("a", 1), ("a", 2)), [10, 21]),
    ("listen: two signals, each taken once", "do:\n- a: {listen: {to: {one: {with: {type: go}}}}, output: {as: '.[0]'}, export: {as: '.'}}\n- b: {listen: {to: {one: {with: {type: go}}}}, output: {as: '${ [$context, .[0]] }'}}", {}, (("go", 1), ("go", 2)), [1, 2]),
    ("listen: nobody speaks", "do:\n- a: {listen: {to: {one: {with: {type: go}}}}, timeout: {after: PT0.3S}}", {}, (), {"type": ERRORS + "timeout", "status": 408}),
    ("listen in a fork", "do:\n- f: {fork: {branches: [{a: {listen: {to: {one: {with: {type: go}}}}}}, {b: {set: {x: 1}}}]}}", {}, (("go", 5),), [[5], {"x": 1}]),
    # ---- extensions
    ("extensions: before and after", "use: {extensions: [{log: {extend: set, when: '${ .k != 9 }', before: [{x: {run: {shell: {command: 'echo $1', arguments: ['${ $task.reference }']}}, export: {as: '${ {before: .} }'}}}], after: [{y: {set: {dropped: true}}}]}}]}\ndo:\n- a: {set: {k: 9}}\n- b: {set: {was: '${ . }', ctx: '${ $context }'}}", {"k": 1}, (), {"was": {"k": 9}, "ctx": {"before": "/do/0/a\n"}}),
    ("extensions: instead of the task", "use: {extensions: [{mock: {extend: call, when: '${ $task.with.endpoint.uri | startswith(\"https://mocked\") }', before: [{i: {set: {content: {foo: bar}}, then: exit}}]}}]}\ndo:\n- a: {call: http, with: {method: get, endpoint: {uri: 'https://mocked/x'}}, output: {as: .content}}", {}, (), {"foo": "bar"}),
    ("extensions of composite tasks and of all", "use: {extensions: [{x: {extend: composite, before: [{c: {set: {x: 1}}}]}}, {y: {extend: all, after: [{d: {set: {x: 1}}}]}}]}\ndo:\n- a: {do: [{b: {set: {n: 1}}}]}", {}, (), {"n": 1}),
]
