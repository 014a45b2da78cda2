/* SPDX-License-Identifier: MIT */
#include "../harness/scratch.h"
#include "../runner.h"

#include <stddef.h>

#define SUITE(name) Suite *suite_##name(void);
#include "suites.def"
#undef SUITE

static const struct runner_suite suites[] = {
#define SUITE(name) { #name, suite_##name },
#include "suites.def"
#undef SUITE
	{ NULL, NULL },
};

int
main(int argc, char **argv)
{
	int status;

	harness_begin();
	status = runner_main(argc, argv, suites);
	harness_end(status);
	return (status);
}
