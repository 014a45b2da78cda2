/* SPDX-License-Identifier: MIT */
/*
 * plain: what most FastCGI programs look like, to compare with: a loop around
 * FCGX_Accept_r() in each of several processes.
 *
 *	plain PROCESSES DIRECTORY	answers the file DIRECTORY/<gateway>, which it
 *					holds in memory
 *	plain PROCESSES redis SOCKET	answers what Redis has under bench:<gateway>,
 *					asking each time
 *
 * It serves on descriptor 0; `gateway` is the query's parameter of that name.
 */
#include <fcgiapp.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX 16

static struct file {
	char name[32];
	char *text;
	size_t len;
} files[FILES_MAX];

static const struct file *
read_once(const char *directory, const char *name)
{
	char path[4096];
	unsigned i;
	FILE *f;
	long len;

	for (i = 0; i < FILES_MAX && files[i].text != NULL; i++)
		if (strcmp(files[i].name, name) == 0)
			return (&files[i]);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (i == FILES_MAX || strchr(name, '/') != NULL ||
	    strlen(name) >= sizeof(files[i].name) ||
	    (f = fopen(path, "rb")) == NULL)
		return (NULL);
	if (fseek(f, 0, SEEK_END) == 0 && (len = ftell(f)) >= 0 &&
	    fseek(f, 0, SEEK_SET) == 0 &&
	    (files[i].text = malloc((size_t)len + 1)) != NULL) {
		files[i].len = fread(files[i].text, 1, (size_t)len, f);
		strcpy(files[i].name, name);
	}
	fclose(f);
	return (files[i].text != NULL ? &files[i] : NULL);
}

/* The query's gateway, to `name`. */
static void
find_name(const char *query, char *name, size_t size)
{
	const char *at = query == NULL ? NULL : strstr(query, "gateway=");

	snprintf(name, size, "%s", at == NULL ? "" : at + 8);
	name[strcspn(name, "&")] = '\0';
}

static void
answer(FCGX_Request *rq, const char *text, size_t len)
{
	if (text == NULL) {
		FCGX_FPrintF(rq->out, "Status: 404 Not Found\r\n\r\n");
		return;
	}
	FCGX_FPrintF(rq->out,
		     "Content-Type: application/json; charset=utf-8\r\n"
		     "Content-Length: %lu\r\n\r\n",
		     (unsigned long)len);
	FCGX_PutStr(text, (int)len, rq->out);
}

static void
serve(const char *directory, const char *redis)
{
	redisContext *c = redis == NULL ? NULL : redisConnectUnix(redis);
	redisReply *reply;
	FCGX_Request rq;
	char name[64];

	if (FCGX_Init() != 0 || FCGX_InitRequest(&rq, 0, 0) != 0 ||
	    (redis != NULL && (c == NULL || c->err != 0)))
		exit(1);
	while (FCGX_Accept_r(&rq) == 0) {
		find_name(FCGX_GetParam("QUERY_STRING", rq.envp), name,
			  sizeof(name));
		if (c != NULL) {
			reply = redisCommand(c, "GET bench:%s", name);
			answer(&rq, reply == NULL ? NULL : reply->str,
			       reply == NULL ? 0 : (size_t)reply->len);
			freeReplyObject(reply);
		} else {
			const struct file *f = read_once(directory, name);

			answer(&rq, f == NULL ? NULL : f->text,
			       f == NULL ? 0 : f->len);
		}
		FCGX_Finish_r(&rq);
	}
}

int
main(int argc, char **argv)
{
	int i, n = argc > 2 ? atoi(argv[1]) : 0;

	if (n < 1 || argc > 4) {
		fprintf(stderr, "usage: plain PROCESSES DIRECTORY\n"
				"       plain PROCESSES redis SOCKET\n");
		return (64);
	}
	for (i = 0; i < n; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(argv[2], argc == 4 ? argv[3] : NULL);
			return (1);
		}
	while (wait(NULL) > 0)
		;
	return (1);
}
