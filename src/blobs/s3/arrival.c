/* What others put there by an address that they were given. */
#include "blobs/s3/s3_impl.h"

struct looking {
	struct s3_call call;
	struct s3_arrival *ret;
};

/* Each time that the request is sent again. */
static void take_head(struct s3_call *c, const struct net_head *h)
{
	struct s3_arrival *a = CONTAINER_OF(c, struct looking, call)->ret;

	buf_reset(&a->type);
	buf_reset(&a->meta_name);
	buf_add_str(&a->type, net_head_field(h, "content-type"));
	buf_add_str(&a->meta_name, net_head_field(h, S3_META_NAME));
}

int s3_arrival_look(struct s3_arrival *ret, struct blobs *b, struct str name, struct err *e)
{
	struct s3_request r = {.method = STR("HEAD"), .name = name};
	struct looking l = {.ret = ret};

	*ret = (struct s3_arrival){.type = BUF_INIT, .meta_name = BUF_INIT};
	s3_call_init(&l.call, s3_inside(b));
	l.call.head = take_head;
	int rc = s3_do(&l.call, &r, e);
	if (rc == 0 && l.call.status == 404)
		rc = err_set(e, ERR_NOT_FOUND, "nothing has come");
	else if (rc == 0 && (l.call.status != 200 || l.call.length < 0))
		rc = s3_unexpected(&l.call, "what came could not be looked at", e);
	else if (rc == 0 && (!buf_ok(&ret->type) || !buf_ok(&ret->meta_name)))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for an answer");
	if (rc == 0)
		ret->size = (uint64_t)l.call.length;
	s3_call_release(&l.call);
	return rc;
}

void s3_arrival_remove(struct blobs *b, struct str name)
{
	struct s3 *s = s3_inside(b);
	const struct s3_request r = {.method = STR("DELETE"), .name = name};

	s3_send_and_forget(s, &r);
}
