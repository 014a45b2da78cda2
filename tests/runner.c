/* SPDX-License-Identifier: MIT */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const struct runner_suite *
runner_find(const struct runner_suite *suites, const char *name)
{
	for (; suites->name != NULL; suites++)
		if (strcmp(suites->name, name) == 0)
			return (suites);
	return (NULL);
}

static int
runner_list(const struct runner_suite *suites)
{
	for (; suites->name != NULL; suites++)
		puts(suites->name);
	return (EXIT_SUCCESS);
}

int
runner_main(int argc, char **argv, const struct runner_suite *suites)
{
	const struct runner_suite *s;
	SRunner *runner;
	int failed;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return (runner_list(suites));
	for (int i = 1; i < argc; i++) {
		if (runner_find(suites, argv[i]) != NULL)
			continue;
		fprintf(stderr, "%s: no suite \"%s\"; --list names them\n",
			argv[0], argv[i]);
		return (EX_USAGE);
	}

	runner = srunner_create(NULL);
	for (int i = 1; i < argc; i++)
		srunner_add_suite(runner, runner_find(suites, argv[i])->make());
	for (s = suites; argc == 1 && s->name != NULL; s++)
		srunner_add_suite(runner, s->make());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return (failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
