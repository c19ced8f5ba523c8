// prims_table.c: the primitives as a table: what they are for, their arguments and answers, and
// what they may do. SPDX-License-Identifier: Apache-2.0
#include "prims/prims_priv.h"

// JSON in C: ' stands for " below; made right by prims_new.c.
#define OBJECT "'type':'object','additionalProperties':false"
#define PATH                                                                                       \
    "'path':{'type':'string','minLength':1,'maxLength':4095,"                                      \
    "'description':'absolute, or relative to the first granted folder'}"
#define TEXT "{'type':'string'}"
#define YES "{'type':'boolean'}"
#define NAMES "'type':'string','minLength':1"
#define SOME "'type':'integer','minimum':1,'maximum':10000"
#define LINE "'type':'integer','minimum':1,'maximum':9007199254740991"
#define BYTE "'type':'integer','minimum':0,'maximum':9007199254740991"

static const char bash_input[] =
    "{" OBJECT ",'required':['command'],'properties':{"
    "'command':{" NAMES ",'maxLength':100000},"
    "'cwd':{" NAMES ",'maxLength':4095,"
    "'description':'folder to start in; the first granted one unless given'},"
    "'timeout_s':{'type':'number','exclusiveMinimum':0,'description':'ended after so many seconds'}"
    "}}";
static const char bash_output[] =
    "{'type':'object','properties':{'exit_code':{'type':'integer'},'stdout':" TEXT ",'stderr':" TEXT
    ",'timed_out':" YES ",'truncated':" YES ",'took_ms':{'type':'integer'}}}";
static const char edit_input[] =
    "{" OBJECT ",'required':['path'],'properties':{" PATH ","
    "'old_text':" TEXT ",'new_text':" TEXT ",'replace_all':" YES ","
    "'edits':{'type':'array','minItems':1,'maxItems':4096,'items':{" OBJECT
    ",'required':['old_text','new_text'],'properties':{'old_text':" TEXT ",'new_text':" TEXT "}}},"
    "'start_line':{" LINE ",'description':'first line to replace'},"
    "'end_line':{" BYTE ",'description':'last one'},"
    "'diff':" TEXT "}}";
static const char edit_output[] =
    "{'type':'object','properties':{'path':" TEXT ",'replaced':{'type':'integer'},"
    "'first_line':{'type':'integer'}}}";
static const char find_input[] = "{" OBJECT ",'required':['pattern'],'properties':{"
                                 "'pattern':{" NAMES ",'maxLength':500}," PATH ","
                                 "'limit':{" SOME ",'description':'most results (1000)'}}}";
static const char found_output[] =
    "{'type':'object','properties':{'found':{'type':'integer'},'truncated':" YES "}}";
static const char grep_input[] =
    "{" OBJECT ",'required':['pattern'],'properties':{"
    "'pattern':{" NAMES ",'maxLength':1000}," PATH ","
    "'glob':{" NAMES ",'maxLength':500,'description':'only files whose name fits'},"
    "'literal':" YES ",'ignore_case':" YES ","
    "'context':{'type':'integer','minimum':0,'maximum':19,"
    "'description':'lines before and after each match'},"
    "'limit':{" SOME ",'description':'most matches (100)'}}}";
static const char list_input[] =
    "{" OBJECT ",'properties':{" PATH ",'limit':{" SOME ",'description':'most names (500)'}}}";
static const char list_output[] = "{'type':'object','properties':{'path':" TEXT
                                  ",'names':{'type':'integer'},'truncated':" YES "}}";
static const char read_input[] = "{" OBJECT ",'required':['path'],'properties':{" PATH ","
                                 "'offset':{" LINE ",'description':'first line, from 1'},"
                                 "'limit':{" LINE ",'description':'most lines (2000)'},"
                                 "'offset_bytes':{" BYTE ",'description':'first byte, from 0'},"
                                 "'limit_bytes':{" LINE ",'description':'most bytes'}}}";
static const char read_output[] =
    "{'type':'object','properties':{'path':" TEXT ",'size':{'type':'integer'},'kind':" TEXT ","
    "'from_line':{'type':'integer'},'lines':{'type':'integer'},'from_byte':{'type':'integer'},"
    "'next_byte':{'type':'integer'},'truncated':" YES ",'note':" TEXT "}}";
static const char write_input[] =
    "{" OBJECT ",'required':['path','content'],'properties':{" PATH ",'content':" TEXT "}}";
static const char write_output[] =
    "{'type':'object','properties':{'path':" TEXT ",'bytes':{'type':'integer'},'created':" YES "}}";

const struct prim_row prim_rows[] = {
    {"bash", "Run a command",
     "Runs a command with bash in a sandbox: it sees the granted folders, the system's programs "
     "(read only) and a /tmp of its own that is gone afterwards. Answers what it printed (start "
     "and end of a long output) and its exit code. What it leaves running is ended.",
     bash_input, bash_output, TOOL_READS | TOOL_WRITES | TOOL_DESTROYS | TOOL_RUNS, prim_bash},
    {"edit_file", "Edit a file",
     "Changes a file at once, or not at all. Give one of: old_text and new_text (old_text must be "
     "in the file exactly once, or replace_all); edits, several of them, each matched against the "
     "file as it is now; start_line, end_line and new_text (whole lines; end_line = start_line - 1 "
     "inserts before start_line); diff (a unified diff of this one file). Line ends of the file "
     "stay as they are.",
     edit_input, edit_output, TOOL_READS | TOOL_WRITES | TOOL_DESTROYS, prim_edit},
    {"find_files", "Find files",
     "Files whose name fits a pattern (* ? [a-z] {a,b}, ** over folders), below a folder. A "
     "pattern without / is for names in every folder. Links are not followed, .git is left out.",
     find_input, found_output, TOOL_READS | TOOL_IDEMPOTENT, prim_find},
    {"grep_files", "Search in files",
     "Lines that fit a regular expression (POSIX extended) or, with literal, contain a text; in "
     "one file or in all files below a folder. Binary files and .git are left out.",
     grep_input, found_output, TOOL_READS | TOOL_IDEMPOTENT, prim_grep},
    {"list_files", "List a folder",
     "Names in a folder, sorted: folders end in /, links show where they lead, files their size.",
     list_input, list_output, TOOL_READS | TOOL_IDEMPOTENT, prim_list},
    {"read_file", "Read a file",
     "A file's text, by lines (offset, limit) or bytes (offset_bytes, limit_bytes); a long answer "
     "is cut and says where to go on. Images (PNG, JPEG, GIF, WebP) are shown as such.",
     read_input, read_output, TOOL_READS | TOOL_IDEMPOTENT, prim_read},
    {"write_file", "Write a file",
     "Makes a file, or replaces it whole and at once; folders above it are made.", write_input,
     write_output, TOOL_WRITES | TOOL_DESTROYS | TOOL_IDEMPOTENT, prim_write},
};
const size_t prim_rows_n = sizeof prim_rows / sizeof *prim_rows;
