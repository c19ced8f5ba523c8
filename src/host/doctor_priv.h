// doctor_priv.h: what the doctor's checks share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HOST_DOCTOR_PRIV_H
#define PLEXUS_HOST_DOCTOR_PRIV_H

#include "host/host_priv.h"

struct host_doctor {
    const struct host_facts *facts;
    const struct host_profile *profile;
};
// The finding comes zeroed: status ok, empty texts.
struct host_check {
    const char *id, *title;
    void (*fn)(const struct host_doctor *d, struct host_finding *f);
    bool boot; // a start depends on it
};
void host_doctor_say(char *to, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define SEEN(f, ...) host_doctor_say((f)->seen, sizeof(f)->seen, __VA_ARGS__)
#define MEANS(f, ...) host_doctor_say((f)->means, sizeof(f)->means, __VA_ARGS__)
#define MEND(f, ...) host_doctor_say((f)->mend, sizeof(f)->mend, __VA_ARGS__)
#define SKIP(f, ...) ((f)->status = HOST_SKIP, SEEN(f, __VA_ARGS__))

// doctor_cards.c: cards and containers.
void host_doctor_driver(const struct host_doctor *d, struct host_finding *f);
void host_doctor_mig(const struct host_doctor *d, struct host_finding *f);
void host_doctor_toolkit(const struct host_doctor *d, struct host_finding *f);
void host_doctor_cdi(const struct host_doctor *d, struct host_finding *f);
void host_doctor_docker(const struct host_doctor *d, struct host_finding *f);
void host_doctor_compose(const struct host_doctor *d, struct host_finding *f);

// doctor_boot.c: what a start depends on.
void host_doctor_data(const struct host_doctor *d, struct host_finding *f);
void host_doctor_secrets(const struct host_doctor *d, struct host_finding *f);
void host_doctor_clock(const struct host_doctor *d, struct host_finding *f);
void host_doctor_listeners(const struct host_doctor *d, struct host_finding *f);

// doctor_mesh.c: the mesh and the alerts; skipped without a running node.
void host_doctor_nodes(const struct host_doctor *d, struct host_finding *f);
void host_doctor_certificate(const struct host_doctor *d, struct host_finding *f);
void host_doctor_authority(const struct host_doctor *d, struct host_finding *f);
void host_doctor_datagrams(const struct host_doctor *d, struct host_finding *f);
void host_doctor_versions(const struct host_doctor *d, struct host_finding *f);
void host_doctor_streams(const struct host_doctor *d, struct host_finding *f);
void host_doctor_alerts(const struct host_doctor *d, struct host_finding *f);

// doctor_flows.c: durable flows; skipped without a running node.
void host_doctor_sandbox(const struct host_doctor *d, struct host_finding *f);
void host_doctor_wasm(const struct host_doctor *d, struct host_finding *f);
void host_doctor_registry(const struct host_doctor *d, struct host_finding *f);
void host_doctor_mcp(const struct host_doctor *d, struct host_finding *f);
void host_doctor_journal(const struct host_doctor *d, struct host_finding *f);
void host_doctor_libjq(const struct host_doctor *d, struct host_finding *f);

#endif
