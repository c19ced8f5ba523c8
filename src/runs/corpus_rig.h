// corpus_rig.h: flows of all kinds, each with what it must give, for tests that let nodes die while
// these run.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_RUNS_CORPUS_RIG_H
#define PLEXUS_RUNS_CORPUS_RIG_H

#include "runs/runs_rig.h"

#define HEAD(name) "document: {dsl: '1.0.0', namespace: test, name: " name ", version: '1.0.0'}\n"
#define POST(task, body)                                                                           \
    "  - " task ":\n"                                                                              \
    "      call: http\n"                                                                           \
    "      with: {method: post, endpoint: 'http://t.example/x', body: " body "}\n"

// What an activity gives: its body; "fail" fails until the attempt of that number.
static int corpus_act(struct rig *r, const struct act_args *a, struct val **output,
                      struct val **problem)
{
    struct val *body = val_get_cstr(a->args, "body");
    int64_t good = val_i64(val_get_cstr(body, "good"), 0);
    (void)r;
    if (a->attempt >= good) {
        *output = val_ref(body);
        return 0;
    }
    *problem = runs_problem("communication", 503, "not yet", "");
    return E_UNAVAILABLE;
}

// ---- the corpus: each flow with what it must give -----------------------------------------------

static const char child_doc[] =
    HEAD("child") "do:\n" POST("one", "'${ {c: .n} }'") POST("two", "'${ {c: (.c + 1)} }'");

static const struct {
    const char *name, *doc, *input, *status, *output;
    const char *signals[3]; // sent when it waits for one
} corpus[] = {
    {"calls",
     HEAD("calls") "do:\n" POST("a", "'${ {n: (.n + 1)} }'") POST("b", "'${ {n: (.n * 2)} }'")
         POST("c", "'${ {n: (.n + 3)} }'"),
     "{\"n\":1}",
     "completed",
     "{\"n\":7}",
     {NULL}},
    {"fork",
     HEAD("fork") "do:\n"
                  "  - all:\n"
                  "      fork:\n"
                  "        branches:\n"
                  "          - x: {call: http, with: {method: post, endpoint: 'http://t.example/', "
                  "body: 1}}\n"
                  "          - y:\n"
                  "              do:\n"
                  "                - y1: {call: http, with: {method: post, endpoint: "
                  "'http://t.example/', body: 2}}\n"
                  "                - y2: {wait: {seconds: 5}}\n"
                  "          - z: {wait: {milliseconds: 10}}\n",
     "{}",
     "completed",
     "[1,2,{}]",
     {NULL}},
    {"retry",
     HEAD(
         "retry") "do:\n"
                  "  - t:\n"
                  "      try:\n"
                  "        - a: {call: http, with: {method: post, endpoint: 'http://t.example/', "
                  "body: {good: 3}}}\n"
                  "      catch:\n"
                  "        errors: {with: {status: 503}}\n"
                  "        retry: {delay: {seconds: 30}, backoff: {constant: {}}, limit: {attempt: "
                  "{count: 5}}}\n",
     "{}",
     "completed",
     "{\"good\":3}",
     {NULL}},
    {"faults",
     HEAD("faults") "do:\n" POST(
         "a", "{good: 1}") "  - b: {raise: {error: {type: "
                           "'https://example.com/bad', status: 418, title: 'bad'}}}\n",
     "{}",
     "faulted",
     NULL,
     {NULL}},
    {"sleeps",
     HEAD("sleeps") "do:\n  - w: {wait: {hours: 30}}\n" POST("a", "'${ {n: .n} }'"),
     "{\"n\":5}",
     "completed",
     "{\"n\":5}",
     {NULL}},
    {"listens",
     HEAD("listens") "do:\n"
                     "  - l:\n"
                     "      listen: {to: {all: [{with: {type: com.example.a}}, {with: {type: "
                     "com.example.b}}]}}\n" POST("a", "'${ {sum: (.[0].n + .[1].n)} }'"),
     "{}",
     "completed",
     "{\"sum\":30}",
     {"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":\"com.example.a\","
      "\"data\":{\"n\":10}}",
      "{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/t\",\"type\":\"com.example.b\","
      "\"data\":{\"n\":20}}"}},
    {"parents",
     HEAD("parents") "do:\n"
                     "  - c: {run: {workflow: {namespace: test, name: child, version: '1.0.0', "
                     "input: {n: 4}}}}\n" POST("a", "'${ {c: (.c * 10)} }'"),
     "{}",
     "completed",
     "{\"c\":50}",
     {NULL}},
    {"loops",
     HEAD("loops") "do:\n"
                   "  - l:\n"
                   "      for: {each: i, in: '.list'}\n"
                   "      do:\n"
                   "        - a: {call: http, with: {method: post, endpoint: 'http://t.example/', "
                   "body: '${ {list: .list, sum: ((.sum // 0) + $i)} }'}}\n",
     "{\"list\":[1,2,3,4,5,6]}",
     "completed",
     "{\"list\":[1,2,3,4,5,6],\"sum\":21}",
     {NULL}},
    {"late",
     HEAD(
         "late") "do:\n"
                 "  - t:\n"
                 "      try:\n"
                 "        - c:\n"
                 "            run: {workflow: {namespace: test, name: sleeper, version: '1.0.0'}}\n"
                 "            timeout: {after: {seconds: 10}}\n"
                 "      catch:\n"
                 "        errors: {with: {status: 408}}\n"
                 "        do:\n"
                 "          - s: {set: {late: true}}\n" POST("a", "'${ . }'"),
     "{}",
     "completed",
     "{\"late\":true}",
     {NULL}},
};
#define CORPUS (sizeof corpus / sizeof *corpus)
#define CORPUS_ALONE (CORPUS - 1) // the last needs a worker of queue heavy

static const char sleeper_doc[] = HEAD("sleeper") "do:\n  - w: {wait: {days: 2}}\n";

static void documents(struct rig *r)
{
    add_document(r, child_doc);
    add_document(r, sleeper_doc);
}

#endif
