/* Walking the bucket: objects, and uploads in parts that nobody will complete. */
#include "base/clock.h"
#include "blobs/s3/s3_impl.h"

#include <string.h>

/* One object or one upload of a page; borrowed from the page's memory. */
struct listed {
	struct str key; /* without the prefix */
	struct str id, begun; /* of an upload */
	uint64_t size; /* of an object */
};

/* A page: the elements of one name, and where to go on. */
struct page {
	const char *element; /* "Contents", "Upload" */
	struct buf memory; /* the decoded texts; grows before anything is read from it */
	struct s3_xml x;
	struct str prefix; /* of all keys */
	bool escaped; /* keys are, as was asked, and the answer says so */
	bool more;
	struct buf next_key, next_id;
	struct buf at, next; /* the same as one text */
};

static void release_page(struct page *p)
{
	buf_release(&p->memory);
	buf_release(&p->next_key);
	buf_release(&p->next_id);
	buf_release(&p->at);
	buf_release(&p->next);
}

static int broken(struct err *e)
{
	return err_set(e, ERR_IO, "the object storage's list of objects cannot be read");
}

/* As forms have it: a plus is a space, and one that is meant is escaped. */
static long unescape(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] == '+')
			text[i] = ' ';
	return pct_decode(text, (struct str){text, n});
}

/* Escapes would change the prefix. */
static bool shows_escapes(struct str prefix)
{
	for (size_t i = 0; i < prefix.len; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/", prefix.p[i]))
			return true;
	return false;
}

/* Not all services escape all keys of an answer, nor say so where they do (Ceph: keys of uploads are and it is not said, markers are not). The prefix tells what it can. */
static bool is_escaped(const struct page *p, struct str key)
{
	return str_starts(key, p->prefix) ? p->escaped && !shows_escapes(p->prefix) : true;
}

/* The text of the element just closed: entities, and where it is a key percent-escapes, which were asked for because XML has no room for all bytes of keys. */
static bool add_text(struct str *ret, struct page *p, struct str text, bool key)
{
	char *dst = p->memory.p + p->memory.len;
	long n = s3_xml_text(dst, text);

	if (n >= 0 && key && is_escaped(p, (struct str){dst, (size_t)n}))
		n = unescape(dst, (size_t)n);
	*ret = (struct str){dst, n > 0 ? (size_t)n : 0};
	p->memory.len += ret->len;
	return n >= 0;
}

static bool keep_next(struct buf *out, struct page *p, bool key)
{
	struct str text;

	buf_reset(out);
	if (!add_text(&text, p, p->x.text, key))
		return false;
	buf_add_str(out, text);
	return buf_ok(out);
}

/* Outside of the elements looked for. */
static bool read_around(struct page *p)
{
	if (str_eq(p->x.name, STR("IsTruncated")))
		p->more = str_eq(str_trim(p->x.text), STR("true"));
	else if (str_eq(p->x.name, STR("NextContinuationToken")))
		return keep_next(&p->next_key, p, false);
	else if (str_eq(p->x.name, STR("NextKeyMarker")))
		return keep_next(&p->next_key, p, true);
	else if (str_eq(p->x.name, STR("NextUploadIdMarker")))
		return keep_next(&p->next_id, p, false);
	return true;
}

static bool read_inside(struct listed *l, struct page *p)
{
	if (str_eq(p->x.name, STR("Key")))
		return add_text(&l->key, p, p->x.text, true);
	if (str_eq(p->x.name, STR("UploadId")))
		return add_text(&l->id, p, p->x.text, false);
	if (str_eq(p->x.name, STR("Initiated")))
		return add_text(&l->begun, p, p->x.text, false);
	if (str_eq(p->x.name, STR("Size")))
		return str_to_u64(p->x.text, &l->size);
	return true;
}

/* The next element; 1: there is one, 0: the page is at its end. */
static int next_listed(struct listed *ret, struct page *p, struct err *e)
{
	bool inside = false;

	for (;;) {
		const enum s3_xml_event event = s3_xml_next(&p->x);
		bool ok = true;

		if (event == S3_XML_END)
			return 0;
		if (event == S3_XML_BROKEN)
			return broken(e);
		const bool ours = p->x.depth == (event == S3_XML_OPEN ? 2 : 1) && str_eq(p->x.name, str_of(p->element));
		if (ours && event == S3_XML_CLOSE)
			return 1;
		if (ours) {
			inside = true;
			*ret = (struct listed){};
		} else if (event == S3_XML_CLOSE && inside && p->x.depth == 2) {
			ok = read_inside(ret, p);
		} else if (event == S3_XML_CLOSE && !inside) {
			ok = read_around(p);
		}
		if (!ok)
			return broken(e);
	}
}

/* Asks for a page. What is told of it needs at most as much memory as the answer. */
static int get_page(struct page *p, struct s3_call *c, const struct s3_request *r, struct err *e)
{
	struct buf encoding = BUF_INIT;
	int rc = s3_do(c, r, e);

	if (rc == 0 && c->status != 200)
		rc = s3_unexpected(c, "the objects could not be listed", e);
	if (rc != 0)
		return rc;
	buf_reset(&p->memory);
	buf_reserve(&p->memory, c->body.len + 1);
	if (!buf_ok(&p->memory))
		return err_set(e, ERR_NO_MEMORY, "no memory for a list of blobs");
	p->more = false;
	p->escaped = s3_xml_find(&encoding, buf_str(&c->body), "EncodingType");
	buf_release(&encoding);
	p->x = s3_xml(buf_str(&c->body));
	return 0;
}

/* Every page of a list; each element is given to `tell`, without the prefix, until that answers something. */
struct walk {
	struct s3 *s;
	const char *element;
	const char *kind, *kind_value, *next_key, *next_id; /* of the query */
	struct str begin; /* of the names, behind the prefix */
	int (*tell)(struct walk *w, const struct listed *l, struct err *e);
	int (*visit)(void *arg, struct str name, uint64_t size);
	void (*foreign)(void *arg, struct str path);
	enum blob_claim (*claim)(void *arg, struct str name);
	void *arg;
};

static int tell_page(struct walk *w, struct page *p, struct err *e)
{
	const struct str prefix = str_of(w->s->prefix);
	struct listed l = {};
	int rc;

	while ((rc = next_listed(&l, p, e)) == 1) {
		if (!str_starts(l.key, prefix))
			return broken(e);
		l.key = (struct str){l.key.p + prefix.len, l.key.len - prefix.len};
		rc = w->tell(w, &l, e);
		if (rc != 0)
			return rc;
	}
	return rc;
}

static void write_place(struct buf *out, const struct page *p)
{
	buf_reset(out);
	buf_add_str(out, buf_str(&p->next_key));
	buf_add_char(out, '\n');
	buf_add_str(out, buf_str(&p->next_id));
}

/* There is a next page, and it is another one: a service that answers the same for ever is not followed. */
static int check_next(struct page *p, struct err *e)
{
	write_place(&p->next, p);
	if (!buf_ok(&p->at) || !buf_ok(&p->next))
		return err_set(e, ERR_NO_MEMORY, "no memory for a list of blobs");
	return p->more && (p->next_key.len == 0 || str_eq(buf_str(&p->next), buf_str(&p->at))) ? broken(e) : 0;
}

static int walk(struct walk *w, struct err *e)
{
	CLEANUP(release_page) struct page p = {.element = w->element, .prefix = str_of(w->s->prefix)};
	CLEANUP(buf_release) struct buf begin = BUF_INIT;
	struct s3_call c;
	int rc = s3_key(&begin, w->s, w->begin, e);

	if (rc != 0)
		return rc;
	s3_call_init(&c, w->s);
	do {
		struct s3_request r = {.method = STR("GET")};

		s3_add_query(&r, w->kind, str_of(w->kind_value));
		s3_add_query(&r, "prefix", buf_str(&begin));
		s3_add_query(&r, "encoding-type", STR("url"));
		if (p.next_key.len > 0)
			s3_add_query(&r, w->next_key, buf_str(&p.next_key));
		if (p.next_id.len > 0)
			s3_add_query(&r, w->next_id, buf_str(&p.next_id));
		write_place(&p.at, &p);
		rc = get_page(&p, &c, &r, e);
		if (rc == 0)
			rc = tell_page(w, &p, e);
		if (rc == 0)
			rc = check_next(&p, e);
	} while (rc == 0 && p.more);
	s3_call_release(&c);
	return rc;
}

/* ---- uploads that stayed behind ---- */

static bool is_stale(struct s3 *s, struct str begun)
{
	int64_t begun_ms;

	return time_parse(&begun_ms, begun) && s3_their_time(s) * 1000 - begun_ms >= s->stale_ms;
}

static int tell_upload(struct walk *w, const struct listed *l, struct err *e)
{
	struct s3_request r = {.method = STR("DELETE"), .name = l->key};
	struct s3 *s = w->s;
	struct s3_call c;

	if (!blob_name_valid(l->key) || s3_writes_upload(s, l->id))
		return 0;
	const enum blob_claim claim = w->claim(w->arg, l->key);
	if (claim == BLOB_CLAIMED || (claim == BLOB_CLAIM_UNKNOWN && !is_stale(s, l->begun)))
		return 0;
	s3_add_query(&r, "uploadId", l->id);
	s3_call_init(&c, s);
	int rc = s3_do(&c, &r, e);
	/* 404: another node was quicker. */
	if (rc == 0 && c.status != 204 && c.status != 200 && c.status != 404)
		rc = s3_unexpected(&c, "an upload in parts could not be given up", e);
	s3_call_release(&c);
	return rc;
}

int s3_give_up(struct blobs *b, enum blob_claim (*claim)(void *arg, struct str name), void *arg, struct err *e)
{
	struct walk w = {.s = s3_of(b),
			 .element = "Upload",
			 .kind = "uploads",
			 .kind_value = "",
			 .next_key = "key-marker",
			 .next_id = "upload-id-marker",
			 .tell = tell_upload,
			 .claim = claim,
			 .arg = arg};

	return walk(&w, e);
}

/* ---- objects ---- */

static int tell_object(struct walk *w, const struct listed *l, struct err *e)
{
	const bool valid = blob_name_valid(l->key);

	if (valid && w->visit)
		return w->visit(w->arg, l->key, l->size);
	if (!valid && w->foreign)
		w->foreign(w->arg, l->key);
	return 0;
}

static struct walk objects(struct blobs *b)
{
	return (struct walk){.s = s3_of(b),
			     .element = "Contents",
			     .kind = "list-type",
			     .kind_value = "2",
			     .next_key = "continuation-token",
			     .tell = tell_object};
}

int s3_visit_some(struct blobs *b, struct str begin, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	struct walk w = objects(b);

	w.begin = begin;
	w.visit = visit;
	w.arg = arg;
	return walk(&w, e);
}

int s3_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e)
{
	struct walk w = objects(b);

	w.visit = visit;
	w.arg = arg;
	return walk(&w, e);
}

int s3_foreign(struct blobs *b, void (*tell)(void *arg, struct str path), void *arg, struct err *e)
{
	struct walk w = objects(b);

	w.foreign = tell;
	w.arg = arg;
	return walk(&w, e);
}
