/* Patterns of string parameters: POSIX extended regular expressions (POSIX.1-2017, XBD 9.4) that must match a whole value.
 *
 * A pattern is compiled for each value: only commands have them, which cost milliseconds, and so the table holds nothing that has to be freed. The program never calls
 * setlocale(), so classes are those of ASCII and a character beyond it is several bytes. */
#include "ops/op_impl.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

/* Not part of the standard, and the one thing that makes glibc's matcher try every way. */
static bool has_back_reference(const char *pattern)
{
	for (const char *p = strchr(pattern, '\\'); p && p[1]; p = strchr(p + 2, '\\'))
		if (p[1] >= '1' && p[1] <= '9')
			return true;
	return false;
}

/* ---- how large it becomes ----
 *
 * glibc writes repetitions out: x+ becomes xx*, x{1,9} nine times x, and so ((x{1,99}){1,99}){1,99} a million. So what a pattern comes to is counted first, roughly. */

#define GROUPS_MAX 32 /* within each other */
#define ATOMS_MAX 4096 /* characters and brackets, repetitions written out */

struct measure {
	size_t closed[GROUPS_MAX + 1]; /* atoms of each open group that nothing can repeat any more but the group */
	size_t depth;
	size_t last; /* of the atom in front, which a repetition would repeat; 0 = none */
	bool repeated; /* it is repeated already */
};

/* Behind the bracket expression that begins at p. A ] right behind [ or [^ is an ordinary one, and so are those of [:alpha:], [.x.] and [=x=]. */
static const char *skip_brackets(const char *p)
{
	const char *end;

	p += p[1] == '^' ? 2 : 1;
	if (*p == ']')
		p++;
	for (; *p && *p != ']'; p++) {
		if (*p != '[' || !p[1] || !strchr(":.=", p[1]))
			continue;
		end = strstr(p + 2, (const char[]){p[1], ']', '\0'});
		if (end)
			p = end + 1;
	}
	return *p ? p + 1 : p;
}

/* How often the repetition at p writes its atom out; *ret_end is behind it. */
static size_t repetitions(const char *p, const char **ret_end)
{
	unsigned long least, most;
	char *end;

	*ret_end = p + 1;
	if (*p != '{')
		return *p == '+' ? 2 : 1;
	least = most = strtoul(p + 1, &end, 10);
	if (*end == ',') {
		most = strtoul(end + 1, &end, 10);
		most = most > least ? most : least + 1;
	}
	*ret_end = *end == '}' ? end + 1 : end;
	return most <= ATOMS_MAX ? most : ATOMS_MAX + 1;
}

static void add_atom(struct measure *m, size_t atoms)
{
	m->closed[m->depth] += m->last;
	m->last = atoms;
	m->repeated = false;
}

static size_t close_group(struct measure *m)
{
	size_t atoms = m->closed[m->depth] + m->last;

	m->last = 0;
	m->depth--;
	return atoms > 0 ? atoms : 1;
}

/* NULL, or what is wrong with it. */
static const char *measure(const char *pattern)
{
	struct measure m = {};

	for (const char *p = pattern; *p;) {
		if (strchr("*+?{", *p)) {
			if (m.repeated)
				return "a repetition of a repetition has no meaning in an extended regular expression";
			m.last *= repetitions(p, &p);
			m.repeated = true;
		} else if (*p == '(') {
			if (m.depth == GROUPS_MAX)
				return "more than 32 groups within each other";
			add_atom(&m, 0);
			m.closed[++m.depth] = 0;
			p++;
		} else if (*p == ')' && m.depth > 0) {
			add_atom(&m, close_group(&m));
			p++;
		} else if (*p == '[') {
			add_atom(&m, 1);
			p = skip_brackets(p);
		} else {
			add_atom(&m, *p != '|');
			p += *p == '\\' && p[1] ? 2 : 1;
		}
		if (m.closed[m.depth] + m.last > ATOMS_MAX)
			return "with its repetitions written out it is longer than 4096 characters";
	}
	return NULL;
}

/* ---- check and match ---- */

int op_pattern_check(const char *pattern, struct err *e)
{
	const char *wrong = measure(pattern);
	regex_t regex;
	char why[80];
	int r;

	if (has_back_reference(pattern))
		wrong = "a back-reference is not part of an extended regular expression";
	if (wrong)
		return err_set(e, ERR_BAD_CONFIG, "%s", wrong);
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
	char *text = malloc(value.len + 1);
	regmatch_t match;
	regex_t regex;
	bool whole;

	if (text) {
		if (value.len > 0)
			memcpy(text, value.p, value.len);
		text[value.len] = '\0';
	}
	if (!text || regcomp(&regex, pattern, REG_EXTENDED) != 0) {
		free(text);
		return false;
	}
	whole = regexec(&regex, text, 1, &match, 0) == 0 && match.rm_so == 0 && (size_t)match.rm_eo == value.len;
	regfree(&regex);
	free(text);
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
