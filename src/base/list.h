// list.h: intrusive doubly linked ring. A zeroed head is not valid: list_init first.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_LIST_H
#define PLEXUS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_add_tail(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}
static inline void list_add_head(struct list *head, struct list *item)
{
    list_add_tail(head->next, item);
}
// Leaves the item as an empty ring, so removing twice is harmless.
static inline void list_del(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

#define list_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
// The current item may be removed inside.
#define list_each_safe(it, head)                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
