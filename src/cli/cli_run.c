// cli_run.c: plexus run MODEL: a chat in the terminal, or one answer.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX ((size_t)16 << 20)

static int run(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"system", 's', "TEXT", "a system message", NULL},
    {"max-tokens", 0, "N", "end the answer after so many tokens", NULL},
    {"temperature", 't', "X", "0 is the likeliest answer; default: the engine's", NULL},
    {"seed", 0, "N", "for answers that can be repeated", NULL},
    {"tools", 0, "[=NAMES]", "let it call tools of the node: all, or these (commas, *)", NULL},
    {"verbose", 'v', NULL, "tokens and times after each answer", NULL},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus run tiny-chat",
                                       "a chat; /help lists what can be typed",
                                       "plexus run tiny-chat \"What is the capital of France?\"",
                                       "one answer",
                                       "cat notes.txt | plexus run tiny-chat \"In one sentence:\"",
                                       "one answer about the input",
                                       "plexus run qwen3 --tools=\"read_file,grep_*\"",
                                       "a chat in which the model may read files",
                                       NULL};

const struct cli_command cli_run_command = {
    .name = "run",
    .summary = "chat with a model in the terminal, or ask it once",
    .usage = "MODEL [PROMPT...]",
    .text =
        "Without PROMPT and on a terminal it is a chat with history: arrows edit and recall "
        "lines,\n"
        "Ctrl-C stops the answer, /bye ends. With PROMPT, or with standard input from a pipe, it\n"
        "prints one answer and ends.\n\n"
        "With --tools the model calls tools of the node, in a loop, until it has an answer; each "
        "call\n"
        "is shown. Tools that nobody granted are asked about on a terminal, else refused.",
    .options = options,
    .examples = examples,
    .needs = CLI_NODE,
    .args_min = 1,
    .args_max = -1,
    .complete = "model",
    .run = run,
};

static const char slash_help[] = "/bye          end (also Ctrl-D)\n"
                                 "/clear        forget the conversation\n"
                                 "/system TEXT  set the system message and start anew\n"
                                 "/help         this list\n"
                                 "Ctrl-C        stop the answer\n";

struct talk {
    struct cli *c;
    struct cli_chat_args args;
    struct buf messages, system;
    struct cli_tools tools;
    bool verbose;
};

static int number_option(struct cli *c, const char *name, double *value, struct err *e)
{
    const char *text = cli_option(c, name);
    char *end;
    if (!text)
        return 0;
    double v = strtod(text, &end);
    if (!*text || *end || !(v >= 0 && v <= 100))
        return err_set(e, E_USAGE, "--%s is a number from 0, not \"%s\"", name, text);
    *value = v;
    return 0;
}

static int read_options(struct talk *t, struct err *e)
{
    struct cli *c = t->c;
    uint64_t seed = UINT64_MAX;
    t->args = (struct cli_chat_args){.model = cli_arg(c, 0), .temperature = -1, .seed = -1};
    t->args.print = !c->json;
    t->verbose = cli_option(c, "verbose") != NULL;
    cli_tools_init(&t->tools, cli_option(c, "tools"));
    if (cli_option(c, "tools"))
        t->args.tools = &t->tools;
    t->tools.asks = t->tools.asks && !c->json;
    if (cli_option(c, "system"))
        (void)buf_str(&t->system, cli_option(c, "system"));
    int rc = cli_option_u64(c, "max-tokens", 1, UINT32_MAX, &t->args.max_tokens, e);
    if (!rc)
        rc = cli_option_u64(c, "seed", 0, INT64_MAX, &seed, e);
    if (!rc)
        rc = number_option(c, "temperature", &t->args.temperature, e);
    if (seed != UINT64_MAX)
        t->args.seed = (int64_t)seed;
    return rc;
}

static void anew(struct talk *t)
{
    buf_clear(&t->messages);
    if (t->system.n)
        cli_chat_message(&t->messages, "system", buf_bytes(&t->system));
}

static void put_stats(const struct cli_chat_stats *s)
{
    double seconds = (double)(s->total_ms - (s->first_ms > 0 ? s->first_ms : 0)) / 1000;
    (void)fprintf(stderr, "%llu tokens in, %llu out, first after %s, %.1f tokens/s, %s\n",
                  (unsigned long long)s->tokens_in, (unsigned long long)s->tokens_out,
                  cli_duration(s->first_ms).s, seconds > 0 ? (double)s->tokens_out / seconds : 0,
                  *s->finish ? s->finish : "cut");
}

// What a loop of tools said goes into the conversation; while a person is asked, it goes on.
static int with_tools(struct talk *t, struct buf *answer, struct cli_chat_stats *stats,
                      struct err *e)
{
    struct cli_chat_stats more;
    int rc = 0;
    while (!rc && t->tools.waits) {
        (void)buf_fmt(&t->messages, "%s", t->messages.n && t->tools.added.n ? "," : "");
        (void)buf_put(&t->messages, buf_bytes(&t->tools.added));
        buf_clear(&t->tools.added);
        rc = cli_tools_ask(&t->tools, e);
        if (!rc)
            rc = cli_chat(t->c, &t->args, buf_bytes(&t->messages), answer, &more, e);
        if (rc)
            break;
        stats->total_ms += more.total_ms;
        stats->tokens_in += more.tokens_in;
        stats->tokens_out += more.tokens_out;
        memcpy(stats->finish, more.finish, sizeof stats->finish);
    }
    return rc;
}

// Asks with `text`; the answer joins the conversation. E_CANCELLED: Ctrl-C, what came stays.
static int ask(struct talk *t, struct bytes text, struct buf *answer, struct cli_chat_stats *stats,
               struct err *e)
{
    size_t was = t->messages.n;
    cli_chat_message(&t->messages, "user", text);
    buf_clear(&t->tools.added);
    buf_clear(&t->tools.confirm);
    t->tools.waits = false;
    int rc = cli_chat(t->c, &t->args, buf_bytes(&t->messages), answer, stats, e);
    if (!rc)
        rc = with_tools(t, answer, stats, e);
    if (t->args.print && answer->n && answer->p[answer->n - 1] != '\n')
        (void)fputc('\n', stdout);
    (void)fflush(stdout);
    if (!rc && t->tools.added.n) {
        (void)buf_chr(&t->messages, ',');
        (void)buf_put(&t->messages, buf_bytes(&t->tools.added));
    } else if ((rc && rc != E_CANCELLED) || !answer->n)
        t->messages.n = was; // the question is not part of the conversation
    else
        cli_chat_message(&t->messages, "assistant", buf_bytes(answer));
    if (t->verbose && answer->n)
        put_stats(stats);
    return rc;
}

// ---- one answer ---------------------------------------------------------------------------------

static int read_stdin(struct buf *out, struct err *e)
{
    char *to;
    ssize_t n = 1;
    while (n > 0 && (to = buf_room(out, 65536))) {
        n = read(STDIN_FILENO, to, 65536);
        if (n > 0)
            out->n += (size_t)n;
    }
    if (n < 0)
        return err_set(e, E_IO, "standard input cannot be read");
    return out->failed ? err_set(e, out->failed, "standard input is larger than 16 MiB") : 0;
}

static int put_json_answer(struct talk *t, const struct buf *answer, const struct cli_chat_stats *s)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CLI_ANSWER_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "model", t->args.model);
    json_w_str(&w, "content", buf_bytes(answer));
    json_w_cstr(&w, "finish_reason", *s->finish ? s->finish : NULL);
    json_w_u64(&w, "prompt_tokens", s->tokens_in);
    json_w_u64(&w, "completion_tokens", s->tokens_out);
    if (t->args.tools) {
        struct buf calls;
        buf_init(&calls, CLI_ANSWER_MAX);
        (void)buf_fmt(&calls, "[%s]", buf_cstr(&t->tools.done));
        json_w_raw(&w, "calls", buf_bytes(&calls));
        buf_fini(&calls);
    }
    json_w_i64(&w, "first_token_ms", s->first_ms);
    json_w_i64(&w, "total_ms", s->total_ms);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static int one_shot(struct talk *t, struct err *e)
{
    struct buf prompt, answer;
    struct cli_chat_stats stats;
    int rc = 0;
    buf_init(&prompt, INPUT_MAX);
    buf_init(&answer, CLI_ANSWER_MAX);
    for (size_t i = 1; i < cli_args(t->c); i++)
        (void)buf_fmt(&prompt, "%s%s", i > 1 ? " " : "", cli_arg(t->c, i));
    if (!isatty(STDIN_FILENO)) {
        size_t was = prompt.n;
        if (was)
            (void)buf_str(&prompt, "\n\n");
        rc = read_stdin(&prompt, e);
        if (prompt.n == was + 2 && was)
            prompt.n = was; // the input was empty
    }
    if (!rc && !bytes_trim(buf_bytes(&prompt)).n)
        rc = err_set(e, E_USAGE, "nothing to ask: give a PROMPT or standard input");
    if (!rc)
        rc = ask(t, buf_bytes(&prompt), &answer, &stats, e);
    if (!rc && t->c->json)
        rc = put_json_answer(t, &answer, &stats);
    if (rc == E_CANCELLED)
        rc = 130; // as shells count Ctrl-C
    buf_fini(&prompt);
    buf_fini(&answer);
    return rc;
}

// ---- a chat -------------------------------------------------------------------------------------

// True: the line was a command. *end: /bye.
static bool slash(struct talk *t, struct bytes line, bool *end)
{
    struct bytes rest = line;
    struct bytes word = bytes_cut(&rest, ' ');
    rest = bytes_trim(rest);
    if (!line.n || line.p[0] != '/')
        return false;
    if (bytes_is(word, "/bye") || bytes_is(word, "/exit") || bytes_is(word, "/quit")) {
        *end = true;
    } else if (bytes_is(word, "/clear")) {
        anew(t);
        (void)fprintf(stderr, "the conversation is forgotten\n");
    } else if (bytes_is(word, "/system")) {
        buf_clear(&t->system);
        (void)buf_put(&t->system, rest);
        anew(t);
        (void)fprintf(stderr, rest.n ? "the system message is set\n" : "no system message\n");
    } else {
        if (!bytes_is(word, "/help"))
            (void)fprintf(stderr, "unknown: %.*s\n", BYTES_FMT(bytes_first(word, 80)));
        (void)fputs(slash_help, stderr);
    }
    return true;
}

static int chat(struct talk *t, struct err *e)
{
    struct cli_history *history = cli_history_new(1000);
    struct buf line, answer;
    struct cli_chat_stats stats;
    bool end = false;
    int rc = 0;
    buf_init(&line, INPUT_MAX);
    buf_init(&answer, CLI_ANSWER_MAX);
    (void)fprintf(stderr, "chat with %s; /help lists commands, /bye ends\n", t->args.model);
    while (!end && !rc) {
        struct err why = {0};
        buf_clear(&line);
        buf_clear(&answer);
        int got = cli_line_read(history, "> ", &line);
        struct bytes text = bytes_trim(buf_bytes(&line));
        if (got == E_CANCELLED) {
            (void)fprintf(stderr, "(/bye or Ctrl-D ends)\n");
            continue;
        }
        if (got <= 0)
            break;
        if (!text.n || slash(t, text, &end))
            continue;
        got = ask(t, text, &answer, &stats, &why);
        if (got == E_CANCELLED)
            (void)fprintf(stderr, "(stopped)\n");
        else if (got == E_NOTFOUND || got == E_UNAUTH || (got == E_UNAVAILABLE && !answer.n)) {
            rc = got; // asking again would not help
            *e = why;
        } else if (got)
            (void)fprintf(stderr, "plexus: %s\n", why.n ? why.text : err_info(got)->text);
    }
    cli_history_free(history);
    buf_fini(&line);
    buf_fini(&answer);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    struct talk t = {.c = c};
    buf_init(&t.messages, CLI_ANSWER_MAX);
    buf_init(&t.system, INPUT_MAX);
    int rc = read_options(&t, e);
    anew(&t);
    if (!rc && (cli_args(c) > 1 || c->json || !isatty(STDIN_FILENO)))
        rc = one_shot(&t, e);
    else if (!rc)
        rc = chat(&t, e);
    buf_fini(&t.messages);
    buf_fini(&t.system);
    cli_tools_fini(&t.tools);
    return rc;
}
