/* The one place that speaks of the compiler: attributes used everywhere. */
#ifndef FILEMILL_BASE_COMPILER_H
#define FILEMILL_BASE_COMPILER_H

#define ATTR_PRINTF(fmt_arg, first_arg) [[gnu::format(printf, fmt_arg, first_arg)]]
#define CLEANUP(fn) [[gnu::cleanup(fn)]]
/* The function is compiled twice, and the processor's instructions decide at start which one runs. Both give the same results: no fused operations. */
#if defined(__x86_64__)
#define ATTR_VECTOR __attribute__((target_clones("avx2", "default")))
#else
#define ATTR_VECTOR
#endif
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at address `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
