/* Patterns of string parameters: POSIX extended regular expressions (POSIX.1-2017, XBD 9.4) that must match a whole value.
 *
 * A pattern is compiled for each value: only commands have them, which cost milliseconds, and so the table holds nothing that has to be freed. The program never calls
 * setlocale(), so classes are those of ASCII and a character beyond it is several bytes. */
#include "ops/op_impl.h"

#include <regex.h>
#include <string.h>

/* Not part of the standard, and the one thing that makes glibc's matcher try every way. */
static bool has_back_reference(const char *pattern)
{
	for (const char *p = strchr(pattern, '\\'); p && p[1]; p = strchr(p + 2, '\\'))
		if (p[1] >= '1' && p[1] <= '9')
			return true;
	return false;
}

int op_pattern_check(const char *pattern, struct err *e)
{
	regex_t regex;
	char why[80];
	int r;

	if (has_back_reference(pattern))
		return err_set(e, ERR_BAD_CONFIG, "a back-reference is not part of an extended regular expression");
	r = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (r == REG_ESPACE)
		return err_set(e, ERR_NO_MEMORY, "no memory for a regular expression");
	if (r != 0) {
		regerror(r, &regex, why, sizeof(why));
		return err_set(e, ERR_BAD_CONFIG, "not an extended regular expression: %s", why);
	}
	regfree(&regex);
	return 0;
}

/* Leftmost and longest is what the standard promises, so a pattern that can match the whole value does. Putting ^( and )$ around it instead would let `a)|(b` escape. */
bool op_pattern_matches(const char *pattern, struct str value)
{
	regmatch_t match = {.rm_so = 0, .rm_eo = (regoff_t)value.len};
	regex_t regex;
	bool whole;

	if (regcomp(&regex, pattern, REG_EXTENDED) != 0)
		return false;
	whole = regexec(&regex, value.p ? value.p : "", 1, &match, REG_STARTEND) == 0 && match.rm_so == 0 &&
		(size_t)match.rm_eo == value.len;
	regfree(&regex);
	return whole;
}

/* ECMA-262 reads most expressions alike. It knows no classes such as [:alpha:], gives a backslash inside brackets a meaning, lets ] close empty brackets, has groups
 * that begin with (? and letters that mean something behind a backslash. */
bool op_pattern_is_portable(const char *pattern)
{
	bool in_brackets = false;

	for (const char *p = pattern; *p; p++) {
		if (in_brackets) {
			if (*p == '\\' || *p == '[')
				return false;
			in_brackets = *p != ']';
		} else if (*p == '\\') {
			p++;
			if (*p == '\0' || !strchr(".[]()*+?{}|^$\\/", *p))
				return false;
		} else if (*p == '[') {
			in_brackets = true;
			if (p[1] == ']' || (p[1] == '^' && p[2] == ']'))
				return false;
		} else if (*p == '(' && p[1] == '?') {
			return false;
		}
	}
	return true;
}
