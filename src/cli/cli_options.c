// cli_options.c: reads options by their tables: --name value, --name=value, -n value, -nvalue,
// -abc, and "--" before words that begin with a dash. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "text/units.h"
#include <string.h>

static const struct cli_option *by_name(const struct cli_option *const *tables, struct bytes name)
{
    for (; *tables; tables++)
        for (const struct cli_option *o = *tables; o->name; o++)
            if (bytes_is(name, o->name))
                return o;
    return NULL;
}

static const struct cli_option *by_letter(const struct cli_option *const *tables, char letter)
{
    for (; *tables; tables++)
        for (const struct cli_option *o = *tables; o->name; o++)
            if (o->letter == letter)
                return o;
    return NULL;
}

static int unknown(const struct cli_option *const *tables, struct bytes name, struct err *e)
{
    const char *names[CLI_OPTIONS_MAX];
    size_t n = 0;
    for (; *tables; tables++)
        for (const struct cli_option *o = *tables; o->name && n < CLI_OPTIONS_MAX; o++)
            names[n++] = o->name;
    int near = units_nearest(name, names, n);
    if (near < 0)
        return err_set(e, E_USAGE, "unknown option --%.*s", BYTES_FMT(bytes_first(name, 80)));
    return err_set(e, E_USAGE, "unknown option --%.*s; nearest: --%s",
                   BYTES_FMT(bytes_first(name, 80)), names[near]);
}

static int give(struct cli_parsed *p, const struct cli_option *o, const char *value, struct err *e)
{
    if (p->given_count == CLI_OPTIONS_MAX)
        return err_set(e, E_USAGE, "more than %d options", CLI_OPTIONS_MAX);
    p->given[p->given_count++] = (struct cli_given){o, value};
    return 0;
}

bool cli_option_needs(const struct cli_option *o)
{
    return o->value && o->value[0] != '[';
}

static int needs_value(const struct cli_option *o, struct err *e)
{
    return err_set(e, E_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->value);
}

static int long_option(const struct cli_option *const *tables, int argc, char **argv, int *at,
                       struct cli_parsed *p, struct err *e)
{
    struct bytes rest = bytes_of(argv[*at] + 2);
    const char *equals = strchr(argv[*at], '=');
    struct bytes name = bytes_cut(&rest, '=');
    const struct cli_option *o = by_name(tables, name);
    ++*at;
    if (!o)
        return unknown(tables, name, e);
    if (!o->value && equals)
        return err_set(e, E_USAGE, "--%s takes no value", o->name);
    if (equals)
        return give(p, o, equals + 1, e);
    if (!cli_option_needs(o))
        return give(p, o, "", e);
    if (*at >= argc)
        return needs_value(o, e);
    return give(p, o, argv[(*at)++], e);
}

static int short_options(const struct cli_option *const *tables, int argc, char **argv, int *at,
                         struct cli_parsed *p, struct err *e)
{
    const char *s = argv[(*at)++] + 1;
    int rc = 0;
    while (*s && !rc) {
        const struct cli_option *o = by_letter(tables, *s);
        if (!o)
            return err_set(e, E_USAGE, "unknown option -%c", *s);
        s++;
        if (!cli_option_needs(o)) {
            rc = give(p, o, "", e);
        } else if (*s) {
            return give(p, o, *s == '=' ? s + 1 : s, e);
        } else if (*at < argc) {
            return give(p, o, argv[(*at)++], e);
        } else {
            return needs_value(o, e);
        }
    }
    return rc;
}

int cli_parse(const struct cli_option *const *tables, int argc, char **argv, int *at, bool stop,
              struct cli_parsed *p, struct err *e)
{
    int rc = 0;
    while (*at < argc && !rc) {
        const char *word = argv[*at];
        if (!p->only_words && !strcmp(word, "--")) {
            p->only_words = true;
            ++*at;
        } else if (!p->only_words && word[0] == '-' && word[1] == '-') {
            rc = long_option(tables, argc, argv, at, p, e);
        } else if (!p->only_words && word[0] == '-' && word[1]) {
            rc = short_options(tables, argc, argv, at, p, e);
        } else if (stop) {
            break;
        } else {
            p->words[p->word_count++] = word;
            ++*at;
        }
    }
    return rc;
}
