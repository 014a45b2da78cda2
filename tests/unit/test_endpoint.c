/* SPDX-License-Identifier: MIT */
#include <check.h>

Suite *suite_endpoint(void);

Suite *
suite_endpoint(void)
{
	return (suite_create("endpoint"));
}
