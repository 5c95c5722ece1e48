/* The one place that speaks of the compiler: attributes used everywhere. */
#ifndef FILEMILL_BASE_COMPILER_H
#define FILEMILL_BASE_COMPILER_H

#define ATTR_PRINTF(fmt_arg, first_arg) [[gnu::format(printf, fmt_arg, first_arg)]]
#define CLEANUP(fn) [[gnu::cleanup(fn)]]
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at address `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
