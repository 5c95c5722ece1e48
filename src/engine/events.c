/* Who listens for what happens to files and jobs, and what they are told.
 *
 *	committer ──notices──► this part's thread: reads the jobs that ended, renders events ──► ring ──► readers, each at its own place, on HTTP threads
 *
 * The committer says after each commit what it was, if anybody may want to know: a reader is there, or was within the last minutes. Whether that is so is asked after
 * the commit, so that who joins and then reads the lists misses nothing: what the lists do not show yet is committed, and told, later.
 *
 * A reader has a place in the ring and no queue of its own: it costs the same however slow it is, and who falls out of the ring is sent away. When the committer
 * is faster than this thread for long, or memory is short, the ring is forgotten, and with that everybody falls out of it: a gap is never silent.
 *
 * Nothing polls: the thread sleeps until it is kicked or a heartbeat is due. */
#include "base/json_out.h"
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTICES_BYTES_MAX (8u << 20) /* not yet rendered */
#define RETRY_MS 1000 /* a reader that was cut off comes back after this */
#define FULL_RETRY_S 5

enum notice_kind { NOTICE_STORED, NOTICE_DELETED, NOTICE_ENDED, NOTICE_PROGRESS };

struct notice {
	struct notice *next;
	enum notice_kind kind;
	struct ended end; /* ENDED */
	struct uuid file; /* else */
	size_t n_owner, n_data;
	char owner[OWNER_MAX];
	char data[]; /* STORED, PROGRESS: JSON */
};

/* A list that grows at its end. */
struct notices {
	struct notice *head, **tail;
	size_t bytes;
	bool lost;
	bool spare; /* what is in it may be lost, and is no gap */
};

/* ---- the committer's side ---- */

static struct notice *add_notice(struct notices *list, enum notice_kind kind, struct str owner, struct uuid file, struct str data)
{
	struct notice *x = malloc(sizeof(*x) + data.len);

	if (x == NULL) {
		list->lost = true;
		return NULL;
	}
	*x = (struct notice){.kind = kind, .file = file, .n_owner = owner.len, .n_data = data.len};
	if (owner.len > 0)
		memcpy(x->owner, owner.p, owner.len);
	if (data.len > 0)
		memcpy(x->data, data.p, data.len);
	*list->tail = x;
	list->tail = &x->next;
	list->bytes += sizeof(*x) + data.len;
	return x;
}

static void note_stored(struct notices *list, const struct file *f, struct buf *b)
{
	struct json_out j = json_out(b);

	buf_reset(b);
	file_write_json(&j, f);
	if (buf_ok(b))
		add_notice(list, NOTICE_STORED, f->owner, f->id, buf_str(b));
	else
		list->lost = true;
}

static void free_notices(struct notice *list)
{
	while (list != NULL) {
		struct notice *x = list;
		list = x->next;
		free(x);
	}
}

static void hand_over(struct engine *g, struct notices *list)
{
	struct events *v = &g->events;

	pthread_mutex_lock(&v->lock);
	bool fits = !list->lost && v->notices_bytes + list->bytes <= NOTICES_BYTES_MAX;
	if (fits) {
		*v->notices_tail = list->head;
		if (list->head != NULL)
			v->notices_tail = list->tail;
		v->notices_bytes += list->bytes;
	} else if (!list->spare) {
		v->lost = true;
	}
	pthread_mutex_unlock(&v->lock);
	if (!fits)
		free_notices(list->head);
	sleeper_kick(&v->sleeper);
}

void events_tell(struct engine *g, struct change *const *group, size_t n)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct notices list = {.tail = &list.head};
	size_t n_ends, at = 0;
	bool whole;

	if (!atomic_load(&g->events.awake))
		return;
	const struct ended *ends = catalog_ends(g->catalog, &n_ends, &whole);
	list.lost = !whole;
	for (size_t i = 0; i < n; i++) {
		const struct change *c = group[i];
		if (c->code == 0 && c->kind == CHANGE_ADD_FILE && !c->add_file.replayed)
			note_stored(&list, c->add_file.file, &b);
		for (size_t k = 0; c->code == 0 && c->kind == CHANGE_ADD_FILES && k < c->add_files.n; k++)
			note_stored(&list, c->add_files.files[k].file, &b);
		for (; at < n_ends && ends[at].change == i; at++) {
			struct notice *x = add_notice(&list, NOTICE_ENDED, (struct str){}, (struct uuid){}, (struct str){});
			if (x != NULL)
				x->end = ends[at];
		}
		if (c->code == 0 && c->kind == CHANGE_DELETE_FILE)
			add_notice(&list, NOTICE_DELETED, c->delete_file.owner, c->delete_file.id, (struct str){});
	}
	if (list.head != NULL || list.lost)
		hand_over(g, &list);
}

void events_tell_news(struct engine *g, const struct news *list, size_t n, bool whole)
{
	struct notices to = {.tail = &to.head, .lost = !whole};

	if (!atomic_load(&g->events.awake))
		return;
	for (size_t i = 0; i < n; i++) {
		struct notice *x;

		if (list[i].kind == NEWS_STORED)
			add_notice(&to, NOTICE_STORED, (struct str){}, list[i].id,
				   (struct str){}); /* rendered as it is when its turn comes */
		else if (list[i].kind == NEWS_DELETED)
			add_notice(&to, NOTICE_DELETED, list[i].owner, list[i].id, (struct str){});
		else if (list[i].kind == NEWS_ENDED &&
			 (x = add_notice(&to, NOTICE_ENDED, (struct str){}, (struct uuid){}, (struct str){})) != NULL)
			x->end = list[i].end;
	}
	if (to.head != NULL || to.lost)
		hand_over(g, &to);
}

/* False: it is too soon after the last one, of whatever job. */
static bool may_tell_progress(struct events *v, int64_t now)
{
	pthread_mutex_lock(&v->lock);
	bool may = now - v->progress_ms >= PROGRESS_ALL_MS;
	if (may)
		v->progress_ms = now;
	pthread_mutex_unlock(&v->lock);
	return may;
}

/* One that is lost is no gap: the next one says more. It stands before the job's end, which is handed in by the same thread later. */
static void tell_progress(struct engine *g, struct work_job *j, int permille)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct notices list = {.tail = &list.head, .spare = true};
	struct json_out out = json_out(&b);
	struct job job = j->claimed->job;

	job.progress = permille;
	job_write_progress_json(&out, &job);
	if (buf_ok(&b) && add_notice(&list, NOTICE_PROGRESS, j->claimed->owner, job.file, buf_str(&b)) != NULL)
		hand_over(g, &list);
}

void events_tell_progress(struct work *w)
{
	struct events *v = &w->g->events;

	if (!atomic_load(&v->awake))
		return;
	int64_t now = engine_mono(w->g);
	for (size_t i = 0; i < w->n; i++) {
		struct work_job *j = &w->jobs[i];
		int permille = (int)atomic_load(&j->progress);

		if (j->ended || now - j->told_ms < PROGRESS_JOB_MS || permille == j->told || !may_tell_progress(v, now))
			continue;
		j->told_ms = now;
		j->told = permille;
		tell_progress(w->g, j, permille);
	}
}

/* ---- from notices to events ---- */

/* Under the lock. Everybody whose place is in the ring's past is woken to be told so. */
static void forget_ring(struct events *v)
{
	event_ring_forget(&v->ring);
	for (struct engine_reader *x = v->readers; x != NULL; x = x->next)
		x->due = true;
}

static void publish(struct engine *g, const char *name, struct str owner, struct uuid file, struct str data)
{
	struct events *v = &g->events;

	pthread_mutex_lock(&v->lock);
	struct event *e = event_new(&v->ring, v->life, name, owner, file, data);
	if (e == NULL) {
		forget_ring(v);
		pthread_mutex_unlock(&v->lock);
		return;
	}
	event_ring_put(&v->ring, e);
	for (struct engine_reader *x = v->readers; x != NULL; x = x->next)
		if (event_is_for(e, x->owner, x->file))
			x->due = true;
		else if (x->seq == e->seq)
			x->seq++; /* who has seen everything does not fall back by what is not for him */
	pthread_mutex_unlock(&v->lock);
	metric_add(METRIC_EVENTS, 1);
}

static void lose(struct engine *g)
{
	pthread_mutex_lock(&g->events.lock);
	forget_ring(&g->events);
	pthread_mutex_unlock(&g->events.lock);
}

static void publish_ended(struct engine *g, const struct ended *end)
{
	static const char *const names[JOB_STATES] = {
		[JOB_SUCCEEDED] = "job.succeeded",
		[JOB_FAILED] = "job.failed",
		[JOB_CANCELLED] = "job.cancelled",
		[JOB_QUARANTINED] = "job.quarantined",
	};
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct str owner;
	struct job job;
	int rc = catalog_ended_job(g->catalog, end, &a, &job, &owner, &e);

	if (rc == ERR_JOB_NOT_FOUND)
		return; /* queued again meanwhile: its next end is told */
	if (rc == 0) {
		job_write_json(&j, &job);
		rc = buf_ok(&b) ? 0 : err_set(&e, ERR_NO_MEMORY, "no memory for an event");
	}
	if (rc != 0) {
		log_err(LOG_WARN, "event_lost", &e);
		lose(g);
		return;
	}
	publish(g, names[job.state], owner, job.file, buf_str(&b));
}

/* By another node. */
static void publish_stored(struct engine *g, struct uuid id)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct file f;
	int rc = catalog_file(g->catalog, (struct file_key){.id = id}, STR(OWNER_ANY), &a, &f, &e);

	if (rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE)
		return; /* deleted meanwhile, which is told next */
	if (rc == 0) {
		file_write_json(&j, &f);
		rc = buf_ok(&b) ? 0 : err_set(&e, ERR_NO_MEMORY, "no memory for an event");
	}
	if (rc == 0) {
		publish(g, "file.stored", f.owner, id, buf_str(&b));
		return;
	}
	log_err(LOG_WARN, "event_lost", &e);
	lose(g);
}

static void publish_deleted(struct engine *g, struct str owner, struct uuid file)
{
	char data[sizeof("{\"id\":\"\"}") + UUID_TEXT_LEN], id[UUID_TEXT_LEN + 1];

	uuid_format(id, file);
	int n = snprintf(data, sizeof(data), "{\"id\":\"%s\"}", id);
	publish(g, "file.deleted", owner, file, (struct str){data, (size_t)n});
}

static void publish_all(struct engine *g)
{
	struct events *v = &g->events;

	pthread_mutex_lock(&v->lock);
	struct notice *list = v->notices;
	bool lost = v->lost;
	v->notices = NULL;
	v->notices_tail = &v->notices;
	v->notices_bytes = 0;
	v->lost = false;
	pthread_mutex_unlock(&v->lock);
	for (const struct notice *x = list; x != NULL; x = x->next) {
		struct str owner = {x->owner, x->n_owner};
		if (x->kind == NOTICE_STORED && x->n_data == 0)
			publish_stored(g, x->file);
		else if (x->kind == NOTICE_STORED)
			publish(g, "file.stored", owner, x->file, (struct str){x->data, x->n_data});
		else if (x->kind == NOTICE_PROGRESS)
			publish(g, "job.progress", owner, x->file, (struct str){x->data, x->n_data});
		else if (x->kind == NOTICE_DELETED)
			publish_deleted(g, owner, x->file);
		else
			publish_ended(g, &x->end);
	}
	free_notices(list);
	if (lost) {
		log_event(LOG_WARN, "events_lost", LF_CSTR("reason", "more was committed than could be told, or memory is short"));
		lose(g);
	}
}

/* ---- readers ---- */

static void note(struct engine_reader *x, const char *text)
{
	x->n_note = (size_t)snprintf(x->note, sizeof(x->note), "%s", text);
	x->note_at = 0;
	assert(x->n_note < sizeof(x->note));
}

/* Under the lock. From here on its place is the newest. */
static void note_place(struct events *v, struct engine_reader *x, const char *before, const char *after)
{
	char text[sizeof(x->note)];

	snprintf(text, sizeof(text), "%sid: %lld-%llu\n%s\n", before, (long long)v->life, (unsigned long long)x->seq - 1, after);
	note(x, text);
}

static void begin_reading(struct events *v, struct engine_reader *x, struct str last_id)
{
	char retry[32];

	snprintf(retry, sizeof(retry), "retry: %d\n", RETRY_MS);
	if (last_id.p != NULL && event_ring_resume(&v->ring, v->life, last_id, &x->seq)) {
		note_place(v, x, retry, "");
		return;
	}
	x->seq = v->ring.next;
	note_place(v, x, retry, last_id.p != NULL ? "event: reset\ndata: {}\n" : "");
}

int engine_events_join(struct engine *g, struct engine_reader *x, struct str last_id, struct err *e)
{
	struct events *v = &g->events;
	int rc = 0;

	pthread_mutex_lock(&v->lock);
	if (v->ended) {
		rc = err_set(e, ERR_SHUTTING_DOWN, "the server is stopping");
	} else if (v->n_readers >= g->config.events_readers) {
		rc = err_set(e, ERR_OVERLOADED, "there are %u readers of events already", v->n_readers);
		if (e != NULL)
			e->retry_after_s = FULL_RETRY_S;
	} else {
		atomic_store(&v->awake, true);
		x->prev = NULL;
		x->next = v->readers;
		if (v->readers != NULL)
			v->readers->prev = x;
		v->readers = x;
		v->n_readers++;
		x->last_ms = engine_mono(g);
		begin_reading(v, x, last_id);
		metric_set(METRIC_EVENTS_READERS, v->n_readers);
	}
	pthread_mutex_unlock(&v->lock);
	if (rc == 0)
		sleeper_kick(&v->sleeper); /* its heartbeat */
	return rc;
}

void engine_events_leave(struct engine *g, struct engine_reader *x)
{
	struct events *v = &g->events;

	pthread_mutex_lock(&v->lock);
	while (x->waking)
		pthread_cond_wait(&v->woken, &v->lock);
	if (x->prev != NULL)
		x->prev->next = x->next;
	else
		v->readers = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	v->n_readers--;
	v->alone_since = engine_mono(g);
	metric_set(METRIC_EVENTS_READERS, v->n_readers);
	pthread_mutex_unlock(&v->lock);
	event_unref(x->current);
	sleeper_kick(&v->sleeper); /* it may have been the last one */
}

/* Under the lock: something to give, or false. */
static bool have_more(struct events *v, struct engine_reader *x)
{
	if (x->note_at < x->n_note || x->current != NULL)
		return true;
	if (x->over || v->ended) {
		x->over = true;
		return false;
	}
	if (x->seq < v->ring.first) {
		note(x, "event: dropped\ndata: {}\n\n");
		x->over = true;
		metric_add(METRIC_EVENTS_DROPPED, 1);
		return true;
	}
	x->current = event_ring_find(&v->ring, &x->seq, x->owner, x->file);
	if (x->current == NULL && x->beat)
		note_place(v, x, ": heartbeat\n", "");
	x->beat = false;
	return x->current != NULL || x->n_note > x->note_at;
}

static size_t give(char *p, size_t max, const char *from, size_t n, size_t *at)
{
	size_t part = n - *at < max ? n - *at : max;

	memcpy(p, from + *at, part);
	*at += part;
	return part;
}

ssize_t engine_events_read(struct engine *g, struct engine_reader *x, char *p, size_t max)
{
	struct events *v = &g->events;
	size_t n = 0;

	pthread_mutex_lock(&v->lock);
	x->idle = false;
	while (n < max && have_more(v, x)) {
		if (x->note_at < x->n_note) {
			n += give(p + n, max - n, x->note, x->n_note, &x->note_at);
			continue;
		}
		n += give(p + n, max - n, x->current->text, x->current->n_text, &x->at);
		if (x->at == x->current->n_text) {
			event_unref(x->current);
			x->current = NULL;
			x->at = 0;
		}
	}
	bool over = n == 0 && x->over;
	x->idle = n == 0 && !over;
	x->due = x->due && !x->idle;
	if (n > 0)
		x->last_ms = engine_mono(g);
	pthread_mutex_unlock(&v->lock);
	return over ? -1 : (ssize_t)n;
}

/* ---- the thread ---- */

/* Wakes those who wait and have something to come. Whoever is being woken cannot leave meanwhile, so that its place in the list stays. */
static void wake_readers(struct engine *g)
{
	struct events *v = &g->events;
	int64_t now = engine_mono(g);

	pthread_mutex_lock(&v->lock);
	for (struct engine_reader *x = v->readers; x != NULL; x = x->next) {
		if (now - x->last_ms >= g->config.events_heartbeat_ms)
			x->beat = x->idle;
		if (!x->idle || !(x->due || x->beat || v->ended))
			continue;
		x->idle = x->due = false;
		x->waking = true;
		pthread_mutex_unlock(&v->lock);
		x->wake(x);
		pthread_mutex_lock(&v->lock);
		x->waking = false;
		pthread_cond_broadcast(&v->woken);
	}
	pthread_mutex_unlock(&v->lock);
}

/* Nobody has listened for long: nothing is kept any more. */
static void fall_asleep(struct events *v)
{
	atomic_store(&v->awake, false);
	event_ring_forget(&v->ring);
}

/* When the next heartbeat is due, or it is time to fall asleep; -1 = never. */
static int64_t next_look(struct engine *g)
{
	struct events *v = &g->events;
	int64_t now = engine_mono(g), next = -1;

	pthread_mutex_lock(&v->lock);
	for (const struct engine_reader *x = v->readers; x != NULL; x = x->next) {
		int64_t left = x->idle ? x->last_ms + g->config.events_heartbeat_ms - now : g->config.events_heartbeat_ms;
		if (next < 0 || left < next)
			next = left > 0 ? left : 0;
	}
	if (v->readers == NULL && atomic_load(&v->awake)) {
		next = v->alone_since + EVENTS_KEEP_MS - now;
		if (next <= 0) {
			fall_asleep(v);
			next = -1;
		}
	}
	pthread_mutex_unlock(&v->lock);
	return next;
}

static void *events_run(void *arg)
{
	struct engine *g = arg;
	int64_t pause;

	do {
		publish_all(g);
		wake_readers(g);
		pause = next_look(g);
	} while (sleeper_wait(&g->events.sleeper, pause));
	wake_readers(g); /* stopping */
	return NULL;
}

/* ---- life ---- */

int events_init(struct engine *g, struct err *e)
{
	struct events *v = &g->events;

	v->notices_tail = &v->notices;
	v->life = engine_now(g) * 1000 + (int64_t)(g->env->random(g->env) % 1000); /* two nodes may start in one moment */
	if (pthread_mutex_init(&v->lock, NULL) != 0 || pthread_cond_init(&v->woken, NULL) != 0)
		return err_set(e, ERR_NO_MEMORY, "no mutex");
	if (!event_ring_init(&v->ring, g->config.events_ring > 0 ? g->config.events_ring : EVENTS_RING, EVENTS_RING_BYTES))
		return err_set(e, ERR_NO_MEMORY, "no memory for events");
	return sleeper_init(&v->sleeper, e);
}

void events_release(struct engine *g)
{
	struct events *v = &g->events;

	assert(v->readers == NULL);
	free_notices(v->notices);
	event_ring_release(&v->ring);
	sleeper_release(&v->sleeper);
	pthread_cond_destroy(&v->woken);
	pthread_mutex_destroy(&v->lock);
}

int events_start(struct engine *g, struct err *e)
{
	return sleeper_start(&g->events.sleeper, "events", events_run, g, e);
}

void events_end(struct engine *g)
{
	pthread_mutex_lock(&g->events.lock);
	g->events.ended = true;
	pthread_mutex_unlock(&g->events.lock);
	sleeper_kick(&g->events.sleeper);
}

void events_stop(struct engine *g)
{
	sleeper_stop(&g->events.sleeper);
}
