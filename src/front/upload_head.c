#include "front/upload_impl.h"
#include "front/wait.h"

#include <string.h>

/* A form may be larger than its file by what its other parts and headers may take. */
#define FORM_SLACK ((uint64_t)MULTIPART_PARTS_MAX * (MULTIPART_HEADER_MAX + MULTIPART_FIELD_MAX))

static int check_length(uint64_t length, bool form, uint64_t max, struct err *e)
{
	if (length <= max || (form && length - max <= FORM_SLACK))
		return 0;
	err_set(e, ERR_TOO_LARGE, "a file may have %llu bytes at most", (unsigned long long)max);
	return err_limit(e, (int64_t)max);
}

static int read_length(struct upload *u, bool form, struct intake_spec *spec, struct err *e)
{
	uint64_t length;

	spec->length = -1;
	if (!http_content_length(u->r, &length) || u->rules->many) /* each file has its own limit */
		return 0;
	int rc = check_length(length, form, front_of(u->r)->file_max, e);
	if (rc != 0)
		return rc;
	if (!form)
		spec->length = (int64_t)length;
	return 0;
}

static int read_digests(struct http_request *r, struct digest_want *w, struct err *e)
{
	static const char *const names[] = {"Content-Digest", "Repr-Digest"};
	struct str md5 = http_header(r, "Content-MD5");
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str field = http_header(r, names[i]);
		if (field.p == NULL)
			continue;
		rc = digest_want_parse(w, field, e);
		if (rc != 0) {
			err_field(e, names[i]);
			return rc;
		}
	}
	if (md5.p == NULL)
		return 0;
	rc = digest_want_md5(w, md5, e);
	if (rc != 0)
		err_field(e, "Content-MD5");
	return rc;
}

/* Content-Digest of a form covers the whole message content (RFC 9530 §2), not the file inside: it needs a pass of its own, made only when asked for. */
static int want_of_form(struct upload *u, struct err *e)
{
	unsigned mask = (u->want.md5 ? 1u << DIGEST_MD5 : 0) | (u->want.sha256 ? 1u << DIGEST_SHA256 : 0) |
			(u->want.sha512 ? 1u << DIGEST_SHA512 : 0);

	return mask == 0 ? 0 : digest_set_new(&u->digests, mask, e);
}

static void want_of_bytes(const struct digest_want *w, struct intake_spec *spec)
{
	spec->want_md5 = w->md5;
	spec->want_sha256 = w->sha256;
	spec->want_sha512 = w->sha512;
	memcpy(spec->md5, w->md5_value, sizeof(spec->md5));
	memcpy(spec->sha256, w->sha256_value, sizeof(spec->sha256));
	memcpy(spec->sha512, w->sha512_value, sizeof(spec->sha512));
}

static int read_query(struct upload *u, bool form, struct intake_spec *spec, struct err *e)
{
	struct http_request *r = u->r;

	spec->name = http_query(r, "name");
	spec->ops = http_query(r, "ops");
	spec->pipeline = http_query(r, "pipeline");
	spec->labels = http_query(r, "labels");
	if (spec->name.p == NULL && !form) {
		struct str disposition = http_header(r, "Content-Disposition");
		if (disposition.p != NULL) {
			int rc = disposition_filename(&spec->name, disposition, http_arena(r), e);
			if (rc != 0)
				return rc;
		}
	}
	u->have_name = spec->name.p != NULL;
	u->have_ops = spec->ops.p != NULL;
	u->have_pipeline = spec->pipeline.p != NULL;
	u->have_labels = spec->labels.p != NULL;
	return 0;
}

/* What `prepare` bound the file to. */
static int read_bounds(struct upload *u, bool form, const struct intake_spec *spec, struct err *e)
{
	uint64_t length;

	u->have_name = spec->name.p != NULL;
	if (spec->size_max == 0 || !http_content_length(u->r, &length))
		return 0;
	return check_length(length, form, spec->size_max, e);
}

int upload_read_head(struct upload *u, struct intake_spec *spec, struct err *e)
{
	struct http_request *r = u->r;
	const struct upload_rules *rules = u->rules;
	struct str type = http_header(r, "Content-Type"), coding = http_header(r, "Content-Encoding");
	bool form = type.p != NULL && media_type_is(type, "multipart/form-data");
	int rc;

	if (coding.p != NULL && !str_eq_nocase(coding, STR("identity"))) {
		err_set(e, ERR_UNSUPPORTED_TYPE, "bodies are taken without a content coding");
		return err_field(e, "Content-Encoding");
	}
	if (!form && rules->form_only && rules->many)
		return err_set(e, ERR_FILE_MISSING, "the body is no multipart/form-data with files");
	if (!form && rules->form_only) {
		err_set(e, ERR_FILE_MISSING, "the body is no multipart/form-data with a part named file");
		return err_field(e, "file");
	}
	if ((rc = read_length(u, form, spec, e)) != 0 || (rc = read_digests(r, &u->want, e)) != 0)
		return rc;
	if (!rules->plain_form && !rules->bound && (rc = read_query(u, form, spec, e)) != 0)
		return rc;
	if (rules->ops != NULL)
		spec->ops = str_of(rules->ops);
	if (rules->prepare != NULL && (rc = rules->prepare(r, spec, e)) != 0)
		return rc;
	if (rules->bound && (rc = read_bounds(u, form, spec, e)) != 0)
		return rc;
	u->wait_ms = rules->wait_ms;
	if (u->wait_ms < 0 && (rc = wait_wanted(r, &u->wait_ms, e)) != 0)
		return rc;
	spec->owner = front_owner(r);
	spec->by = front_by(r);
	if (!rules->bound && !rules->many)
		spec->idempotency_key = http_header(r, "Idempotency-Key");
	if (!form) {
		u->have_file = true;
		want_of_bytes(&u->want, spec);
		return 0;
	}
	if ((rc = want_of_form(u, e)) != 0)
		return rc;
	return multipart_new(&u->form, type, &upload_form_events, u, e);
}
