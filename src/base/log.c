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
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096	   /* PIPE_BUF: what a pipe takes in one piece */
#define STALLED_WAIT_MS 50 /* for a reader that has stopped reading */
#define TO_SYSLOG (-1)

static atomic_int target_fd = STDERR_FILENO;
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

void
log_close(void)
{
	int fd = atomic_exchange(&target_fd, STDERR_FILENO);

	if (fd == TO_SYSLOG)
		closelog();
	else if (fd != STDERR_FILENO)
		(void)close(fd);
	atomic_store(&lowest, LOG_LEVEL_INFO);
}

enum result
log_open(const char *target, enum log_level level)
{
	struct bytes where = bytes_of(target);
	int fd;

	if (bytes_equal(where, BYTES("stderr"))) {
		fd = STDERR_FILENO;
	} else if (bytes_equal(where, BYTES("syslog"))) {
		fd = TO_SYSLOG;
	} else if (bytes_starts(where, BYTES("file:/"))) {
		fd = open(target + strlen("file:"),
			  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
			  0640);
		if (fd < 0)
			return (result_of_errno(errno));
	} else {
		return (R_INVALID);
	}
	log_close();
	if (fd == TO_SYSLOG)
		openlog("warmfront", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	atomic_store(&target_fd, fd);
	atomic_store(&lowest, (int)level);
	return (R_OK);
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

static bool
put(int fd, const char *line, size_t len)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int wait_ms = atomic_load(&lost) == 0 ? STALLED_WAIT_MS : 0;
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
	size_t head = 0, len;
	int fd = atomic_load_explicit(&target_fd, memory_order_relaxed);
	int saved = errno; /* a caller's error path may still need it */

	if ((int)level > atomic_load_explicit(&lowest, memory_order_relaxed))
		return;
	if (fd != TO_SYSLOG)
		head = write_head(line, sizeof(line), level);
	va_start(arguments, format);
	len = write_text(line, head, sizeof(line), format, arguments);
	va_end(arguments);
	if (fd == TO_SYSLOG) {
		syslog(levels[level].priority, "%.*s", (int)len, line);
	} else {
		line[len++] = '\n';
		put_or_count(fd, line, len);
	}
	errno = saved;
}
