/* probe: what a file is, by libmagic, and what an image's header says of it. Nothing is decoded, and odd bytes are an answer, not an error.
 *
 * The answer is bounded: every text is cut, and the fields are a fixed list. */
#include "base/fd.h"
#include "base/json_out.h"
#include "ops/ops.h"
#include "runner/child/image.h"

#include <magic.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX (1u << 20) /* bytes that libmagic gets: more it would not look at */
#define DESCRIPTION_MAX 512 /* bytes */
#define FIELD_MAX 120 /* bytes of one value of EXIF */
#define OCTETS "application/octet-stream"

/* Its tables are loaded once, before the first fork, and only read afterwards. */
static magic_t library;

static int prepare(struct err *e)
{
	int r = image_prepare(e);

	if (r < 0 || library)
		return r;
	library = magic_open(MAGIC_NONE);
	if (!library)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "libmagic does not start");
	if (magic_load(library, NULL) != 0) {
		magic_close(library);
		library = NULL;
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "libmagic's tables cannot be loaded");
	}
	return 0;
}

/* What libmagic says with these flags; NULL when it does not know. Valid until the next call. */
static const char *ask(int flags, const void *head, size_t n)
{
	magic_setflags(library, flags);
	return magic_buffer(library, head, n);
}

static const char *type_of(const struct image_kind *k, const void *head, size_t n)
{
	const char *own = magic_type(head, n), *type;

	if (k)
		return k->type;
	type = ask(MAGIC_MIME_TYPE, head, n);
	return !type || strcmp(type, OCTETS) == 0 ? own : type;
}

/* Cut at a character, without controls; what is not UTF-8 is replaced by the writer. */
static void put_text(struct json_out *j, const char *key, struct str s, size_t max)
{
	char text[DESCRIPTION_MAX];

	s.len = utf8_prefix(s, max);
	for (size_t i = 0; i < s.len; i++)
		text[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i];
	json_kstr(j, key, (struct str){text, s.len});
}

static void put_exif(void *arg, const char *name, struct str value)
{
	if (value.len > 0)
		put_text(arg, name, value, FIELD_MAX);
}

/* Of one sample, as the file has them. */
static int bits_of(VipsImage *im, const struct image_kind *k, const uint8_t *data)
{
	int bits;

	if (strcmp(k->name, "png") == 0)
		return data[24]; /* IHDR, PNG §11.2.1; it was read, so it is there */
	if (vips_image_get_typeof(im, "heif-bitdepth") != 0 && vips_image_get_int(im, "heif-bitdepth", &bits) == 0)
		return bits;
	return (int)vips_format_sizeof(vips_image_get_format(im)) * 8;
}

static void write_image(struct json_out *j, VipsImage *im, const struct image_kind *k, const uint8_t *data)
{
	int orientation = vips_image_get_orientation(im);
	bool sideways = orientation >= 5;

	json_obj_open(j);
	json_kcstr(j, "format", k->name);
	json_ku64(j, "width", (uint64_t)(sideways ? im->Ysize : im->Xsize));
	json_ku64(j, "height", (uint64_t)(sideways ? im->Xsize : im->Ysize));
	json_ku64(j, "orientation", (uint64_t)orientation);
	json_ku64(j, "bits", (uint64_t)bits_of(im, k, data));
	json_ku64(j, "channels", (uint64_t)im->Bands);
	json_kbool(j, "alpha", vips_image_hasalpha(im));
	json_ku64(j, "frames", (uint64_t)vips_image_get_n_pages(im));
	json_kbool(j, "profile", vips_image_get_typeof(im, VIPS_META_ICC_NAME) != 0);
	json_key(j, "exif");
	json_obj_open(j);
	image_each_exif(im, put_exif, j);
	json_obj_close(j);
	json_obj_close(j);
}

/* A header that cannot be read is a finding like others. */
static int put_image(struct json_out *j, struct sealed_job *job, const struct image_kind *k, struct err *e)
{
	CLEANUP(image_unref) VipsImage *im = NULL;
	struct err why = ERR_INIT;
	const void *data;
	int r = sealed_all(job, &data, e);

	if (r < 0)
		return r;
	r = image_open(&im, k, data, (size_t)job->size, UINT64_MAX, &why);
	json_key(j, "image");
	if (r < 0)
		json_put_null(j);
	else
		write_image(j, im, k, data);
	if (r < 0)
		json_kcstr(j, "problem", err_info(r)->name);
	return 0;
}

static int probe(struct sealed_job *job, struct err *e)
{
	size_t n = job->size < HEAD_MAX ? (size_t)job->size : HEAD_MAX;
	CLEANUP(free_ptr) uint8_t *head = malloc(n + 1);
	struct json_out j = json_out(&job->result);
	const struct image_kind *k;
	const char *description;
	int r;

	if (!head)
		return err_set(e, ERR_LIMIT_MEMORY, "no memory to look at the file");
	r = sealed_first(job, head, n, &n, e);
	if (r < 0)
		return r;
	k = image_kind_of(head, n);
	json_obj_open(&j);
	json_kcstr(&j, "type", type_of(k, head, n));
	description = ask(MAGIC_NONE, head, n);
	put_text(&j, "description", str_of(description ? description : "data"), DESCRIPTION_MAX);
	/* An image too large to be held is told by its type only. */
	r = k && job->size <= job->limits.memory / 4 ? put_image(&j, job, k, e) : sealed_check(job, e);
	json_obj_close(&j);
	return r;
}

const struct sealed_op op_probe = {"probe", POLICY_ONCE, prepare, probe};
