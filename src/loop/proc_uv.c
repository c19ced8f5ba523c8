#include "loop/loop_priv.h"
void proc_init(struct procs_uv *p, struct loop *l){p->loop=l;list_init(&p->all);}
void proc_stop(struct procs_uv *p){(void)p;}
bool proc_idle(const struct procs_uv *p){return list_empty(&p->all);}
int loop_guard_main(int argc, char **argv){(void)argc;(void)argv;return 1;}
