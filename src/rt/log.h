/* The structured log: one line an event, key=value text on a terminal, JSON otherwise, on standard error.
 * Values are escaped, so a client's bytes can neither start a line nor colour a terminal. Any thread; a line is one write(2).
 * The sink is one of the three allowed globals. */
#ifndef FILEMILL_RT_LOG_H
#define FILEMILL_RT_LOG_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

struct log_field {
	const char *key;
	enum { LOG_STR, LOG_I64, LOG_BOOL } kind;
	struct str s;
	int64_t i;
};

#define LF_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_STR, .s = (v)})
#define LF_CSTR(k, v) ((struct log_field){.key = (k), .kind = LOG_STR, .s = str_of(v)})
#define LF_INT(k, v) ((struct log_field){.key = (k), .kind = LOG_I64, .i = (int64_t)(v)})
#define LF_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_BOOL, .i = (v)})

/* Once at start, before other threads. LOG_AUTO: text when fd is a terminal. fd is borrowed. */
void log_setup(int fd, enum log_format format, enum log_level least);
bool log_enabled(enum log_level level);
void log_event_n(enum log_level level, const char *event, const struct log_field *fields, unsigned n);

/* log_event(LOG_INFO, "ready", LF_CSTR("listen", addr), LF_INT("port", port)); at least one field */
#define log_event(level, event, ...)                                                                                                       \
	log_event_n(level, event, (const struct log_field[]){__VA_ARGS__},                                                                 \
		    sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* The one report of a failure at the top: code, detail and field of e. */
void log_err(enum log_level level, const char *event, const struct err *e);

#endif
