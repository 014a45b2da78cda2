/* SPDX-License-Identifier: MIT */

/*
 * replay [FILE-OR-DIRECTORY...]: feed each file to the fuzz target it is linked with;
 * by default, those of the corpus of the program's name in the source tree.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)

static unsigned replayed;

/* In a block as large as the file, so that a sanitizer sees a step past its end. */
static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(FILE_MAX_BYTES), *tight;
	size_t size;
	int status = EX_NOINPUT;

	if (f == NULL || data == NULL)
		goto out;
	size = fread(data, 1, FILE_MAX_BYTES, f);
	if (ferror(f))
		goto out;
	tight = realloc(data, size > 0 ? size : 1);
	if (tight != NULL)
		data = tight;
	(void)LLVMFuzzerTestOneInput(data, size);
	replayed++;
	status = EX_OK;
out:
	if (status != EX_OK)
		perror(path);
	free(data);
	if (f != NULL)
		(void)fclose(f);
	return (status);
}

static int
replay_directory(const char *path, DIR *directory)
{
	int status = EX_OK;
	struct dirent *entry;
	char name[4096];

	while (status == EX_OK && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path,
			       entry->d_name);
		status = replay_file(name);
	}
	(void)closedir(directory);
	return (status);
}

static int
replay(const char *path)
{
	DIR *directory = opendir(path);

	return (directory != NULL ? replay_directory(path, directory)
				  : replay_file(path));
}

int
main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	int status = EX_OK;
	char path[4096];

	for (int i = 1; i < argc && status == EX_OK; i++)
		status = replay(argv[i]);
	if (argc == 1) {
		(void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s",
			       top != NULL ? top : ".",
			       program_invocation_short_name);
		status = replay(path);
	}
	if (status != EX_OK)
		return (status);
	printf("%u inputs\n", replayed);
	return (replayed > 0 ? EX_OK : EX_NOINPUT);
}
