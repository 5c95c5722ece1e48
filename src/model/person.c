/* Rules for what people are called. */
#include "model/account.h"

#include <string.h>

#define EMAIL_LOCAL_MAX 64 /* bytes (RFC 5321 §4.5.3.1.1) */

static int refuse(struct err *e, const char *field, const char *detail, int64_t limit)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	(void)err_field(e, field);
	return err_limit(e, limit);
}

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

/* Dots stand between two other bytes; none of those that have a meaning in a header or a list of addresses. */
static bool is_part(struct str s, const char *without)
{
	if (s.len == 0 || s.p[0] == '.' || s.p[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (strchr(without, s.p[i]) != NULL || (s.p[i] == '.' && s.p[i + 1] == '.'))
			return false;
	return true;
}

int email_clean(struct str *ret, struct str raw, struct arena *a, struct err *e)
{
	struct str domain, local = str_split(raw, '@', &domain);

	if (raw.len > EMAIL_MAX)
		return refuse(e, "email", "an email address is at most 254 bytes long", EMAIL_MAX);
	if (domain.p == NULL || local.len > EMAIL_LOCAL_MAX || has_control(raw) || !utf8_valid(raw) || !is_part(local, " \"(),:;<>[\\]") ||
	    !is_part(domain, " \"(),:;<>[\\]@_"))
		return refuse(e, "email", "this is no email address such as ann@example.org", -1);
	char *text = arena_strndup(a, raw.p, raw.len);
	if (text == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for an email address");
	for (size_t i = 0; i < raw.len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
	*ret = (struct str){text, raw.len};
	return 0;
}

int person_name_check(struct str name, struct err *e)
{
	if (name.len <= PERSON_NAME_MAX && utf8_valid(name) && !has_control(name))
		return 0;
	return refuse(e, "name", "a name is at most 255 bytes of UTF-8 without control characters", PERSON_NAME_MAX);
}
