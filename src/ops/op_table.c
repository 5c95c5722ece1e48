#include "ops/op_impl.h"

#define LEVEL(what, most, usual)                                                                                                           \
	{                                                                                                                                  \
		.name = "level", .kind = OP_PARAM_INT, .min = what, .max = most, .def = usual,                                             \
		.help = "effort: more is slower and smaller"                                                                               \
	}
static const struct op_param gzip_params[] = {LEVEL(1, 12, "6")};
static const struct op_param zip_params[] = {LEVEL(0, 9, "6")};
static const struct op_param zstd_params[] = {LEVEL(1, 19, "3")};

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SIDE(which)                                                                                                                        \
	{                                                                                                                                  \
		.name = which, .kind = OP_PARAM_INT, .min = 1, .max = 16384, .help = "pixels; the other side follows when it is not given" \
	}
static const struct op_param resize_params[] = {
	{.name = "background",
	 .kind = OP_PARAM_STRING,
	 .min = 6,
	 .max = 6,
	 .def = "ffffff",
	 .pattern = "[0-9a-fA-F]{6}",
	 .help = "colour as six hex digits, of the border that fit=contain adds and behind what is transparent in a JPEG"},
	{.name = "enlarge",
	 .kind = OP_PARAM_WORD,
	 .words = WORDS("no", "yes"),
	 .def = "no",
	 .help = "may the image become larger than it is?"},
	{.name = "fit",
	 .kind = OP_PARAM_WORD,
	 .words = WORDS("inside", "cover", "contain"),
	 .def = "inside",
	 .help = "with both sides given: fit inside them, cover them and cut off the rest, or fit inside and fill up with the background"},
	{.name = "format",
	 .kind = OP_PARAM_WORD,
	 .words = WORDS("keep", "jpeg", "png", "webp", "avif"),
	 .def = "keep",
	 .help = "keep: as the file is; GIF and TIFF become PNG; HEIC becomes JPEG, or PNG when it is transparent"},
	SIDE("height"),
	{.name = "metadata",
	 .kind = OP_PARAM_WORD,
	 .words = WORDS("drop", "keep"),
	 .def = "drop",
	 .help = "keep: the colour profile, and of EXIF camera, exposure, dates, author; never the place, thumbnails or serial numbers"},
	{.name = "quality", .kind = OP_PARAM_INT, .min = 1, .max = 100, .def = "80", .help = "of jpeg, webp and avif"},
	SIDE("width"),
};

static const struct op_param import_params[] = {
	{.name = "bucket", .kind = OP_PARAM_STRING, .min = 3, .max = 63, .help = "of the object"},
	{.name = "key", .kind = OP_PARAM_STRING, .min = 1, .max = 1024, .help = "of the object"},
	{.name = "sha256", .kind = OP_PARAM_STRING, .min = 64, .max = 64, .pattern = "[0-9a-fA-F]{64}", .help = "that the bytes must have"},
	{.name = "source",
	 .kind = OP_PARAM_STRING,
	 .min = 1,
	 .max = 40,
	 .help = "the object storage's name in the configuration; the usual one when it is not given"},
	{.name = "url", .kind = OP_PARAM_STRING, .min = 8, .max = 2048, .help = "https, or http where the configuration allows it"},
};

#define TYPES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Adding an op is a row here; its schema, documentation and validation follow from the row. Sorted by name. */
static const struct op builtin[] = {
	{.name = "crc32c",
	 .version = 1,
	 .kind = OP_STREAMING,
	 .algo = DIGEST_CRC32C,
	 .summary = "CRC-32C (Castagnoli) of the bytes, 8 hex digits"},
	{.name = "gzip",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "compressed with gzip (RFC 1952)",
	 .params = gzip_params,
	 .n_params = ARRAY_LEN(gzip_params),
	 .child = OP_CHILD_MANY,
	 .output = true,
	 .named = true,
	 .output_types = TYPES("application/gzip"),
	 .suffix = ".gz"},
	{.name = "import",
	 .version = 1,
	 .kind = OP_CONNECTOR,
	 .summary = "brings a file's bytes from another server; asked for by POST /v1/imports only",
	 .params = import_params,
	 .n_params = ARRAY_LEN(import_params),
	 .any_of = WORDS("key", "url"),
	 .output = true},
	{.name = "md5", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_MD5, .summary = "MD5 of the bytes, 32 hex digits"},
	{.name = "probe",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "media type and description; of an image its dimensions as seen, samples, frames, and EXIF without the place",
	 .child = OP_CHILD_ONE},
	{.name = "resize",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "a JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIC image in other dimensions, upright, in sRGB; of animations the first frame",
	 .params = resize_params,
	 .n_params = ARRAY_LEN(resize_params),
	 .any_of = WORDS("width", "height"),
	 .child = OP_CHILD_ONE,
	 .output = true,
	 .output_types = TYPES("image/jpeg", "image/png", "image/webp", "image/avif")},
	{.name = "sha1", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_SHA1, .summary = "SHA-1 of the bytes, 40 hex digits"},
	{.name = "sha256", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_SHA256, .summary = "SHA-256 of the bytes, 64 hex digits"},
	{.name = "sha512", .version = 1, .kind = OP_STREAMING, .algo = DIGEST_SHA512, .summary = "SHA-512 of the bytes, 128 hex digits"},
	{.name = "zip",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "a ZIP archive with the file under its own name; level 0 stores it as it is",
	 .params = zip_params,
	 .n_params = ARRAY_LEN(zip_params),
	 .child = OP_CHILD_MANY,
	 .output = true,
	 .named = true,
	 .output_types = TYPES("application/zip"),
	 .suffix = ".zip"},
	{.name = "zstd",
	 .version = 1,
	 .kind = OP_SEALED,
	 .summary = "compressed with Zstandard (RFC 8878)",
	 .params = zstd_params,
	 .n_params = ARRAY_LEN(zstd_params),
	 .child = OP_CHILD_MANY,
	 .output = true,
	 .output_types = TYPES("application/zstd"),
	 .suffix = ".zst"},
};

const struct op_table *op_builtin_table(void)
{
	static const struct op_table table = {.ops = builtin, .n = ARRAY_LEN(builtin)};

	return &table;
}

const struct op *op_table_all(const struct op_table *t, size_t *ret_n)
{
	*ret_n = t->n;
	return t->ops;
}

const struct op *op_table_find(const struct op_table *t, struct str name)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(name, str_of(t->ops[i].name)))
			return &t->ops[i];
	return NULL;
}

int op_table_require(const struct op_table *t, struct str name, const char *field, const struct op **ret, struct err *e)
{
	const struct op *op = op_table_find(t, name);
	const char *names[ARRAY_LEN(builtin) + OP_COMMANDS_MAX];
	const char *near;
	size_t n = t->n < ARRAY_LEN(names) ? t->n : ARRAY_LEN(names);

	if (op) {
		*ret = op;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		names[i] = t->ops[i].name;
	near = nearest_name(name, names, n);
	name.len = utf8_prefix(name, 64);
	err_set(e, ERR_UNKNOWN_OP, "there is no op named \"%.*s\"", STR_FMT(name));
	if (near)
		err_expected(e, near);
	err_field(e, field);
	return ERR_UNKNOWN_OP;
}

/* ---- pipelines ---- */

static const struct op_pipeline *find_pipeline(const struct op_table *t, struct str name)
{
	for (size_t i = 0; i < t->n_pipelines; i++)
		if (str_eq(name, str_of(t->pipelines[i].name)))
			return &t->pipelines[i];
	return NULL;
}

int op_table_pipeline(const struct op_table *t, struct str name, const struct op_request **ret, size_t *ret_n, struct err *e)
{
	const struct op_pipeline *p = find_pipeline(t, name);
	const char *names[OP_PIPELINES_MAX];
	const char *near;

	if (p) {
		*ret = p->ops;
		*ret_n = p->n;
		return 0;
	}
	for (size_t i = 0; i < t->n_pipelines; i++)
		names[i] = t->pipelines[i].name;
	near = nearest_name(name, names, t->n_pipelines);
	name.len = utf8_prefix(name, 64);
	err_set(e, ERR_UNKNOWN_PIPELINE, "there is no pipeline named \"%.*s\"", STR_FMT(name));
	if (near)
		err_expected(e, near);
	err_field(e, "pipeline");
	return ERR_UNKNOWN_PIPELINE;
}

struct str op_table_pipeline_text(const struct op_table *t, struct str name)
{
	const struct op_pipeline *p = find_pipeline(t, name);

	return p ? p->text : (struct str){};
}
