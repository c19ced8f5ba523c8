// jail_main.c: `plexus _jail OPTIONS -- COMMAND...`. SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "jail/jail.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_report(void *user, const struct jail_report *r)
{
    struct buf out;
    (void)user;
    buf_init(&out, 16384);
    (void)jail_report_write(&out, r);
    (void)printf("%s\n", buf_cstr(&out));
    buf_fini(&out);
    return fflush(stdout) == 0 ? 0 : 74; // EX_IOERR
}

int jail_main(int argc, char **argv)
{
    struct jail_opts o;
    struct err e = {0};
    char **all = argv;
    for (; argc > 0 && strcmp(*argv, "_jail") != 0; argc--)
        argv++;
    if (argc == 0 || jail_parse(&o, argv + 1, &e) < 0 || (!o.argv && !o.report)) {
        (void)fprintf(stderr, "plexus _jail: %s\n", *e.text ? e.text : "no command");
        return 64; // EX_USAGE
    }
    static const struct jail_body report = {print_report, NULL};
    _exit(jail_run(&o, o.report ? &report : NULL, file_self(), all)); // no hooks of exit there
}
