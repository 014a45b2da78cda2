/* SPDX-License-Identifier: MIT */
#include "log.h"

#include "bytes.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096	   /* PIPE_BUF: what a pipe takes in one piece */
#define STALLED_WAIT_MS 50 /* for a reader that has stopped reading */

static atomic_int target_fd = STDERR_FILENO;
static struct sockaddr_un syslog_at; /* AF_UNIX: what target_fd sends to */
static atomic_int lowest = LOG_LEVEL_INFO;
static atomic_uint lost; /* lines since the last that was written */

static const struct {
	const char *word;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warn", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static bool
is_for_syslog(void)
{
	return (syslog_at.sun_family == AF_UNIX);
}

void
log_close(void)
{
	int fd = atomic_exchange(&target_fd, STDERR_FILENO);

	if (fd != STDERR_FILENO)
		(void)close(fd);
	syslog_at = (struct sockaddr_un){ 0 };
	atomic_store(&lowest, LOG_LEVEL_INFO);
}

static void
begin(int fd, enum log_level level)
{
	log_close();
	atomic_store(&target_fd, fd);
	atomic_store(&lowest, (int)level);
}

static bool
find_syslog(int fd)
{
	return (connect(fd, (const struct sockaddr *)&syslog_at,
			sizeof(syslog_at)) == 0);
}

enum result
log_open_syslog(const char *path, enum log_level level)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(at.sun_path))
		return (R_INVALID);
	memcpy(at.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (result_of_errno(errno));
	begin(fd, level);
	syslog_at = at;
	(void)find_syslog(fd); /* else with the first line */
	return (R_OK);
}

enum result
log_open(const char *target, enum log_level level)
{
	struct bytes where = bytes_of(target);
	int fd;

	if (bytes_equal(where, BYTES("syslog")))
		return (log_open_syslog(_PATH_LOG, level));
	if (bytes_equal(where, BYTES("stderr"))) {
		fd = STDERR_FILENO;
	} else if (bytes_starts(where, BYTES("file:/"))) {
		/* Not to wait at a FIFO either, whose reader may be away. */
		fd = open(target + strlen("file:"),
			  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY |
				  O_NONBLOCK,
			  0640);
		if (fd < 0)
			return (result_of_errno(errno));
	} else {
		return (R_INVALID);
	}
	begin(fd, level);
	return (R_OK);
}

/* "<30>Jan 31 12:00:00 warmfront[4711]: ", as syslog(3) has it */
static size_t
write_syslog_head(char *line, size_t size, enum log_level level)
{
	time_t now = (time_t)(clock_wall_ms() / 1000);
	char when[32] = "";
	struct tm local;
	int n;

	if (localtime_r(&now, &local) != NULL)
		(void)strftime(when, sizeof(when), "%b %e %T ", &local);
	n = snprintf(line, size, "<%d>%swarmfront[%ld]: ",
		     LOG_DAEMON | levels[level].priority, when, (long)getpid());
	return (n < 0 ? 0 : (size_t)n);
}

/* "2025-01-31T12:00:00.123Z info 4711 " */
static size_t
write_head(char *line, size_t size, enum log_level level)
{
	int64_t now_ms = clock_wall_ms();
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm utc;
	size_t len;
	int n;

	if (is_for_syslog())
		return (write_syslog_head(line, size, level));
	if (gmtime_r(&seconds, &utc) == NULL)
		return (0);
	len = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
	n = snprintf(line + len, size - len, ".%03dZ %s %ld ",
		     (int)(now_ms % 1000), levels[level].word, (long)getpid());
	return (n < 0 ? len : len + (size_t)n);
}

/* Add the text to a line of `len` bytes, leaving room for a newline. */
static size_t __attribute__((format(printf, 4, 0)))
write_text(char *line, size_t len, size_t size, const char *format,
	   va_list arguments)
{
	size_t room = size - len - 1, end;
	int n = vsnprintf(line + len, room, format, arguments);

	if (n < 0)
		return (len);
	end = len + (size_t)n;
	if ((size_t)n >= room) {
		end = len + room - 1 - strlen("...");
		while (end > len && (line[end] & 0xC0) == 0x80)
			end--; /* not in the midst of a character */
		memcpy(line + end, "...", strlen("..."));
		end += strlen("...");
	}
	for (size_t i = len; i < end; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
			line[i] = '?';
	return (end);
}

/* A datagram a line.  The daemon may have been started after us, or anew. */
static bool
send_line(int fd, const char *line, size_t len, int wait_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int64_t until_ms = clock_monotonic_ms() + wait_ms;
	bool found = false;

	while (send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN) {
			if (found || !find_syslog(fd))
				return (false);
			found = true;
			continue;
		}
		wait_ms = (int)(until_ms - clock_monotonic_ms());
		if (wait_ms <= 0 || poll(&ready, 1, wait_ms) == 0)
			return (false);
	}
	return (true);
}

static bool
write_line(int fd, const char *line, size_t len, int wait_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	if (poll(&ready, 1, wait_ms) == 0)
		return (false);
	while (len > 0) {
		n = write(fd, line, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (false);
		line += n;
		len -= (size_t)n;
	}
	return (true);
}

/* A line that ends with a newline, which a datagram does without. */
static bool
put(int fd, const char *line, size_t len)
{
	int wait_ms = atomic_load(&lost) == 0 ? STALLED_WAIT_MS : 0;

	return (is_for_syslog() ? send_line(fd, line, len - 1, wait_ms)
				: write_line(fd, line, len, wait_ms));
}

static void
put_or_count(int fd, const char *line, size_t len)
{
	char notice[128];
	size_t head;
	unsigned gone;
	int n;

	if (!put(fd, line, len)) {
		atomic_fetch_add(&lost, 1);
		return;
	}
	if (atomic_load_explicit(&lost, memory_order_relaxed) == 0)
		return;
	gone = atomic_exchange(&lost, 0);
	if (gone == 0)
		return;
	head = write_head(notice, sizeof(notice), LOG_LEVEL_WARN);
	n = snprintf(notice + head, sizeof(notice) - head,
		     "log: %u lines before the last could not be written\n",
		     gone);
	if (n > 0 && !put(fd, notice, head + (size_t)n))
		atomic_fetch_add(&lost, gone);
}

void
log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;
	size_t len;
	int fd = atomic_load_explicit(&target_fd, memory_order_relaxed);
	int saved = errno; /* a caller's error path may still need it */

	if ((int)level > atomic_load_explicit(&lowest, memory_order_relaxed))
		return;
	len = write_head(line, sizeof(line), level);
	va_start(arguments, format);
	len = write_text(line, len, sizeof(line), format, arguments);
	va_end(arguments);
	line[len++] = '\n';
	put_or_count(fd, line, len);
	errno = saved;
}
