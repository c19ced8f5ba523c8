// cli_flow_look.c: how runs, tasks, times, values and problems look in a line.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "text/cloudevent.h"
#include <string.h>

// The words of runs, of tasks and of lifecycle events.
const struct cli_flow_look *cli_flow_look(const char *state)
{
    static const struct cli_flow_look looks[] = {
        {"completed", "✓", PAINT_GREEN},  {"running", "●", PAINT_CYAN},
        {"started", "●", PAINT_CYAN},     {"waiting", "◌", PAINT_YELLOW},
        {"retried", "↻", PAINT_YELLOW},   {"retrying", "↻", PAINT_YELLOW},
        {"faulted", "✗", PAINT_RED},      {"stalled", "!", PAINT_RED},
        {"suspended", "‖", PAINT_YELLOW}, {"resumed", "●", PAINT_CYAN},
        {"skipped", "»", PAINT_DIM},      {"cancelled", "⊘", PAINT_DIM},
        {"terminated", "⊘", PAINT_RED},   {"pending", "·", PAINT_DIM},
    };
    static const struct cli_flow_look none = {"", "·", PAINT_DIM};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (!strcmp(state, looks[i].state))
            return &looks[i];
    return &none;
}

// A name follows the number of its place in a list; a function's, "/use/functions".
void cli_flow_task_name(struct buf *out, struct bytes pointer)
{
    const struct bytes function = BYTES("/use/functions/");
    bool after_number = false, first = true;
    uint64_t n;
    if (bytes_starts(pointer, function)) {
        pointer = bytes_from(pointer, function.n);
        cli_put_safe(out, bytes_cut(&pointer, '/'));
        (void)buf_str(out, "()");
        first = false;
    }
    while (pointer.n) {
        struct bytes part = bytes_cut(&pointer, '/');
        bool number = bytes_u64(part, &n);
        if (after_number && !number) {
            (void)buf_str(out, first ? "" : "/");
            cli_put_safe(out, part);
            first = false;
        }
        after_number = number;
    }
}

void cli_flow_put_problem(struct buf *out, const struct json *problem)
{
    struct bytes type = json_str(json_get(problem, "type"));
    struct bytes title = json_str(json_get(problem, "title"));
    struct bytes detail = json_str(json_get(problem, "detail"));
    struct bytes instance = json_str(json_get(problem, "instance"));
    for (size_t i = type.n; i-- > 0;) // the last word of its URI
        if (type.p[i] == '/' || type.p[i] == '#') {
            type = bytes_from(type, i + 1);
            break;
        }
    if (!json_is(problem, JSON_OBJ))
        return;
    cli_put_safe(out, type.n ? type : BYTES("error"));
    if (json_i64(json_get(problem, "status"), 0))
        (void)buf_fmt(out, " %lld", (long long)json_i64(json_get(problem, "status"), 0));
    if (title.n || detail.n)
        (void)buf_str(out, ": ");
    cli_put_safe(out, detail.n ? detail : title);
    if (instance.n) {
        (void)buf_str(out, " at ");
        cli_flow_task_name(out, instance);
    }
}

void cli_flow_put_note(struct buf *out, const struct json *note)
{
    struct bytes task = json_str(json_get(note, "task"));
    cli_put_safe(out, json_is(note, JSON_STR) ? json_str(note) : json_str(json_get(note, "error")));
    if (!task.n)
        return;
    (void)buf_str(out, out->n ? " at " : "at ");
    cli_flow_task_name(out, task);
}

int64_t cli_flow_ms(const struct json *v)
{
    return json_is(v, JSON_STR) ? cloudevent_time(json_str(v)) : json_i64(v, 0);
}

struct cli_text cli_flow_clock(const struct json *v)
{
    struct cli_text t = {"-"};
    char text[TIME_TEXT_LEN + 1];
    int64_t ms = cli_flow_ms(v);
    if (ms > 0 && ms < (int64_t)253402300800000) {
        time_text(ms, text);
        text[10] = ' ';
        (void)snprintf(t.s, sizeof t.s, "%.19s", text);
    }
    return t;
}

void cli_flow_put_value_line(struct buf *out, const struct json *v, size_t columns)
{
    const struct json *cut = json_get(v, "$cut");
    struct buf text;
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    if (cut)
        (void)buf_put(&text, json_str(json_get(v, "preview")));
    else
        (void)json_write(&text, v);
    struct bytes shown = buf_bytes(&text);
    bool more = shown.n > columns;
    shown = bytes_first(shown, columns);
    while (more && shown.n && !bytes_is_utf8(shown)) // not within a character
        shown.n--;
    cli_put_safe(out, shown);
    if (cut)
        (void)buf_fmt(out, "... (%s)", cli_size((uint64_t)json_i64(cut, 0)).s);
    else if (more)
        (void)buf_str(out, "...");
    buf_fini(&text);
}
