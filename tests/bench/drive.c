/* SPDX-License-Identifier: MIT */
/*
 * drive: FastCGI requests, one after the other, without a web server.
 *
 *	drive hits SOCKET COUNT PATH [HEADER]	on one kept connection; HEADER is a
 *						parameter, "HTTP_X_API_KEY=wf_..."
 *	drive keys SOCKET COUNT PATH		the same, with 0, 1, 2... behind PATH;
 *						64 at a time on connections of their own
 *	drive start SOCKET COUNT PATH COMMAND...
 *						COUNT times: start COMMAND with the
 *						socket as descriptor 0 and a request
 *						waiting in it; print the milliseconds
 *						from exec to the answer, sorted
 *
 * Every answer must be a 200, else the exit status is 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 64

struct message {
	unsigned char at[4096];
	size_t len;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6);
}

static void
add_record(struct message *m, unsigned type, const void *content, size_t len)
{
	const unsigned char header[8] = {
		1, (unsigned char)type,	      0,
		1, (unsigned char)(len >> 8), (unsigned char)len
	};

	memcpy(m->at + m->len, header, 8);
	if (len > 0)
		memcpy(m->at + m->len + 8, content, len);
	m->len += 8 + len;
}

static void
add_param(struct message *m, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);

	if (m->len + n + v + 5 > 2048)
		die("parameters are too long");
	m->at[m->len++] = (unsigned char)n;
	if (v > 127) {
		m->at[m->len++] = 0x80;
		m->at[m->len++] = 0;
		m->at[m->len++] = (unsigned char)(v >> 8);
	}
	m->at[m->len++] = (unsigned char)v;
	memcpy(m->at + m->len, name, n);
	memcpy(m->at + m->len + n, value, v);
	m->len += n + v;
}

/* What nginx would send. */
static void
make_request(struct message *m, const char *path, const char *header)
{
	const char *query = strchr(path, '?');
	char script[1024], name[64];
	struct message p = { .len = 0 };

	snprintf(script, sizeof(script), "%.*s", (int)strcspn(path, "?"), path);
	add_param(&p, "GATEWAY_INTERFACE", "CGI/1.1");
	add_param(&p, "SERVER_PROTOCOL", "HTTP/1.1");
	add_param(&p, "SERVER_NAME", "localhost");
	add_param(&p, "SERVER_PORT", "80");
	add_param(&p, "REQUEST_METHOD", "GET");
	add_param(&p, "REQUEST_URI", path);
	add_param(&p, "SCRIPT_NAME", script);
	add_param(&p, "QUERY_STRING", query == NULL ? "" : query + 1);
	add_param(&p, "CONTENT_TYPE", "");
	add_param(&p, "CONTENT_LENGTH", "");
	add_param(&p, "REMOTE_ADDR", "127.0.0.1");
	add_param(&p, "HTTP_PROXY", "");
	add_param(&p, "HTTP_HOST", "localhost");
	add_param(&p, "HTTP_USER_AGENT", "drive");
	add_param(&p, "HTTP_ACCEPT", "*/*");
	if (header != NULL) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(header, "="),
			 header);
		add_param(&p, name, strchr(header, '=') + 1);
	}
	m->len = 0;
	add_record(m, 1, "\0\1\1\0\0\0\0\0", 8); /* a responder; keep it open */
	add_record(m, 4, p.at, p.len);
	add_record(m, 4, NULL, 0);
	add_record(m, 5, NULL, 0);
}

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		die("socket's path is too long");
	strcpy(a.sun_path, path);
	return (a);
}

static int
connect_to(const char *path)
{
	struct sockaddr_un a = address_of(path);
	const struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
		die(path);
	return (fd);
}

static void
send_all(int fd, const struct message *m)
{
	if (send(fd, m->at, m->len, MSG_NOSIGNAL) != (ssize_t)m->len)
		die("send");
}

static void
receive(int fd, unsigned char *to, size_t len)
{
	ssize_t n;

	for (; len > 0; to += n, len -= (size_t)n)
		if ((n = recv(fd, to, len, MSG_WAITALL)) <= 0)
			die("recv");
}

/* Read one answer; is it a 200? */
static bool
take_answer(int fd)
{
	unsigned char header[8], content[65536 + 256];
	bool first = true, fine = true;
	size_t len;

	do {
		receive(fd, header, 8);
		len = (size_t)(header[4] << 8 | header[5]) + header[6];
		receive(fd, content, len);
		content[len] = '\0';
		if (header[1] == 6 && first) {
			fine = strncmp((char *)content, "Status: ", 8) != 0 ||
			       strncmp((char *)content + 8, "200", 3) == 0;
			if (!fine)
				fprintf(stderr, "%s\n", (char *)content);
			first = false;
		}
	} while (header[1] != 3);
	return (fine);
}

static int
hits(const char *socket_path, long count, const char *path, const char *header)
{
	int fd = connect_to(socket_path);
	struct message m;

	make_request(&m, path, header);
	while (count-- > 0) {
		send_all(fd, &m);
		if (!take_answer(fd))
			return (1);
	}
	return (0);
}

static int
keys(const char *socket_path, long count, const char *path)
{
	char numbered[1024];
	int fds[AT_ONCE], status = 0;
	struct message m;
	long i;

	for (i = 0; i < AT_ONCE; i++)
		fds[i] = connect_to(socket_path);
	for (i = 0; i < count + AT_ONCE; i++) {
		if (i >= AT_ONCE && i - AT_ONCE < count &&
		    !take_answer(fds[i % AT_ONCE]))
			status = 1;
		if (i >= count)
			continue;
		snprintf(numbered, sizeof(numbered), "%s%ld", path, i);
		make_request(&m, numbered, NULL);
		send_all(fds[i % AT_ONCE], &m);
	}
	return (status);
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return ((*x > *y) - (*x < *y));
}

static double
start_once(const char *socket_path, const struct message *m, char **command)
{
	struct sockaddr_un a = address_of(socket_path);
	int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	double began;
	pid_t pid;

	(void)unlink(socket_path);
	if (listen_fd < 0 ||
	    bind(listen_fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(listen_fd, 16) != 0)
		die(socket_path);
	fd = connect_to(socket_path);
	send_all(fd, m);
	began = now_ms();
	/* vfork: what is measured is the command, not the copy of this process. */
	pid = vfork();
	if (pid == 0) {
		dup2(listen_fd, 0);
		execvp(command[0], command);
		_exit(127);
	}
	close(listen_fd);
	if (!take_answer(fd)) {
		kill(pid, SIGKILL);
		exit(1);
	}
	began = now_ms() - began;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	return (began);
}

static int
start(const char *socket_path, long count, const char *path, char **command)
{
	double times[1000];
	struct message m;
	long i;

	if (count < 1 || count > 1000)
		die("COUNT");
	make_request(&m, path, NULL);
	for (i = 0; i < count; i++)
		times[i] = start_once(socket_path, &m, command);
	qsort(times, (size_t)count, sizeof(times[0]), compare);
	for (i = 0; i < count; i++)
		printf("%.2f\n", times[i]);
	(void)unlink(socket_path);
	return (0);
}

int
main(int argc, char **argv)
{
	long count = argc > 4 ? atol(argv[3]) : 0;

	if (argc >= 5 && argc <= 6 && strcmp(argv[1], "hits") == 0)
		return (hits(argv[2], count, argv[4], argv[5]));
	if (argc == 5 && strcmp(argv[1], "keys") == 0)
		return (keys(argv[2], count, argv[4]));
	if (argc > 5 && strcmp(argv[1], "start") == 0)
		return (start(argv[2], count, argv[4], argv + 5));
	fprintf(stderr, "usage: drive hits SOCKET COUNT PATH [NAME=VALUE]\n"
			"       drive keys SOCKET COUNT PATH\n"
			"       drive start SOCKET COUNT PATH COMMAND...\n");
	return (64);
}
