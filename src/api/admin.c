#include "api/admin.h"

int admin_owner_of(struct str text, struct str *ret, struct err *e)
{
	struct uuid id;

	*ret = text;
	if (text.p == NULL) {
		*ret = STR(OWNER_ANY);
	} else if (!str_eq(text, STR(OWNER_PUBLIC)) && !uuid_parse(&id, text)) {
		err_set(e, ERR_BAD_PARAMETER, "an owner is the id of an account, or \"" OWNER_PUBLIC "\"");
		return err_field(e, "owner");
	}
	return 0;
}

int admin_owner(struct http_request *r, struct str *ret, struct err *e)
{
	return admin_owner_of(http_query(r, "owner"), ret, e);
}
