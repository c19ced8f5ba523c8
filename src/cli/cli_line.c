// cli_line.c: a line editor for the chat: UTF-8 aware, with history. The keys are a pure function
// of bytes; only cli_line_read touches the terminal. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64 << 10)

struct cli_history {
    char **lines;
    size_t count, max;
};

void cli_line_init(struct cli_line *l)
{
    memset(l, 0, sizeof *l);
    buf_init(&l->text, LINE_MAX_BYTES);
}

void cli_line_fini(struct cli_line *l)
{
    buf_fini(&l->text);
}

void cli_line_set(struct cli_line *l, struct bytes text)
{
    buf_clear(&l->text);
    (void)buf_put(&l->text, text);
    l->at = l->text.n;
}

static bool inside(const struct cli_line *l, size_t at) // of a UTF-8 character
{
    return at < l->text.n && ((unsigned char)l->text.p[at] & 0xc0) == 0x80;
}

static size_t before(const struct cli_line *l, size_t at)
{
    if (at)
        at--;
    while (at && inside(l, at))
        at--;
    return at;
}

static size_t after(const struct cli_line *l, size_t at)
{
    if (at < l->text.n)
        at++;
    while (inside(l, at))
        at++;
    return at;
}

static void cut(struct cli_line *l, size_t from, size_t to)
{
    if (to > from)
        memmove(l->text.p + from, l->text.p + to, l->text.n - to);
    l->text.n -= to - from;
    l->at = from;
}

static void insert(struct cli_line *l, const void *p, size_t n)
{
    if (buf_add(&l->text, p, n)) { // full: what is there stays
        l->text.failed = 0;
        return;
    }
    memmove(l->text.p + l->at + n, l->text.p + l->at, l->text.n - n - l->at);
    memcpy(l->text.p + l->at, p, n);
    l->at += n;
}

static size_t word_start(const struct cli_line *l)
{
    size_t at = l->at;
    while (at && l->text.p[at - 1] == ' ')
        at--;
    while (at && l->text.p[at - 1] != ' ')
        at--;
    return at;
}

// The sequence after ESC is whole: "[A", "[3~", "OH", ...
static enum cli_key escape_key(struct cli_line *l)
{
    const uint8_t *s = l->escape;
    uint8_t last = s[l->escape_n - 1], number = l->escape_n == 3 ? s[1] : 0;
    l->escape_n = 0;
    switch (last) {
    case 'A': return KEY_UP;
    case 'B': return KEY_DOWN;
    case 'C': l->at = after(l, l->at); break;
    case 'D': l->at = before(l, l->at); break;
    case 'H': l->at = 0; break;
    case 'F': l->at = l->text.n; break;
    case '~':
        if (number == '1' || number == '7')
            l->at = 0;
        else if (number == '4' || number == '8')
            l->at = l->text.n;
        else if (number == '3')
            cut(l, l->at, after(l, l->at));
        break;
    default: break;
    }
    return KEY_REDRAW;
}

static enum cli_key escape_byte(struct cli_line *l, uint8_t byte)
{
    if (l->escape_n == 1 && byte != '[' && byte != 'O') { // ESC and an ordinary key
        l->escape_n = 0;
        return KEY_MORE;
    }
    if (l->escape_n < sizeof l->escape) // what is longer is no sequence that we know
        l->escape[l->escape_n++] = byte;
    if (l->escape_n == 2 || byte < 0x40) // introduced; a parameter
        return KEY_MORE;
    l->escape[l->escape_n - 1] = byte;
    memmove(l->escape, l->escape + 1, --l->escape_n);
    return escape_key(l);
}

static enum cli_key control(struct cli_line *l, uint8_t byte)
{
    switch (byte) {
    case '\r':
    case '\n': return KEY_ENTER;
    case 0x01: l->at = 0; break;                                 // ^A
    case 0x02: l->at = before(l, l->at); break;                  // ^B
    case 0x03: return KEY_CANCEL;                                // ^C
    case 0x04:                                                   // ^D
        if (!l->text.n)
            return KEY_EOF;
        cut(l, l->at, after(l, l->at));
        break;
    case 0x05: l->at = l->text.n; break;                         // ^E
    case 0x06: l->at = after(l, l->at); break;                   // ^F
    case 0x08:
    case 0x7f: cut(l, before(l, l->at), l->at); break;
    case 0x0b: l->text.n = l->at; break;                         // ^K
    case 0x0e: return KEY_DOWN;                                  // ^N
    case 0x10: return KEY_UP;                                    // ^P
    case 0x15: cut(l, 0, l->at); break;                          // ^U
    case 0x17: cut(l, word_start(l), l->at); break;              // ^W
    case 0x1b:
        l->escape[0] = byte;
        l->escape_n = 1;
        return KEY_MORE;
    case '\t': insert(l, " ", 1); break;
    default: return KEY_MORE;
    }
    return KEY_REDRAW;
}

enum cli_key cli_line_byte(struct cli_line *l, unsigned char byte)
{
    if (l->escape_n)
        return escape_byte(l, byte);
    if (byte < 0x20 || byte == 0x7f)
        return control(l, byte);
    insert(l, &byte, 1);
    return KEY_REDRAW;
}

// ---- history
// -------------------------------------------------------------------------------------

struct cli_history *cli_history_new(size_t lines_max)
{
    struct cli_history *h = mem_new(struct cli_history);
    if (!h)
        return NULL;
    h->max = lines_max;
    h->lines = mem_array(lines_max, sizeof *h->lines);
    return h;
}

void cli_history_free(struct cli_history *h)
{
    for (size_t i = 0; h && i < h->count; i++)
        mem_free(h->lines[i]);
    if (h)
        mem_free(h->lines);
    mem_free(h);
}

static void remember(struct cli_history *h, struct bytes line)
{
    if (!h || !h->lines || !line.n || (h->count && bytes_is(line, h->lines[h->count - 1])))
        return;
    if (h->count == h->max) {
        mem_free(h->lines[0]);
        memmove(h->lines, h->lines + 1, --h->count * sizeof *h->lines);
    }
    char *copy = mem_dup(line.p, line.n);
    if (copy)
        h->lines[h->count++] = copy;
}

// ---- the terminal
// ----------------------------------------------------------------------------------

static size_t screen_columns(void)
{
    struct winsize size = {0};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// One screen line: the part of the text around the cursor.
static void draw(const struct cli_line *l, const char *prompt)
{
    size_t columns = screen_columns() - cli_width(bytes_of(prompt)) - 1, from = 0, to = l->text.n;
    struct bytes text = buf_bytes(&l->text);
    while (cli_width((struct bytes){text.p + from, l->at - from}) > columns)
        from = after(l, from);
    while (to > l->at && cli_width((struct bytes){text.p + from, to - from}) > columns)
        to = before(l, to);
    size_t cursor =
        cli_width(bytes_of(prompt)) + cli_width((struct bytes){text.p + from, l->at - from});
    (void)fprintf(stderr, "\r\x1b[K%s%.*s\r", prompt, (int)(to - from),
                  text.n ? text.p + from : "");
    if (cursor)
        (void)fprintf(stderr, "\x1b[%zuC", cursor);
    (void)fflush(stderr);
}

static void walk(const struct cli_history *h, struct cli_line *l, size_t *at, bool up,
                 struct buf *draft)
{
    if (!h || (up && !*at) || (!up && *at == h->count))
        return;
    if (*at == h->count) { // leaving the line that is being written
        buf_clear(draft);
        (void)buf_put(draft, buf_bytes(&l->text));
    }
    *at += up ? (size_t)-1 : 1;
    cli_line_set(l, *at == h->count ? buf_bytes(draft) : bytes_of(h->lines[*at]));
}

// The rest of a character, a key or a paste: one drawing at its end is enough.
static bool more_input(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

static enum cli_key edit(const struct cli_history *h, struct cli_line *l, const char *prompt)
{
    size_t at = h ? h->count : 0;
    struct buf draft;
    enum cli_key key = KEY_MORE;
    buf_init(&draft, LINE_MAX_BYTES);
    draw(l, prompt);
    while (key != KEY_ENTER && key != KEY_EOF && key != KEY_CANCEL) {
        unsigned char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            key = KEY_EOF;
            break;
        }
        key = cli_line_byte(l, byte);
        if (key == KEY_UP || key == KEY_DOWN)
            walk(h, l, &at, key == KEY_UP, &draft);
        if (key != KEY_MORE && !more_input())
            draw(l, prompt);
    }
    buf_fini(&draft);
    return key;
}

// Without a terminal: plain lines.
static int read_plain(struct buf *ret)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, stdin);
    struct bytes text = {line, n > 0 ? (size_t)n : 0};
    if (text.n && text.p[text.n - 1] == '\n')
        text.n--;
    int rc = n < 0 ? 0 : buf_put(ret, text) ? ret->failed : 1;
    free(line); // made by libc
    return rc;
}

int cli_line_read(struct cli_history *h, const char *prompt, struct buf *ret)
{
    struct termios was, raw;
    struct cli_line l;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || tcgetattr(STDIN_FILENO, &was))
        return read_plain(ret);
    raw = was;
    raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw))
        return read_plain(ret);
    cli_line_init(&l);
    enum cli_key key = edit(h, &l, prompt);
    draw(&l, prompt);
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &was);
    (void)fputs("\n", stderr);
    int rc = key == KEY_EOF ? 0 : key == KEY_CANCEL ? E_CANCELLED : 1;
    if (rc == 1) {
        remember(h, buf_bytes(&l.text));
        if (buf_put(ret, buf_bytes(&l.text)))
            rc = ret->failed;
    }
    cli_line_fini(&l);
    return rc;
}
