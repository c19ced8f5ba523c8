#include "loop/loop_priv.h"
int net_tls_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                 struct err *e) { (void)n;(void)args;(void)ret; return err_set(e, E_UNSUPPORTED, "TLS"); }
void net_tls_accept(struct net_tls *t, struct net_stream *inner, const struct net_listen_args *args,
                    bool over_limit){(void)t;(void)inner;(void)args;(void)over_limit;}
struct net_stream *net_tls_inner(const struct net_stream *s){(void)s;return NULL;}
void net_tls_ref(struct net_tls *t){(void)t;}
void net_tls_free(struct net_tls *t){(void)t;}
void net_tls_stop(struct net *n){(void)n;}
void net_tls_fini(struct net *n){(void)n;}
int net_tls_new(struct net_tls **ret, const struct net_tls_args *args, struct err *e){(void)ret;(void)args;return err_set(e, E_UNSUPPORTED, "TLS");}
