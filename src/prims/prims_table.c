// prims_table.c: the primitives as a table: what they are for, their arguments and answers, and
// what they may do. SPDX-License-Identifier: Apache-2.0
#include "prims/prims_priv.h"

#define PATH                                                                                       \
    "\"path\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4095,\"description\":\"absolute," \
    " "                                                                                            \
    "or relative to the first granted folder\"}"
#define COUNT(name, least, most, text)                                                             \
    "\"" name "\":{\"type\":\"integer\",\"minimum\":" least ",\"maximum\":" most                   \
    ",\"description\":\"" text "\"}"
#define BIG "9007199254740991"
#define OBJECT(required, properties)                                                               \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required                  \
    "],\"properties\":{" properties "}}"
#define ANSWER(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"
#define IS(name, type) "\"" name "\":{\"type\":\"" type "\"}"

const struct prim_row prim_rows[] = {
    {"bash", "Run a command",
     "Runs a command with bash in a sandbox: it sees the granted folders, the system's "
     "programs "
     "(read only) and a /tmp of its own that is gone afterwards. Answers what it printed "
     "(start and "
     "end of a long output) and its exit code. What it leaves running is ended.",
     OBJECT("\"command\"",
            "\"command\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":100000},"
            "\"cwd\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4095,\"description\":"
            "\"folder to start in; the first granted one unless given\"},"
            "\"timeout_s\":{\"type\":\"number\",\"exclusiveMinimum\":0,\"description\":"
            "\"ended "
            "after so many seconds\"}"),
     ANSWER(IS("exit_code", "integer") "," IS("stdout", "string") "," IS("stderr", "string") "," IS(
         "timed_out", "boolean") "," IS("truncated", "boolean") "," IS("took_ms", "integer")),
     TOOL_READS | TOOL_WRITES | TOOL_DESTROYS | TOOL_RUNS, prim_bash},
    {"edit_file", "Edit a file",
     "Changes a file at once, or not at all. Give one of: old_text and new_text (old_text "
     "must be "
     "in the file exactly once, or replace_all); edits, several of them, each matched "
     "against the "
     "file as it is now; start_line, end_line and new_text (whole lines; end_line = "
     "start_line - 1 "
     "inserts before start_line); diff (a unified diff of this one file). Line ends of the "
     "file "
     "stay as they are.",
     OBJECT(
         "\"path\"", PATH
         ",\"old_text\":{\"type\":\"string\"},\"new_text\":{\"type\":\"string\"},"
         "\"replace_all\":{\"type\":\"boolean\"},"
         "\"edits\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":4096,"
         "\"items\":" OBJECT(
             "\"old_text\",\"new_text\"",
             "\"old_text\":{\"type\":"
             "\"string\"},\"new_"
             "text\":{\"type\":"
             "\"string\"}") "}," COUNT("start_line", "1", BIG,
                                       "first line to replace") "," COUNT("end_line", "0", BIG,
                                                                          "last one") ",\"diff\":{"
                                                                                      "\"type\":"
                                                                                      "\"string\""
                                                                                      "}"),
     ANSWER(IS("path", "string") "," IS("replaced", "integer") "," IS("first_line", "integer")),
     TOOL_READS | TOOL_WRITES | TOOL_DESTROYS, prim_edit},
    {"find_files", "Find files",
     "Files whose name fits a pattern (* ? [a-z] {a,b}, ** over folders), below a folder. "
     "A pattern "
     "without / is for names in every folder. Links are not followed, .git is left out.",
     OBJECT("\"pattern\"",
            "\"pattern\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":500}," PATH
            "," COUNT("limit", "1", "10000", "most results (1000)")),
     ANSWER(IS("found", "integer") "," IS("truncated", "boolean")), TOOL_READS | TOOL_IDEMPOTENT,
     prim_find},
    {"grep_files", "Search in files",
     "Lines that fit a regular expression (POSIX extended) or, with literal, contain a "
     "text; in one "
     "file or in all files below a folder. Binary files and .git are left out.",
     OBJECT("\"pattern\"",
            "\"pattern\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000}," PATH
            ",\"glob\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":500,\"description\":"
            "\"only files whose name fits\"},\"literal\":{\"type\":\"boolean\"},"
            "\"ignore_case\":{\"type\":\"boolean\"}," COUNT(
                "context", "0", "19",
                "lines before and after each match") "," COUNT("limit", "1", "10000",
                                                               "most matches (100)")),
     ANSWER(IS("found", "integer") "," IS("truncated", "boolean")), TOOL_READS | TOOL_IDEMPOTENT,
     prim_grep},
    {"list_files", "List a folder",
     "Names in a folder, sorted: folders end in /, links show where they lead, files their "
     "size.",
     OBJECT("", PATH "," COUNT("limit", "1", "10000", "most names (500)")),
     ANSWER(IS("path", "string") "," IS("names", "integer") "," IS("truncated", "boolean")),
     TOOL_READS | TOOL_IDEMPOTENT, prim_list},
    {"read_file", "Read a file",
     "A file's text, by lines (offset, limit) or bytes (offset_bytes, limit_bytes); a long "
     "answer is "
     "cut and says where to go on. Images (PNG, JPEG, GIF, WebP) are shown as such.",
     OBJECT("\"path\"",
            PATH "," COUNT("offset", "1", BIG, "first line, from 1") "," COUNT(
                "limit", "1", BIG,
                "most lines (2000)") "," COUNT("offset_bytes", "0", BIG,
                                               "first byte, from 0") "," COUNT("limit_bytes", "1",
                                                                               BIG, "most bytes")),
     ANSWER(IS("path", "string") "," IS("size", "integer") "," IS("kind", "string") "," IS(
         "from_line",
         "integer") "," IS("lines",
                           "integer") "," IS("from_byte",
                                             "integer") "," IS("next_byte",
                                                               "integer") "," IS("trunc"
                                                                                 "ated",
                                                                                 "boole"
                                                                                 "an") "," IS("not"
                                                                                              "e",
                                                                                              "stri"
                                                                                              "n"
                                                                                              "g")),
     TOOL_READS | TOOL_IDEMPOTENT, prim_read},
    {"write_file", "Write a file",
     "Makes a file, or replaces it whole and at once; folders above it are made.",
     OBJECT("\"path\",\"content\"", PATH ",\"content\":{\"type\":\"string\"}"),
     ANSWER(IS("path", "string") "," IS("bytes", "integer") "," IS("created", "boolean")),
     TOOL_WRITES | TOOL_DESTROYS | TOOL_IDEMPOTENT, prim_write},
};
const size_t prim_rows_n = sizeof prim_rows / sizeof *prim_rows;
