// vowels.h: the vowels of a text. SPDX-License-Identifier: Apache-2.0
static inline uint64_t vowels(const char *p, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (const char *v = "aeiouAEIOU"; *v; v++)
            count += p[i] == *v;
    return count;
}
