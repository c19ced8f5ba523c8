// text_tools.c: texts counted, cut, turned to upper case, lines sorted. Each takes a text as it is and
// answers with a text. SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

static bool blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// {"bytes":5,"characters":5,"words":1,"lines":1}
PDK_TOOL(count)
{
    size_t n, characters = 0, words = 0, lines = 0;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    for (size_t i = 0; i < n; i++) {
        characters += ((unsigned char)in[i] & 0xc0) != 0x80; // UTF-8: not the bytes that follow
        words += !blank(in[i]) && (i == 0 || blank(in[i - 1]));
        lines += in[i] == '\n' || i + 1 == n;
    }
    struct pdk_out o = {0};
    pdk_puts(&o, "{\"bytes\":");
    pdk_putu(&o, n);
    pdk_puts(&o, ",\"characters\":");
    pdk_putu(&o, characters);
    pdk_puts(&o, ",\"words\":");
    pdk_putu(&o, words);
    pdk_puts(&o, ",\"lines\":");
    pdk_putu(&o, lines);
    pdk_putc(&o, '}');
    return pdk_done(&o);
}

PDK_TOOL(upper) // ASCII letters
{
    size_t n;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    for (size_t i = 0; i < n; i++)
        if (in[i] >= 'a' && in[i] <= 'z')
            in[i] = (char)(in[i] - 32);
    return pdk_output(in, n);
}

PDK_TOOL(squeeze) // runs of blanks become one space
{
    size_t n, out = 0;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    for (size_t i = 0; i < n; i++)
        if (!blank(in[i]))
            in[out++] = in[i];
        else if (out && in[out - 1] != ' ')
            in[out++] = ' ';
    return pdk_output(in, out && in[out - 1] == ' ' ? out - 1 : out);
}

// ---- lines, sorted by bytes: a merge sort of pointers -------------------------------------------

struct line {
    const char *p;
    size_t n;
};

static bool after(const struct line *a, const struct line *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int order = memcmp(a->p, b->p, n);
    return order > 0 || (order == 0 && a->n > b->n);
}

static void sort(struct line *v, struct line *spare, size_t n)
{
    if (n < 2)
        return;
    size_t half = n / 2, i = 0, k = half, out = 0;
    sort(v, spare, half);
    sort(v + half, spare, n - half);
    while (i < half && k < n)
        spare[out++] = after(&v[i], &v[k]) ? v[k++] : v[i++];
    while (i < half)
        spare[out++] = v[i++];
    while (k < n)
        spare[out++] = v[k++];
    memcpy(v, spare, n * sizeof *v);
}

PDK_TOOL(sort_lines)
{
    size_t n, count = 1, at = 0;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    if (n && in[n - 1] == '\n')
        n--;
    for (size_t i = 0; i < n; i++)
        count += in[i] == '\n';
    struct line *v = pdk_memory(count * sizeof *v), *spare = pdk_memory(count * sizeof *v);
    if (!v || !spare)
        return pdk_error("out of memory");
    for (size_t i = 0, from = 0; i <= n; i++) {
        if (i < n && in[i] != '\n')
            continue;
        v[at].p = in + from;
        v[at++].n = i - from;
        from = i + 1;
    }
    sort(v, spare, count);
    struct pdk_out o = {0};
    for (size_t i = 0; i < count; i++) {
        pdk_add(&o, v[i].p, v[i].n);
        pdk_putc(&o, '\n');
    }
    return pdk_done(&o);
}
