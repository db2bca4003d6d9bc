/* List: an intrusive doubly linked ring. The link sits in the element; no allocation. */
#ifndef SYNOD_BASE_LIST_H
#define SYNOD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

/* Puts `item` at the end of `list`. */
static inline void list_push(struct list *list, struct list *item)
{
    item->prev = list->prev;
    item->next = list;
    list->prev->next = item;
    list->prev = item;
}

/* Takes `item` out of whatever list it is in; harmless for one that is in none (after list_init).
 */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* Moves all items of `from` to the end of `list`; `from` is empty afterwards. */
static inline void list_splice(struct list *list, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = list->prev;
    list->prev->next = from->next;
    from->prev->next = list;
    list->prev = from->prev;
    list_init(from);
}

/* The element of `type` whose member `field` is at `link`. */
#define container_of(link, type, field) ((type *)((char *)(link)-offsetof(type, field)))

/* Walks a list whose current element may be removed inside the loop. */
/* NOLINTBEGIN(bugprone-macro-parentheses): the first argument is a name that is declared here */
#define list_each(at, ring)                                                                        \
    for (struct list *at = (ring)->next, *at##_next = at->next; at != (ring);                      \
         at = at##_next, at##_next = at->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
