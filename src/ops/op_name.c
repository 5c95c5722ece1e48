/* What an op's output is called. */
#include "ops/op_impl.h"

#include <string.h>

#define NAME_BYTES 255 /* of a display name, as for uploads */
#define EXTENSION_MAX 5 /* letters and digits of what is taken for an extension and replaced */

static const struct {
	const char *type, *extension;
} extensions[] = {
	{"image/jpeg", ".jpg"},  {"image/png", ".png"}, {"image/webp", ".webp"},
	{"image/avif", ".avif"}, {"image/gif", ".gif"}, {"image/tiff", ".tiff"},
};

static const char *extension_of_type(struct str type)
{
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
		if (str_eq(type, str_of(extensions[i].type)))
			return extensions[i].extension;
	return "";
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The name without its extension: a dot that is not its first byte, and behind it at most five letters and digits, not digits only, so that `scan.001` stays. */
static struct str stem(struct str name)
{
	bool letter = false;

	for (size_t i = name.len; i > 1 && name.len - i <= EXTENSION_MAX; i--) {
		char c = name.p[i - 1];

		if (c == '.')
			return letter ? (struct str){name.p, i - 1} : name;
		if (is_letter(c))
			letter = true;
		else if (c < '0' || c > '9')
			return name;
	}
	return name;
}

struct str op_output_name(const struct op *op, struct str params, struct str input_name, struct str output_type, struct arena *a)
{
	struct str suffix = str_of(op->suffix ? op->suffix : op->kind == OP_CONNECTOR ? "" : extension_of_type(output_type));
	struct str front = op->suffix || suffix.len == 0 ? input_name : stem(input_name);
	char *name;

	front.len = utf8_prefix(front, NAME_BYTES - suffix.len);
	name = arena_alloc(a, front.len + suffix.len + 1);
	if (!name)
		return (struct str){};
	if (front.len > 0)
		memcpy(name, front.p, front.len);
	memcpy(name + front.len, suffix.p, suffix.len);
	return (struct str){name, front.len + suffix.len};
}
