// time.h: clocks. mono counts also while the machine sleeps (CLOCK_BOOTTIME); wall may jump.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_TIME_H
#define PLEXUS_BASE_TIME_H

#include <stdint.h>

#define TIME_NEVER INT64_MAX

uint64_t time_mono_ns(void);
int64_t time_mono_ms(void);
int64_t time_wall_ms(void); // since 1970 UTC
// RFC 3339 UTC with milliseconds, "2026-01-31T12:00:00.000Z" (24 characters + NUL).
#define TIME_TEXT_LEN 24
void time_text(int64_t wall_ms, char text[TIME_TEXT_LEN + 1]);

#ifdef PLEXUS_FAULTS
// Of test builds: other clocks instead of the machine's; NULL: the machine's.
void time_fault_set(uint64_t (*mono_ns)(void), int64_t (*wall_ms)(void));
#endif

#endif
