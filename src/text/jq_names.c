// jq_names.c: the names that jq knows: made of nodes, native, defined in jq itself, left to libjq,
// or forbidden. Definitions are those on which jq 1.6 to 1.8 agree; where they differ for what
// programs do in earnest, the name is left to libjq.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"
#include <string.h>

#define NODE(n, a, i) {n, a, KNOWN_NODE, NULL, NULL, i}
#define DEF(n, a, t) {n, a, KNOWN_DEF, NULL, t, 0}
#define LIBJQ(n, a) {n, a, KNOWN_UNSUPPORTED, NULL, NULL, 0}
#define FORBIDDEN(n, a, why) {n, a, KNOWN_FORBIDDEN, NULL, why, 0}

static const struct jq_name names[] = {
    NODE("empty", 0, ID_EMPTY),
    NODE("error", 0, ID_ERROR0),
    NODE("error", 1, ID_ERROR),
    NODE("path", 1, ID_PATH),
    NODE("select", 1, ID_SELECT),
    NODE("recurse", 0, ID_RECURSE0),
    NODE("recurse", 1, ID_RECURSE),
    NODE("recurse", 2, ID_RECURSE2),
    NODE("map", 1, ID_MAP),
    NODE("map_values", 1, ID_MAP_VALUES),
    NODE("del", 1, ID_DEL),
    NODE("first", 1, ID_FIRST),
    NODE("last", 1, ID_LAST),
    NODE("limit", 2, ID_LIMIT),
    NODE("range", 1, ID_RANGE1),
    NODE("range", 2, ID_RANGE2),
    NODE("range", 3, ID_RANGE3),
    NODE("until", 2, ID_UNTIL),
    NODE("any", 2, ID_ANY2),
    NODE("all", 2, ID_ALL2),
    NODE("sort_by", 1, ID_SORT_BY),
    NODE("group_by", 1, ID_GROUP_BY),
    NODE("unique_by", 1, ID_UNIQUE_BY),
    NODE("min_by", 1, ID_MIN_BY),
    NODE("max_by", 1, ID_MAX_BY),
    NODE("getpath", 1, ID_GETPATH),
    NODE("null", 0, ID_NULL),
    NODE("true", 0, ID_TRUE),
    NODE("false", 0, ID_FALSE),
    DEF("with_entries", 1, "with_entries(f): to_entries | map(f) | from_entries;"),
    DEF("reverse", 0, "reverse: [.[length - 1 - range(0;length)]];"),
    DEF("index", 1, "index($i): indices($i) | .[0];"),
    DEF("rindex", 1, "rindex($i): indices($i) | .[-1:][0];"),
    DEF("paths", 0, "paths: path(..) | select(length > 0);"),
    DEF("paths", 1, "paths(f): path(.. | select(f)) | select(length > 0);"),
    DEF("leaf_paths", 0, "leaf_paths: paths(scalars);"),
    DEF("pick", 1,
        "pick(f): . as $in | reduce path(f) as $a (null; setpath($a; $in | getpath($a)));"),
    DEF("any", 0, "any: any(.[]; .);"),
    DEF("any", 1, "any(f): any(.[]; f);"),
    DEF("all", 0, "all: all(.[]; .);"),
    DEF("all", 1, "all(f): all(.[]; f);"),
    DEF("isempty", 1, "isempty(g): first((g|false), true);"),
    DEF("arrays", 0, "arrays: select(type == \"array\");"),
    DEF("objects", 0, "objects: select(type == \"object\");"),
    DEF("iterables", 0, "iterables: select(type | . == \"array\" or . == \"object\");"),
    DEF("booleans", 0, "booleans: select(type == \"boolean\");"),
    DEF("numbers", 0, "numbers: select(type == \"number\");"),
    DEF("strings", 0, "strings: select(type == \"string\");"),
    DEF("nulls", 0, "nulls: select(. == null);"),
    DEF("values", 0, "values: select(. != null);"),
    DEF("scalars", 0, "scalars: select(type | . != \"array\" and . != \"object\");"),
    DEF("normals", 0, "normals: select(isnormal);"),
    DEF("finites", 0, "finites: select(isfinite);"),
    DEF("isfinite", 0, "isfinite: type == \"number\" and (isinfinite | not);"),
    DEF("first", 0, "first: .[0];"),
    DEF("last", 0, "last: .[-1];"),
    DEF("nth", 1, "nth($n): .[$n];"),
    DEF("in", 1, "in(xs): . as $x | xs | has($x);"),
    DEF("inside", 1, "inside(xs): . as $x | xs | contains($x);"),
    DEF("while", 2,
        "while(c; u): def w: if c then ., (u | w) else empty end; w;"),
    DEF("combinations", 0,
        "combinations: if length == 0 then [] else .[0][] as $x | (.[1:] | combinations) as $y | "
        "[$x] + $y end;"),
    DEF("combinations", 1, "combinations(n): . as $dot | [range(n) | $dot] | combinations;"),
    DEF("transpose", 0,
        "transpose: [range(0; map(length) | max // 0) as $i | [.[][$i]]];"),
    DEF("walk", 1,
        "walk(f): def w: if type == \"object\" then map_values(w) elif type == \"array\" then "
        "map(w) else . end | f; w;"),
    DEF("add", 1, "add(f): reduce f as $x (null; . + $x);"),
    DEF("abs", 0, "abs: if . < 0 then -. else . end;"),
    DEF("tostream", 0,
        "tostream: path(def r: (.[]?|r), .; r) as $p | getpath($p) | reduce path(.[]?) as $q "
        "([$p, .]; [$p+$q]);"),
    DEF("IN", 1, "IN(s): any(s == .; .);"),
    DEF("IN", 2, "IN(src; s): any(src == s; .);"),
    DEF("INDEX", 2,
        "INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] = $row);"),
    DEF("INDEX", 1, "INDEX(f): INDEX(.[]; f);"),
    DEF("todate", 0, "todate: todateiso8601;"),
    DEF("fromdate", 0, "fromdate: fromdateiso8601;"),
    FORBIDDEN("env", 0, "the environment"),
    FORBIDDEN("input", 0, "other input"),
    FORBIDDEN("inputs", 0, "other input"),
    FORBIDDEN("debug", 0, "it writes to the outside"),
    FORBIDDEN("debug", 1, "it writes to the outside"),
    FORBIDDEN("stderr", 0, "it writes to the outside"),
    FORBIDDEN("input_filename", 0, "files"),
    FORBIDDEN("input_line_number", 0, "files"),
    FORBIDDEN("localtime", 0, "the time zone of the machine"),
    FORBIDDEN("strflocaltime", 1, "the time zone of the machine"),
    FORBIDDEN("get_search_list", 0, "files"),
    FORBIDDEN("modulemeta", 0, "files"),
    FORBIDDEN("get_prog_origin", 0, "files"),
    FORBIDDEN("get_jq_origin", 0, "files"),
    FORBIDDEN("halt", 0, "it ends the process"),
    FORBIDDEN("halt_error", 0, "it ends the process"),
    FORBIDDEN("halt_error", 1, "it ends the process"),
    FORBIDDEN("builtins", 0, "the version of jq"),
    FORBIDDEN("have_decnum", 0, "the version of jq"),
    FORBIDDEN("have_literal_numbers", 0, "the version of jq"),
    // Regular expressions, streams, dates, and what versions do differently.
    LIBJQ("test", 1), LIBJQ("test", 2), LIBJQ("match", 1), LIBJQ("match", 2),
    LIBJQ("capture", 1), LIBJQ("capture", 2), LIBJQ("scan", 1), LIBJQ("scan", 2),
    LIBJQ("split", 2), LIBJQ("splits", 1), LIBJQ("splits", 2), LIBJQ("sub", 2), LIBJQ("sub", 3),
    LIBJQ("gsub", 2), LIBJQ("gsub", 3), LIBJQ("ascii", 0), LIBJQ("repeat", 1), LIBJQ("repeat", 2),
    LIBJQ("nth", 2), LIBJQ("skip", 2), LIBJQ("recurse_down", 0), LIBJQ("scalars_or_empty", 0),
    LIBJQ("truncate_stream", 1), LIBJQ("fromstream", 1), LIBJQ("bsearch", 1), LIBJQ("JOIN", 2),
    LIBJQ("JOIN", 3), LIBJQ("JOIN", 4), LIBJQ("isvalid", 1), LIBJQ("toarray", 0),
    LIBJQ("trimstr", 1), 
    LIBJQ("gmtime", 0), LIBJQ("mktime", 0),
    LIBJQ("strftime", 1), LIBJQ("strptime", 1), LIBJQ("dateadd", 2), LIBJQ("datesub", 2),
    LIBJQ("date", 0), LIBJQ("ascii", 1), 
    LIBJQ("significand", 0),
    LIBJQ("drem", 2), LIBJQ("ldexp", 2), LIBJQ("scalb", 2), LIBJQ("scalbln", 2),
    LIBJQ("nearbyint", 0), LIBJQ("logb", 0), LIBJQ("gamma", 0), LIBJQ("lgamma", 0),
    LIBJQ("tgamma", 0), LIBJQ("lgamma_r", 0), LIBJQ("frexp", 0), LIBJQ("modf", 0),
    LIBJQ("sin", 0), LIBJQ("cos", 0), LIBJQ("tan", 0), LIBJQ("asin", 0), LIBJQ("acos", 0),
    LIBJQ("atan", 0), LIBJQ("sinh", 0), LIBJQ("cosh", 0), LIBJQ("tanh", 0), LIBJQ("asinh", 0),
    LIBJQ("acosh", 0), LIBJQ("atanh", 0), LIBJQ("atan2", 2), LIBJQ("cbrt", 0), LIBJQ("exp10", 0),
    LIBJQ("pow10", 0), LIBJQ("expm1", 0), LIBJQ("log1p", 0), LIBJQ("rint", 0), LIBJQ("fma", 3),
    LIBJQ("fmin", 2), LIBJQ("fmax", 2), LIBJQ("fmod", 2), LIBJQ("hypot", 2), LIBJQ("copysign", 2),
    LIBJQ("fdim", 2), LIBJQ("nextafter", 2), LIBJQ("nexttoward", 2), LIBJQ("j0", 0),
    LIBJQ("j1", 0), LIBJQ("y0", 0), LIBJQ("y1", 0), LIBJQ("jn", 2), LIBJQ("yn", 2),
    
    
};

static const struct jq_name *find_in(const struct jq_name *at, size_t n, struct bytes name,
                                     unsigned arity)
{
    for (size_t i = 0; i < n && at[i].name; i++)
        if (at[i].arity == arity && bytes_is(name, at[i].name))
            return &at[i];
    return NULL;
}

const struct jq_name *jq_name_find(struct bytes name, unsigned arity)
{
    const struct jq_name *found = find_in(names, sizeof names / sizeof *names, name, arity);
    if (!found)
        found = find_in(jq_names_values, SIZE_MAX, name, arity);
    return found ? found : find_in(jq_names_text, SIZE_MAX, name, arity);
}
