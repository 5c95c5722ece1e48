#include "http/fields.h"

/* First of `first-pos "-" [ last-pos ]` or `"-" suffix-length` (RFC 9110 §14.1.1). */
enum range_result range_parse(struct str header, uint64_t size, uint64_t *ret_first, uint64_t *ret_length)
{
	static const struct str unit = STR("bytes=");
	struct str spec = str_trim(header), left, right;
	uint64_t first, last;

	if (spec.len <= unit.len || !str_eq_nocase((struct str){spec.p, unit.len}, unit))
		return RANGE_WHOLE;
	left = str_split((struct str){spec.p + unit.len, spec.len - unit.len}, '-', &right);
	if (!right.p)
		return RANGE_WHOLE;
	if (left.len == 0) {
		if (!str_to_u64(right, &last))
			return RANGE_WHOLE;
		if (last == 0 || size == 0)
			return RANGE_UNSATISFIABLE;
		*ret_length = last < size ? last : size;
		*ret_first = size - *ret_length;
		return RANGE_PART;
	}
	if (!str_to_u64(left, &first))
		return RANGE_WHOLE;
	last = UINT64_MAX;
	if (right.len && !str_to_u64(right, &last))
		return RANGE_WHOLE;
	if (last < first)
		return RANGE_WHOLE; /* int-range with last below first is invalid, not unsatisfiable */
	if (first >= size)
		return RANGE_UNSATISFIABLE;
	*ret_first = first;
	*ret_length = (last < size ? last + 1 : size) - first;
	return RANGE_PART;
}
