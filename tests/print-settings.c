/* SPDX-License-Identifier: MIT */
/* Print the table of settings as README.md has it. */
#include "policies.h"

#include <stdio.h>

int
main(void)
{
	struct config_policy policies[POLICIES_MAX];

	policies_collect(policies);
	config_print_table(stdout, CONFIG_TABLE_MARKDOWN, policies);
	return (fflush(stdout) == 0 ? 0 : 1);
}
