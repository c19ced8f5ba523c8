// label.c: the lattice of labels: its order, its join, its text.
// SPDX-License-Identifier: Apache-2.0
#include "trust/label.h"
#include "base/alloc.h"
#include <string.h>

#define NAMES_MAX 63 // bit 63 is set in "*" alone, so that a label with all names is not "*"
#define NAMES_CHARS_MAX (LABEL_TEXT_MAX - 16) // "confidential:" and all names with commas fit

static const char *const levels[] = {"public", "internal", "confidential", "restricted"};
#define LEVELS (sizeof levels / sizeof *levels)

struct label_names {
    char name[NAMES_MAX][LABEL_NAME_MAX + 1]; // by bit
    uint8_t sorted[NAMES_MAX];                // bits in the order of their names
    uint32_t count;
    size_t chars; // of all names, a comma each
};

struct label_names *label_names_new(void)
{
    return mem_new(struct label_names);
}

void label_names_free(struct label_names *n)
{
    mem_free(n);
}

// Where the name is among the sorted ones, or would be.
static uint32_t place(const struct label_names *n, struct bytes name, bool *ret_there)
{
    uint32_t from = 0, to = n->count;
    *ret_there = false;
    while (from < to && !*ret_there) {
        uint32_t mid = from + (to - from) / 2;
        int order = bytes_cmp(name, bytes_of(n->name[n->sorted[mid]]));
        if (order > 0)
            from = mid + 1;
        else
            to = mid;
        *ret_there = order == 0;
    }
    return to;
}

static uint32_t add(struct label_names *n, struct bytes name, uint32_t at)
{
    uint32_t bit = n->count;
    memcpy(n->name[bit], name.p, name.n);
    memmove(n->sorted + at + 1, n->sorted + at, (n->count - at) * sizeof *n->sorted);
    n->sorted[at] = (uint8_t)bit;
    n->count++;
    n->chars += name.n + 1;
    return bit;
}

static bool good_name(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i && (c == '-' || c == '_'))))
            return false;
    }
    return name.n > 0 && name.n <= LABEL_NAME_MAX;
}

static int bad_text(struct bytes text, struct err *e)
{
    return err_set(e, E_INVALID,
                   "\"%.*s\" is no label: expected public, internal, confidential or restricted, "
                   "and after a colon compartments (a-z 0-9 - _, at most %d characters each) or *, "
                   "as in confidential:eng,hr",
                   BYTES_FMT(bytes_first(text, 64)), LABEL_NAME_MAX);
}

// The set of names. Unknown ones are added, unless known_only; all or none.
static int parse_names(struct label_names *n, const struct label_names *known, struct bytes text,
                       struct bytes list, uint64_t *ret, struct err *e)
{
    uint32_t fresh = 0;
    size_t chars = 0;
    struct bytes rest = list;
    do { // first a look at all, so that a refused text adds nothing
        struct bytes name = bytes_cut(&rest, ',');
        bool there;
        if (!good_name(name))
            return bad_text(text, e);
        (void)place(known, name, &there);
        if (!there && !n)
            return err_set(e, E_INVALID,
                           "no compartment is named %.*s here: only those of the configuration, of "
                           "keys and of nodes are known",
                           BYTES_FMT(name));
        fresh += !there; // a name twice counts twice: the limit is not that near
        chars += there ? 0 : name.n + 1;
    } while (rest.p);
    if (known->count + fresh > NAMES_MAX || known->chars + chars > NAMES_CHARS_MAX)
        return err_set(e, E_FULL, "there are %u compartments already, at most %d (%d characters)",
                       known->count, NAMES_MAX, NAMES_CHARS_MAX);
    for (rest = list; rest.p;) {
        struct bytes name = bytes_cut(&rest, ',');
        bool there;
        uint32_t at = place(known, name, &there);
        if (there)
            *ret |= UINT64_C(1) << known->sorted[at];
        else if (n) // always: an unknown name went no further without it
            *ret |= UINT64_C(1) << add(n, name, at);
    }
    return 0;
}

static int parse(struct label_names *n, const struct label_names *known, struct bytes text,
                 struct label *ret, struct err *e)
{
    struct label l = {0};
    struct bytes rest = text, level = bytes_cut(&rest, ':');
    while (l.level < LEVELS && !bytes_is(level, levels[l.level]))
        l.level++;
    if (l.level == LEVELS || text.n > LABEL_TEXT_MAX)
        return bad_text(text, e);
    if (bytes_is(rest, "*")) {
        l.compartments = UINT64_MAX;
    } else if (rest.p) {
        int rc = parse_names(n, known, text, rest, &l.compartments, e);
        if (rc != 0)
            return rc;
    }
    *ret = l;
    return 0;
}

int label_parse(struct label_names *n, struct bytes text, struct label *ret, struct err *e)
{
    return parse(n, n, text, ret, e);
}

int label_parse_known(const struct label_names *n, struct bytes text, struct label *ret,
                      struct err *e)
{
    return parse(NULL, n, text, ret, e);
}

void label_put(struct buf *out, const struct label_names *n, struct label l)
{
    char mark = ':';
    (void)buf_str(out, l.level < LEVELS ? levels[l.level] : "?");
    if (l.compartments == UINT64_MAX) {
        (void)buf_str(out, ":*");
        return;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        if (!(l.compartments >> n->sorted[i] & 1))
            continue;
        (void)buf_chr(out, mark);
        (void)buf_str(out, n->name[n->sorted[i]]);
        mark = ',';
    }
}

bool label_dominates(struct label a, struct label b)
{
    return a.level >= b.level && !(b.compartments & ~a.compartments);
}

struct label label_join(struct label a, struct label b)
{
    return (struct label){a.level > b.level ? a.level : b.level, a.compartments | b.compartments};
}
