// jq_parse_priv.h: what the two halves of the jq parser share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_JQ_PARSE_PRIV_H
#define PLEXUS_TEXT_JQ_PARSE_PRIV_H

#include "text/jq_priv.h"
#include <stdio.h>

enum jq_scope_kind { SCOPE_VAR, SCOPE_FUNC, SCOPE_PARAM, SCOPE_LABEL };

// One scope of the text is one struct jq_env of the run.
struct jq_scope {
    struct jq_scope *up;
    enum jq_scope_kind kind;
    struct bytes name;
    struct jq_func *func; // FUNC: it; PARAM: whose
    unsigned param;
};
struct jq_known_def { // a function of jq's own that the program uses
    struct jq_known_def *next;
    const struct jq_name *name;
    struct jq_func *func;
};
struct jq_parser {
    struct jq *p;
    struct err *e;
    struct jq_lex lex;
    struct jq_scope *scope;
    struct jq_known_def *known;
    int rc;
    unsigned nest;
    bool no_comma;          // inside an object's value
    size_t var_reads;       // so many variables were read so far
    char unsupported[80];   // what libjq must do
};

void *jq_parse_fail(struct jq_parser *s, const char *what);
void *jq_parse_no_memory(struct jq_parser *s);
void jq_parse_unsupported(struct jq_parser *s, struct bytes what);
bool jq_parse_is(const struct jq_parser *s, enum jq_tok kind, const char *text);
bool jq_parse_accept(struct jq_parser *s, enum jq_tok kind, const char *text);
bool jq_parse_expect(struct jq_parser *s, enum jq_tok kind, const char *text);
struct jq_node *jq_node_new(struct jq_parser *s, enum jq_op op);
struct jq_node *jq_node_make(struct jq_parser *s, enum jq_op op, struct jq_node *a,
                             struct jq_node *b, bool one);
struct jq_node *jq_node_lit(struct jq_parser *s, struct val *takes);
struct jq_node *jq_node_dot(struct jq_parser *s);
bool jq_node_kids(struct jq_parser *s, struct jq_node *node, struct jq_node **kids, size_t n);
bool jq_scope_open(struct jq_parser *s, enum jq_scope_kind kind, struct bytes name,
                   struct jq_func *func, unsigned param);
#define JQ_NEST_MAX 200 // of the text
struct jq_scope *jq_scope_find(struct jq_parser *s, enum jq_scope_kind kind, struct bytes name,
                               uint32_t *ret_up);
struct jq_node *jq_parse_term(struct jq_parser *s);
struct jq_node *jq_parse_pipe(struct jq_parser *s, bool no_comma);
struct jq_node *jq_parse_def(struct jq_parser *s);                      // behind "def"
struct jq_node *jq_parse_call(struct jq_parser *s, struct bytes name);  // behind the name
struct jq_pattern *jq_parse_pattern(struct jq_parser *s);

#endif
