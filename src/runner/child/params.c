/* Params as an op reads them. They come from the server, which checked them against the op's table: what does not fit is our own mistake. */
#include "rt/json_in.h"
#include "runner/child/child.h"

#include <assert.h>
#include <stdlib.h>

struct sealed_params {
	json_t *object;
};

int sealed_params_parse(struct sealed_params **ret, struct str json, struct err *e)
{
	struct sealed_params *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, ERR_NO_MEMORY, "no memory for parameters");
	if ((r = json_read(&p->object, json.len > 0 ? json : STR("{}"), e)) < 0) {
		free(p);
		return r;
	}
	assert(json_is_object(p->object));
	*ret = p;
	return 0;
}

void sealed_params_free(struct sealed_params *p)
{
	if (!p)
		return;
	json_decref(p->object);
	free(p);
}

bool sealed_params_has(const struct sealed_params *p, const char *name)
{
	return json_object_get(p->object, name) != NULL;
}

int64_t sealed_params_int(const struct sealed_params *p, const char *name)
{
	const json_t *v = json_object_get(p->object, name);

	assert(json_is_integer(v));
	return json_integer_value(v);
}

struct str sealed_params_text(const struct sealed_params *p, const char *name)
{
	const json_t *v = json_object_get(p->object, name);

	assert(json_is_string(v));
	return (struct str){json_string_value(v), json_string_length(v)};
}
