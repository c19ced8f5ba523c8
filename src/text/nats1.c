// nats1.c: NATS's client protocol: parsed without copies, written.
// SPDX-License-Identifier: Apache-2.0
#include "text/nats1.h"

#include <string.h>

#define VERSION "NATS/1.0"

static int bad(struct err *e, struct bytes line)
{
    char shown[64];
    size_t n = 0;
    for (; n < line.n && n < sizeof shown - 1; n++)
        shown[n] = (char)(line.p[n] >= 0x20 && line.p[n] < 0x7f ? line.p[n] : '?');
    shown[n] = 0;
    return err_set(e, E_PARSE, "this is no NATS: \"%s\"", shown);
}

// Words of a line; spaces and tabs between, any number.
static size_t words(struct bytes line, struct bytes *out, size_t max)
{
    size_t count = 0, i = 0;
    while (i < line.n) {
        while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
            i++;
        size_t from = i;
        while (i < line.n && line.p[i] != ' ' && line.p[i] != '\t')
            i++;
        if (i == from)
            break;
        if (count == max)
            return max + 1;
        out[count++] = (struct bytes){line.p + from, i - from};
    }
    return count;
}

static bool number(struct bytes text, uint64_t most, uint64_t *ret)
{
    return text.n <= 20 && bytes_u64(text, ret) && *ret <= most;
}

// MSG subject sid [reply] size, HMSG subject sid [reply] header-size size.
static int64_t message(struct bytes in, size_t line_n, struct bytes rest, bool headers,
                       size_t payload_max, struct nats1_op *ret, struct err *e)
{
    struct bytes w[5], line = bytes_first(in, line_n);
    size_t count = words(rest, w, 5), tail = headers ? 2 : 1;
    uint64_t size, head = 0;
    if (count < 2 + tail || count > 3 + tail)
        return bad(e, line);
    if (!number(w[1], UINT64_MAX, &ret->sid) || !number(w[count - 1], UINT32_MAX, &size) ||
        (headers && (!number(w[count - 2], UINT32_MAX, &head) || head > size)))
        return bad(e, line);
    if (size > payload_max)
        return err_set(e, E_TOOBIG, "a message of %llu bytes; %zu are the limit",
                       (unsigned long long)size, payload_max);
    size_t at = line_n + 2;
    if (in.n < at + size + 2)
        return 0;
    if (memcmp(in.p + at + size, "\r\n", 2) != 0)
        return bad(e, line);
    ret->kind = NATS1_MSG;
    ret->subject = w[0];
    ret->reply = count == 3 + tail ? w[2] : BYTES_NONE;
    ret->headers = (struct bytes){in.p + at, (size_t)head};
    ret->data = (struct bytes){in.p + at + head, (size_t)(size - head)};
    if (headers && (head < sizeof VERSION + 3 || !bytes_starts(ret->headers, BYTES(VERSION)) ||
                    !bytes_ends(ret->headers, BYTES("\r\n\r\n"))))
        return bad(e, line);
    return (int64_t)(at + size + 2);
}

int64_t nats1_parse(struct bytes in, size_t payload_max, struct nats1_op *ret, struct err *e)
{
    static const struct {
        const char *word;
        enum nats1_kind kind;
    } plain[] = {{"PING", NATS1_PING}, {"PONG", NATS1_PONG}, {"+OK", NATS1_OK}};
    const char *lf = in.n ? memchr(in.p, '\n', in.n) : NULL;
    bool is_info = in.n >= 5 && bytes_iis(bytes_first(in, 5), "INFO ");
    size_t most = is_info ? NATS1_INFO_MAX : NATS1_LINE_MAX;
    if ((lf ? (size_t)(lf - in.p) : in.n) > most)
        return err_set(e, E_TOOBIG, "a line of more than %zu bytes from the NATS server", most);
    if (!lf)
        return 0;
    size_t line_n = (size_t)(lf - in.p);
    if (!line_n || in.p[line_n - 1] != '\r')
        return bad(e, bytes_first(in, line_n));
    struct bytes line = bytes_first(in, --line_n);
    ptrdiff_t space = bytes_chr(line, ' ');
    struct bytes word = space < 0 ? line : bytes_first(line, (size_t)space);
    struct bytes rest = bytes_trim(bytes_from(line, word.n));
    *ret = (struct nats1_op){.kind = NATS1_OK};
    if (bytes_iis(word, "MSG") || bytes_iis(word, "HMSG"))
        return message(in, line_n, rest, word.n == 4, payload_max, ret, e);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (bytes_iis(word, plain[i].word)) {
            ret->kind = plain[i].kind;
            return (int64_t)line_n + 2;
        }
    if (is_info) {
        ret->kind = NATS1_INFO;
        ret->text = rest;
        return (int64_t)line_n + 2;
    }
    if (!bytes_iis(word, "-ERR"))
        return bad(e, line);
    ret->kind = NATS1_ERR;
    if (rest.n >= 2 && *rest.p == '\'' && rest.p[rest.n - 1] == '\'')
        rest = (struct bytes){rest.p + 1, rest.n - 2};
    ret->text = rest;
    return (int64_t)line_n + 2;
}

// ---- headers ------------------------------------------------------------------------------------

int nats1_status(struct bytes headers, struct bytes *ret_text)
{
    struct bytes line = bytes_cut(&headers, '\n');
    uint64_t number_of;
    line = bytes_trim(bytes_from(line, sizeof VERSION - 1));
    if (line.n < 3 || !bytes_u64(bytes_first(line, 3), &number_of))
        return 0;
    if (ret_text)
        *ret_text = bytes_trim(bytes_from(line, 3));
    return (int)number_of;
}

bool nats1_header_each(struct bytes headers, size_t *at, struct bytes *ret_name,
                       struct bytes *ret_value)
{
    if (!*at) {
        ptrdiff_t first = bytes_chr(headers, '\n');
        *at = first < 0 ? headers.n : (size_t)first + 1;
    }
    while (*at < headers.n) {
        struct bytes rest = bytes_from(headers, *at);
        struct bytes line = bytes_cut(&rest, '\n');
        ptrdiff_t colon = bytes_chr(line, ':');
        *at += line.n + 1;
        if (colon <= 0)
            continue;
        *ret_name = bytes_first(line, (size_t)colon);
        *ret_value = bytes_trim(bytes_from(line, (size_t)colon + 1));
        return true;
    }
    return false;
}

struct bytes nats1_header(struct bytes headers, const char *name)
{
    struct bytes found, value;
    for (size_t at = 0; nats1_header_each(headers, &at, &found, &value);)
        if (bytes_iis(found, name))
            return value;
    return BYTES_NONE;
}

// ---- writing ------------------------------------------------------------------------------------

int nats1_put_pub(struct buf *out, struct bytes subject, struct bytes reply, struct bytes lines,
                  struct bytes data)
{
    size_t head = lines.n ? sizeof VERSION - 1 + 2 + lines.n + 2 : 0;
    (void)buf_str(out, lines.n ? "HPUB " : "PUB ");
    (void)buf_put(out, subject);
    (void)buf_chr(out, ' ');
    if (reply.n) {
        (void)buf_put(out, reply);
        (void)buf_chr(out, ' ');
    }
    if (head) {
        (void)buf_u64(out, head);
        (void)buf_chr(out, ' ');
    }
    (void)buf_u64(out, head + data.n);
    (void)buf_str(out, "\r\n");
    if (head) {
        (void)buf_str(out, VERSION "\r\n");
        (void)buf_put(out, lines);
        (void)buf_str(out, "\r\n");
    }
    (void)buf_put(out, data);
    return buf_str(out, "\r\n");
}

int nats1_put_sub(struct buf *out, struct bytes subject, struct bytes queue, uint64_t sid)
{
    (void)buf_str(out, "SUB ");
    (void)buf_put(out, subject);
    if (queue.n) {
        (void)buf_chr(out, ' ');
        (void)buf_put(out, queue);
    }
    (void)buf_chr(out, ' ');
    (void)buf_u64(out, sid);
    return buf_str(out, "\r\n");
}

int nats1_put_unsub(struct buf *out, uint64_t sid)
{
    (void)buf_str(out, "UNSUB ");
    (void)buf_u64(out, sid);
    return buf_str(out, "\r\n");
}
