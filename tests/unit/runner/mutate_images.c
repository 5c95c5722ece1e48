/* Thousands of images that were valid once, each changed by a seeded mutation, through `resize` in the genuine program. Every job must end with a code that a job may end with,
 * no call may be refused by the seal, and nothing may be left: no process, no descriptor, no file.
 *
 *	mutate_images PROGRAM [COUNT [SEED]]
 *
 * Prints how many ended with each code. A few hundred run with the tests; `ninja mutated-images` in the build directory runs ten thousand. */
#include "images.h"
#include "sealed_world.h"

#include "ops/ops.h"

#include <dirent.h>
#include <unistd.h>
#include <zlib.h>

static const char *program;
static unsigned count = 300;
static uint64_t random_state = 1;

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return n > 0 ? (size_t)(random64() % n) : 0;
}

/* ---- mutations ---- */

static void flip_bits(struct bytes *b, const struct bytes *other)
{
	for (size_t n = 1 + below(16); n > 0; n--)
		b->p[below(b->n)] ^= (uint8_t)(1u << below(8));
}

/* Changes are worth more near the front, where headers are. */
static void flip_front_bits(struct bytes *b, const struct bytes *other)
{
	for (size_t n = 1 + below(4); n > 0; n--)
		b->p[below(b->n < 256 ? b->n : 256)] ^= (uint8_t)(1u << below(8));
}

static void cut(struct bytes *b, const struct bytes *other)
{
	b->n = 1 + below(b->n);
}

static void splice(struct bytes *b, const struct bytes *other)
{
	size_t from = below(other->n);

	b->n = 1 + below(b->n);
	bytes_add(b, other->p + from, other->n - from);
}

static void copy_within(struct bytes *b, const struct bytes *other)
{
	size_t n = 1 + below(b->n / 4 + 1), from = below(b->n - n + 1), to = below(b->n - n + 1);

	memmove(b->p + to, b->p + from, n);
}

static void repeat_a_part(struct bytes *b, const struct bytes *other)
{
	size_t n = 1 + below(b->n / 4 + 1), from = below(b->n - n + 1), rest = b->n - from - n;
	struct bytes tail = bytes_copy(b->p + from, n + rest);

	b->n = from + n;
	bytes_add(b, tail.p, tail.n);
	bytes_release(&tail);
}

static void remove_a_part(struct bytes *b, const struct bytes *other)
{
	size_t n = 1 + below(b->n / 4 + 1), from = below(b->n - n + 1);

	memmove(b->p + from, b->p + from + n, b->n - from - n);
	b->n -= n;
}

static void write_a_telling_number(struct bytes *b, const struct bytes *other)
{
	static const uint32_t numbers[] = {0,      1,      0x7f,    0x80,       0xff,       0x100,     0x7fff,
					   0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
	uint32_t v = numbers[below(ARRAY_LEN(numbers))];
	size_t size = (size_t)1 << below(3), at = below(b->n > 4 ? b->n - 4 : 1);
	bool big = below(2) == 0;

	for (size_t i = 0; i < size && at + i < b->n; i++)
		b->p[at + i] = (uint8_t)(v >> 8 * (big ? size - 1 - i : i));
}

/* PNG's chunks with their checksums made right again, so that decoders look at what is inside; and two of them exchanged now and then. */
static void mend_png(struct bytes *b, const struct bytes *other)
{
	for (size_t at = 8; at + 12 <= b->n;) {
		uint32_t n = (uint32_t)b->p[at] << 24 | (uint32_t)b->p[at + 1] << 16 | (uint32_t)b->p[at + 2] << 8 | b->p[at + 3], crc;

		if (n > b->n - at - 12)
			return;
		crc = (uint32_t)crc32_z(0, b->p + at + 4, n + 4);
		for (int i = 0; i < 4; i++)
			b->p[at + 8 + n + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
		at += 12 + n;
	}
}

static void (*const mutations[])(struct bytes *b, const struct bytes *other) = {
	flip_bits,   flip_bits,     flip_bits,     flip_front_bits,        flip_front_bits,       cut, splice, copy_within,
	copy_within, repeat_a_part, remove_a_part, write_a_telling_number, write_a_telling_number};

static struct bytes mutated(const struct bytes *valid, size_t n)
{
	const struct bytes *base = &valid[below(n)];
	struct bytes b = bytes_copy(base->p, base->n);

	for (size_t k = 1 + below(3); k > 0; k--)
		mutations[below(ARRAY_LEN(mutations))](&b, &valid[below(n)]);
	if (b.n > 8 && memcmp(b.p, "\x89PNG", 4) == 0 && below(4) > 0)
		mend_png(&b, NULL);
	return b;
}

/* ---- jobs ---- */

static const char *const kinds[] = {".jpg",
				    ".jpg[interlace]",
				    ".jpg[Q=95,optimize-coding]",
				    ".png",
				    ".png[interlace]",
				    ".png[palette]",
				    ".webp",
				    ".webp[lossless]",
				    ".gif",
				    ".tif",
				    ".tif[compression=deflate,predictor=horizontal]",
				    ".tif[compression=jpeg]",
				    ".tif[tile,compression=lzw]",
				    ".avif",
				    ".heic"};

/* What may become of a job over any bytes at all. A crash is among it: decoders have faults, and the seal is there because of them. */
static bool allowed(int code)
{
	static const int codes[] = {0,
				    ERR_TRUNCATED,
				    ERR_INVALID_CONTENT,
				    ERR_UNSUPPORTED_FORMAT,
				    ERR_IMAGE_TOO_LARGE,
				    ERR_LIMIT_MEMORY,
				    ERR_LIMIT_TIME,
				    ERR_LIMIT_OUTPUT,
				    ERR_OP_FAILED,
				    ERR_RUNNER_CRASHED};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

static int run_one(struct world *w, struct bytes in)
{
	static const char *const formats[] = {"keep", "jpeg", "png", "webp"};
	CLEANUP(buf_release) struct buf out = BUF_INIT;
	struct runner_job job = world_job(op_table_find(op_builtin_table(), STR("resize")), (struct str){(const char *)in.p, in.n});
	char params[256];

	/* AVIF is slow to write and takes nothing from strangers that the others do not. */
	snprintf(params, sizeof(params),
		 "{\"background\":\"ffffff\",\"enlarge\":\"no\",\"fit\":\"inside\",\"format\":\"%s\",\"metadata\":\"%s\",\"quality\":80,"
		 "\"width\":%zu}",
		 formats[below(ARRAY_LEN(formats))], below(2) ? "keep" : "drop", 1 + below(100));
	job.params = str_of(params);
	job.output = world_take_output;
	job.output_arg = &out;
	world_run_one(w, &job);
	if (!allowed(job.code))
		fail_msg("a job ended with %s: %s", err_info(job.code)->name, job.err.detail);
	return job.code;
}

static unsigned entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void mutated_images_end_with_a_code_and_leave_nothing(void **state)
{
	struct runner_config config = {
		.path = program,
		.limits = {.memory = 512u << 20, .cpu_s = 10, .wall_ms = 20000, .output_max = 16u << 20, .pixels_max = 25000000},
		.children_max = 2};
	char place[] = "/tmp/mutated-XXXXXX";
	struct bytes valid[ARRAY_LEN(kinds)];
	unsigned ends[256] = {};
	struct runner_stats stats;
	struct world w;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		valid[i] = picture_as(kinds[i], 96, 64, i % 3 == 0 && strstr(kinds[i], "j") == NULL ? 4 : 3);
	/* Where a stray file of the program would show */
	assert_non_null(mkdtemp(place));
	assert_int_equal(chdir(place), 0);
	world_begin(&w, program, &config);
	for (unsigned i = 0; i < count; i++) {
		CLEANUP(bytes_release) struct bytes b = mutated(valid, ARRAY_LEN(valid));

		ends[-run_one(&w, b)]++;
	}
	runner_stats(w.runner, &stats);
	world_end(&w);
	assert_int_equal(entries(place), 2);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(place), 0);
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		if (ends[i] > 0)
			print_message("%8u %s\n", ends[i], i == 0 ? "succeeded" : err_info(-(int)i)->name);
	print_message("%8u in all; %llu children, %llu killed, %llu refused calls\n", count, (unsigned long long)stats.children,
		      (unsigned long long)stats.killed, (unsigned long long)stats.violations);
	assert_int_equal(stats.violations, 0);
	/* Were all refused, nothing would have been tried. */
	assert_true(ends[0] > 0 && ends[-ERR_INVALID_CONTENT] > 0 && ends[-ERR_TRUNCATED] > 0);
	for (size_t i = 0; i < ARRAY_LEN(valid); i++)
		bytes_release(&valid[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(mutated_images_end_with_a_code_and_leave_nothing)};

	if (argc < 2)
		return 2;
	program = realpath(argv[1], NULL); /* the tests go to a folder of their own */
	count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : count;
	random_state = argc > 3 ? strtoull(argv[3], NULL, 10) : random_state;
	return cmocka_run_group_tests_name("mutated images", tests, images_set_up, NULL);
}
