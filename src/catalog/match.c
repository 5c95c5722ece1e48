#include "base/json_out.h"
#include "base/siphash.h"
#include "catalog/catalog_impl.h"

#include <stdio.h>
#include <string.h>

/* Canonical JSON escapes every quote inside keys and values, so `"key":"value"` with bare quotes occurs only where that pair stands. */
int file_match_init(struct file_match *m, const struct file_filter *f, struct err *e)
{
	CLEANUP(buf_release) struct buf text = {.limit = sizeof(m->label)};
	struct json_out j = json_out(&text);
	char key[LABEL_KEY_MAX + 1];

	m->name = f->name;
	m->sha256 = f->sha256;
	m->state = f->state;
	m->label_len = 0;
	if (!f->label_key.p)
		return 0;
	if (f->label_key.len > LABEL_KEY_MAX || f->label_value.len > LABEL_VALUE_MAX)
		return err_set(e, ERR_BAD_LABELS, "the label looked for is too long");
	memcpy(key, f->label_key.p, f->label_key.len);
	key[f->label_key.len] = '\0';
	json_obj_open(&j);
	json_kstr(&j, key, f->label_value);
	json_obj_close(&j);
	if (!buf_ok(&text))
		return err_set(e, ERR_NO_MEMORY, "no memory for a filter");
	m->label_len = text.len - 2; /* without the braces */
	memcpy(m->label, text.p + 1, m->label_len);
	return 0;
}

bool file_match_row(const struct file_match *m, struct str name, const uint8_t sha256[32], struct str labels)
{
	if (m->name.p && !memmem(name.p, name.len, m->name.p, m->name.len))
		return false;
	if (m->sha256 && memcmp(m->sha256, sha256, 32) != 0)
		return false;
	return m->label_len == 0 || memmem(labels.p, labels.len, m->label, m->label_len);
}

bool file_match_jobs(const struct file_match *m, const struct job *jobs, size_t n)
{
	if (m->state < 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if ((int)jobs[i].state == m->state)
			return true;
	return false;
}

struct str file_blob_name(char dst[FILE_BLOB_NAME_MAX + 1], struct str owner, struct uuid file)
{
	char id[UUID_TEXT_LEN + 1];
	int n;

	uuid_format(id, file);
	n = snprintf(dst, FILE_BLOB_NAME_MAX + 1, "%.*s/%s/%s", STR_FMT(owner), id + UUID_TEXT_LEN - 2, id);
	return (struct str){dst, n > 0 ? (size_t)n : 0};
}

bool file_of_blob_name(struct uuid *ret, struct str *ret_owner, struct str blob)
{
	char name[FILE_BLOB_NAME_MAX + 1];
	struct str owner, id;

	if (blob.len < UUID_TEXT_LEN + 4 || blob.len > FILE_BLOB_NAME_MAX)
		return false;
	owner = (struct str){blob.p, blob.len - UUID_TEXT_LEN - 4};
	id = (struct str){blob.p + blob.len - UUID_TEXT_LEN, UUID_TEXT_LEN};
	if (!uuid_parse(ret, id) || !str_eq(file_blob_name(name, owner, *ret), blob))
		return false;
	*ret_owner = owner;
	return true;
}

/* Each part is hashed under a key made of the hash so far and the part's place: no part can run into the next. */
int64_t artifact_key(struct str owner, struct str op, uint32_t version, struct str params, const uint8_t sha256[32])
{
	const struct str parts[] = {owner, op, params, {(const char *)sha256, 32}};
	uint64_t key[2] = {version, 0};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		uint8_t bytes[16];

		memcpy(bytes, key, sizeof(bytes));
		key[0] = siphash24(bytes, parts[i].p, parts[i].len);
		key[1] = i + 1;
	}
	return (int64_t)key[0];
}
