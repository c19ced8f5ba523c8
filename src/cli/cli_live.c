// cli_live.c: a live view over GET /api/events. Nothing is drawn while the node says nothing; many
// events at once are one drawing. The terminal is restored however the view ends.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "text/sse.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define EVENT_BYTES_MAX ((size_t)8 << 20)
#define SCREEN_BYTES_MAX ((size_t)4 << 20)
#define DRAW_MS 100 // events wait so long for company

#define SCREEN_ENTER "\x1b[?1049h\x1b[?25l"
#define SCREEN_LEAVE "\x1b[?25h\x1b[?1049l"

struct live {
    const struct cli_view *view;
    struct cli_node node;
    struct cli_call call;
    struct sse_parser parser;
    struct timer draw;
    bool drawing; // the timer runs
    int tty;      // -1: none, plain text
    struct termios was;
    int rc;
    struct err e;
};

// ---- the terminal -------------------------------------------------------------------------------

static void take_keys(struct live *l)
{
    char keys[64];
    ssize_t n;
    while ((n = read(l->tty, keys, sizeof keys)) > 0)
        if (memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n))
            cli_call_cancel(&l->call);
}

static void on_interrupt(void *user)
{
    struct live *l = user;
    cli_call_cancel(&l->call);
}

static void draw(struct live *l);

static void on_signal(void *user, int signum)
{
    struct live *l = user;
    if (signum == SIGIO)
        take_keys(l);
    else if (signum == SIGWINCH)
        draw(l);
    else
        cli_call_cancel(&l->call);
}

// A description of our own, so that its flags are nobody else's; the kernel says by SIGIO when a
// key was pressed.
static int open_terminal(struct live *l)
{
    static const int signals[] = {SIGIO, SIGWINCH, SIGTERM, SIGHUP};
    struct termios raw;
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        return 0;
    l->tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (l->tty >= 0 && tcgetattr(l->tty, &l->was)) {
        (void)close(l->tty);
        l->tty = -1;
    }
    if (l->tty < 0)
        return 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int rc = loop_signal(l->node.loop, signals[i], on_signal, l);
        if (rc)
            return rc;
    }
    if (fcntl(l->tty, F_SETOWN, getpid()) || fcntl(l->tty, F_SETFL, O_NONBLOCK | O_ASYNC))
        return E_IO;
    raw = l->was;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE; // a stopped view would leave the screen behind
    if (tcsetattr(l->tty, TCSANOW, &raw))
        return E_IO;
    (void)fputs(SCREEN_ENTER, stdout);
    (void)fflush(stdout);
    return 0;
}

static void close_terminal(struct live *l)
{
    if (l->tty < 0)
        return;
    (void)fputs(SCREEN_LEAVE, stdout);
    (void)fflush(stdout);
    (void)tcsetattr(l->tty, TCSANOW, &l->was);
    (void)close(l->tty);
}

// ---- drawing ------------------------------------------------------------------------------------

// Each line wipes its own rest: the screen never flickers.
static void put_screen(struct bytes text, size_t rows, struct buf *out)
{
    (void)buf_str(out, "\x1b[H");
    for (size_t i = 0; text.n && i < rows; i++) {
        if (i)
            (void)buf_str(out, "\r\n");
        (void)buf_put(out, bytes_cut(&text, '\n'));
        (void)buf_str(out, "\x1b[K");
    }
    (void)buf_str(out, "\x1b[J");
}

static void draw(struct live *l)
{
    struct winsize size = {0};
    struct buf text, screen;
    size_t columns = SIZE_MAX, rows = SIZE_MAX;
    if (l->tty >= 0) {
        bool known = ioctl(l->tty, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
        columns = known ? size.ws_col : 80;
        rows = known ? size.ws_row : 24;
    }
    buf_init(&text, SCREEN_BYTES_MAX);
    buf_init(&screen, 2 * SCREEN_BYTES_MAX);
    l->view->draw(l->view->user, columns, rows, &text);
    if (l->tty >= 0)
        put_screen(buf_bytes(&text), rows, &screen);
    else
        (void)buf_put(&screen, buf_bytes(&text));
    (void)fwrite(screen.p, 1, screen.n, stdout);
    (void)fflush(stdout);
    buf_fini(&text);
    buf_fini(&screen);
}

static void on_draw(struct timer *t)
{
    struct live *l = t->user;
    l->drawing = false;
    draw(l);
}

// ---- events -------------------------------------------------------------------------------------

static void on_event(void *user, const struct sse_event *event)
{
    struct live *l = user;
    struct json_doc *doc = NULL;
    if (bytes_is(event->event, "log") || json_parse(&doc, event->data, 0, NULL))
        return;
    bool changed = l->view->take(l->view->user, event->event, json_root(doc));
    json_free(doc);
    if (changed && l->tty < 0)
        draw(l);
    else if (changed && !l->drawing)
        l->drawing = timer_start(loop_timers(l->node.loop), &l->draw, DRAW_MS) == 0;
}

static void on_data(void *user, struct bytes part)
{
    struct live *l = user;
    if (!l->rc)
        l->rc = sse_parser_feed(&l->parser, part, on_event, l);
    if (l->rc)
        cli_call_cancel(&l->call);
}

static void on_end(void *user, int code, const struct err *e)
{
    struct live *l = user;
    timer_stop(loop_timers(l->node.loop), &l->draw);
    if (l->rc)
        (void)err_set(&l->e, l->rc, "the node's events cannot be read");
    else if (!code)
        l->rc = err_set(&l->e, E_UNAVAILABLE, "%s: the node has ended", l->node.cli->address);
    else if (code != E_CANCELLED)
        l->rc = code, l->e = *e;
    cli_node_stop(&l->node);
}

static int start(struct live *l, struct cli *c, struct err *e)
{
    int rc = cli_node_open(&l->node, c, e);
    if (rc)
        return rc;
    rc = cli_node_interrupt(&l->node, on_interrupt, l);
    if (!rc)
        rc = open_terminal(l);
    if (rc)
        return err_set(e, rc, "the terminal cannot be used");
    return cli_call_start(&l->node, &l->call, e);
}

int cli_live(struct cli *c, const struct cli_view *v, struct err *e)
{
    struct live l = {.view = v, .tty = -1};
    l.call = (struct cli_call){
        .method = "GET", .target = "/api/events", .on_data = on_data, .on_end = on_end, .user = &l};
    l.draw = (struct timer){.fn = on_draw, .user = &l};
    sse_parser_init(&l.parser, EVENT_BYTES_MAX);
    int rc = start(&l, c, e);
    if (!rc) {
        (void)cli_node_run(&l.node);
        rc = l.rc;
    }
    close_terminal(&l);
    if (l.rc && e)
        *e = l.e;
    cli_node_close(&l.node);
    cli_call_fini(&l.call);
    sse_parser_fini(&l.parser);
    return rc;
}
