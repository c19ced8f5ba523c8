// doctor_cards.c: the doctor's checks of NVIDIA cards and of what containers need.
// SPDX-License-Identifier: Apache-2.0
#include "host/doctor_priv.h"

#include <stdlib.h>
#include <string.h>

#define CDI_MEND "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
#define DOCKER_LEAST 24
#define COMPOSE_LEAST 2

// First driver branch that knows cards of a compute capability (NVIDIA's release notes).
static const struct {
    const char *compute;
    long driver;
} branches[] = {{"12.", 570}, {"10.", 570}, {"9.", 525}, {"8.9", 525}, {"8.", 450}};

static const struct host_gpu *nvidia_card(const struct host_profile *h, uint32_t *at)
{
    while (*at < h->gpu_count) {
        const struct host_gpu *g = &h->gpus[(*at)++];
        if (!strcmp(g->vendor, "nvidia"))
            return g;
    }
    return NULL;
}

static bool cards_usable(const struct host_profile *h)
{
    uint32_t at = 0;
    const struct host_gpu *g;
    while ((g = nvidia_card(h, &at)))
        if (g->usable || g->mig)
            return true;
    return false;
}

static const char *driver_package(const struct host_profile *h)
{
    if (!strcmp(h->distro_id, "ubuntu"))
        return "sudo ubuntu-drivers install, then reboot";
    if (!strcmp(h->distro_id, "debian"))
        return "sudo apt install nvidia-driver firmware-misc-nonfree (from contrib and non-free), "
               "then reboot";
    return "install NVIDIA's driver for this system, then reboot";
}

// True when this card's state settled the check.
static bool card_without_driver(const struct host_doctor *d, const struct host_gpu *g,
                                struct host_finding *f)
{
    if (g->usable || g->mig)
        return false;
    if (!strcmp(g->driver, "vfio-pci")) {
        SKIP(f, "%s is kept for a virtual machine", g->name);
        return true;
    }
    f->status = HOST_FAIL;
    SEEN(f, "%s has %s%s", g->name, *g->driver ? "the driver " : "no driver", g->driver);
    MEANS(f, "no engine can use the card");
    MEND(f, "%s", driver_package(d->profile));
    return true;
}

static bool driver_too_old(const struct host_profile *h, const struct host_gpu *g,
                           struct host_finding *f)
{
    long have = strtol(h->nvidia_driver, NULL, 10);
    for (size_t i = 0; i < sizeof branches / sizeof *branches; i++) {
        if (!bytes_starts(bytes_of(g->compute), bytes_of(branches[i].compute)))
            continue;
        if (have <= 0 || have >= branches[i].driver)
            return false;
        f->status = HOST_WARN;
        SEEN(f, "driver %s for %s (compute capability %s)", h->nvidia_driver, g->name, g->compute);
        MEANS(f, "cards of this kind are known from driver %ld on", branches[i].driver);
        MEND(f, "%s", driver_package(h));
        return true;
    }
    return false;
}

void host_doctor_driver(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_profile *h = d->profile;
    const struct host_gpu *g, *first = NULL;
    uint32_t at = 0, count = 0;
    if (*h->gpu_note) {
        // A library without a card (an image made for both) is no harm to anyone.
        f->status = nvidia_card(h, &at) ? HOST_FAIL : HOST_WARN;
        SEEN(f, "%s", h->gpu_note);
        MEANS(f, "the driver does not answer; engines on the card would hang or fail too");
        MEND(f, "sudo dmesg | grep -i nvrm shows why; sudo systemctl reboot often mends it");
        return;
    }
    while ((g = nvidia_card(h, &at))) {
        if (card_without_driver(d, g, f) || driver_too_old(h, g, f))
            return;
        first = first ? first : g;
        count++;
    }
    if (!first) {
        SKIP(f, "no NVIDIA card");
        return;
    }
    SEEN(f, "driver %s, CUDA up to %s, %u card%s", h->nvidia_driver, *h->cuda ? h->cuda : "?",
         count, count == 1 ? "" : "s");
    if (strcmp(first->known_by, "nvml") != 0) {
        f->status = HOST_WARN;
        MEANS(f, "the kernel has the driver, but libnvidia-ml.so.1 is missing: free memory and "
                 "slices are not seen");
        MEND(f, "%s",
             strcmp(h->distro_id, "debian") ? driver_package(h) : "sudo apt install libnvidia-ml1");
    }
}

void host_doctor_mig(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_gpu *g;
    uint32_t at = 0, cards = 0, slices = 0;
    while ((g = nvidia_card(d->profile, &at))) {
        cards += g->mig;
        slices += g->slice_count;
        if (!g->mig || g->slice_count)
            continue;
        f->status = HOST_FAIL;
        SEEN(f, "MIG mode is on, but %s has no slices", g->name);
        MEANS(f, "no engine can use the card");
        MEND(f,
             "sudo nvidia-smi mig -i %s -lgip lists the profiles; then sudo nvidia-smi mig -i %s "
             "-cgi ID -C, "
             "or sudo nvidia-smi -i %s -mig 0",
             g->pci, g->pci, g->pci);
        return;
    }
    if (!cards)
        SKIP(f, "MIG is off");
    else
        SEEN(f, "%u slice%s on %u card%s", slices, slices == 1 ? "" : "s", cards,
             cards == 1 ? "" : "s");
}

// Containers of the config must work; a Docker that is just there is worth a hint.
static bool not_needed(const struct host_doctor *d, struct host_finding *f, bool cards)
{
    if (cards && !cards_usable(d->profile)) {
        SKIP(f, "no NVIDIA card with a driver");
        return true;
    }
    if (d->facts->tools.containers || d->facts->tools.docker_there)
        return false;
    SKIP(f, "no containers are used");
    return true;
}

static enum host_status missing(const struct host_doctor *d)
{
    return d->facts->tools.containers ? HOST_FAIL : HOST_WARN;
}

void host_doctor_toolkit(const struct host_doctor *d, struct host_finding *f)
{
    if (not_needed(d, f, true))
        return;
    if (*d->facts->tools.ctk) {
        SEEN(f, "%s", d->facts->tools.ctk);
        return;
    }
    f->status = missing(d);
    SEEN(f, "no nvidia-ctk on PATH");
    MEANS(f, "containers cannot be given a card");
    MEND(f, "sudo apt install nvidia-container-toolkit (from NVIDIA's repository: "
            "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/)");
}

void host_doctor_cdi(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    const char *driver = d->profile->nvidia_driver;
    if (not_needed(d, f, true))
        return;
    if (!*x->cdi.path) {
        f->status = missing(d);
        SEEN(f, "nothing of NVIDIA in /etc/cdi or /var/run/cdi");
        MEANS(f, "containers cannot get a card by its CDI device name");
        MEND(f, CDI_MEND);
        return;
    }
    SEEN(f, "%s%s%s", x->cdi.path, *x->cdi.driver ? ", driver " : "", x->cdi.driver);
    if (*x->cdi.driver && *driver && strcmp(x->cdi.driver, driver) != 0) {
        f->status = missing(d);
        MEANS(f,
              "it was made for another driver than the one that is loaded (%s): containers will "
              "not start",
              driver);
        MEND(f, CDI_MEND);
    }
}

static void old_or_missing(const struct host_doctor *d, struct host_finding *f, const char *version,
                           long least)
{
    f->status = missing(d);
    SEEN(f, "%s", *version ? version : "not found");
    MEANS(f, "version %ld or newer is needed%s", least,
          least == DOCKER_LEAST ? " (CDI devices come with it)" : "");
    if (!strcmp(d->profile->distro_id, "ubuntu"))
        MEND(f, "sudo apt install docker.io docker-compose-v2");
    else // Debian 12's own package is version 20.10
        MEND(f, "https://docs.docker.com/engine/install/%s", d->profile->distro_id);
}

static long major(const char *version)
{
    return strtol(*version == 'v' ? version + 1 : version, NULL, 10);
}

void host_doctor_docker(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_facts *x = d->facts;
    if (not_needed(d, f, false))
        return;
    if (!x->tools.docker_there || major(x->tools.docker) < DOCKER_LEAST) {
        old_or_missing(d, f, x->tools.docker, DOCKER_LEAST);
        return;
    }
    SEEN(f, "%s", x->tools.docker);
    if (!x->tools.docker_answers) {
        f->status = missing(d);
        SEEN(f, "%s, but its daemon does not answer this user", x->tools.docker);
        MEANS(f, "containers cannot be started");
        MEND(f, "sudo systemctl start docker; sudo usermod -aG docker %s, then log in again",
             *x->user.name ? x->user.name : "$USER");
    }
}

void host_doctor_compose(const struct host_doctor *d, struct host_finding *f)
{
    if (not_needed(d, f, false))
        return;
    if (major(d->facts->tools.compose) < COMPOSE_LEAST)
        old_or_missing(d, f, d->facts->tools.compose, COMPOSE_LEAST);
    else
        SEEN(f, "%s", d->facts->tools.compose);
}
