/* Image ops through the genuine program: what they do must be possible inside the seal, for every pair of kinds. */
#include "images.h"
#include "sealed_world.h"

#include "ops/ops.h"

static const char *program;

static const struct op *op_named(const char *name)
{
	const struct op *op = op_table_find(op_builtin_table(), str_of(name));

	assert_non_null(op);
	return op;
}

static struct runner_config roomy(void)
{
	return (struct runner_config){
		.path = program,
		.limits = {.memory = 512u << 20, .cpu_s = 20, .wall_ms = 30000, .output_max = 64u << 20, .pixels_max = 100000000},
		.children_max = 2};
}

static void every_kind_becomes_every_format_inside_the_seal(void **state)
{
	static const char *const kinds[] = {".jpg", ".png", ".webp", ".gif", ".tif", ".avif", ".heic"};
	static const char *const formats[] = {"jpeg", "png", "webp", "avif"};
	struct runner_config config = roomy();
	struct world w;

	world_begin(&w, program, &config);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(kinds[k], 320, 240, k % 2 == 1 ? 4 : 3);

		for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
			CLEANUP(buf_release) struct buf out = BUF_INIT;
			struct runner_job job = world_job(op_named("resize"), (struct str){(const char *)in.p, in.n});
			char params[256], type[32];

			snprintf(params, sizeof(params),
				 "{\"background\":\"ffffff\",\"enlarge\":\"no\",\"fit\":\"inside\",\"format\":\"%s\",\"metadata\":\"keep\","
				 "\"quality\":80,\"width\":100}",
				 formats[f]);
			snprintf(type, sizeof(type), "image/%s", formats[f]);
			job.params = str_of(params);
			job.output = world_take_output;
			job.output_arg = &out;
			if (world_run_one(&w, &job) != 0)
				fail_msg("%s to %s: %s: %s", kinds[k], formats[f], err_info(job.code)->name, job.err.detail);
			assert_string_equal(magic_type(out.p, out.len), type);
			assert_int_equal(job.output_size, out.len);
		}
	}
	world_end(&w);
}

static void everything_can_be_probed_inside_the_seal(void **state)
{
	static const char *const kinds[] = {".jpg", ".png", ".webp", ".gif", ".tif", ".avif", ".heic"};
	static const struct str others[] = {{"hello\n", 6},
					    {"%PDF-1.4\n", 9},
					    {"\x7f"
					     "ELF\2\1\1\0",
					     8},
					    {"PK\3\4\24\0\0\0", 8},
					    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8},
					    {"\x1f\x8b\x08\0\0\0", 6}};
	struct runner_config config = roomy();
	struct runner_job job;
	struct world w;

	world_begin(&w, program, &config);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		CLEANUP(bytes_release) struct bytes in = picture_as(kinds[k], 320, 240, 3);

		job = world_job(op_named("probe"), (struct str){(const char *)in.p, in.n});
		if (world_run_one(&w, &job) != 0)
			fail_msg("%s: %s: %s", kinds[k], err_info(job.code)->name, job.err.detail);
	}
	for (size_t k = 0; k < ARRAY_LEN(others); k++) {
		job = world_job(op_named("probe"), others[k]);
		if (world_run_one(&w, &job) != 0)
			fail_msg("%zu: %s: %s", k, err_info(job.code)->name, job.err.detail);
	}
	world_end(&w);
}

/* libheif calls it success when its encoder had too little memory. */
static void too_little_memory_is_never_a_success_without_a_picture(void **state)
{
	static const struct {
		uint64_t mib;
		int side;
		int code;
	} cases[] = {{256, 1200, 0}, {256, 1900, ERR_LIMIT_MEMORY}, {384, 1900, 0}, {384, 3000, ERR_LIMIT_MEMORY}};
	CLEANUP(bytes_release) struct bytes in = picture_as(".jpg[Q=60]", 3000, 3000, 3);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct runner_config config = roomy();
		CLEANUP(buf_release) struct buf out = BUF_INIT;
		struct runner_job job = world_job(op_named("resize"), (struct str){(const char *)in.p, in.n});
		char params[256];
		struct world w;

		config.limits.memory = cases[i].mib << 20;
		world_begin(&w, program, &config);
		snprintf(params, sizeof(params),
			 "{\"background\":\"ffffff\",\"enlarge\":\"no\",\"fit\":\"inside\",\"format\":\"avif\",\"metadata\":\"drop\","
			 "\"quality\":20,\"width\":%d}",
			 cases[i].side);
		job.params = str_of(params);
		job.output = world_take_output;
		job.output_arg = &out;
		world_run_one(&w, &job);
		if (job.code != cases[i].code)
			fail_msg("%d pixels in %llu MiB: %s, %zu bytes", cases[i].side, (unsigned long long)cases[i].mib,
				 job.code == 0 ? "success" : err_info(job.code)->name, out.len);
		world_end(&w);
		if (job.code == 0) {
			VipsImage *im = vips_image_new_from_buffer(out.p, out.len, "", NULL);

			assert_non_null(im);
			assert_true(is_about(quarter(im, 0, 0), 220, 30, 30, 40));
			g_object_unref(im);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_becomes_every_format_inside_the_seal),
		cmocka_unit_test(too_little_memory_is_never_a_success_without_a_picture),
		cmocka_unit_test(everything_can_be_probed_inside_the_seal),
	};

	if (argc < 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests_name("images, sealed", tests, images_set_up, NULL);
}
