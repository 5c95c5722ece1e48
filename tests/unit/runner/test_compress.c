/* gzip, zstd and zip, in this process. Streams are read back by zlib and zstd themselves; whole files by the tools that people have (check_compressed.py).
 * A memory limit of 4 MiB makes pieces of 512 KiB, so that the boundaries between pieces come cheap. */
#include "base/fd.h"
#include "ops/ops.h"
#include "runner/child/deflate.h"
#include "runner/child/zip.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#define MIB (1u << 20)
#define SMALL_MEMORY (4u << 20) /* limit with which a piece is PIECE */
#define PIECE (512u << 10)
#define TIB (UINT64_C(1) << 40)

enum content { TEXT, NOISE, ZEROS, CONTENTS };

/* Text is words that repeat, as sources do; noise cannot be compressed. */
static void fill(uint8_t *p, size_t n, enum content content)
{
	uint64_t x = 88172645463325252u;

	memset(p, 0, n);
	for (size_t i = 0; i < n && content != ZEROS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (content == NOISE)
			p[i] = (uint8_t)x;
		else if (i > 5000 && x % 7 == 0) {
			size_t back = 1 + x / 7 % 5000, k = 4 + x / 65536 % 40;

			for (; k > 0 && i < n; k--, i++)
				p[i] = p[i - back];
			i--;
		} else {
			p[i] = (uint8_t)("etaoin shrdlu\n.,;(){}=0"[x / 1024 % 23]);
		}
	}
}

/* ---- running an op ---- */

struct run {
	struct sealed_job j;
	char params[64];
	uint8_t *in, *out; /* `out` is what it wrote */
	size_t n, n_out;
	struct err e;
	int r;
};

static void sha256_of(uint8_t dst[32], const void *p, size_t n)
{
	struct digest_set *d;
	size_t size;

	assert_int_equal(digest_set_new(&d, 1u << DIGEST_SHA256, NULL), 0);
	digest_set_update(d, p, n);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	memcpy(dst, digest_set_get(d, DIGEST_SHA256, &size), 32);
	digest_set_free(d);
}

static void prepare(struct run *t, size_t n, enum content content, int level, uint64_t memory)
{
	*t = (struct run){.n = n, .e = ERR_INIT, .in = malloc(n + 1)};
	assert_non_null(t->in);
	fill(t->in, n, content);
	snprintf(t->params, sizeof(t->params), "{\"level\":%d}", level);
	t->j = (struct sealed_job){.input_fd = memfd_create("input", MFD_CLOEXEC),
				   .output_fd = memfd_create("output", MFD_CLOEXEC),
				   .size = n,
				   .params = str_of(t->params),
				   .name = STR("notes.txt"),
				   .limits = {.memory = memory, .output_max = TIB}};
	assert_int_equal(fd_write_all(t->j.input_fd, t->in, n), 0);
	sha256_of(t->j.sha256, t->in, n);
}

static void run(struct run *t, const struct sealed_op *op)
{
	t->r = op->run(&t->j, &t->e);
	t->n_out = (size_t)lseek(t->j.output_fd, 0, SEEK_CUR);
	t->out = malloc(t->n_out + 1);
	assert_non_null(t->out);
	assert_int_equal(fd_pread_full(t->j.output_fd, t->out, t->n_out, 0), t->n_out);
	if (t->r != 0)
		return;
	assert_int_equal(t->j.written, t->n_out);
	assert_true(buf_ok(&t->j.result));
}

static void done(struct run *t)
{
	close(t->j.input_fd);
	close(t->j.output_fd);
	sealed_release(&t->j);
	free(t->in);
	free(t->out);
}

/* Exactly one stream from the first to the last byte, with exactly the content. wbits as inflateInit2() takes it. */
static void assert_one_stream(const uint8_t *p, size_t n, const uint8_t *want, size_t n_want, int wbits)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)p, .avail_in = (uInt)n};
	uint8_t *back = malloc(n_want + 1);
	int r;

	assert_non_null(back);
	z.next_out = back;
	z.avail_out = (uInt)n_want + 1;
	assert_int_equal(inflateInit2(&z, wbits), Z_OK);
	r = inflate(&z, Z_FINISH);
	assert_int_equal(r, Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	assert_int_equal(z.total_out, n_want);
	assert_memory_equal(back, want, n_want);
	inflateEnd(&z);
	free(back);
}

static void assert_gzip(const struct run *t)
{
	assert_int_equal(t->r, 0);
	assert_one_stream(t->out, t->n_out, t->in, t->n, MAX_WBITS + 16);
}

static const size_t sizes[] = {
	0,         1,     2,         300,       65535,         65536,         SEALED_PIECE - 1, SEALED_PIECE, SEALED_PIECE + 1,
	PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, 3 * PIECE + 77};

static void gzip_is_one_member_at_every_level_and_size(void **state)
{
	for (int level = 1; level <= 12; level++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			for (enum content c = TEXT; c < CONTENTS; c++) {
				struct run t;

				if (c != TEXT && level % 5 != 1)
					continue;
				prepare(&t, sizes[i], c, level, SMALL_MEMORY);
				run(&t, &op_gzip);
				assert_gzip(&t);
				done(&t);
			}
}

static void more_effort_is_not_larger(void **state)
{
	size_t before = SIZE_MAX;
	const int levels[] = {1, 2, 6, 9, 12};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		struct run t;

		prepare(&t, PIECE / 2, TEXT, levels[i], SMALL_MEMORY);
		run(&t, &op_gzip);
		assert_int_equal(t.r, 0);
		assert_true(t.n_out < before);
		before = t.n_out;
		done(&t);
	}
}

static void noise_grows_by_less_than_a_hundredth(void **state)
{
	const struct sealed_op *const ops[] = {&op_gzip, &op_zip, &op_zstd};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		for (int level = 1; level <= 9; level += 4) {
			struct run t;

			prepare(&t, 3 * PIECE, NOISE, level, SMALL_MEMORY);
			run(&t, ops[i]);
			assert_int_equal(t.r, 0);
			assert_in_range(t.n_out, 3 * PIECE, 3 * PIECE + 3 * PIECE / 100);
			done(&t);
		}
}

static void a_stream_can_be_gone_on_behind(void **state)
{
	/* Every number of unused bits in the last byte, and streams of one and of many blocks. */
	unsigned seen = 0;

	for (size_t n = 0; n < 400; n += 1 + n / 50) {
		uint8_t in[512], out[2048], whole[2048];
		z_stream z = {.next_in = in, .avail_in = (uInt)n, .next_out = out, .avail_out = sizeof(out)};
		size_t made, at;

		fill(in, n, n % 3 == 0 ? TEXT : NOISE);
		assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, n % 2 ? Z_FIXED : Z_DEFAULT_STRATEGY), Z_OK);
		if (n > 100) {
			z.avail_in = 50;
			deflate(&z, n % 5 ? Z_BLOCK : Z_FULL_FLUSH);
			z.avail_in = (uInt)n - 50;
		}
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
		made = at = z.total_out;
		deflateEnd(&z);
		memcpy(whole, out, made);
		assert_true(deflate_open(whole, &at));
		assert_in_range(at, made + 4, made + DEFLATE_OPEN_BYTES);
		seen |= 1u << (at - made);
		memcpy(whole + at, out, made);
		memcpy(in + n, in, n < 256 ? n : 0);
		if (n < 256)
			assert_one_stream(whole, at + made, in, 2 * n, -MAX_WBITS);
	}
	assert_int_equal(seen, 1u << 4 | 1u << 5);
}

static void what_is_no_stream_cannot_be_gone_on_behind(void **state)
{
	uint8_t broken[] = {0x07, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0}, cut[64], more[64];
	uint8_t empty[16] = {0};
	struct z_stream_s z = {.next_in = (uint8_t *)(uintptr_t) "abcabcabcabc", .avail_in = 12, .next_out = cut, .avail_out = sizeof(cut)};
	size_t n = 3;

	assert_false(deflate_open(broken, &n));
	n = 0;
	assert_false(deflate_open(empty, &n));
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	memcpy(more, cut, sizeof(more));
	n = z.total_out - 1;
	assert_false(deflate_open(cut, &n));
	n = z.total_out + 1;
	assert_false(deflate_open(more, &n));
	deflateEnd(&z);
}

static void the_same_input_makes_the_same_bytes(void **state)
{
	const struct sealed_op *const ops[] = {&op_gzip, &op_zip, &op_zstd};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		for (int level = 1; level <= 6; level += 5) {
			struct run a, b;

			prepare(&a, 3 * PIECE / 2, TEXT, level, SMALL_MEMORY);
			prepare(&b, 3 * PIECE / 2, TEXT, level, SMALL_MEMORY);
			run(&a, ops[i]);
			run(&b, ops[i]);
			assert_int_equal(a.n_out, b.n_out);
			assert_memory_equal(a.out, b.out, a.n_out);
			done(&a);
			done(&b);
		}
}

static void zstd_says_its_size_at_every_level(void **state)
{
	for (int level = 1; level <= 19; level++)
		for (size_t i = 0; i<ARRAY_LEN(sizes); i += level> 9 ? 3 : 1) {
			struct run t;
			uint8_t *back;

			prepare(&t, sizes[i], i % 2 ? TEXT : NOISE, level, 512u * MIB);
			run(&t, &op_zstd);
			assert_int_equal(t.r, 0);
			assert_int_equal(ZSTD_getFrameContentSize(t.out, t.n_out), t.n);
			assert_int_equal(t.out[4] & 4, 4); /* Content_Checksum_flag, RFC 8878 §3.1.1.1.1 */
			back = malloc(t.n + 1);
			assert_int_equal(ZSTD_decompress(back, t.n, t.out, t.n_out), t.n);
			assert_memory_equal(back, t.in, t.n);
			free(back);
			done(&t);
		}
}

static void the_result_says_both_sizes(void **state)
{
	struct run t;
	char want[64];

	prepare(&t, 1000, ZEROS, 6, SMALL_MEMORY);
	run(&t, &op_gzip);
	snprintf(want, sizeof(want), "{\"size_in\":1000,\"size_out\":%zu}", t.n_out);
	assert_true(str_eq(buf_str(&t.j.result), str_of(want)));
	done(&t);
}

/* ---- what goes wrong ---- */

static void damaged_input_makes_no_job_succeed(void **state)
{
	const struct sealed_op *const ops[] = {&op_gzip, &op_zip, &op_zstd};
	const size_t damaged[] = {1, 1000, PIECE, 2 * PIECE, 2 * PIECE + 5};

	for (size_t i = 0; i < ARRAY_LEN(ops) * ARRAY_LEN(damaged); i++)
		for (int level = 1; level <= 6; level += 5) {
			struct run t;

			prepare(&t, damaged[i / ARRAY_LEN(ops)], TEXT, level, SMALL_MEMORY);
			assert_int_equal(pwrite(t.j.input_fd, "!", 1, (off_t)t.n - 1), 1);
			run(&t, ops[i % ARRAY_LEN(ops)]);
			assert_int_equal(t.r, ERR_DAMAGED);
			assert_int_equal(t.j.result.len, 0);
			done(&t);
		}
}

static void an_input_that_became_shorter_is_damaged(void **state)
{
	struct run t;

	prepare(&t, 2 * PIECE, TEXT, 6, SMALL_MEMORY);
	assert_int_equal(ftruncate(t.j.input_fd, PIECE + 1), 0);
	run(&t, &op_gzip);
	assert_int_equal(t.r, ERR_DAMAGED);
	done(&t);
}

static void the_output_ends_at_its_limit(void **state)
{
	const struct sealed_op *const ops[] = {&op_gzip, &op_zip, &op_zstd};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		for (int level = 1; level <= 6; level += 5) {
			struct run t;
			uint64_t size;

			prepare(&t, 2 * PIECE, NOISE, level, SMALL_MEMORY);
			run(&t, ops[i]);
			assert_int_equal(t.r, 0);
			size = t.n_out;
			done(&t);
			for (uint64_t less = 0; less <= 1; less++) {
				prepare(&t, 2 * PIECE, NOISE, level, SMALL_MEMORY);
				t.j.limits.output_max = size - less;
				run(&t, ops[i]);
				assert_int_equal(t.r, less ? ERR_LIMIT_OUTPUT : 0);
				assert_true(t.n_out <= size - less);
				done(&t);
			}
		}
}

static void a_reader_that_went_away_ends_the_job(void **state)
{
	struct run t;
	int ends[2];

	prepare(&t, PIECE, NOISE, 1, SMALL_MEMORY);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	close(t.j.output_fd);
	t.j.output_fd = ends[1];
	assert_int_equal(op_gzip.run(&t.j, &t.e), ERR_IO);
	done(&t);
}

/* ---- names ---- */

static void an_entry_has_a_name_that_can_be_made_everywhere(void **state)
{
	static const struct {
		const char *name, *want;
	} cases[] = {
		{"notes.txt", "notes.txt"},
		{"Übersicht 2024.pdf", "Übersicht 2024.pdf"},
		{"日本語.txt", "日本語.txt"},
		{"😀.png", "😀.png"},
		{".profile", ".profile"},
		{"", "file"},
		{"\xff\xfe", "file"},
		{".", "_"},
		{"..", "._"},
		{"../../etc/passwd", ".._.._etc_passwd"},
		{"..\\..\\x", ".._.._x"},
		{"C:\\x", "C__x"},
		{"a<b>c:d\"e|f?g*h", "a_b_c_d_e_f_g_h"},
		{"a\nb\x7f", "a_b_"},
		{"dots...", "dots.._"},
		{"blank ", "blank_"},
		{"con", "_con"},
		{"CON.txt", "_CON.txt"},
		{"nul.tar.gz", "_nul.tar.gz"},
		{"aux .txt", "_aux .txt"},
		{"Com1", "_Com1"},
		{"lpt9.x", "_lpt9.x"},
		{"com\xc2\xb9", "_com\xc2\xb9"},
		{"COM", "COM"},
		{"COM10", "COM10"},
		{"console", "console"},
		{"CONIN$", "_CONIN$"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[ZIP_NAME_MAX];
		size_t n = zip_name(name, str_of(cases[i].name));

		if (!str_eq((struct str){name, n}, str_of(cases[i].want)))
			print_error("%s became %.*s\n", cases[i].name, (int)n, name);
		assert_true(str_eq((struct str){name, n}, str_of(cases[i].want)));
	}
}

static void an_entry_s_name_has_at_most_255_bytes(void **state)
{
	char longest[300], name[ZIP_NAME_MAX];

	memset(longest, 'x', sizeof(longest));
	assert_int_equal(zip_name(name, (struct str){longest, 255}), 255);
	assert_int_equal(zip_name(name, (struct str){longest, 256}), 255);
	memcpy(longest, "con.", 4);
	assert_int_equal(zip_name(name, (struct str){longest, 255}), 255);
	assert_memory_equal(name, "_con.x", 6);
	memcpy(longest + 253, "\xc3\xa4", 2);
	assert_int_equal(zip_name(name, (struct str){longest, 255}), 254);
}

static void a_name_that_latin_1_has_not_stays_out_of_gzip(void **state)
{
	static const struct {
		const char *name, *latin;
	} cases[] = {{"a.txt", "a.txt"},   {"f\xc3\xbc.txt", "f\xfc.txt"},
		     {"\xc2\xa0", "\xa0"}, {"\xc3\xbf", "\xff"},
		     {"日.txt", NULL},     {"\xc2\x85", NULL},
		     {"a/b", NULL},        {"a\nb", NULL},
		     {"", NULL},           {"\xc4\x80", NULL},
		     {"a\xc3", NULL}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run t;

		prepare(&t, 10, TEXT, 6, SMALL_MEMORY);
		t.j.name = str_of(cases[i].name);
		run(&t, &op_gzip);
		assert_gzip(&t);
		assert_int_equal(t.out[3], cases[i].latin ? 8 : 0);
		if (cases[i].latin)
			assert_string_equal((char *)t.out + 10, cases[i].latin);
		done(&t);
	}
}

/* ---- the tools that people have ---- */

static char checker[512];

static void save(const char *dir, int i, const char *suffix, const void *p, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%d%s", dir, i, suffix);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, p, n), 0);
	close(fd);
}

static int remove_all(const char *dir)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", dir, NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int judge(char *dir)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execl("/usr/bin/python3", "python3", checker, dir, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

struct made {
	const struct sealed_op *op;
	size_t n;
	enum content content;
	int level;
	uint64_t memory;
	const char *name, *entry; /* NULL: the same */
};

#define TOOLS_MISSING 77 /* what check_compressed.py ends with then */

/* Skipped where somebody builds without these tools; where everything has to be there (scripts/check) a tool that is not asked is a failure. */
static void assert_all_agree(int status)
{
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == TOOLS_MISSING && getenv("CHECK_STRICT") == NULL)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void assert_tools_agree(const struct made *cases, size_t n)
{
	char long_name[256] = "x"; /* and 127 letters of two bytes: as long as a name may be */
	char dir[] = "/tmp/filemill-compress-XXXXXX";

	for (size_t i = 1; i < 255; i += 2)
		memcpy(long_name + i, "\xc3\xa4", 2);
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < n; i++) {
		const struct made *c = &cases[i];
		const char *name = c->name ? c->name : long_name;
		struct run t;

		prepare(&t, c->n, c->content, c->level, c->memory);
		t.j.name = str_of(name);
		run(&t, c->op);
		assert_int_equal(t.r, 0);
		save(dir, (int)i, ".in", t.in, t.n);
		save(dir, (int)i, c->op == &op_gzip ? ".gz" : c->op == &op_zip ? ".zip" : ".zst", t.out, t.n_out);
		name = c->entry ? c->entry : name;
		save(dir, (int)i, ".name", name, strlen(name));
		done(&t);
	}
	int status = judge(dir);
	assert_int_equal(remove_all(dir), 0);
	assert_all_agree(status);
}

static void other_programs_unpack_it(void **state)
{
	static const struct made cases[] = {
		{&op_gzip, 0, TEXT, 6, SMALL_MEMORY, "empty", NULL},
		{&op_gzip, 1, TEXT, 1, SMALL_MEMORY, "one", NULL},
		{&op_gzip, PIECE, TEXT, 6, SMALL_MEMORY, "f\xc3\xbc.txt", NULL},
		{&op_gzip, 3 * PIECE + 1, TEXT, 6, SMALL_MEMORY, "日本語.txt", NULL},
		{&op_gzip, 3 * PIECE + 1, TEXT, 1, SMALL_MEMORY, NULL, NULL},
		{&op_gzip, 2 * PIECE + 1, NOISE, 12, SMALL_MEMORY, "noise", NULL},
		{&op_gzip, 2 * PIECE + 1, ZEROS, 9, SMALL_MEMORY, "zeros", NULL},
		{&op_zstd, 0, TEXT, 3, 512 * MIB, "empty", NULL},
		{&op_zstd, 1, TEXT, 3, 512 * MIB, "one", NULL},
		{&op_zstd, 3 * PIECE + 1, TEXT, 19, 512 * MIB, "text", NULL},
		{&op_zip, 0, TEXT, 6, SMALL_MEMORY, "empty.txt", NULL},
		{&op_zip, 0, TEXT, 0, SMALL_MEMORY, "empty", NULL},
		{&op_zip, 1, TEXT, 6, SMALL_MEMORY, "Übersicht.txt", NULL},
		{&op_zip, PIECE - 1, TEXT, 6, SMALL_MEMORY, "日本語.txt", NULL},
		{&op_zip, PIECE, TEXT, 9, SMALL_MEMORY, "😀.png", NULL},
		{&op_zip, PIECE + 1, TEXT, 1, SMALL_MEMORY, NULL, NULL},
		{&op_zip, 2 * PIECE + 1, NOISE, 0, SMALL_MEMORY, "stored.bin", NULL},
		{&op_zip, 2 * PIECE + 1, NOISE, 6, SMALL_MEMORY, "../../up", ".._.._up"},
		{&op_zip, 10, TEXT, 6, SMALL_MEMORY, "con.txt", "_con.txt"},
	};

	assert_tools_agree(cases, ARRAY_LEN(cases));
}

static void a_hundred_mebibytes_are_unpacked_by_other_programs(void **state)
{
	/* More than DEFLATE_PIECE under the usual limit. */
	static const struct made cases[] = {
		{&op_gzip, 100 * MIB, ZEROS, 6, 512 * MIB, "zeros", NULL},
		{&op_gzip, 100 * MIB, TEXT, 2, 512 * MIB, "text", NULL},
		{&op_zip, 100 * MIB, TEXT, 1, 512 * MIB, "text", NULL},
		{&op_zstd, 100 * MIB, TEXT, 1, 512 * MIB, "text", NULL},
	};

	assert_tools_agree(cases, ARRAY_LEN(cases));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gzip_is_one_member_at_every_level_and_size),
		cmocka_unit_test(more_effort_is_not_larger),
		cmocka_unit_test(noise_grows_by_less_than_a_hundredth),
		cmocka_unit_test(a_stream_can_be_gone_on_behind),
		cmocka_unit_test(what_is_no_stream_cannot_be_gone_on_behind),
		cmocka_unit_test(the_same_input_makes_the_same_bytes),
		cmocka_unit_test(zstd_says_its_size_at_every_level),
		cmocka_unit_test(the_result_says_both_sizes),
		cmocka_unit_test(damaged_input_makes_no_job_succeed),
		cmocka_unit_test(an_input_that_became_shorter_is_damaged),
		cmocka_unit_test(the_output_ends_at_its_limit),
		cmocka_unit_test(a_reader_that_went_away_ends_the_job),
		cmocka_unit_test(an_entry_has_a_name_that_can_be_made_everywhere),
		cmocka_unit_test(an_entry_s_name_has_at_most_255_bytes),
		cmocka_unit_test(a_name_that_latin_1_has_not_stays_out_of_gzip),
		cmocka_unit_test(other_programs_unpack_it),
		cmocka_unit_test(a_hundred_mebibytes_are_unpacked_by_other_programs),
	};

	if (argc != 2)
		return 2;
	snprintf(checker, sizeof(checker), "%s", argv[1]);
	/* As in filemill-runner: a write to nobody is an error, not a signal. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
