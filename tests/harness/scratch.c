/* SPDX-License-Identifier: MIT */
#include "process.h"
#include "scratch.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char root[64];

/* All scratch memory, so that it stays reachable: leak checkers then see only
 * what the code under test loses. */
struct block {
	struct block *next;
	max_align_t data[];
};
static struct block *blocks;

void
harness_begin(void)
{
	char name[] = "/tmp/wf-XXXXXX";

	if (mkdtemp(name) == NULL || chmod(name, 0755) != 0) {
		perror(name);
		exit(1);
	}
	memcpy(root, name, sizeof(name));
}

static int
remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
	(void)s, (void)type, (void)walk;
	remove(path);
	return (0);
}

void
harness_end(int failed)
{
	process_end_all();
	if (failed > 0)
		fprintf(stderr, "logs and data of this run are in %s\n", root);
	else
		nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	root[0] = '\0';
}

const char *
scratch_root(void)
{
	if (root[0] == '\0') {
		fprintf(stderr, "main() has not called harness_begin()\n");
		abort();
	}
	return (root);
}

const char *
scratch_directory(const char *name)
{
	char *path = scratch_printf("%s/%sXXXXXX", scratch_root(), name);

	if (mkdtemp(path) == NULL || chmod(path, 0755) != 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
	return (path);
}

void *
scratch_alloc(size_t size)
{
	struct block *b = calloc(1, sizeof(*b) + size);

	if (b == NULL)
		abort();
	b->next = blocks;
	blocks = b;
	return (b->data);
}

char *
scratch_copy(const char *text, size_t len)
{
	char *copy = scratch_alloc(len + 1);

	if (len > 0)
		memcpy(copy, text, len);
	return (copy);
}

char *
scratch_printf(const char *format, ...)
{
	va_list arguments;
	char *text, *copy;
	int len;

	va_start(arguments, format);
	len = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (len < 0)
		abort();
	copy = scratch_copy(text, (size_t)len);
	free(text);
	return (copy);
}

char *
scratch_read(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat s;
	char *text;
	size_t n;

	if (f == NULL)
		return (scratch_copy("", 0));
	if (fstat(fileno(f), &s) != 0)
		s.st_size = 0;
	text = scratch_alloc((size_t)s.st_size + 1);
	n = fread(text, 1, (size_t)s.st_size, f);
	text[n] = '\0';
	fclose(f);
	return (text);
}

void
scratch_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
}

size_t
scratch_lines(const char *path)
{
	char block[65536];
	size_t lines = 0, n;
	FILE *f = fopen(path, "rb");

	if (f == NULL)
		return (0);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		for (size_t i = 0; i < n; i++)
			lines += block[i] == '\n';
	fclose(f);
	return (lines);
}

char *
scratch_tail(const char *path)
{
	char text[3001];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL)
		return (scratch_copy("", 0));
	if (fseek(f, -3000, SEEK_END) != 0)
		rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	return (scratch_copy(text, n));
}

double
harness_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6);
}

double
harness_limit_ms(double ms)
{
	const char *text = getenv("CK_TIMEOUT_MULTIPLIER");
	double factor = text != NULL ? strtod(text, NULL) : 1;

	return (factor > 1 ? ms * factor : ms);
}

void
harness_nap(void)
{
	const struct timespec nap = { .tv_nsec = 5000000 };

	nanosleep(&nap, NULL);
}

unsigned
harness_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		ck_abort_msg("no free port: %s", strerror(errno));
	close(fd);
	return (ntohs(a.sin_port));
}

static const char *
under(const char *variable, const char *path)
{
	const char *folder = getenv(variable);

	return (scratch_printf("%s/%s", folder != NULL ? folder : ".", path));
}

const char *
harness_binary(const char *variable, const char *place)
{
	const char *named = getenv(variable);
	char *path, *copy;

	if (named == NULL)
		named = under("WARMFRONT_BUILD", place);
	path = realpath(named, NULL);
	if (path == NULL)
		ck_abort_msg("%s: %s; %s can name it", named, strerror(errno),
			     variable);
	copy = scratch_copy(path, strlen(path));
	free(path);
	return (copy);
}

const char *
harness_source(const char *path)
{
	return (under("WARMFRONT_SOURCE", path));
}
