#include "api/asked.h"

int asked_owner_of(struct str text, struct str *ret, struct err *e)
{
	struct uuid id;

	*ret = text;
	if (text.p == NULL) {
		*ret = STR(OWNER_ANY);
	} else if (!str_eq(text, STR(OWNER_PUBLIC)) && !uuid_parse(&id, text)) {
		err_set(e, ERR_BAD_PARAMETER, "an owner is the id of an account, or \"" OWNER_PUBLIC "\"");
		return err_field(e, "owner");
	}
	return 0;
}

int asked_owner(struct http_request *r, struct str *ret, struct err *e)
{
	return asked_owner_of(http_query(r, "owner"), ret, e);
}

int asked_state(struct str name, int *ret, struct err *e)
{
	enum job_state s;

	*ret = -1;
	if (name.p == NULL)
		return 0;
	if (!job_state_parse(&s, name)) {
		err_set(e, ERR_BAD_PARAMETER, "there is no such state");
		err_expected(e, "queued, running, succeeded, failed, cancelled, quarantined");
		return err_field(e, "state");
	}
	*ret = (int)s;
	return 0;
}

static int read_sha256(struct http_request *r, const uint8_t **ret, struct err *e)
{
	struct str text = http_query(r, "sha256");
	uint8_t *sha256;

	if (text.p == NULL)
		return 0;
	if ((sha256 = arena_alloc(http_arena(r), 32)) == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a filter");
	if (text.len != 64 || !hex_decode(sha256, 32, text)) {
		err_set(e, ERR_BAD_PARAMETER, "a SHA-256 is 64 hexadecimal digits");
		return err_field(e, "sha256");
	}
	*ret = sha256;
	return 0;
}

int asked_files(struct http_request *r, struct str owner, struct file_filter *ret, struct err *e)
{
	struct str label = http_query(r, "label");
	int rc;

	*ret = (struct file_filter){.owner = owner, .name = http_query(r, "name")};
	if ((rc = asked_state(http_query(r, "state"), &ret->state, e)) != 0)
		return rc;
	if (label.p != NULL) {
		ret->label_key = str_split(label, ':', &ret->label_value);
		if (ret->label_key.len == 0 || ret->label_value.p == NULL) {
			err_set(e, ERR_BAD_PARAMETER, "a label is looked for as key:value");
			err_expected(e, "key:value");
			return err_field(e, "label");
		}
	}
	return read_sha256(r, &ret->sha256, e);
}

int asked_jobs(struct http_request *r, struct str owner, struct job_filter *ret, struct err *e)
{
	struct str file = http_query(r, "file");
	int rc;

	*ret = (struct job_filter){.owner = owner, .op = http_query(r, "op")};
	if ((rc = asked_state(http_query(r, "state"), &ret->state, e)) != 0)
		return rc;
	if (ret->op.p != NULL && op_table_find(engine_ops(front_engine(r)), ret->op) == NULL) {
		err_set(e, ERR_BAD_PARAMETER, "there is no such op");
		return err_field(e, "op");
	}
	if (file.p != NULL) {
		if (!uuid_parse(&ret->file, file)) {
			err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
			return err_field(e, "file");
		}
		ret->by_file = true;
	}
	return 0;
}

int asked_output(struct http_request *r, const struct job *job, const struct output **ret, struct err *e)
{
	struct str text = http_param(r, "n");
	uint64_t n;

	if (!str_to_u64(text, &n)) {
		err_set(e, ERR_BAD_PARAMETER, "outputs are counted in whole numbers from 0");
		return err_field(e, "n");
	}
	if (n < job->n_outputs) {
		*ret = &job->outputs[n];
		return 0;
	}
	err_set(e, ERR_OUTPUT_NOT_FOUND, "the job is %s and has %zu %s", job_state_name(job->state), job->n_outputs,
		job->n_outputs == 1 ? "output" : "outputs");
	return err_field(e, "n");
}
