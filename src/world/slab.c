/* Pages of 64 KiB, aligned to their size, so that a block's page is found from its address.
 *
 * The one invariant: a page is in the list of its size exactly if it has a free block and one in
 * use; without any in use it is in the list of empty pages; full, it is in none. */
#include "world/slab.h"

#include "base/panic.h"

#include <stdint.h>
#include <sys/mman.h>

#define PAGE_SIZE ((size_t)64 * 1024)
#define REGION_SIZE ((size_t)2 * 1024 * 1024)
/* Beyond so many regions a page is asked for at once and not fault by fault: whoever has so much
 * will use it. Huge pages cost less still, but the one request that meets one waits for two
 * megabytes to be cleared: the slowest hundredth of the puts took half as long again. */
#define REGIONS_SMALL 4U
/* More empty pages than these give their memory back to the system. */
#define EMPTY_KEPT 64U
#define SYSTEM_PAGE ((size_t)4096)

struct block {
    struct block *next;
};

struct page {
    struct list link;
    struct block *freed;
    uint32_t fresh; /* offset of the first block that was never handed out */
    uint32_t used;
    uint32_t size;
    bool returned; /* empty, and its memory was given back but for this head */
};

#define PAGE_FIRST ((sizeof(struct page) + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP)

static size_t class_of(size_t size)
{
    return (size - 1) / SLAB_STEP;
}

static struct page *page_of(void *block)
{
    return (struct page *)((uintptr_t)block & ~(uintptr_t)(PAGE_SIZE - 1));
}

void slabs_init(struct slabs *slabs)
{
    *slabs = (struct slabs){.empty_count = 0};
    for (size_t i = 0; i < SLAB_CLASSES; i++)
        list_init(&slabs->roomy[i]);
    list_init(&slabs->empty);
}

/* Maps twice as much as is needed and keeps the aligned half. */
static uint8_t *region_map(void)
{
    uint8_t *at =
        mmap(NULL, 2 * REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = (REGION_SIZE - ((uintptr_t)at & (REGION_SIZE - 1))) & (REGION_SIZE - 1);
    if (before > 0)
        (void)munmap(at, before);
    (void)munmap(at + before + REGION_SIZE, REGION_SIZE - before);
    return at + before;
}

static bool slabs_grow(struct slabs *slabs)
{
    uint8_t *region = region_map();
    if (region == NULL)
        return false;
    slabs->regions++;
    for (size_t at = 0; at < REGION_SIZE; at += PAGE_SIZE) {
        struct page *page = (struct page *)(void *)(region + at);
        list_push(&slabs->empty, &page->link);
        slabs->empty_count++;
    }
    return true;
}

/* An empty page, cut for blocks of this class. */
static struct page *page_take(struct slabs *slabs, size_t class)
{
    if (list_empty(&slabs->empty) && !slabs_grow(slabs))
        return NULL;
    /* The one that was emptied last: its memory is still there, and in the cache. */
    struct page *page = container_of(slabs->empty.prev, struct page, link);
    list_remove(&page->link);
    slabs->empty_count--;
    if (slabs->regions > REGIONS_SMALL)
        (void)madvise(page, PAGE_SIZE, MADV_POPULATE_WRITE);
    page->freed = NULL;
    page->fresh = PAGE_FIRST;
    page->used = 0;
    page->size = (uint32_t)((class + 1) * SLAB_STEP);
    page->returned = false;
    list_push(&slabs->roomy[class], &page->link);
    return page;
}

static bool page_full(const struct page *page)
{
    return page->freed == NULL && page->fresh + page->size > PAGE_SIZE;
}

void *slabs_alloc(struct slabs *slabs, size_t size)
{
    size_t class = class_of(size);
    struct list *roomy = &slabs->roomy[class];
    struct page *page =
        list_empty(roomy) ? page_take(slabs, class) : container_of(roomy->next, struct page, link);
    if (page == NULL)
        return NULL;
    struct block *block = page->freed;
    if (block != NULL) {
        page->freed = block->next;
    } else {
        block = (struct block *)(void *)((uint8_t *)page + page->fresh);
        page->fresh += page->size;
    }
    page->used++;
    if (page_full(page))
        list_remove(&page->link);
    return block;
}

static void page_empty(struct slabs *slabs, struct page *page)
{
    list_remove(&page->link);
    list_push(&slabs->empty, &page->link);
    slabs->empty_count++;
    if (slabs->empty_count <= EMPTY_KEPT || page->returned)
        return;
    page->returned = true;
    (void)madvise((uint8_t *)page + SYSTEM_PAGE, PAGE_SIZE - SYSTEM_PAGE, MADV_DONTNEED);
}

void slabs_free(struct slabs *slabs, void *at, size_t size)
{
    struct page *page = page_of(at);
    struct block *block = at;
    ensure(page->size == (class_of(size) + 1) * SLAB_STEP);
    bool was_full = page_full(page);
    block->next = page->freed;
    page->freed = block;
    if (was_full)
        list_push(&slabs->roomy[class_of(size)], &page->link);
    if (--page->used == 0)
        page_empty(slabs, page);
}
