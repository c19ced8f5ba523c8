// numbers.h: decimal numbers in and out, for the example tools. SPDX-License-Identifier: Apache-2.0
#ifndef NUMBERS_H
#define NUMBERS_H

#include "plexus_pdk.h"

// Reads [-]digits[.digits][e[-]digits] and moves *p behind it. false: there is no number.
static inline bool number_take(const char **p, const char *end, double *ret)
{
    const char *at = *p;
    bool minus = at < end && *at == '-', any = false;
    double value = 0, scale = 1;
    at += minus;
    for (; at < end && *at >= '0' && *at <= '9'; at++, any = true)
        value = value * 10 + (*at - '0');
    if (at < end && *at == '.')
        for (at++; at < end && *at >= '0' && *at <= '9'; at++, any = true)
            value += (*at - '0') / (scale *= 10);
    if (!any)
        return false;
    if (at + 1 < end && (*at == 'e' || *at == 'E') &&
        ((at[1] >= '0' && at[1] <= '9') || (at[1] == '-' && at + 2 < end))) {
        bool small = *++at == '-';
        int power = 0;
        for (at += small; at < end && *at >= '0' && *at <= '9' && power < 400; at++)
            power = power * 10 + (*at - '0');
        for (; power; power--)
            value = small ? value / 10 : value * 10;
    }
    *ret = minus ? -value : value;
    *p = at;
    return true;
}

// Up to six places behind the point, without trailing zeros; large ones with their power of ten.
static inline void number_put(struct pdk_out *o, double value)
{
    int power = 0;
    if (value != value) {
        pdk_puts(o, "not a number");
        return;
    }
    if (value < 0) {
        pdk_putc(o, '-');
        value = -value;
    }
    if (value >= 1e15)
        for (; value >= 10 && power < 400; power++)
            value /= 10;
    uint64_t whole = (uint64_t)value, part = (uint64_t)((value - (double)whole) * 1e6 + 0.5);
    if (part >= 1000000) {
        whole++;
        part -= 1000000;
    }
    pdk_putu(o, whole);
    if (part) {
        char digits[6];
        size_t n = 6;
        for (size_t i = 6; i; i--, part /= 10)
            digits[i - 1] = (char)('0' + part % 10);
        while (digits[n - 1] == '0')
            n--;
        pdk_putc(o, '.');
        pdk_add(o, digits, n);
    }
    if (power) {
        pdk_putc(o, 'e');
        pdk_putu(o, (uint64_t)power);
    }
}

#endif
