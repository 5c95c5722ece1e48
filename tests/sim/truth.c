/* What must come out, told by the inputs alone. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const OWNER_NAMES[OWNERS] = {OWNER_PUBLIC, "0199aaaa-0000-7000-8000-00000000beef",
						"0199aaaa-0000-7000-8000-00000000cafe", "0199aaaa-0000-7000-8000-00000000f00d"};
/* Small ones lie in the catalogue (inline_max), the last two are written while they come. */
static const size_t SIZES[CONTENTS] = {0, 1, 10, 40, 64, 65, 100, 400, 1000, 2000, 140u << 10, LARGEST_FILE};

const char *owner_name(unsigned owner)
{
	return OWNER_NAMES[owner];
}

unsigned owner_of(struct str name)
{
	for (unsigned i = 0; i < OWNERS; i++)
		if (str_eq(name, str_of(OWNER_NAMES[i])))
			return i;
	coop_fail("an owner whom nobody knows: %.*s", STR_FMT(name));
}

size_t content_size(unsigned content)
{
	return SIZES[content];
}

const char *content_bytes(unsigned content)
{
	static char bytes[LARGEST_FILE + CONTENTS * 64];

	if (bytes[0] == '\0')
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)('a' + rng_mix(i) % 26);
	return bytes + content * 64; /* no two begin alike */
}

void truth_make(struct buf *out, struct str op, struct str params, bool named, struct str name, struct str input)
{
	buf_addf(out, "%.*s %.*s %.*s\n", STR_FMT(op), STR_FMT(params), STR_FMT((named ? name : STR("anything"))));
	buf_add_str(out, input);
}

static void digest(struct buf *result, uint8_t sha256[32], enum digest_algo algo, struct str bytes)
{
	struct digest_set *d;
	size_t n;

	if (digest_set_new(&d, 1u << algo | 1u << DIGEST_SHA256, NULL) != 0)
		coop_fail("no memory");
	digest_set_update(d, bytes.p, bytes.len);
	if (digest_set_finish(d, NULL) != 0)
		coop_fail("no digest");
	memcpy(sha256, digest_set_get(d, DIGEST_SHA256, &n), 32);
	if (result != NULL)
		digest_write_result(result, algo, digest_set_get(d, algo, &n));
	digest_set_free(d);
}

static void check_bytes(struct str is, uint64_t size, const uint8_t sha256[32], const char *what)
{
	uint8_t sum[32];

	if (is.len != size)
		coop_fail("%s has %zu bytes and should have %llu", what, is.len, (unsigned long long)size);
	digest(NULL, sum, DIGEST_SHA256, is);
	if (memcmp(sum, sha256, 32) != 0)
		coop_fail("%s has other bytes than its row says", what);
}

void truth_check_blob(struct world *w, struct str blob, uint64_t size, const uint8_t sha256[32], const char *what)
{
	struct str bytes = disk_read(w, blob);

	if (bytes.p == NULL)
		coop_fail("%s %.*s is not on the disk", what, STR_FMT(blob));
	check_bytes(bytes, size, sha256, what);
}

/* Its name says which content it has. */
static struct str content_of(const struct mem_file *f)
{
	unsigned k;

	if (sscanf(f->file.name.p, "c%u", &k) != 1 || k >= CONTENTS)
		coop_fail("a file that nobody sent: %.*s", STR_FMT(f->file.name));
	return (struct str){content_bytes(k), content_size(k)};
}

void truth_check_file(struct world *w, const struct mem_file *f)
{
	char name[FILE_BLOB_NAME_MAX + 1];
	struct str is = f->bytes;

	if (f->file.location != LOCATION_INLINE)
		is = disk_read(w, file_blob_name(name, f->file.owner, f->row.id));
	if (is.p == NULL)
		coop_fail("the bytes of file %s are not on the disk", short_id(f->row.id));
	check_bytes(is, f->file.size, f->file.sha256, "a file");
	if (!str_eq(is, content_of(f)))
		coop_fail("file %s has other bytes than were sent", short_id(f->row.id));
}

/* What the job worked on, and under which name. */
static struct str input_of(struct world *w, const struct mem_job *j, struct str *ret_name)
{
	const struct mem_job *before = mem_find_job(world_mem(w), j->job.after);

	if (before == NULL) {
		*ret_name = j->file->file.name;
		return content_of(j->file);
	}
	if (before->job.state != JOB_SUCCEEDED || before->job.n_outputs == 0)
		coop_fail("job %s succeeded before the one it comes after", short_id(j->row.id));
	*ret_name = before->job.outputs[0].name;
	return disk_read(w, before->job.outputs[0].blob);
}

static void check_output(struct world *w, const struct mem_job *j, const struct op *op, struct buf *want)
{
	const struct output *o = &j->job.outputs[0];
	struct str name, input;

	if (j->job.n_outputs != 1)
		coop_fail("job %s has %zu outputs", short_id(j->row.id), j->job.n_outputs);
	input = input_of(w, j, &name);
	truth_make(want, j->job.op, j->job.params, op->named, name, input);
	truth_check_blob(w, o->blob, o->size, o->sha256, "an output");
	if (!str_eq(disk_read(w, o->blob), buf_str(want)))
		coop_fail("job %s made something else of its input", short_id(j->row.id));
}

static void check_result(struct world *w, const struct mem_job *j, const struct op *op, struct buf *want)
{
	struct str name, input = input_of(w, j, &name);
	uint8_t sum[32];

	if (op->kind == OP_STREAMING)
		digest(want, sum, op->algo, input);
	else
		buf_add_cstr(want, "{\"made\":true}");
	if (!str_eq(j->job.result, buf_str(want)))
		coop_fail("job %s, %.*s, has the result %.*s", short_id(j->row.id), STR_FMT(j->job.op), STR_FMT(j->job.result));
}

void truth_check_job(struct world *w, const struct mem_job *j)
{
	const struct op *op = op_table_find(op_builtin_table(), j->job.op);
	static struct buf want; /* kept for the next one */

	if (j->job.state != JOB_SUCCEEDED || j->expired_at != 0) {
		if (j->job.n_outputs > 0)
			coop_fail("job %s is %s%s and has an output", short_id(j->row.id), j->expired_at != 0 ? "expired, " : "",
				  job_state_name(j->job.state));
		return;
	}
	enum heap_domain d = heap_enter(HEAP_SIM);
	buf_reset(&want);
	if (op->output)
		check_output(w, j, op, &want);
	else
		check_result(w, j, op, &want);
	heap_enter(d);
}
