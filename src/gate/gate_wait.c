// gate_wait.c: honest waiting: a streaming client hears what its model is doing.
// SPDX-License-Identifier: Apache-2.0
#include "gate/gate_priv.h"
#include <stdio.h>

// After WAIT_SPEAK_MS the stream begins with comments; before that a quick failure keeps its
// status.
static void speak(struct timer *t)
{
    struct greq *r = t->user;
    struct gate *g = r->gate;
    struct model_view v;
    model_view(g->args.models, r->model, timers_now_ms(g->args.timers), &v);
    if (!r->spoke) {
        buf_clear(&g->extra);
        (void)buf_fmt(&g->extra, "Cache-Control: no-cache\r\nX-Request-Id: %s\r\n", r->id);
        gate_label_put(r, &g->extra);
        gate_put_cors(g, r->x, &g->extra);
        http_begin(r->x, 200, "text/event-stream", buf_bytes(&g->extra), HTTP_CHUNKED);
        r->spoke = true;
    }
    char line[400];
    int n = snprintf(line, sizeof(line), ": %.128s %s", v.name,
                     v.state == MODEL_WARM ? "waiting for a free slot"
                     : v.phase && *v.phase ? v.phase
                                           : "loading");
    if (v.share >= 0 && n < (int)sizeof(line))
        n += snprintf(line + n, sizeof(line) - (size_t)n, ", %d %% done", (int)(v.share * 100));
    if (v.eta_ms >= 0 && n < (int)sizeof(line))
        n += snprintf(line + n, sizeof(line) - (size_t)n, ", about %lld s left",
                      (long long)((v.eta_ms + 999) / 1000));
    if (v.waiting > 1 && n < (int)sizeof(line))
        n += snprintf(line + n, sizeof(line) - (size_t)n, ", %u requests wait", v.waiting);
    struct bytes parts[2] = {{line, (size_t)(n < (int)sizeof(line) ? n : (int)sizeof(line) - 1)},
                             BYTES("\n\n")};
    if (http_send(r->x, parts, 2) >= 0)
        (void)timer_start(g->args.timers, &r->speak, WAIT_SPEAK_MS);
}

void wait_begin(struct greq *r)
{
    if (!r->stream)
        return;
    r->speak.fn = speak;
    r->speak.user = r;
    (void)timer_start(r->gate->args.timers, &r->speak, WAIT_SPEAK_MS);
}

void wait_end(struct greq *r)
{
    timer_stop(r->gate->args.timers, &r->speak);
}
