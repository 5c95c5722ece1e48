/* Read by clang-tidy before every file but base/err.c: what the analyzer cannot see, that these always return a negative code (docs/adr/0004). */
#include "base/err.h"

static inline int analyzer_negative(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}

#define err_set(...) analyzer_negative(err_set(__VA_ARGS__))
#define err_errno(...) analyzer_negative(err_errno(__VA_ARGS__))
#define err_wrap(...) analyzer_negative(err_wrap(__VA_ARGS__))
#define err_field(...) analyzer_negative(err_field(__VA_ARGS__))
#define err_limit(...) analyzer_negative(err_limit(__VA_ARGS__))
