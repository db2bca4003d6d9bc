/* A postbox is two buffers that change places: one is filled while the other is read. Letters lie
 * in it one after the other, each followed by its bytes and padding. */
#include "front/etcd/postbox.h"

#include <string.h>

#define LETTER_ALIGN ((size_t)16)
#define KEPT_BYTES ((size_t)1024 * 1024) /* a larger buffer is given back when it was read */

enum status postbox_init(struct postbox *box, const struct mem *mem)
{
    if (uv_mutex_init(&box->mutex) != 0)
        return STATUS_NO_MEMORY;
    box->mem = (struct mem){.resize = mem->resize};
    buffer_init(&box->waiting, &box->mem, SIZE_MAX / 2);
    buffer_init(&box->opened, &box->mem, SIZE_MAX / 2);
    return STATUS_OK;
}

void postbox_release(struct postbox *box)
{
    buffer_release(&box->waiting);
    buffer_release(&box->opened);
    uv_mutex_destroy(&box->mutex);
}

static size_t letter_size(const struct letter *letter)
{
    return (sizeof *letter + letter->size + LETTER_ALIGN - 1) & ~(LETTER_ALIGN - 1);
}

size_t postbox_post(struct postbox *box, const struct letter *letter, struct bytes bytes)
{
    uv_mutex_lock(&box->mutex);
    struct letter *at = (struct letter *)(void *)buffer_extend(&box->waiting, letter_size(letter));
    *at = *letter;
    if (bytes.size > 0)
        memcpy(at + 1, bytes.data, bytes.size);
    size_t waiting = box->waiting.size;
    uv_mutex_unlock(&box->mutex);
    return waiting;
}

static void postbox_open(struct postbox *box)
{
    uv_mutex_lock(&box->mutex);
    struct buffer empty = box->opened;
    box->opened = box->waiting;
    box->waiting = empty;
    uv_mutex_unlock(&box->mutex);
}

static void postbox_clear(struct postbox *box)
{
    uv_mutex_lock(&box->mutex);
    if (box->opened.capacity > KEPT_BYTES)
        buffer_release(&box->opened);
    else
        buffer_clear(&box->opened);
    uv_mutex_unlock(&box->mutex);
}

size_t postbox_empty(struct postbox *box,
                     void (*read)(void *owner, const struct letter *letter, struct bytes bytes),
                     void *owner)
{
    postbox_open(box);
    size_t size = box->opened.size;
    for (size_t at = 0; at < size;) {
        const struct letter *letter = (const struct letter *)(void *)(box->opened.data + at);
        read(owner, letter, bytes_of(letter + 1, letter->size));
        at += letter_size(letter);
    }
    postbox_clear(box);
    return size;
}
