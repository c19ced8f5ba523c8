// doctor_boot.c: checks that a node starts by, too: what fails here stops the start. Who owns what,
// the clock against the node's certificate, engines that other machines could reach. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "host/doctor_priv.h"

#include "base/time.h"
#include <stdio.h>
#include <string.h>

#define CLOCK_SKEW_S 60 // as the members of a mesh allow each other

static const char *user_of(const struct host_facts *x)
{
    return *x->user.name ? x->user.name : "$(id -u)";
}

void host_doctor_data(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    if (!*x->data.path) {
        SKIP(f, "no data folder was named");
        return;
    }
    if (!x->data.writable) {
        f->status = HOST_FAIL;
        SEEN(f, "%s cannot be written by this user%s",
             x->data.exists ? x->data.path : x->data.nearest,
             x->data.exists ? "" : ", so the data folder cannot be made");
        MEANS(f, "nothing can be kept: no journal, no models, no keys");
        if (x->data.exists)
            MEND(f, "sudo chown -R %s %s", user_of(x), x->data.path);
        else
            MEND(f, "sudo install -d -o %s -m 0750 %s", user_of(x), x->data.path);
        return;
    }
    if (!x->data.exists) {
        SEEN(f, "%s will be made", x->data.path);
        return;
    }
    SEEN(f, "%s, owner %u, mode %04o", x->data.path, x->data.uid, x->data.mode);
    if (x->user.known && x->data.uid != x->user.uid && x->user.uid != 0) {
        f->status = HOST_FAIL;
        MEANS(f, "the folder belongs to someone else, who may change it under the node");
        MEND(f, "sudo chown -R %s %s", user_of(x), x->data.path);
    } else if (x->data.mode & 022) {
        f->status = HOST_FAIL;
        MEANS(f, "other users of this machine may change what is in it: keys, too");
        MEND(f, "chmod go-w %s", x->data.path);
    } else if (x->data.mode & 07) {
        f->status = HOST_WARN;
        MEANS(f, "every user of this machine can look into the folder");
        MEND(f, "chmod o-rwx %s", x->data.path);
    }
}

// What is wrong with one of them, 0: nothing; more is worse.
static int wrong(const struct host_facts *x, const struct host_secret *s)
{
    if (x->user.known && x->user.uid != 0 && s->uid != x->user.uid)
        return 2;
    return (s->mode & (s->folder ? 022u : 077u)) != 0;
}

void host_doctor_secrets(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    const struct host_secret *worst = NULL;
    uint32_t count = 0, files = 0;
    for (uint32_t i = 0; i < x->secret_count; i++) {
        const struct host_secret *s = &x->secrets[i];
        files += !s->folder;
        count += wrong(x, s) != 0;
        if (wrong(x, s) > (worst ? wrong(x, worst) : 0))
            worst = s;
    }
    if (!files) {
        SKIP(f, "no keys are kept here yet");
        return;
    }
    if (!worst) {
        SEEN(f, "%u file%s, readable by the node alone", files, files == 1 ? "" : "s");
        return;
    }
    f->status = HOST_FAIL;
    SEEN(f, "%s, owner %u, mode %04o%s", worst->path, worst->uid, worst->mode,
         count > 1 ? ", and others like it" : "");
    if (wrong(x, worst) == 2) {
        MEANS(f, "it belongs to someone else, who can read and change the keys of this node");
        MEND(f, "sudo chown %s %s", user_of(x), worst->path);
    } else if (worst->folder) {
        MEANS(f, "other users of this machine can put keys of their own in their place");
        MEND(f, "chmod go-w %s", worst->path);
    } else {
        MEANS(f, "other users of this machine can read the keys of this node");
        MEND(f, "chmod go-rwx %s", worst->path);
    }
}

static void put_second(int64_t s, char text[TIME_TEXT_LEN + 1])
{
    time_text(s * 1000, text);
    memcpy(text + 19, "Z", 2); // without milliseconds
}

// true: the certificate says that the clock is wrong, or may be.
static bool against_certificate(const struct host_facts *x, struct host_finding *f)
{
    char now[TIME_TEXT_LEN + 1], then[TIME_TEXT_LEN + 1];
    put_second(x->wall_s, now);
    if (x->wall_s && x->cert_from_s && x->wall_s + CLOCK_SKEW_S < x->cert_from_s) {
        put_second(x->cert_from_s, then);
        f->status = HOST_FAIL;
        SEEN(f, "it says %s, and this node's certificate begins at %s", now, then);
        MEANS(f, "the clock went back: other nodes refuse this one, and tokens that ended count");
        return true;
    }
    if (x->wall_s && x->cert_to_s && x->wall_s > x->cert_to_s) {
        put_second(x->cert_to_s, then);
        f->status = HOST_WARN;
        SEEN(f, "it says %s, and this node's certificate ended at %s", now, then);
        MEANS(f, "the node was off for longer than that, or the clock jumped ahead");
        return true;
    }
    return false;
}

void host_doctor_clock(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    bool unsynchronised = strcmp(x->clock, "unsynchronised") == 0;
    char now[TIME_TEXT_LEN + 1], then[TIME_TEXT_LEN + 1];
    if (!against_certificate(x, f)) {
        if (x->wall_s && x->wall_s < HOST_SINCE_S) {
            put_second(x->wall_s, now);
            put_second(HOST_SINCE_S, then);
            f->status = HOST_WARN;
            SEEN(f, "it says %s, and this plexus was made after %s", now, then);
            MEANS(f, "what others signed seems not to be valid yet");
        } else if (unsynchronised) {
            f->status = HOST_WARN;
            SEEN(f, "%s", x->clock);
            MEANS(f, "certificates, tokens and records from other nodes may seem expired or not "
                     "yet valid");
        } else if (*x->clock) {
            SEEN(f, "%s", x->clock);
        } else {
            SKIP(f, "the kernel does not say");
        }
    }
    if (f->status == HOST_WARN || f->status == HOST_FAIL)
        MEND(f, "%ssudo timedatectl set-ntp true", *d->profile->container ? "on the host: " : "");
}

void host_doctor_listeners(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    const struct host_open *bad = NULL;
    for (uint32_t i = 0; i < x->open_count; i++)
        if (!x->open[i].wanted && !bad)
            bad = &x->open[i];
    if (!x->engine_count) {
        SKIP(f, "no engine runs");
    } else if (!x->open_count) {
        SEEN(f, "%u running, all of them reachable from this machine alone", x->engine_count);
    } else {
        const struct host_open *one = bad ? bad : &x->open[0];
        f->status = bad ? HOST_FAIL : HOST_WARN;
        SEEN(f, "the engine of %s listens on %s", one->model, one->address);
        MEANS(f, "other machines can use it without key, limit or label%s",
              bad ? "" : ", as models.X.expose allows");
        MEND(f, "let it listen on 127.0.0.1%s", bad ? ", or set expose: true for the model" : "");
    }
}
