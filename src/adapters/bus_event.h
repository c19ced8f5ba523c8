// bus_event.h: a message of the bus as a CloudEvent, and back.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_EVENT_H
#define PLEXUS_ADAPTERS_BUS_EVENT_H

#include "adapters/bus_priv.h"
#include "text/cloudevent.h"

struct bus_event {
    struct cloudevent event;
    char time[40], id[64]; // where they were not given
};
// What the publisher left out is filled in. Slices of m and of ret.
void bus_event_of(struct bus_core *c, const struct bus_msg *m, struct bus_event *ret);
// The other way: everything but the subject on the bus, reply and what deliveries have. An event of
// a stranger that lacks things gets empty ones.
void bus_event_msg(const struct cloudevent *c, struct bus_msg *m);

#endif
