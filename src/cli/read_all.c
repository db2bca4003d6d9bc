/* Read all: see read_all.h.
 *
 * Nothing here limits sizes; the server does, and its message says what the limit is. */
#include "cli/read_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool read_all(const char *path, const char *command, uint8_t **ret_data, size_t *ret_size)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;
    size_t capacity = 0;
    bool good = in != NULL;
    while (good) {
        if (size + 1 >= capacity) {
            capacity = capacity == 0 ? 64 * 1024 : capacity * 2;
            uint8_t *grown = realloc(data, capacity);
            good = grown != NULL;
            data = good ? grown : data;
            if (!good)
                break;
        }
        size_t got = fread(data + size, 1, capacity - size - 1, in);
        size += got;
        if (got == 0) {
            good = !ferror(in);
            break;
        }
    }
    if (!good) {
        fprintf(stderr, "synod %s: %s: %s\n", command, path, strerror(errno));
        free(data);
        data = NULL;
    } else {
        data[size] = 0;
    }
    if (in != NULL && !standard)
        fclose(in);
    *ret_data = data;
    *ret_size = good ? size : 0;
    return good;
}

bool lease_parse(const char *text, int64_t *ret_id)
{
    char *end = NULL;
    if (text[0] == '-' || text[0] == '+' || text[0] == ' ')
        return false;
    errno = 0;
    unsigned long long id = strtoull(text, &end, 16);
    *ret_id = (int64_t)id;
    return end != text && *end == '\0' && errno == 0;
}
