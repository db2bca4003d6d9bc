/* Panic: the loud end of a process whose own invariant is broken. On in every build.
 *
 * ensure(x) states what must hold whatever the world does; it is never used on bytes that came from
 * a disk, a wire or a client: those get a status. The hook prints and ends the process; a test or
 * the simulator may install its own, which must not return. */
#ifndef SYNOD_BASE_PANIC_H
#define SYNOD_BASE_PANIC_H

#include <stdnoreturn.h>

typedef void (*panic_hook_fn)(const char *file, int line, const char *what);

/* Installs the hook that panic() calls. Without one, panic() traps. */
void panic_set_hook(panic_hook_fn hook);

noreturn void panic_at(const char *file, int line, const char *what);

#define panic(what) panic_at(__FILE__, __LINE__, (what))
#define ensure(condition)                                                                          \
    (__builtin_expect(!!(condition), 1)                                                            \
         ? (void)0                                                                                 \
         : panic_at(__FILE__, __LINE__, "broken invariant: " #condition))

#endif
