/* SPDX-License-Identifier: MIT */
#include <check.h>

Suite *suite_parts(void);

Suite *
suite_parts(void)
{
	return (suite_create("parts"));
}
