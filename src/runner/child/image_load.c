/* Opening images: the table of kinds, libvips' start, headers, and what its messages mean. */
#include "ops/ops.h"
#include "runner/child/image_impl.h"

#include <dlfcn.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vips/vector.h>

/* libvips takes what it only reads as void *. */
#define BYTES(p) ((void *)(uintptr_t)(p))
#define WARM (768 << 10) /* bytes: the piece that is read, rows, the decoder's tables */
#define HUGE_PAGE (2u << 20)
#define BIG_POPULATED (8u << 20) /* of more, the rest may never be used */
#define STRICTLY "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_WARNING

static int load_jpeg(const void *data, size_t n, int shrink, VipsImage **ret)
{
	return vips_jpegload_buffer(BYTES(data), n, ret, STRICTLY, "shrink", shrink, NULL);
}

static int load_png(const void *data, size_t n, int shrink, VipsImage **ret)
{
	return vips_pngload_buffer(BYTES(data), n, ret, STRICTLY, NULL);
}

static int load_webp(const void *data, size_t n, int shrink, VipsImage **ret)
{
	return vips_webpload_buffer(BYTES(data), n, ret, STRICTLY, "n", 1, "scale", 1.0 / shrink, NULL);
}

static int load_gif(const void *data, size_t n, int shrink, VipsImage **ret)
{
	return vips_gifload_buffer(BYTES(data), n, ret, STRICTLY, "n", 1, NULL);
}

static int load_tiff(const void *data, size_t n, int shrink, VipsImage **ret)
{
	return vips_tiffload_buffer(BYTES(data), n, ret, STRICTLY, "n", 1, NULL);
}

/* Without a page: the primary image. */
static int load_heif(const void *data, size_t n, int shrink, VipsImage **ret)
{
	return vips_heifload_buffer(BYTES(data), n, ret, STRICTLY, NULL);
}

static const struct image_kind kinds[] = {
	{"image/jpeg", "jpeg", load_jpeg, 8, true, image_jpeg_ends_early, false, "jpeg", "jpeg"},
	{"image/png", "png", load_png, 1, false, image_png_ends_early, true, "png", "png"},
	{"image/webp", "webp", load_webp, 8, false, image_webp_ends_early, true, "webp", "webp"},
	{"image/gif", "gif", load_gif, 1, false, image_gif_ends_early, true, "png", "png"},
	{"image/tiff", "tiff", load_tiff, 1, false, image_tiff_ends_early, true, "png", "png"},
	{"image/avif", "avif", load_heif, 1, false, image_heif_ends_early, true, "avif", "avif"},
	{"image/heic", "heic", load_heif, 1, false, image_heif_ends_early, true, "jpeg", "png"},
	{"image/heif", "heif", load_heif, 1, false, image_heif_ends_early, true, "jpeg", "png"},
};

const struct image_kind *image_kind_of(const void *first, size_t n)
{
	const char *type = magic_type(first, n);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(type, kinds[i].type) == 0)
			return &kinds[i];
	return NULL;
}

/* ---- start ---- */

/* GLib would look for the journal's socket before it writes a message; nobody reads messages here: libvips' errors are in its buffer. */
static void no_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer arg)
{
}

/* Beside libvips lie modules for ImageMagick, OpenSlide, poppler and JPEG XL, which are not wanted in a process that decodes what strangers sent. So libvips is told of a home
 * without modules, and the one for HEIF is opened by name. */
static int load_heif_module(struct err *e)
{
	Dl_info at;
	char path[PATH_MAX];
	const char *slash;

	if (vips_type_find("VipsOperation", "heifload_buffer"))
		return 0;
	if (!dladdr(BYTES(vips_init), &at) || !at.dli_fname || !(slash = strrchr(at.dli_fname, '/')))
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "it is not known where libvips lies");
	snprintf(path, sizeof(path), "%.*s/vips-modules-%d.%d/vips-heif.so", (int)(slash - at.dli_fname), at.dli_fname, vips_version(0),
		 vips_version(1));
	if (!g_module_open(path, G_MODULE_BIND_LAZY))
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "libvips' module for HEIF cannot be loaded");
	return 0;
}

/* What the first use would do in every child anew: the classes of the operations. No bytes are looked at. */
static void make_classes(void)
{
	static const char *const operations[] = {"jpegload_buffer",
						 "pngload_buffer",
						 "webpload_buffer",
						 "gifload_buffer",
						 "tiffload_buffer",
						 "heifload_buffer",
						 "jpegsave_target",
						 "pngsave_target",
						 "webpsave_target",
						 "heifsave_target",
						 "icc_transform",
						 "colourspace",
						 "copy",
						 "autorot",
						 "flatten"};

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		GType type = vips_type_find("VipsOperation", operations[i]);

		/* Never given back: they are to stay. */
		if (type)
			(void)g_type_class_ref(type);
	}
}

int image_prepare(struct err *e)
{
	static bool done; /* libvips is one a process, and so is this */
	int r;

	if (done)
		return 0;
	/* One arena: each would reserve 64 MiB of the child's address space. Big blocks go back at once; what image_warm() made ready stays. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, WARM + 1);
	mallopt(M_TRIM_THRESHOLD, 2 * WARM);
	setenv("VIPSHOME", "/nonexistent", 1);
	g_log_set_default_handler(no_log, NULL);
	if (VIPS_INIT("filemill-runner") != 0)
		return err_set(e, ERR_RUNNER_UNAVAILABLE, "libvips does not start");
	r = load_heif_module(e);
	if (r < 0)
		return r;
	vips_block_untrusted_set(TRUE);
	vips_vector_set_enabled(FALSE); /* it would write machine code */
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	make_classes();
	done = true;
	return 0;
}

/* A kernel that does not know this leaves it to the first touch. */
static void populate(char *p, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = -(uintptr_t)p % page;

	if (n > skip + page)
		(void)madvise(p + skip, (n - skip) & ~(page - 1), MADV_POPULATE_WRITE);
}

void image_warm(void)
{
	char *p = malloc(WARM);

	if (p)
		populate(p, WARM);
	free(p);
}

void *image_big(size_t n)
{
	size_t whole;
	char *p;

	if (n < HUGE_PAGE / 2 || n > SIZE_MAX - HUGE_PAGE)
		return malloc(n);
	whole = (n + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
	p = aligned_alloc(HUGE_PAGE, whole);
	if (!p)
		return malloc(n);
	(void)madvise(p, whole, MADV_HUGEPAGE);
	populate(p, n < BIG_POPULATED ? n : BIG_POPULATED);
	return p;
}

/* ---- errors ---- */

/* Parts of what libvips, libjpeg, libpng, libwebp, nsgif, libtiff, libheif and lcms say, and what it means. The first that fits. */
static const struct {
	const char *part;
	int code;
} meanings[] = {
	{"out of memory", ERR_LIMIT_MEMORY},
	{"Out of memory", ERR_LIMIT_MEMORY},
	{"Insufficient memory", ERR_LIMIT_MEMORY},
	{"Memory allocation", ERR_LIMIT_MEMORY},
	{"memory allocation", ERR_LIMIT_MEMORY},
	{"unable to allocate", ERR_LIMIT_MEMORY},
	{"picture memory error", ERR_LIMIT_MEMORY},
	{"unable to encode", ERR_LIMIT_MEMORY}, /* libwebp of a picture that is in order */
	{"Security limit exceeded", ERR_IMAGE_TOO_LARGE},
	{"end of file", ERR_TRUNCATED},
	{"End of file", ERR_TRUNCATED},
	{"end of JPEG", ERR_TRUNCATED},
	{"Premature end", ERR_TRUNCATED},
	{"premature end", ERR_TRUNCATED},
	{"unexpected end", ERR_TRUNCATED},
};

/* One line of printable ASCII: what libraries say about strangers' bytes may quote them. */
static void first_line(char *dst, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && *text != '\n' && n + 1 < size; text++)
		dst[n++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
	dst[n] = '\0';
}

static int code_of(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (strstr(text, meanings[i].part))
			return meanings[i].code;
	return 0;
}

int image_error(const struct image_kind *k, const void *data, size_t n, struct err *e)
{
	char *text = vips_error_buffer_copy();
	int code = code_of(text);
	char line[120];

	first_line(line, sizeof(line), text);
	g_free(text);
	/* What the file's own structure says is surer than what a decoder made of it. */
	if (code != ERR_LIMIT_MEMORY && code != ERR_IMAGE_TOO_LARGE && k->ends_early(data, n))
		return image_truncated(k, e);
	return err_set(e, code ? code : ERR_INVALID_CONTENT, "the %s image cannot be read%s%s", k->name, line[0] ? ": " : "", line);
}

int image_truncated(const struct image_kind *k, struct err *e)
{
	return err_set(e, ERR_TRUNCATED, "the %s image ends too early", k->name);
}

int image_failed(const char *what, struct err *e)
{
	char *text = vips_error_buffer_copy();
	int code = code_of(text) == ERR_LIMIT_MEMORY ? ERR_LIMIT_MEMORY : ERR_OP_FAILED;
	char line[120];

	first_line(line, sizeof(line), text);
	g_free(text);
	return err_set(e, code, "%s%s%s", what, line[0] ? ": " : "", line);
}

/* ---- opening ---- */

int image_open(VipsImage **ret, const struct image_kind *k, const void *data, size_t n, uint64_t pixels_max, struct err *e)
{
	CLEANUP(image_unref) VipsImage *im = NULL;
	uint64_t pixels;

	vips_error_clear();
	if (k->strict && k->ends_early(data, n))
		return image_truncated(k, e);
	if (k->load(data, n, 1, &im) != 0)
		return image_error(k, data, n, e);
	pixels = (uint64_t)vips_image_get_width(im) * (uint64_t)vips_image_get_height(im);
	if (pixels > pixels_max) {
		err_set(e, ERR_IMAGE_TOO_LARGE, "%d x %d pixels are more than the limit", vips_image_get_width(im),
			vips_image_get_height(im));
		return err_limit(e, (int64_t)pixels_max);
	}
	*ret = im;
	im = NULL;
	return 0;
}
