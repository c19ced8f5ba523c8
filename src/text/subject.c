// subject.c: subjects and patterns: parsed, checked, matched.
// SPDX-License-Identifier: Apache-2.0
#include "text/subject.h"

#include <string.h>

static const char *const environments[] = {"dev", "staging", "prod"};

bool subject_is_environment(struct bytes name)
{
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++)
        if (bytes_is(name, environments[i]))
            return true;
    return false;
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool subject_is_token(struct bytes token)
{
    for (size_t i = 0; i < token.n; i++)
        if (!is_token_char(token.p[i]))
            return false;
    return token.n > 0;
}

// The text with what a terminal or log should not get taken out, for messages.
struct shown {
    char s[64];
};

static struct shown show(struct bytes text)
{
    struct shown out = {""};
    size_t n = 0;
    for (; text.p && n < text.n && n < sizeof out.s - 1; n++)
        out.s[n] = (char)(text.p[n] > 0x20 && text.p[n] < 0x7f ? text.p[n] : '?');
    return out;
}

static int check_size(struct bytes text, struct err *e)
{
    if (text.n > SUBJECT_BYTES_MAX)
        return err_set(e, E_TOOBIG, "a subject has at most %d characters", SUBJECT_BYTES_MAX);
    if (!text.n)
        return err_set(e, E_INVALID, "the subject is empty");
    return 0;
}

static int bad_environment(struct bytes text, struct bytes first, struct err *e)
{
    return err_set(e, E_INVALID,
                   "subject \"%s\": it begins with its environment (dev, staging or prod), not "
                   "with \"%s\"",
                   show(text).s, show(first).s);
}

int subject_parse(struct subject *ret, struct bytes text, struct err *e)
{
    struct subject s = {.tokens = 0};
    struct bytes rest = text;
    int rc = check_size(text, e);
    if (rc)
        return rc;
    while (rest.p) {
        struct bytes token = bytes_cut(&rest, '.');
        if (!subject_is_token(token))
            return err_set(e, E_INVALID,
                           "subject \"%s\": token %u is %s; tokens are letters, digits, - and _",
                           show(text).s, s.tokens + 1, token.n ? "not one" : "empty");
        switch (s.tokens++) {
        case 0: s.environment = token; break;
        case 1: s.domain = token; break;
        case 2: s.service = token; break;
        case 3: s.detail = bytes_from(text, (size_t)(token.p - text.p)); break;
        default: break;
        }
    }
    if (!subject_is_environment(s.environment))
        return bad_environment(text, s.environment, e);
    if (s.tokens < 4)
        return err_set(e, E_INVALID,
                       "subject \"%s\" has %u token%s; it is {environment}.{domain}.{service}."
                       "{detail...}",
                       show(text).s, s.tokens, s.tokens == 1 ? "" : "s");
    if (s.tokens > SUBJECT_TOKENS_MAX)
        return err_set(e, E_TOOBIG, "a subject has at most %d tokens", SUBJECT_TOKENS_MAX);
    if (*s.domain.p < 'a' || *s.domain.p > 'z')
        return err_set(e, E_INVALID, "subject \"%s\": a domain begins with a small letter",
                       show(text).s);
    *ret = s;
    return 0;
}

int subject_pattern_check(struct bytes pattern, struct err *e)
{
    struct bytes rest = pattern;
    uint32_t tokens = 0;
    int rc = check_size(pattern, e);
    if (rc)
        return rc;
    while (rest.p) {
        struct bytes token = bytes_cut(&rest, '.');
        if (!tokens && !subject_is_environment(token))
            return bad_environment(pattern, token, e);
        if (++tokens > SUBJECT_TOKENS_MAX)
            return err_set(e, E_TOOBIG, "a pattern has at most %d tokens", SUBJECT_TOKENS_MAX);
        if (bytes_is(token, ">") && rest.p)
            return err_set(e, E_INVALID, "pattern \"%s\": > stands only at the end",
                           show(pattern).s);
        if (!bytes_is(token, ">") && !bytes_is(token, "*") && !subject_is_token(token))
            return err_set(e, E_INVALID,
                           "pattern \"%s\": token %u is neither a name (letters, digits, -, _) nor "
                           "* nor a last >",
                           show(pattern).s, tokens);
    }
    if (tokens < 2)
        return err_set(e, E_INVALID, "pattern \"%s\": \"%s.>\" is everything of it",
                       show(pattern).s, show(pattern).s);
    return 0;
}

bool subject_is_exact(struct bytes pattern)
{
    return bytes_chr(pattern, '*') < 0 && bytes_chr(pattern, '>') < 0;
}

bool subject_match(struct bytes pattern, struct bytes subject)
{
    const char *p = pattern.p, *p_end = p + pattern.n, *s = subject.p, *s_end = s + subject.n;
    while (p < p_end && s < s_end) {
        if (*p == '>')
            return true;
        if (*p == '*') {
            while (s < s_end && *s != '.')
                s++;
            p++;
        } else if (*p++ != *s++) {
            return false;
        }
    }
    return p == p_end && s == s_end;
}

struct bytes subject_environment(struct bytes text)
{
    struct bytes rest = text;
    return bytes_cut(&rest, '.');
}

int subject_put_token(struct buf *out, struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        (void)buf_chr(out, (char)(is_token_char(name.p[i]) ? name.p[i] : '_'));
    return name.n ? out->failed : buf_chr(out, '_');
}
