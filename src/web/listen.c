/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include "../base/alloc.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

static enum result
fail(const char *address, const char *what, enum result r, struct buf *problem)
{
	buf_printf(problem, "cannot listen on \"%s\": %s", address, what);
	return (r);
}

static enum result
fail_errno(const char *address, int error, struct buf *problem)
{
	return (fail(address, strerror(error),
		     error == EADDRINUSE ? R_CONFLICT : result_of_errno(error),
		     problem));
}

static enum result
fail_address(const char *address, struct buf *problem)
{
	return (fail(address,
		     "not an address; accepted are unix:/path, host:port, "
		     "[ipv6]:port and :port",
		     R_INVALID, problem));
}

/* Whether the socket file at `sun` is one that nobody listens on. */
static bool
is_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(sun->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return (false);
	fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	if (fd < 0)
		return (false);
	refused = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 &&
		  errno == ECONNREFUSED;
	(void)close(fd);
	return (refused);
}

static int
bind_unix(int fd, const struct sockaddr_un *sun)
{
	const struct sockaddr *address = (const struct sockaddr *)sun;

	if (bind(fd, address, sizeof(*sun)) == 0)
		return (0);
	if (errno != EADDRINUSE)
		return (-1);
	if (!is_stale(sun)) {
		errno = EADDRINUSE;
		return (-1);
	}
	if (unlink(sun->sun_path) < 0 && errno != ENOENT)
		return (-1);
	return (bind(fd, address, sizeof(*sun)));
}

static enum result
open_unix(const char *address, const char *path, struct listener *out,
	  struct buf *problem)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, error;

	if (path[0] == '\0')
		return (fail_address(address, problem));
	if (strlen(path) >= sizeof(sun.sun_path))
		return (fail(address, "the path is over 107 bytes", R_INVALID,
			     problem));
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	if (fd < 0)
		return (fail_errno(address, errno, problem));
	/* bind() has applied the umask to 0777; no one executes a socket. */
	if (bind_unix(fd, &sun) == 0 && stat(path, &st) == 0 &&
	    chmod(path, st.st_mode & 0666) == 0 && listen(fd, BACKLOG) == 0) {
		*out = (struct listener){ fd, true, st.st_dev, st.st_ino };
		return (R_OK);
	}
	error = errno;
	(void)close(fd);
	return (fail_errno(address, error, problem));
}

/* A listening socket on `ai`; -1 and errno. */
static int
open_inet(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCKET_FLAGS, 0), on = 1, error;

	if (fd < 0)
		return (-1);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return (fd);
	error = errno;
	(void)close(fd);
	errno = error;
	return (-1);
}

/* Split "host:port" or "[host]:port"; *host is NULL when empty.  Both point
 * into `text`, which is changed. */
static bool
split(char *text, const char **host, const char **port)
{
	char *colon = strrchr(text, ':');
	int64_t number;

	if (colon == NULL)
		return (false);
	*colon = '\0';
	*port = colon + 1;
	*host = text;
	if (!bytes_to_int64(bytes_of(*port), &number) || number < 0 ||
	    number > 65535)
		return (false);
	if (text[0] == '[' && colon > text + 2 && colon[-1] == ']') {
		colon[-1] = '\0';
		*host = text + 1;
		return (true);
	}
	if (strpbrk(text, ":[]") != NULL)
		return (false);
	if (text[0] == '\0')
		*host = NULL;
	return (true);
}

static enum result
open_host(const char *address, const char *host, const char *port,
	  struct listener *out, struct buf *problem)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
					.ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *ai;
	int error, fd = -1;

	error = getaddrinfo(host, port, &hints, &list);
	if (error != 0)
		return (fail(address,
			     error == EAI_SYSTEM ? strerror(errno)
						 : gai_strerror(error),
			     R_UNAVAILABLE, problem));
	for (ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = open_inet(ai);
	error = errno;
	freeaddrinfo(list);
	if (fd < 0)
		return (fail_errno(address, error, problem));
	*out = (struct listener){ .fd = fd, .own = true };
	return (R_OK);
}

enum result
listen_open(const char *address, struct listener *out, struct buf *problem)
{
	const char *host, *port;
	enum result r;
	char *copy;

	if (strncmp(address, "unix:", 5) == 0)
		return (open_unix(address, address + 5, out, problem));
	copy = mem_strdup(address);
	if (copy == NULL)
		return (fail(address, "out of memory", R_NO_MEMORY, problem));
	if (split(copy, &host, &port))
		r = open_host(address, host, port, out, problem);
	else
		r = fail_address(address, problem);
	free(copy);
	return (r);
}

/* Not another's that stands at the path by now.  While ours is open its number
 * is nobody else's, and while it listens no worker replaces it. */
static void
remove_file(const struct listener *l)
{
	struct sockaddr_un sun = { 0 };
	socklen_t size = sizeof(sun);
	struct stat st;

	if (getsockname(l->fd, (struct sockaddr *)&sun, &size) == 0 &&
	    lstat(sun.sun_path, &st) == 0 && st.st_dev == l->device &&
	    st.st_ino == l->file)
		(void)unlink(sun.sun_path);
}

/* Not closed, since other threads may be about to accept from it. */
void
listen_leave(const struct listener *l)
{
	if (!l->own)
		return;
	if (l->file != 0)
		remove_file(l);
	(void)shutdown(l->fd, SHUT_RDWR);
}

void
listen_close(const struct listener *l)
{
	listen_leave(l);
	(void)close(l->fd);
}
