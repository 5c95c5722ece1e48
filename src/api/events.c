/* GET /v1/events: what becomes of the caller's files and jobs, as Server-Sent Events (WHATWG HTML §9.2). */
#include "api/api.h"
#include "front/front.h"
#include "front/still.h"

struct stream {
	struct engine_reader reader;
	struct still *still; /* owned; NULL: for ever */
	struct http_request *r;
};

static void wake(struct engine_reader *x)
{
	http_stream_wake(CONTAINER_OF(x, struct stream, reader)->r);
}

/* Whoever may not come any more is told nothing more; when he comes again he is told why. */
static ssize_t read_events(struct http_request *r, char *p, size_t max)
{
	struct stream *s = http_data(r);
	enum still_may may = still_may(s->still);

	if (may != STILL_MAY)
		return may == STILL_ASKED ? 0 : HTTP_STREAM_END;
	ssize_t n = engine_events_read(front_engine(r), &s->reader, p, max);

	return n < 0 ? HTTP_STREAM_END : n;
}

/* A browser that comes back sends the header; the parameter is for who begins with a place of his own. */
static struct str last_id_of(struct http_request *r)
{
	struct str header = http_header(r, "Last-Event-ID");

	return header.p != NULL ? header : http_query(r, "last_event_id");
}

static int open_stream(struct http_request *r, struct err *e)
{
	struct str file = http_query(r, "file");
	struct stream *s = arena_alloc(http_arena(r), sizeof(*s));

	if (s == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a stream");
	*s = (struct stream){.r = r, .reader = {.owner = front_owner(r), .wake = wake}};
	if (file.p != NULL && !uuid_parse(&s->reader.file, file)) {
		err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
		return err_field(e, "file");
	}
	int rc = still_new(&s->still, r, e);
	if (rc == 0)
		rc = engine_events_join(front_engine(r), &s->reader, last_id_of(r), e);
	if (rc == 0)
		http_set_data(r, s);
	else
		still_free(s->still);
	return rc;
}

static void end_events(struct http_request *r)
{
	struct err e = ERR_INIT;
	int rc = open_stream(r, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	http_set_header(r, "Cache-Control", "no-store");
	http_set_header(r, "X-Accel-Buffering", "no"); /* nginx hands on what comes at once */
	http_reply_stream(r, 200, "text/event-stream", read_events);
}

static void release_events(struct http_request *r)
{
	struct stream *s = http_data(r);

	if (s == NULL)
		return;
	engine_events_leave(front_engine(r), &s->reader);
	still_free(s->still);
}

static const struct http_handler get_events = {.end = end_events, .release = release_events};
static const char *const events_query[] = {"file", "last_event_id", NULL};

const struct http_route api_event_routes[] = {
	{HTTP_GET, "/v1/events", &get_events, HTTP_JOBS_READ, "getEvents", "What becomes of the caller's files and jobs, as it happens",
	 events_query},
	{},
};
