/* Reading a signature. One form a thing: what is signed is written anew from what was read (signature.params), so there is nothing in the two fields that could be changed without
 * either changing the base or being refused here. */
#include "auth/signature.h"

#include "base/sf.h"

#include <stdlib.h>
#include <string.h>

static const char input_field[] = "Signature-Input", mac_field[] = "Signature";

/* Parameters of §2.3; `tag`, and what is not registered, says something that nobody here would heed. */
enum param { PARAM_ALG, PARAM_CREATED, PARAM_EXPIRES, PARAM_KEYID, PARAM_NONCE, PARAMS };

static const struct {
	const char *name;
	int kind; /* of struct sf_item */
} params[PARAMS] = {
	[PARAM_ALG] = {"alg", SF_STRING},     [PARAM_CREATED] = {"created", SF_INTEGER}, [PARAM_EXPIRES] = {"expires", SF_INTEGER},
	[PARAM_KEYID] = {"keyid", SF_STRING}, [PARAM_NONCE] = {"nonce", SF_STRING},
};

static int in_field(struct err *e, int rc, const char *field)
{
	if (rc < 0)
		err_field(e, field);
	return rc;
}

static int wrong(struct err *e, const char *field, const char *why)
{
	return in_field(e, err_set(e, ERR_BAD_HEADER, "%s", why), field);
}

/* ---- components ---- */

static bool is_derived(struct str name)
{
	static const char *const known[] = {"@method", "@target-uri", "@authority", "@scheme", "@path", "@query", "@request-target"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(name, str_of(known[i])))
			return true;
	return false;
}

/* RFC 9110 §5.1, in lower case as §2.1 wants it. */
static bool is_field_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return name.len > 0;
}

static int add_component(struct signature *s, struct str name, struct arena *a, struct err *e)
{
	if (!is_derived(name) && !is_field_name(name))
		return wrong(e, input_field,
			     "a covered component is neither a header field in lower case nor a derived component that is known here");
	if (signature_covers(s, name))
		return wrong(e, input_field, "a component is covered twice");
	if (s->n_components == SIGNATURE_COMPONENTS_MAX)
		return wrong(e, input_field, "too many covered components");
	name = arena_str(a, name);
	if (name.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	s->components[s->n_components++] = name;
	return 0;
}

static int read_components(struct signature *s, struct sf_reader *in, struct buf *form, struct arena *a, struct err *e)
{
	struct sf_item item, value;
	struct str key;
	int rc = sf_open_inner(in, e);

	if (rc < 0)
		return in_field(e, rc, input_field);
	while ((rc = sf_next_inner(in, &item, e)) > 0) {
		if (item.kind != SF_STRING)
			return wrong(e, input_field, "a covered component is a quoted string");
		rc = sf_next_param(in, &key, &value, e);
		if (rc != 0)
			return wrong(e, input_field, "parameters of covered components are not supported here");
		rc = add_component(s, item.text, a, e);
		if (rc != 0)
			return rc;
		buf_addf(form, "%s\"%.*s\"", s->n_components > 1 ? " " : "(", STR_FMT(item.text));
	}
	buf_add_cstr(form, s->n_components > 0 ? ")" : "()");
	return in_field(e, rc, input_field);
}

/* ---- parameters ---- */

static void write_string(struct buf *form, struct str s)
{
	buf_add_char(form, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_add_char(form, '\\');
		buf_add_char(form, s.p[i]);
	}
	buf_add_char(form, '"');
}

static enum param param_of(struct str key)
{
	unsigned p = 0;

	while (p < PARAMS && !str_eq(key, str_of(params[p].name)))
		p++;
	return (enum param)p;
}

static int take_param(struct signature *s, enum param p, const struct sf_item *v, struct arena *a, struct err *e)
{
	struct str *text = p == PARAM_ALG ? &s->alg : p == PARAM_KEYID ? &s->keyid : &s->nonce;

	if (v->kind == SF_INTEGER) {
		if (v->integer < 0)
			return wrong(e, input_field, "a time before 1970");
		*(p == PARAM_CREATED ? &s->created : &s->expires) = v->integer;
		return 0;
	}
	*text = arena_str(a, v->text);
	return text->p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a signature");
}

static int read_params(struct signature *s, struct sf_reader *in, struct buf *form, struct arena *a, struct err *e)
{
	bool seen[PARAMS] = {};
	struct sf_item v;
	struct str key;
	int rc;

	while ((rc = sf_next_param(in, &key, &v, e)) > 0) {
		enum param p = param_of(key);
		if (p == PARAMS || (int)v.kind != params[p].kind)
			return wrong(e, input_field, "a parameter of the signature that is not known here, or of another type");
		if (seen[p])
			return wrong(e, input_field, "a parameter of the signature comes twice");
		seen[p] = true;
		rc = take_param(s, p, &v, a, e);
		if (rc != 0)
			return rc;
		buf_addf(form, ";%s=", params[p].name);
		if (v.kind == SF_INTEGER)
			buf_addf(form, "%lld", (long long)v.integer);
		else
			write_string(form, v.text);
	}
	return in_field(e, rc, input_field);
}

/* ---- the two fields ---- */

static int read_input(struct signature *s, struct str input, struct str *ret_label, struct buf *form, struct arena *a, struct err *e)
{
	struct sf_reader in = sf_reader(input);
	struct str other;
	int rc = sf_next_key(&in, ret_label, e);

	if (rc <= 0)
		return rc < 0 ? in_field(e, rc, input_field) : wrong(e, input_field, "the field is empty");
	rc = read_components(s, &in, form, a, e);
	if (rc == 0)
		rc = read_params(s, &in, form, a, e);
	if (rc != 0)
		return rc;
	rc = sf_next_key(&in, &other, e);
	return rc > 0 ? wrong(e, input_field, "more than one signature") : in_field(e, rc, input_field);
}

static int read_mac(struct signature *s, struct str field, struct str label, struct err *e)
{
	struct sf_reader in = sf_reader(field);
	struct sf_item value;
	struct str key;
	size_t n;
	int rc = sf_next_key(&in, &key, e);

	if (rc < 0)
		return in_field(e, rc, mac_field);
	if (rc == 0 || !str_eq(key, label))
		return wrong(e, mac_field, "the field has no signature of the name that Signature-Input gives");
	rc = sf_bytes(&in, s->mac, sizeof(s->mac), &n, e);
	if (rc < 0)
		return in_field(e, rc, mac_field);
	if (n != sizeof(s->mac))
		return wrong(e, mac_field, "a signature by hmac-sha256 has 32 bytes");
	if (sf_next_param(&in, &key, &value, e) != 0 || sf_next_key(&in, &key, e) != 0)
		return wrong(e, mac_field, "something stands behind the signature");
	return 0;
}

int signature_parse(struct signature *ret, struct str input, struct str field, struct arena *a, struct err *e)
{
	CLEANUP(buf_release) struct buf form = BUF_INIT;
	struct signature s = {.created = -1, .expires = -1};
	struct str label;
	int rc;

	if (input.p == NULL || field.p == NULL)
		return wrong(e, input.p == NULL ? input_field : mac_field, "Signature and Signature-Input come together");
	rc = read_input(&s, input, &label, &form, a, e);
	if (rc == 0)
		rc = read_mac(&s, field, label, e);
	if (rc != 0)
		return rc;
	if (s.alg.p != NULL && !str_eq(s.alg, STR("hmac-sha256")))
		return wrong(e, input_field, "the algorithm is not hmac-sha256");
	s.params = buf_ok(&form) ? arena_str(a, buf_str(&form)) : (struct str){};
	if (s.params.p == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a signature");
	*ret = s;
	return 0;
}

bool signature_covers(const struct signature *s, struct str component)
{
	for (unsigned i = 0; i < s->n_components; i++)
		if (str_eq_nocase(s->components[i], component))
			return true;
	return false;
}

/* ---- what it must have ---- */

static int check_coverage(const struct signature *s, bool has_body, struct err *e)
{
	static const char *const needed[] = {"@method", "@target-uri", "content-digest"};

	for (size_t i = 0; i < ARRAY_LEN(needed) - !has_body; i++)
		if (!signature_covers(s, str_of(needed[i])))
			return in_field(e, err_set(e, ERR_BAD_SIGNATURE, "the signature does not cover %s", needed[i]), input_field);
	return 0;
}

int signature_check(const struct signature *s, bool has_body, int64_t now_s, struct err *e)
{
	int rc;

	if (s->created < 0 || s->keyid.p == NULL || s->nonce.p == NULL)
		return wrong(e, input_field, "the signature needs created, keyid and nonce");
	if (s->nonce.len < SIGNATURE_NONCE_MIN || s->nonce.len > SIGNATURE_NONCE_MAX)
		return wrong(e, input_field, "a nonce has 16 to 64 characters");
	rc = check_coverage(s, has_body, e);
	if (rc != 0)
		return rc;
	if (llabs(s->created - now_s) > SIGNATURE_WINDOW_S)
		rc = err_set(e, ERR_BAD_SIGNATURE, "created is more than %d seconds away from this server's clock", SIGNATURE_WINDOW_S);
	else if (s->expires >= 0 && s->expires <= now_s)
		rc = err_set(e, ERR_BAD_SIGNATURE, "the signature has expired");
	return in_field(e, rc, input_field);
}
