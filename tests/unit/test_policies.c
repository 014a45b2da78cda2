/* SPDX-License-Identifier: MIT */
#include <check.h>

Suite *suite_policies(void);

Suite *
suite_policies(void)
{
	return (suite_create("policies"));
}
