/* The option table as text for people and as JSON for the documentation. */
#include "rt/config_impl.h"

#include "base/compiler.h"
#include "base/json_out.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *placeholder;
} kinds[] = {
	[CONFIG_BOOL] = {"bool", ""},          [CONFIG_INT] = {"integer", " N"},
	[CONFIG_SIZE] = {"size", " SIZE"},     [CONFIG_DURATION] = {"duration", " TIME"},
	[CONFIG_STRING] = {"string", " TEXT"}, [CONFIG_LIST] = {"list", " A,B"},
	[CONFIG_ENUM] = {"enum", " WORD"},     [CONFIG_JSON] = {"map", " JSON"},
};

/* The left column of an option. */
struct spelled {
	char text[3 * CONFIG_NAME_MAX];
};

static struct spelled spell(const struct config_option *o)
{
	char name[CONFIG_NAME_MAX];
	struct spelled s;
	const char *no = o->kind == CONFIG_BOOL ? "[no-]" : "";

	config_flag_name(name, o);
	if (o->flag)
		snprintf(s.text, sizeof(s.text), "  --%s%s, --%s%s%s", no, o->flag, no, name, kinds[o->kind].placeholder);
	else
		snprintf(s.text, sizeof(s.text), "  --%s%s%s", no, name, kinds[o->kind].placeholder);
	return s;
}

/* " (a, b or c; default b)" */
static void add_remarks(struct buf *out, const struct config_option *o)
{
	CLEANUP(buf_release) struct buf bounds = BUF_INIT;
	const char *before = " (";

	config_add_bounds(&bounds, o);
	if (!buf_ok(&bounds))
		out->failed = true;
	for (int i = 0; o->kind == CONFIG_ENUM && o->words[i]; i++) {
		buf_addf(out, "%s%s", before, o->words[i]);
		before = ", ";
	}
	if (bounds.len > 0)
		buf_addf(out, "%s%s", before, bounds.p);
	if (before[0] == ',' || bounds.len > 0)
		before = "; ";
	if (o->def && o->def[0] != '\0') {
		buf_addf(out, "%sdefault %s", before, o->def);
		before = "; ";
	}
	if (before[0] != ' ')
		buf_add_char(out, ')');
}

void config_help(struct buf *out, const struct config_option *options, size_t n)
{
	size_t width = 0;

	for (size_t i = 0; i < n; i++) {
		size_t w = strlen(spell(&options[i]).text);

		width = w > width ? w : width;
	}
	for (size_t i = 0; i < n; i++) {
		buf_addf(out, "%-*s  %s", (int)width, spell(&options[i]).text, options[i].help ? options[i].help : "");
		add_remarks(out, &options[i]);
		buf_add_char(out, '\n');
	}
}

static void add_json(struct json_out *j, const struct config_option *o)
{
	char name[CONFIG_NAME_MAX];

	json_obj_open(j);
	config_dotted_name(name, o);
	json_kcstr(j, "name", name);
	config_flag_name(name, o);
	json_kcstr(j, "flag", name);
	json_kcstr(j, "short_flag", o->flag);
	config_env_name(name, o);
	json_kcstr(j, "environment", name);
	json_kcstr(j, "kind", kinds[o->kind].word);
	json_kcstr(j, "default", o->def ? o->def : "");
	if (o->min != 0 || o->max != 0) {
		json_key(j, "min");
		json_i64(j, o->min);
		json_key(j, "max");
		json_i64(j, o->max);
	}
	if (o->kind == CONFIG_ENUM) {
		json_key(j, "words");
		json_arr_open(j);
		for (int i = 0; o->words[i]; i++)
			json_cstr(j, o->words[i]);
		json_arr_close(j);
	}
	json_kcstr(j, "help", o->help);
	json_obj_close(j);
}

void config_json(struct buf *out, const struct config_option *options, size_t n)
{
	struct json_out j = json_out(out);

	json_arr_open(&j);
	for (size_t i = 0; i < n; i++)
		add_json(&j, &options[i]);
	json_arr_close(&j);
}

/* ---- values ---- */

static void add_list(struct buf *out, const struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_addf(out, "%s%s", i > 0 ? "," : "", l->items[i]);
}

static void add_value(struct buf *out, const struct config_option *o, const void *at)
{
	switch (o->kind) {
	case CONFIG_BOOL:
		buf_add_cstr(out, *(const bool *)at ? "true" : "false");
		break;
	case CONFIG_INT:
	case CONFIG_DURATION:
		buf_addf(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case CONFIG_SIZE:
		buf_add_u64(out, *(const uint64_t *)at);
		break;
	case CONFIG_STRING:
		buf_add_cstr(out, *(const char *const *)at);
		break;
	case CONFIG_LIST:
		add_list(out, at);
		break;
	case CONFIG_ENUM:
		buf_add_cstr(out, o->words[*(const int *)at]);
		break;
	case CONFIG_JSON:
		buf_add_str(out, *(const struct str *)at);
		break;
	}
}

void config_values(struct buf *out, const void *settings, const struct config_option *options, size_t n)
{
	char name[CONFIG_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		config_dotted_name(name, &options[i]);
		buf_addf(out, "%s=", name);
		add_value(out, &options[i], (const char *)settings + options[i].offset);
		buf_add_char(out, '\n');
	}
}
