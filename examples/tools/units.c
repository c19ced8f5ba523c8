// units.c: converts between units: "12 km to mi" gives "7.456454 mi". Factors are exact by definition
// (SI brochure; international yard and pound, 1959). SPDX-License-Identifier: Apache-2.0
#include "numbers.h"

enum kind { LENGTH, MASS, TIME, VOLUME, SPEED, AREA, DATA, ENERGY, TEMPERATURE };

static const struct unit {
    const char *name;
    enum kind kind;
    double factor, offset; // value * factor + offset, in the kind's first unit
} units[] = {
    {"m", LENGTH, 1, 0},
    {"km", LENGTH, 1000, 0},
    {"cm", LENGTH, 0.01, 0},
    {"mm", LENGTH, 0.001, 0},
    {"in", LENGTH, 0.0254, 0},
    {"ft", LENGTH, 0.3048, 0},
    {"yd", LENGTH, 0.9144, 0},
    {"mi", LENGTH, 1609.344, 0},
    {"nmi", LENGTH, 1852, 0},
    {"kg", MASS, 1, 0},
    {"g", MASS, 0.001, 0},
    {"mg", MASS, 0.000001, 0},
    {"t", MASS, 1000, 0},
    {"lb", MASS, 0.45359237, 0},
    {"oz", MASS, 0.028349523125, 0},
    {"s", TIME, 1, 0},
    {"ms", TIME, 0.001, 0},
    {"min", TIME, 60, 0},
    {"h", TIME, 3600, 0},
    {"d", TIME, 86400, 0},
    {"wk", TIME, 604800, 0},
    {"l", VOLUME, 1, 0},
    {"ml", VOLUME, 0.001, 0},
    {"m3", VOLUME, 1000, 0},
    {"gal", VOLUME, 3.785411784, 0}, // United States
    {"m/s", SPEED, 1, 0},
    {"km/h", SPEED, 1.0 / 3.6, 0},
    {"mph", SPEED, 0.44704, 0},
    {"kn", SPEED, 1852.0 / 3600, 0},
    {"m2", AREA, 1, 0},
    {"ha", AREA, 10000, 0},
    {"km2", AREA, 1000000, 0},
    {"acre", AREA, 4046.8564224, 0},
    {"B", DATA, 1, 0},
    {"kB", DATA, 1000, 0},
    {"MB", DATA, 1000000, 0},
    {"GB", DATA, 1000000000, 0},
    {"KiB", DATA, 1024, 0},
    {"MiB", DATA, 1048576, 0},
    {"GiB", DATA, 1073741824, 0},
    {"J", ENERGY, 1, 0},
    {"kWh", ENERGY, 3600000, 0},
    {"cal", ENERGY, 4.184, 0},
    {"kcal", ENERGY, 4184, 0},
    {"K", TEMPERATURE, 1, 0},
    {"C", TEMPERATURE, 1, 273.15},
    {"F", TEMPERATURE, 5.0 / 9, 459.67 * 5 / 9},
};

static void blanks(const char **p, const char *end)
{
    while (*p < end && (**p == ' ' || **p == '\n' || **p == '\t'))
        (*p)++;
}

static const struct unit *unit_take(const char **p, const char *end)
{
    blanks(p, end);
    const char *from = *p;
    while (*p < end && **p != ' ' && **p != '\n' && **p != '\t')
        (*p)++;
    size_t n = (size_t)(*p - from);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (pdk_strlen(units[i].name) == n && memcmp(units[i].name, from, n) == 0)
            return &units[i];
    return NULL;
}

PDK_TOOL(convert)
{
    size_t n;
    double value;
    const char *p = pdk_input(&n), *end = p + n;
    if (!p)
        return pdk_error("out of memory");
    blanks(&p, end);
    if (!number_take(&p, end, &value))
        return pdk_error("write it so: 12 km to mi");
    const struct unit *from = unit_take(&p, end);
    blanks(&p, end);
    if (end - p > 3 && p[0] == 't' && p[1] == 'o' && p[2] == ' ')
        p += 3;
    const struct unit *to = unit_take(&p, end);
    if (!from || !to)
        return pdk_error("this unit is not known");
    if (from->kind != to->kind)
        return pdk_error("these units measure different things");
    struct pdk_out o = {0};
    number_put(&o, (value * from->factor + from->offset - to->offset) / to->factor);
    pdk_putc(&o, ' ');
    pdk_puts(&o, to->name);
    return pdk_done(&o);
}
