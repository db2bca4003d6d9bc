#include "base/panic.h"

#include <stddef.h>

static panic_hook_fn panic_hook;

void panic_set_hook(panic_hook_fn hook)
{
    panic_hook = hook;
}

noreturn void panic_at(const char *file, int line, const char *what)
{
    if (panic_hook != NULL)
        panic_hook(file, line, what);
    __builtin_trap();
}
