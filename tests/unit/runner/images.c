#include "images.h"

#include "base/fd.h"
#include "ops/ops.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

/* x265, which makes HEIC images for these tests and nothing else, keeps some memory. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libx265";
}

void bytes_release(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){};
}

void bytes_add(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n + 1 > b->cap) {
		b->cap = 2 * (b->n + n + 1);
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

struct bytes bytes_copy(const void *p, size_t n)
{
	struct bytes b = {};

	bytes_add(&b, p, n);
	return b;
}

void bytes_be32(struct bytes *b, uint32_t v)
{
	const uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	bytes_add(b, be, sizeof(be));
}

/* ---- pictures ---- */

static const uint8_t colours[2][2][3] = {{{220, 30, 30}, {30, 200, 40}}, {{30, 40, 210}, {240, 240, 240}}};

static void put(uint8_t *p, int bands, const uint8_t *rgb, int grain, bool transparent)
{
	int grey = (rgb[0] * 54 + rgb[1] * 183 + rgb[2] * 19) / 256;

	for (int b = 0; b < (bands < 3 ? 1 : 3); b++)
		p[b] = (uint8_t)((bands < 3 ? grey : rgb[b]) + grain);
	if (bands == 2 || bands == 4)
		p[bands - 1] = transparent ? 0 : 255;
}

VipsImage *picture(int width, int height, int bands)
{
	CLEANUP(bytes_release) struct bytes px = {malloc((size_t)width * (size_t)height * (size_t)bands), 0};
	uint32_t random = 7;
	VipsImage *im;

	assert_non_null(px.p);
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			random = random * 1664525u + 1013904223u;
			put(px.p + ((size_t)y * (size_t)width + (size_t)x) * (size_t)bands, bands, colours[y * 2 >= height][x * 2 >= width],
			    (int)(random >> 28) - 8, x * 2 >= width);
		}
	im = vips_image_new_from_memory_copy(px.p, (size_t)width * (size_t)height * (size_t)bands, width, height, bands, VIPS_FORMAT_UCHAR);
	assert_non_null(im);
	im->Type = bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
	return im;
}

struct bytes encoded(VipsImage *im, const char *suffix)
{
	struct bytes ret;
	void *p;
	size_t n;

	if (vips_image_write_to_buffer(im, suffix, &p, &n, NULL) != 0)
		fail_msg("%s: %s", suffix, vips_error_buffer());
	ret = bytes_copy(p, n);
	g_free(p);
	return ret;
}

struct bytes picture_as(const char *suffix, int width, int height, int bands)
{
	VipsImage *im = picture(width, height, bands);
	struct bytes ret = encoded(im, suffix);

	g_object_unref(im);
	return ret;
}

void png_chunk(struct bytes *b, const char *type, const void *data, size_t n)
{
	size_t at;

	bytes_be32(b, (uint32_t)n);
	at = b->n;
	bytes_add(b, type, 4);
	bytes_add(b, data, n);
	bytes_be32(b, (uint32_t)crc32_z(0, b->p + at, n + 4));
}

struct bytes plain_png(uint32_t width, uint32_t height, int bits, bool interlaced)
{
	struct bytes b = bytes_copy("\x89PNG\r\n\x1a\n", 8), head = {};
	size_t row = 1 + ((size_t)width * (size_t)bits + 7) / 8, cap = row * height / 100 + 4096;
	uint8_t *zeros = calloc(1, row), *packed = malloc(cap);
	z_stream z = {.next_out = packed, .avail_out = (uInt)cap};

	bytes_be32(&head, width);
	bytes_be32(&head, height);
	bytes_add(&head, ((uint8_t[]){(uint8_t)bits, 0, 0, 0, interlaced}), 5);
	png_chunk(&b, "IHDR", head.p, head.n);
	assert_int_equal(deflateInit(&z, 1), Z_OK);
	/* An interlaced image has a few filter bytes more, so its end is missing here; nobody gets that far. */
	for (uint32_t y = 0; y < height; y++) {
		z.next_in = zeros;
		z.avail_in = (uInt)row;
		assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	png_chunk(&b, "IDAT", packed, z.total_out);
	png_chunk(&b, "IEND", "", 0);
	deflateEnd(&z);
	free(zeros);
	free(packed);
	bytes_release(&head);
	return b;
}

/* ---- running ---- */

struct ran run_op(const struct sealed_op *op, const char *params, struct bytes input)
{
	struct sealed_job j = {.params = str_of(params),
			       .name = STR("input"),
			       .input_fd = memfd_create("input", MFD_CLOEXEC),
			       .output_fd = memfd_create("output", MFD_CLOEXEC),
			       .size = input.n,
			       .limits = {.memory = 512u << 20, .output_max = 64u << 20, .pixels_max = 100000000}};
	struct ran r = {.err = ERR_INIT};
	struct digest_set *d;
	size_t n;

	assert_int_equal(fd_write_all(j.input_fd, input.p, input.n), 0);
	assert_int_equal(digest_set_new(&d, 1u << DIGEST_SHA256, NULL), 0);
	digest_set_update(d, input.p, input.n);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	memcpy(j.sha256, digest_set_get(d, DIGEST_SHA256, &n), sizeof(j.sha256));
	digest_set_free(d);
	r.code = op->run(&j, &r.err);
	r.out = (struct bytes){malloc(j.written + 1), j.written};
	assert_int_equal(fd_pread_full(j.output_fd, r.out.p, r.out.n, 0), r.out.n);
	assert_true(j.result.len <= RUNNER_RESULT_MAX);
	snprintf(r.result, sizeof(r.result), "%.*s", STR_FMT(buf_str(&j.result)));
	close(j.input_fd);
	close(j.output_fd);
	sealed_release(&j);
	return r;
}

void ran_release(struct ran *r)
{
	bytes_release(&r->out);
}

/* Canonical JSON has every param once: what is asked for, else the default. */
struct ran run_resize(struct bytes input, const char *fmt, ...)
{
	static const char *const defaults[] = {"\"background\":\"ffffff\"", "\"enlarge\":\"no\"",    "\"fit\":\"inside\"",
					       "\"format\":\"keep\"",       "\"metadata\":\"drop\"", "\"quality\":80"};
	char asked[256], all[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(asked, sizeof(asked), fmt, ap);
	va_end(ap);
	snprintf(all, sizeof(all), "{%s", asked);
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)(strchr(defaults[i], ':') - defaults[i]), defaults[i]);
		if (!strstr(asked, name))
			snprintf(all + strlen(all), sizeof(all) - strlen(all), ",%s", defaults[i]);
	}
	snprintf(all + strlen(all), sizeof(all) - strlen(all), "}");
	return run_op(&op_resize, all, input);
}

VipsImage *image_of(struct ran *r)
{
	VipsImage *im;

	if (r->code != 0)
		fail_msg("%s: %s", err_info(r->code)->name, r->err.detail);
	im = vips_image_new_from_buffer(r->out.p, r->out.n, "", NULL);
	if (!im)
		fail_msg("the output cannot be read: %s", vips_error_buffer());
	return im;
}

void check_size(struct ran *r, int width, int height)
{
	char expected[64];
	VipsImage *im = image_of(r);

	if (im->Xsize != width || im->Ysize != height)
		fail_msg("%d x %d instead of %d x %d", im->Xsize, im->Ysize, width, height);
	snprintf(expected, sizeof(expected), "{\"width\":%d,\"height\":%d,", width, height);
	if (strncmp(r->result, expected, strlen(expected)) != 0)
		fail_msg("%s does not begin with %s", r->result, expected);
	g_object_unref(im);
}

struct colour quarter(VipsImage *im, int column, int row)
{
	struct colour ret = {{0, 0, 0, 255}};
	double *v;
	int n;

	assert_int_equal(vips_getpoint(im, &v, &n, im->Xsize * (1 + 2 * column) / 4, im->Ysize * (1 + 2 * row) / 4, NULL), 0);
	for (int i = 0; i < 3; i++)
		ret.c[i] = (int)v[n >= 3 ? i : 0];
	if (n == 2 || n == 4)
		ret.c[3] = (int)v[n - 1];
	g_free(v);
	return ret;
}

bool is_about(struct colour a, int red, int green, int blue, int slack)
{
	return abs(a.c[0] - red) <= slack && abs(a.c[1] - green) <= slack && abs(a.c[2] - blue) <= slack;
}

int images_set_up(void **state)
{
	struct err e = ERR_INIT;

	if (op_resize.prepare(&e) < 0 || op_probe.prepare(&e) < 0)
		fail_msg("%s", e.detail);
	return 0;
}
