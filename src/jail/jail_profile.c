// jail_profile.c: the jail as a profile for macOS' sandbox-exec (the language of sandboxd, a
// dialect of Scheme). Denied unless it is allowed here. SPDX-License-Identifier: Apache-2.0
#include "jail/jail.h"

#include <string.h>

// What every program of the system needs to start at all.
static const char *const reads[] = {
    "/usr/lib",    "/usr/share",  "/System", "/private/var/db/dyld", "/private/var/db/timezone",
    "/dev/random", "/dev/urandom"};
// What a shell needs beside that.
static const char *const programs[] = {
    "/bin",         "/sbin",          "/usr/bin",      "/usr/sbin",  "/usr/libexec",
    "/private/etc", "/Library/Apple", "/opt/homebrew", "/usr/local", "/Library/Developer"};

// A string of the profile; NULL is never a path of ours. Quotes and backslashes are escaped.
static void quoted(struct buf *out, const char *text)
{
    buf_chr(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_chr(out, '\\');
        buf_chr(out, *text);
    }
    buf_chr(out, '"');
}

static void allow(struct buf *out, const char *what, const char *path)
{
    buf_fmt(out, "(allow %s (subpath ", what);
    quoted(out, path);
    buf_str(out, "))\n");
}

static void network(struct buf *out, const struct jail_opts *o)
{
    if (!o->network || o->bare)
        return;
    buf_str(out, "(allow network-outbound (literal \"/private/var/run/mDNSResponder\"))\n");
    if (o->ports == 0)
        buf_str(out, "(allow network-outbound (remote ip))\n");
    for (size_t i = 0; i < o->ports; i++)
        buf_fmt(out, "(allow network-outbound (remote tcp \"*:%u\"))\n", (unsigned)o->port[i]);
    buf_str(out, "(allow system-socket)\n");
}

int jail_profile(struct buf *out, const struct jail_opts *o, const char *self)
{
    buf_str(out,
            "(version 1)\n(deny default)\n"
            "(allow process-fork)\n(allow sysctl-read)\n(allow signal (target same-sandbox))\n"
            "(allow file-read-metadata)\n"
            "(allow file-read* file-write-data (literal \"/dev/null\") (literal \"/dev/zero\"))\n"
            "(allow file-read* (literal \"/\"))\n");
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
        allow(out, "file-read*", reads[i]);
    buf_str(out, "(allow file-read* process-exec (literal ");
    quoted(out, self);
    buf_str(out, "))\n");
    for (size_t i = 0; !o->bare && i < sizeof programs / sizeof *programs; i++)
        allow(out, "file-read* process-exec", programs[i]);
    for (size_t i = 0; i < o->folders; i++) {
        allow(out, o->bare ? "file-read*" : "file-read* process-exec", o->folder[i].path);
        if (o->folder[i].write)
            allow(out, "file-write*", o->folder[i].path);
    }
    if (o->hidden) {
        buf_str(out, "(deny file-read* file-write* (subpath ");
        quoted(out, o->hidden);
        buf_str(out, "))\n");
    }
    network(out, o);
    // The last rule wins: nothing that would give rights to who runs it later.
    buf_str(out, "(deny file-write-setugid)\n");
    return out->failed;
}
