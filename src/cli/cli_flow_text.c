// cli_flow_text.c: what goes into `plexus flow`: files, values, and what is wrong with a document.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_flow_priv.h"
#include "text/url.h"
#include "text/yaml.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int read_stdin(struct buf *to, struct err *e)
{
    ssize_t n;
    do {
        char *p = buf_room(to, 65536);
        if (!p)
            return err_set(e, to->failed, "standard input is too long");
        n = read(STDIN_FILENO, p, 65536);
        if (n < 0 && errno != EINTR)
            return err_errno(e, errno, "standard input");
        to->n += n > 0 ? (size_t)n : 0;
    } while (n);
    return 0;
}

int cli_flow_read(const char *path, struct buf *ret, struct err *e)
{
    return strcmp(path, "-") == 0 ? read_stdin(ret, e) : file_read(path, ret, e);
}

int cli_flow_value(const char *what, const char *text, struct buf *ret, struct err *e)
{
    struct yaml *y = NULL;
    struct json_doc *doc = NULL;
    struct buf file;
    struct bytes is = bytes_of(text);
    int rc = 0;
    buf_init(&file, CLI_FLOW_TEXT_MAX);
    if (*text == '@' || strcmp(text, "-") == 0) {
        rc = cli_flow_read(*text == '@' ? text + 1 : text, &file, e);
        is = buf_bytes(&file);
    }
    if (!rc && json_parse(&doc, is, JSON_UNIQUE, NULL) == 0)
        rc = json_write(ret, json_root(doc));
    else if (!rc && (rc = yaml_parse(&y, is, e)) == 0)
        rc = json_write(ret, yaml_root(y));
    json_free(doc);
    yaml_free(y);
    buf_fini(&file);
    if (!rc)
        return 0;
    if (ret->failed)
        return err_set(e, ret->failed, "%s: too long", what);
    return err_wrap(e, "%s is neither JSON nor YAML", what);
}

int cli_flow_put_value(struct cli *c, struct json_w *w, const char *key, const char *option,
                       struct err *e)
{
    const char *text = cli_option(c, option);
    char what[40];
    struct buf json;
    if (!text)
        return 0;
    (void)snprintf(what, sizeof what, "--%s", option);
    buf_init(&json, CLI_FLOW_TEXT_MAX);
    int rc = cli_flow_value(what, text, &json, e);
    if (!rc)
        json_w_raw(w, key, buf_bytes(&json));
    buf_fini(&json);
    return rc;
}

int cli_flow_target(struct buf *out, const char *id, const char *action, struct err *e)
{
    (void)buf_str(out, "/api/flows/");
    (void)url_encode(out, bytes_of(id));
    if (action)
        (void)buf_fmt(out, "/%s", action);
    if (!*id)
        return err_set(e, E_USAGE, "ID is empty");
    return out->failed ? err_set(e, E_USAGE, "the run's id is too long") : 0;
}

// ---- findings -----------------------------------------------------------------------------------

static struct bytes line_of(struct bytes text, uint32_t line)
{
    struct bytes got = BYTES_NONE;
    for (uint32_t i = 0; i < line && text.p; i++)
        got = bytes_cut(&text, '\n');
    if (got.n && got.p[got.n - 1] == '\r')
        got.n--;
    return got;
}

static void put_source(struct cli *c, struct bytes text, const struct cli_finding *f,
                       struct buf *out)
{
    struct bytes line = line_of(text, f->line);
    struct buf safe;
    char number[24];
    if (!line.n || line.n > 400)
        return;
    buf_init(&safe, 4096);
    cli_put_safe(&safe, line);
    (void)snprintf(number, sizeof number, "%5u | ", f->line);
    cli_paint_add(c, PAINT_DIM, number, out);
    (void)buf_put(out, buf_bytes(&safe));
    (void)buf_chr(out, '\n');
    if (f->column && f->column <= line.n + 1) {
        size_t columns = cli_width(bytes_first(line, f->column - 1));
        (void)buf_fmt(out, "%*s", (int)(8 + columns), "");
        cli_paint_add(c, PAINT_RED, "^", out);
        (void)buf_chr(out, '\n');
    }
    buf_fini(&safe);
}

void cli_flow_put_finding(struct cli *c, const char *file, struct bytes text,
                          const struct cli_finding *f, struct buf *out)
{
    struct buf head;
    buf_init(&head, 4096);
    (void)buf_str(&head, file);
    if (f->line)
        (void)buf_fmt(&head, ":%u", f->line);
    if (f->line && f->column)
        (void)buf_fmt(&head, ":%u", f->column);
    (void)buf_chr(&head, ':');
    cli_paint_add(c, PAINT_BOLD, buf_cstr(&head), out);
    buf_clear(&head);
    (void)buf_chr(&head, ' ');
    if (f->task && *f->task)
        (void)buf_fmt(&head, "task %s: ", f->task);
    (void)buf_str(&head, f->message);
    cli_put_safe(out, buf_bytes(&head));
    (void)buf_chr(out, '\n');
    buf_fini(&head);
    put_source(c, text, f, out);
}

bool cli_flow_tell_findings(struct cli *c, const char *file, struct bytes text, struct bytes answer)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *v;
    struct buf out;
    if (json_parse(&doc, answer, 0, NULL))
        return false;
    const struct json *list = json_get(json_get(json_root(doc), "error"), "findings");
    size_t count = json_len(list);
    buf_init(&out, CLI_TEXT_MAX);
    while (!c->json && json_each(list, &it, NULL, &v)) {
        struct cli_finding f = {(uint32_t)json_i64(json_get(v, "line"), 0),
                                (uint32_t)json_i64(json_get(v, "column"), 0),
                                json_cstr(json_get(v, "task"), ""),
                                json_cstr(json_get(v, "message"), "")};
        cli_flow_put_finding(c, file, text, &f, &out);
    }
    if (c->json && count)
        (void)json_write(&out, json_root(doc));
    if (out.n)
        (void)cli_print(buf_bytes(&out), stderr);
    buf_fini(&out);
    json_free(doc);
    return count > 0;
}
