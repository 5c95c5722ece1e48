/* The lock is an fcntl one on the whole file, taken with F_SETLK and retried with a pause: the original's nodes do the same, so old and new ones may share a file, also over NFS.
 * It is held for one append. Such locks belong to the process and are dropped when any of its descriptors of the file is closed; only the engine's outbox thread opens it. */
#include "surfaces/hash_log.h"
#include "base/clock.h"
#include "base/fd.h"
#include "front/front.h"
#include "rt/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 50
#define LOCK_PAUSE_MS 20

const char *hash_task_status(const struct job *job)
{
	if (job->state == JOB_SUCCEEDED)
		return "SUCCESS";
	return job_state_final(job->state) ? "ERROR" : "PENDING";
}

struct str hash_task_result(const struct job *job)
{
	if (job->state == JOB_SUCCEEDED)
		return front_result_text(job, "md5");
	if (!job_state_final(job->state))
		return (struct str){};
	if (job->error_detail.len > 0)
		return job->error_detail;
	if (job->error == 0)
		return str_of(job_state_name(job->state));
	return str_of(err_info(job->error)->title);
}

void hash_log_line(struct buf *out, const struct job *job)
{
	char time[TIME_TEXT_LEN + 1];
	struct str result = hash_task_result(job);

	time_format(time, job->finished_at);
	buf_addf(out, "%s %lld %s ", time, (long long)job->number, hash_task_status(job));
	for (size_t i = 0; i < result.len; i++)
		buf_add_char(out, (unsigned char)result.p[i] < ' ' || result.p[i] == 0x7f ? '?' : result.p[i]);
	buf_add_char(out, '\n');
}

static int lock_whole(int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (fcntl(fd, F_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -1;
		nanosleep(&pause, NULL);
	}
	errno = EAGAIN;
	return -1;
}

/* All or nothing: what a full disk let through is taken back while the lock is still held. */
static int append(int fd, struct str line)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	if (fd_write_all(fd, line.p, line.len) == 0 && fdatasync(fd) == 0)
		return 0;
	int saved = errno;
	if (ftruncate(fd, st.st_size) != 0)
		log_event(LOG_ERROR, "hash_log_torn", LF_CSTR("reason", strerror(errno)));
	errno = saved;
	return -1;
}

int hash_log_deliver(void *path, const struct job *job)
{
	CLEANUP(buf_release) struct buf line = BUF_INIT;
	CLEANUP(fd_close) int fd = -1;

	if (!str_eq(job->op, STR("md5")))
		return 0;
	hash_log_line(&line, job);
	if (!buf_ok(&line))
		return ERR_NO_MEMORY;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (fd < 0 || lock_whole(fd) != 0 || append(fd, buf_str(&line)) != 0) {
		log_event(LOG_WARN, "hash_log_delayed", LF_INT("task", job->number), LF_CSTR("reason", strerror(errno)));
		return ERR_AGAIN;
	}
	return 0;
}
