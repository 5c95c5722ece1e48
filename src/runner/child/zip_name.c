/* The name of a ZIP's entry. What unpacks it may be a Windows, so the name is one that can be made there and everywhere: no folder, no way out of one, no device, no
 * character that Win32 forbids ("Naming Files, Paths, and Namespaces"). What has to go becomes `_`; any other name stays as it is. */
#include "runner/child/zip.h"

#include <ctype.h>
#include <string.h>

/* A file called so, whatever its extension, is a device. */
static bool is_device(struct str name)
{
	static const char *const devices[] = {"con", "prn", "aux", "nul", "conin$", "conout$"};
	struct str rest, base = str_split(name, '.', &rest);

	while (base.len > 0 && base.p[base.len - 1] == ' ')
		base.len--;
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		if (str_eq_nocase(base, str_of(devices[i])))
			return true;
	if (base.len < 4 || (!str_eq_nocase((struct str){base.p, 3}, STR("com")) && !str_eq_nocase((struct str){base.p, 3}, STR("lpt"))))
		return false;
	base = (struct str){base.p + 3, base.len - 3};
	/* Superscript one, two and three count as digits. */
	return (base.len == 1 && isdigit((unsigned char)base.p[0])) || str_eq(base, STR("\xc2\xb9")) || str_eq(base, STR("\xc2\xb2")) ||
	       str_eq(base, STR("\xc2\xb3"));
}

static bool forbidden(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f || strchr("<>:\"/\\|?*", c) != NULL;
}

size_t zip_name(char dst[ZIP_NAME_MAX], struct str name)
{
	size_t at = 0;

	if (name.len == 0 || !utf8_valid(name))
		name = STR("file");
	if (is_device(name))
		dst[at++] = '_';
	name.len = utf8_prefix(name, ZIP_NAME_MAX - at);
	for (size_t i = 0; i < name.len; i++)
		dst[at++] = forbidden(name.p[i]) ? '_' : name.p[i];
	/* A dot or blank at the end is dropped there; so `..` is no way up either. */
	if (dst[at - 1] == '.' || dst[at - 1] == ' ')
		dst[at - 1] = '_';
	return at;
}
