/* Blocks of nghttp2's. Those inside the pages have no header: none is ever freed by itself. */
#include "front/etcd/session_memory.h"

#include <string.h>
#include <sys/mman.h>

#define PAGES_SIZE ((size_t)28 * 1024)
#define ALIGN ((size_t)16)
/* Zeroed blocks from this size on are tables that are empty at first. */
#define TABLE_SIZE ((size_t)4096)

struct block {
    size_t size; /* of the whole, this included */
    uint64_t align;
};

static bool in_pages(const struct session_memory *memory, const void *at)
{
    const uint8_t *byte = at;
    return memory->pages != NULL && byte >= memory->pages && byte < memory->pages + PAGES_SIZE;
}

/* Rounds the size up; false: there is no room. */
static bool has_room(const struct session_memory *memory, size_t *size)
{
    *size = (*size + ALIGN - 1) & ~(ALIGN - 1);
    return memory->opening && *size <= memory->back - memory->front;
}

/* NULL: there is no room. */
static void *take_front(struct session_memory *memory, size_t size)
{
    if (!has_room(memory, &size))
        return NULL;
    memory->front += size;
    return memory->pages + memory->front - size;
}

/* Fresh pages are zeros, and each of these is taken once. */
static void *take_back(struct session_memory *memory, size_t size)
{
    if (size < TABLE_SIZE || !has_room(memory, &size))
        return NULL;
    memory->back -= size;
    return memory->pages + memory->back;
}

static void *block_new(struct session_memory *memory, size_t size)
{
    struct block *block = mem_alloc(memory->mem, size + sizeof *block);
    block->size = size + sizeof *block;
    return block + 1;
}

static void *memory_alloc(size_t size, void *user)
{
    void *at = take_front(user, size);
    return at != NULL ? at : block_new(user, size);
}

static void *memory_zero(size_t count, size_t size, void *user)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *at = take_back(user, total);
    return at != NULL ? at : memset(memory_alloc(total, user), 0, total);
}

static void memory_free(void *at, void *user)
{
    struct session_memory *memory = user;
    if (at == NULL || in_pages(memory, at))
        return;
    struct block *block = (struct block *)at - 1;
    mem_free(memory->mem, block, block->size);
}

static void *memory_resize(void *at, size_t size, void *user)
{
    struct session_memory *memory = user;
    if (at == NULL)
        return memory_alloc(size, user);
    if (in_pages(memory, at)) { /* its size is not known, but it ends where the pages do */
        size_t most = (size_t)(memory->pages + PAGES_SIZE - (uint8_t *)at);
        return memcpy(block_new(memory, size), at, size < most ? size : most);
    }
    struct block *block = (struct block *)at - 1;
    block = mem_resize(memory->mem, block, block->size, size + sizeof *block);
    block->size = size + sizeof *block;
    return block + 1;
}

void session_memory_open(struct session_memory *memory, struct mem *mem)
{
    void *pages =
        mmap(NULL, PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *memory = (struct session_memory){.mem = mem, .back = PAGES_SIZE};
    memory->pages = pages == MAP_FAILED ? NULL : pages;
    memory->opening = memory->pages != NULL;
}

void session_memory_opened(struct session_memory *memory)
{
    memory->opening = false;
}

void session_memory_close(struct session_memory *memory)
{
    if (memory->pages != NULL)
        (void)munmap(memory->pages, PAGES_SIZE);
}

nghttp2_mem session_memory_functions(struct session_memory *memory)
{
    return (nghttp2_mem){.mem_user_data = memory,
                         .malloc = memory_alloc,
                         .free = memory_free,
                         .calloc = memory_zero,
                         .realloc = memory_resize};
}
