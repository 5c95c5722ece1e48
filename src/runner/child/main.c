/* filemill-runner: the zygote of the sealed children. The server starts it; there is nothing in it for people. */
#include "runner/child/child.h"

/* What this program can do beyond digests. */
static const struct sealed_op *const ops[] = {&op_gzip, &op_probe, &op_resize, &op_zip, &op_zstd};

int main(void)
{
	return sealed_main(ops, ARRAY_LEN(ops));
}
