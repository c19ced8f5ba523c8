// time.c: clocks.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include <stdio.h>
#include <time.h>

#ifdef PLEXUS_FAULTS
static uint64_t (*fault_mono_ns)(void);
static int64_t (*fault_wall_ms)(void);

void time_fault_set(uint64_t (*mono_ns)(void), int64_t (*wall_ms)(void))
{
    fault_mono_ns = mono_ns;
    fault_wall_ms = wall_ms;
}
#endif

uint64_t time_mono_ns(void)
{
    struct timespec t;
#ifdef PLEXUS_FAULTS
    if (fault_mono_ns)
        return fault_mono_ns();
#endif
#ifdef __linux__
    clock_gettime(CLOCK_BOOTTIME, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t); // on macOS it counts during sleep
#endif
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t time_mono_ms(void)
{
    return (int64_t)(time_mono_ns() / 1000000u);
}

int64_t time_wall_ms(void)
{
    struct timespec t;
#ifdef PLEXUS_FAULTS
    if (fault_wall_ms)
        return fault_wall_ms();
#endif
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void time_text(int64_t wall_ms, char text[TIME_TEXT_LEN + 1])
{
    int64_t part_ms = wall_ms % 1000 + (wall_ms % 1000 < 0 ? 1000 : 0); // also before 1970
    time_t seconds = (time_t)((wall_ms - part_ms) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char part[64];
    (void)snprintf(part, sizeof(part), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)part_ms);
    for (int i = 0; i <= TIME_TEXT_LEN; i++)
        text[i] = part[i];
    text[TIME_TEXT_LEN] = 0;
}
