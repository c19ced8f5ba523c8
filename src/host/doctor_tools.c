// doctor_tools.c: what is called on a node: what holds the programs that it runs for others, is
// wasmtime there, do the MCP servers answer. Pure; the running node brings the facts.
// SPDX-License-Identifier: Apache-2.0
#include "host/doctor_priv.h"

static const struct host_tools *calls_of(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_tools *x = &d->facts->calls;
    if (x->known)
        return x;
    SKIP(f, d->facts->node_running ? "this node has no tools" : "only a running node knows");
    return NULL;
}

void host_doctor_sandbox(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_tools *x = calls_of(d, f);
    if (!x)
        return;
    if (!x->sandbox) {
        SKIP(f, "no folder is granted (tools.folders): no program is run for anybody");
        return;
    }
    if (!*x->missing) {
        SEEN(f, "all layers hold");
        return;
    }
    SEEN(f, "missing: %s", x->missing);
    f->status = x->refused ? HOST_FAIL : HOST_WARN;
    if (x->refused)
        MEANS(f, "%s",
              x->require ? "tools.sandbox is require: no program and no primitive is run"
                         : "too little holds: no program and no primitive is run");
    else
        MEANS(f, "%s", x->lost);
    MEND(f, "a newer kernel, or one that lets this user make namespaces (sysctl "
            "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)");
}

void host_doctor_wasm(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_tools *x = calls_of(d, f);
    if (!x)
        return;
    if (*x->wasm) {
        SEEN(f, "%s", x->wasm);
        return;
    }
    if (!x->capabilities) {
        SKIP(f, "no capability is kept here, so wasmtime is not needed");
        return;
    }
    SEEN(f, "wasmtime was not found");
    f->status = HOST_WARN;
    MEANS(f, "no capability can be called");
    MEND(f, "sh tools/setup wasm (or PLEXUS_WASMTIME=/path/to/libwasmtime.so)");
}

void host_doctor_registry(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_tools *x = calls_of(d, f);
    if (!x)
        return;
    if (x->damaged) {
        SEEN(f, "lines of the index that could not be read: %u", x->damaged);
        f->status = HOST_WARN;
        MEANS(f, "what they name is not there any more");
        MEND(f, "plexus tool ls, then plexus tool add what is missing");
    } else if (x->waiting) {
        SEEN(f, "%u wait to be published: %s", x->waiting,
             *x->waiting_why ? x->waiting_why : "not tried yet");
        f->status = HOST_WARN;
        MEANS(f, "they are kept here, and go out in their order when the registry takes them");
        MEND(f, "let the registry answer, or correct tools.registry in the configuration");
    } else if (!x->capabilities) {
        SKIP(f, "no capability is kept here");
    } else {
        SEEN(f, "nothing waits to be published");
    }
}

void host_doctor_mcp(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_tools *x = calls_of(d, f);
    if (!x)
        return;
    if (!x->servers) {
        SKIP(f, "no external server is configured (mcp.servers)");
        return;
    }
    SEEN(f, "%u of %u answer", x->servers_ready, x->servers);
    if (x->servers_ready < x->servers) {
        SEEN(f, "%u of %u answer; %s: %s", x->servers_ready, x->servers, x->server, x->server_why);
        f->status = HOST_WARN;
        MEANS(f, "its tools cannot be called; it is tried again by itself");
        MEND(f, "correct mcp.servers.%s in the configuration; plexus logs has its last words",
             x->server);
    } else if (x->changed) {
        SEEN(f, "%u of %u answer; tools that are not what they were: %u", x->servers_ready,
             x->servers, x->changed);
        f->status = HOST_WARN;
        MEANS(f, "they are not called until a person has looked at them");
        MEND(f, "plexus tool ls, then plexus tool grant NAME");
    }
}
