// bus_faulty.h: a bus around another one that does what networks do, from a seed, and keeps the
// contract of port/bus.h: for tests and the simulator.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_FAULTY_H
#define PLEXUS_ADAPTERS_BUS_FAULTY_H

#include "port/bus.h"

struct bus_faults { // chances in a thousand
    uint64_t seed;
    uint32_t full;         // a call is refused with E_FULL
    uint32_t twice;        // a message out of the store is delivered once more
    uint32_t delay_ms_max; // each delivery waits up to so long; the order stays
    uint32_t lose;         // each 10 ms: the connection is lost
    uint32_t lost_ms_max;  // and is back after up to so long
};
int bus_faulty_open(int (*open)(const struct bus_args *args, struct bus **ret, struct err *e),
                    const struct bus_args *args, const struct bus_faults *faults, struct bus **ret,
                    struct err *e);
// By hand: lost until bus_faulty_back. What could not be acknowledged meanwhile comes again.
void bus_faulty_lose(struct bus *b);
void bus_faulty_back(struct bus *b);

#endif
