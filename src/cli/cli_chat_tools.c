// cli_chat_tools.c: tools that a model calls in a chat: shown with arguments and results, and asked
// about where nobody granted them. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_SHOWN 300
#define RESULT_SHOWN 600
#define LINES_SHOWN 6

void cli_tools_init(struct cli_tools *t, const char *names)
{
    struct buf *const bufs[] = {&t->added, &t->confirm, &t->always, &t->done, &t->pending};
    *t = (struct cli_tools){.names = names};
    t->asks = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_init(bufs[i], CLI_ANSWER_MAX);
}

void cli_tools_fini(struct cli_tools *t)
{
    struct buf *const bufs[] = {&t->added, &t->confirm, &t->always, &t->done, &t->pending};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_fini(bufs[i]);
}

void cli_tools_put(const struct cli_tools *t, struct json_w *w)
{
    struct bytes rest = bytes_of(*t->names ? t->names : "*");
    struct buf confirm;
    json_w_arr(w, "plexus_tools");
    while (rest.p) {
        struct bytes name = bytes_trim(bytes_cut(&rest, ','));
        if (name.n)
            json_w_str(w, NULL, name);
    }
    json_w_end(w);
    if (!t->asks)
        return;
    buf_init(&confirm, CLI_ANSWER_MAX);
    (void)buf_chr(&confirm, '{');
    (void)buf_put(&confirm, buf_bytes(&t->confirm));
    (void)buf_chr(&confirm, '}');
    json_w_raw(w, "plexus_confirm", buf_bytes(&confirm));
    buf_fini(&confirm);
}

// ---- what is shown ------------------------------------------------------------------------------

// Neither a model nor a tool must steer the terminal; a few lines are enough.
static void show(const char *mark, struct bytes text, size_t most)
{
    size_t lines = 0, shown = 0, n = bytes_first(text, most).n;
    while (n < text.n && n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--;
    (void)fputs(mark, stderr);
    for (; shown < n && lines < LINES_SHOWN; shown++) {
        unsigned char c = (unsigned char)text.p[shown];
        lines += c == '\n';
        if (c == '\n' && shown + 1 < text.n)
            (void)fputs("\n    ", stderr);
        else if (c >= 0x20 && c != 0x7f)
            (void)fputc(c, stderr);
        else if (c == '\t')
            (void)fputc(' ', stderr);
    }
    (void)fputs(shown < text.n ? " ...\n" : "\n", stderr);
}

static void show_call(const char *mark, const struct json *call)
{
    struct buf line;
    buf_init(&line, CLI_ANSWER_MAX);
    (void)buf_put(&line, json_str(json_get(call, "tool")));
    (void)buf_chr(&line, ' ');
    (void)json_write(&line, json_get(call, "arguments"));
    show(mark, buf_bytes(&line), ARGUMENTS_SHOWN);
    buf_fini(&line);
}

static void show_result(const struct json *result)
{
    struct buf line;
    const char *status = json_cstr(json_get(result, "status"), "");
    double ms = json_num(json_get(result, "took_us"), 0) / 1000;
    buf_init(&line, CLI_ANSWER_MAX);
    if (strcmp(status, "ok") != 0)
        (void)buf_fmt(&line, "%s: ", status);
    (void)buf_put(&line, json_str(json_get(result, "content")));
    if (ms >= 1)
        (void)buf_fmt(&line, " (%.0f ms)", ms);
    show("  < ", buf_bytes(&line), RESULT_SHOWN);
    buf_fini(&line);
}

// ---- what is kept -------------------------------------------------------------------------------

static void add(struct buf *list, const struct json *v)
{
    if (list->n)
        (void)buf_chr(list, ',');
    (void)json_write(list, v);
}

static void take_end(struct cli_tools *t, const struct json *end)
{
    const struct json *messages = json_get(end, "messages"), *pending = json_get(end, "pending");
    const char *stop = json_cstr(json_get(end, "stop"), "");
    for (size_t i = 0; i < json_len(messages); i++)
        add(&t->added, json_at(messages, i));
    buf_clear(&t->pending);
    (void)json_write(&t->pending, pending);
    t->waits = t->asks && json_len(pending) > 0;
    if (!t->waits && strcmp(stop, "answer") != 0 && strcmp(stop, "client_tools") != 0)
        (void)fprintf(stderr, "(ended: the limit of %s)\n", stop);
}

void cli_tools_take(struct cli_tools *t, const struct json *plexus)
{
    const char *type = json_cstr(json_get(plexus, "type"), "");
    if (!strcmp(type, "call")) {
        show_call("  > ", plexus);
    } else if (!strcmp(type, "result")) {
        show_result(plexus);
        add(&t->done, plexus);
    } else if (!strcmp(type, "end")) {
        take_end(t, plexus);
    }
}

// ---- the question -------------------------------------------------------------------------------

static void put_word(struct cli_tools *t, struct bytes id, bool yes)
{
    if (t->confirm.n)
        (void)buf_chr(&t->confirm, ',');
    (void)buf_json_str(&t->confirm, id);
    (void)buf_str(&t->confirm, yes ? ":true" : ":false");
}

static bool is_always(const struct cli_tools *t, struct bytes name)
{
    struct buf word;
    buf_init(&word, 1024);
    (void)buf_fmt(&word, ";%.*s;", BYTES_FMT(name));
    bool found = bytes_find(buf_bytes(&t->always), buf_bytes(&word)) >= 0;
    buf_fini(&word);
    return found;
}

static int ask(struct cli_tools *t, struct cli_history *h, const struct json *call)
{
    struct buf line, effects;
    struct bytes name = json_str(json_get(call, "tool")), word;
    const struct json *list = json_get(call, "effects");
    if (is_always(t, name)) {
        put_word(t, json_str(json_get(call, "id")), true);
        return 0;
    }
    buf_init(&line, 4096);
    buf_init(&effects, 1024);
    for (size_t i = 0; i < json_len(list); i++) {
        struct bytes e = json_str(json_at(list, i));
        if (!bytes_is(e, "idempotent"))
            (void)buf_fmt(&effects, "%s%.*s", effects.n ? ", " : "", BYTES_FMT(e));
    }
    show_call("  ? ", call);
    if (effects.n)
        show("    nobody granted it; it: ", buf_bytes(&effects), 500);
    int got = cli_line_read(h, "    call it? y(es), a(lways in this chat), N(o): ", &line);
    word = bytes_trim(buf_bytes(&line));
    bool always = bytes_iis(word, "a") || bytes_iis(word, "always");
    bool yes = got == 1 && (always || bytes_iis(word, "y") || bytes_iis(word, "yes"));
    put_word(t, json_str(json_get(call, "id")), yes);
    if (yes && always)
        (void)buf_fmt(&t->always, ";%.*s;", BYTES_FMT(name));
    buf_fini(&line);
    buf_fini(&effects);
    return got == E_CANCELLED ? got : 0;
}

int cli_tools_ask(struct cli_tools *t, struct err *e)
{
    struct json_doc *doc = NULL;
    struct cli_history *h = cli_history_new(8);
    int rc =
        h ? json_parse(&doc, buf_bytes(&t->pending), 0, e) : err_set(e, E_NOMEM, "out of memory");
    buf_clear(&t->confirm);
    t->waits = false;
    for (size_t i = 0; !rc && i < json_len(json_root(doc)); i++)
        rc = ask(t, h, json_at(json_root(doc), i));
    json_free(doc);
    cli_history_free(h);
    return rc;
}
