/* The parts of an upload's form: `file`, and for our own API the text parts `ops`, `pipeline` and `labels`. Text parts of other names are skipped: browsers add them. */
#include "front/upload_impl.h"

static int begin_file(struct upload *u, const struct multipart_part *part, struct err *e)
{
	if (u->rules->check_name != NULL && part->filename.p == NULL)
		return 0;
	if (u->have_file) {
		err_set(e, ERR_BAD_MULTIPART, "the form has two parts named file; each request stores one");
		return err_field(e, "file");
	}
	u->part = PART_FILE;
	u->have_file = true;
	u->unnamed = part->filename.p != NULL && part->filename.len == 0;
	if (u->rules->check_name != NULL && u->rules->check_name(part->filename, &u->bad_name) != 0)
		return 0;
	if (part->filename.p == NULL || u->have_name)
		return 0;
	return intake_set_name(u->in, part->filename, e);
}

static int begin_one_of_many(struct upload *u, const struct multipart_part *part, struct err *e)
{
	int rc = intake_group_check(u->group, e);

	if (rc == 0)
		rc = intake_open(front_engine(u->r), &u->spec, &u->in, e);
	if (rc != 0)
		return rc;
	u->part = PART_FILE;
	u->file_bytes = 0;
	u->unnamed = part->filename.len == 0;
	return intake_set_name(u->in, part->filename, e);
}

static int begin_text(struct upload *u, enum upload_part part, bool *have, const char *name, struct err *e)
{
	if (*have) {
		err_set(e, ERR_BAD_MULTIPART, "%s is given twice", name);
		return err_field(e, name);
	}
	*have = true;
	u->part = part;
	buf_reset(&u->field);
	return 0;
}

/* Where all is said already a part may say nothing: it would be taken for heard. */
static int refuse_meaning(const struct multipart_part *part, struct err *e)
{
	static const char *const meaning[] = {"ops", "pipeline", "labels", "name"};

	if (part->filename.p != NULL) {
		err_set(e, ERR_BAD_MULTIPART, "the file must be in the part named file");
		return err_field(e, "file");
	}
	for (size_t i = 0; i < ARRAY_LEN(meaning); i++)
		if (str_eq(part->name, str_of(meaning[i]))) {
			err_set(e, ERR_LINK_INVALID, "this part is not among what the link was signed for");
			return err_field(e, meaning[i]);
		}
	return 0;
}

static int part_begin(void *arg, const struct multipart_part *part, struct err *e)
{
	struct upload *u = arg;

	u->part = PART_SKIPPED;
	u->field_bytes = 0;
	if (u->rules->many)
		return part->filename.p != NULL ? begin_one_of_many(u, part, e) : 0;
	if (str_eq(part->name, STR("file")))
		return begin_file(u, part, e);
	if (u->rules->plain_form)
		return 0;
	if (u->rules->bound)
		return refuse_meaning(part, e);
	if (part->filename.p != NULL) {
		err_set(e, ERR_BAD_MULTIPART, "the file must be in the part named file");
		return err_field(e, "file");
	}
	if (str_eq(part->name, STR("ops")))
		return u->rules->ops != NULL ? 0 : begin_text(u, PART_OPS, &u->have_ops, "ops", e);
	if (str_eq(part->name, STR("pipeline")))
		return u->rules->ops != NULL ? 0 : begin_text(u, PART_PIPELINE, &u->have_pipeline, "pipeline", e);
	if (str_eq(part->name, STR("labels")))
		return begin_text(u, PART_LABELS, &u->have_labels, "labels", e);
	return 0;
}

static int part_data(void *arg, const void *data, size_t n, struct err *e)
{
	struct upload *u = arg;

	if (u->part == PART_FILE)
		return upload_feed_file(u, data, n, e);
	if (n > MULTIPART_FIELD_MAX - u->field_bytes) {
		err_set(e, ERR_TOO_LARGE, "a text part of a form may have %d bytes at most", MULTIPART_FIELD_MAX);
		return err_limit(e, MULTIPART_FIELD_MAX);
	}
	u->field_bytes += n;
	if (u->part == PART_SKIPPED)
		return 0;
	buf_add(&u->field, data, n);
	return buf_ok(&u->field) ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a form's text");
}

static int part_end(void *arg, struct err *e)
{
	struct upload *u = arg;

	switch (u->part) {
	case PART_OPS:
		return intake_set_ops(u->in, str_trim(buf_str(&u->field)), e);
	case PART_PIPELINE:
		return intake_set_pipeline(u->in, str_trim(buf_str(&u->field)), e);
	case PART_LABELS:
		return intake_set_labels(u->in, str_trim(buf_str(&u->field)), e);
	case PART_FILE:
		return u->rules->many ? upload_end_file(u, e) : 0;
	case PART_SKIPPED:
		break;
	}
	return 0;
}

const struct multipart_events upload_form_events = {.part_begin = part_begin, .part_data = part_data, .part_end = part_end};
