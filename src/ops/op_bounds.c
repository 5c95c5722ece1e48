/* What the configuration says of each op as such: how many run at once, how long an attempt may take, how often it is tried, on what kind of node. */
#include "ops/op_config_impl.h"

#include <string.h>

#define CONCURRENCY_MAX 1000000

static int read_count(uint64_t *ret, json_t *entry, const char *name, int64_t most, const struct place *outer, struct err *e)
{
	struct place p = place_in(outer, ".%s", name);
	json_t *v = json_object_get(entry, name);

	if (v && (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > most))
		return bad_place(e, &p, "must be an integer from 1 to %lld", (long long)most);
	*ret = v ? (uint64_t)json_integer_value(v) : 0;
	return 0;
}

static int read_node(char ret[OP_NODE_MAX + 1], json_t *entry, const struct place *outer, struct err *e)
{
	struct place p = place_in(outer, ".node");
	json_t *v = json_object_get(entry, "node");

	if (v && !(json_is_string(v) && op_name_ok(json_string_value(v))))
		return bad_place(e, &p, "must be a label as node.labels has them: " OP_NAME_RULE);
	if (v)
		memcpy(ret, json_string_value(v), json_string_length(v) + 1); /* the rule bounds it */
	return 0;
}

static int read_entry(struct op *op, json_t *entry, const struct place *p, struct err *e)
{
	static const char *const members[] = {"concurrency", "wall_time", "max_attempts", "node", NULL};
	struct place wall = place_in(p, ".wall_time");
	uint64_t attempts = 0;
	int r;

	if (!json_is_object(entry))
		return bad_place(e, p, "must be a map such as {concurrency: 2}");
	if ((r = only_members(entry, p, members, e)) < 0)
		return r;
	if (json_object_get(entry, "wall_time") && op->kind == OP_STREAMING)
		return bad_place(e, &wall, "digests run many together, under runner.wall_time");
	if (json_object_get(entry, "wall_time") && op->command && op->command->wall_ms > 0)
		return bad_place(e, &wall, "the command itself says one already");
	if ((r = read_count(&op->concurrency, entry, "concurrency", CONCURRENCY_MAX, p, e)) < 0 ||
	    (r = op_duration_read(&op->wall_ms, entry, "wall_time", 100, p, e)) < 0 || (r = read_node(op->node, entry, p, e)) < 0 ||
	    (r = read_count(&attempts, entry, "max_attempts", OP_ATTEMPTS_MAX, p, e)) < 0)
		return r;
	op->max_attempts = (uint32_t)attempts;
	return 0;
}

int op_bounds_read(struct op *ops, size_t n, json_t *entries, const struct place *p, struct err *e)
{
	const char *names[OP_BUILTIN_MAX + OP_COMMANDS_MAX], *name, *nearest;
	json_t *entry;

	for (size_t i = 0; i < n; i++)
		names[i] = ops[i].name;
	json_object_foreach(entries, name, entry) {
		struct place at = place_in(p, ".%s", name);
		size_t i = 0;
		int r;

		while (i < n && strcmp(name, names[i]) != 0)
			i++;
		if (i == n) {
			nearest = nearest_name(str_of(name), names, n);
			return bad_place(e, &at, "there is no such op%s%s", nearest ? "; perhaps " : "", nearest ? nearest : "");
		}
		if ((r = read_entry(&ops[i], entry, &at, e)) < 0)
			return r;
	}
	return 0;
}
