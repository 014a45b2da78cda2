/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"

#include <check.h>
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEAD \
	"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static char folder[64], target[96];
static char text[1 << 20];

static const char *
syslog_path(void)
{
	static char path[96];

	(void)snprintf(path, sizeof(path), "%s/syslog", folder);
	return (path);
}

/* What syslog's daemon reads from; it refuses to wait for more. */
static int
begin_syslog(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	memcpy(at.sun_path, syslog_path(), strlen(syslog_path()));
	(void)unlink(syslog_path());
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return (fd);
}

/* The next message into `text`; false: there is none. */
static bool
read_syslog(int fd)
{
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return (n >= 0);
}

static void
setup(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/warmfront-log-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(target, sizeof(target), "file:%s/log", folder);
}

static void
teardown(void)
{
	log_close();
	(void)unlink(syslog_path());
	(void)unlink(target + strlen("file:"));
	(void)rmdir(folder);
}

/* What stands in the log, NUL-terminated. */
static struct bytes
read_log(void)
{
	FILE *f = fopen(target + strlen("file:"), "r");
	size_t len;

	ck_assert_ptr_nonnull(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	(void)fclose(f);
	text[len] = '\0';
	return ((struct bytes){ text, len });
}

static void
assert_matches(const char *pattern, const char *line)
{
	regex_t regex;

	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED), 0);
	ck_assert_msg(regexec(&regex, line, 0, NULL, 0) == 0,
		      "\"%s\" does not match \"%s\"", line, pattern);
	regfree(&regex);
}

START_TEST(a_line_has_time_level_process_and_text)
{
	char pattern[200];

	(void)snprintf(pattern, sizeof(pattern),
		       HEAD "warn %ld redis: 3 of 4\n$", (long)getpid());
	ck_assert_int_eq(log_open(target, LOG_LEVEL_WARN), R_OK);
	log_warn("%s: %d of %d", "redis", 3, 4);
	(void)read_log();
	assert_matches(pattern, text);
}
END_TEST

START_TEST(the_time_is_the_wall_clocks_in_utc)
{
	char expected[32];
	time_t hour;

	ck_assert_int_eq(setenv("TZ", "Asia/Kathmandu", 1), 0);
	tzset();
	ck_assert_int_eq(log_open(target, LOG_LEVEL_INFO), R_OK);
	do { /* not over the turn of an hour */
		hour = (time_t)(clock_wall_ms() / 3600000);
		log_info("x");
	} while ((time_t)(clock_wall_ms() / 3600000) != hour);
	hour *= 3600;
	(void)strftime(expected, sizeof(expected),
		       "%Y-%m-%dT%H:", gmtime(&hour));
	(void)read_log();
	ck_assert_ptr_nonnull(strstr(text, expected));
}
END_TEST

START_TEST(lines_below_the_level_are_left_out)
{
	ck_assert_int_eq(log_open(target, LOG_LEVEL_WARN), R_OK);
	log_error("one");
	log_warn("two");
	log_info("three");
	log_debug("four");
	(void)read_log();
	ck_assert_ptr_nonnull(strstr(text, " error "));
	ck_assert_ptr_nonnull(strstr(text, " two\n"));
	ck_assert_ptr_null(strstr(text, "three"));
	ck_assert_ptr_null(strstr(text, "four"));
}
END_TEST

START_TEST(input_cannot_forge_a_line)
{
	ck_assert_int_eq(log_open(target, LOG_LEVEL_INFO), R_OK);
	log_info("GET %s", "/\r\n2025-01-01 error 1 forged\x1B[31m\x7F");
	(void)read_log();
	ck_assert_ptr_nonnull(
		strstr(text, "GET /??2025-01-01 error 1 forged?[31m?\n"));
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

/* At every length around the limit, with characters of two bytes. */
START_TEST(a_long_line_is_cut_between_characters)
{
	static char long_text[6000];
	struct bytes line, rest;
	unsigned cut = 0;

	for (size_t i = 0; i + 2 < sizeof(long_text); i += 2)
		memcpy(long_text + i, "\xC3\xA9", 2);
	ck_assert_int_eq(log_open(target, LOG_LEVEL_INFO), R_OK);
	for (int len = 4000; len < 4120; len += 2) {
		log_info("%.*s", len, long_text);
		log_info("x%.*s", len, long_text);
	}
	rest = read_log();
	while (rest.len > 0) {
		line = bytes_cut(&rest, '\n');
		ck_assert_uint_lt(line.len, 4096);
		ck_assert(bytes_is_utf8(line));
		cut += bytes_ends(line, BYTES("..."));
	}
	ck_assert_uint_gt(cut, 10);
	ck_assert_uint_lt(cut, 120);
}
END_TEST

START_TEST(lines_of_many_processes_do_not_mix)
{
	struct bytes rest, line;
	pid_t pids[4];
	unsigned count = 0;
	int status;

	ck_assert_int_eq(log_open(target, LOG_LEVEL_INFO), R_OK);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			for (int j = 0; j < 300; j++)
				log_info("<%0*d>", 50 + j, i);
			_exit(0);
		}
		ck_assert_int_gt(pids[i], 0);
	}
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	for (rest = read_log(); rest.len > 0; count++) {
		line = bytes_cut(&rest, '\n');
		ck_assert_int_eq(line.at[0], '2');
		ck_assert_int_eq(line.at[line.len - 1], '>');
	}
	ck_assert_uint_eq(count, 1200);
}
END_TEST

START_TEST(wrong_targets_are_refused)
{
	static const char *const bad[] = {
		"", "stdout", "file:", "file:relative", "/var/log/x", "STDERR",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(log_open(bad[i], LOG_LEVEL_INFO), R_INVALID);
	ck_assert_int_eq(log_open("file:/nonexistent/log", LOG_LEVEL_INFO),
			 R_NOT_FOUND);
	ck_assert_int_eq(log_open("stderr", LOG_LEVEL_ERROR), R_OK);
	ck_assert_int_eq(log_open("syslog", LOG_LEVEL_ERROR), R_OK);
}
END_TEST

/* open(2) would wait for one. */
START_TEST(fifo_without_a_reader_is_refused_at_once)
{
	char to[sizeof(folder) + 16];

	(void)snprintf(to, sizeof(to), "file:%s/fifo", folder);
	ck_assert_int_eq(mkfifo(to + strlen("file:"), 0600), 0);
	ck_assert_int_ne(log_open(to, LOG_LEVEL_INFO), R_OK);
	(void)unlink(to + strlen("file:"));
}
END_TEST

START_TEST(errno_survives_a_line)
{
	ck_assert_int_eq(log_open(target, LOG_LEVEL_INFO), R_OK);
	errno = ENOENT;
	log_info("cannot open");
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* stderr is a pipe nobody reads: writing goes on, and reading later tells how much
 * is gone. */
START_TEST(a_stalled_reader_costs_lines_but_no_thread)
{
	int ends[2], saved = dup(STDERR_FILENO);
	int64_t begin = clock_monotonic_ms();
	ssize_t n;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(log_open("stderr", LOG_LEVEL_INFO), R_OK);
	for (int i = 0; i < 3000; i++)
		log_info("%0*d", 1000, i);
	ck_assert_int_lt(clock_monotonic_ms() - begin, 5000);
	for (size_t got = 0; got < 30000; got += (size_t)n) {
		n = read(ends[0], text, 4096);
		ck_assert_int_gt(n, 0);
	}
	log_info("it reads again");
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(ends[1]);
	n = 0;
	for (ssize_t got = 1; got > 0; n += got)
		got = read(ends[0], text + n, 65536);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, " it reads again\n"));
	ck_assert_ptr_nonnull(strstr(text, "before the last could not be"));
	(void)close(ends[0]);
	(void)close(saved);
}
END_TEST

START_TEST(a_reader_that_is_gone_does_no_harm)
{
	int ends[2], saved = dup(STDERR_FILENO);

	(void)signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(ends[0]);
	(void)close(ends[1]);
	log_error("nobody hears this");
	log_error("nor this");
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
}
END_TEST

START_TEST(syslog_gets_what_its_daemon_expects)
{
	char pattern[200];
	int fd = begin_syslog();

	(void)snprintf(
		pattern, sizeof(pattern),
		"^<28>[A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} "
		"warmfront\\[%ld\\]: redis: 3 of 4\\?$",
		(long)getpid());
	ck_assert_int_eq(log_open_syslog(syslog_path(), LOG_LEVEL_WARN), R_OK);
	log_info("left out");
	log_warn("%s: %d of %d\n", "redis", 3, 4);
	ck_assert(read_syslog(fd));
	assert_matches(pattern, text);
	log_error("a worse one");
	ck_assert(read_syslog(fd));
	assert_matches("^<27>.*: a worse one$", text);
	ck_assert(!read_syslog(fd));
	(void)close(fd);
}
END_TEST

/* One that reads on tells how many lines are missing. */
START_TEST(stalled_syslog_costs_lines_but_no_thread)
{
	int64_t begin = clock_monotonic_ms();
	int fd = begin_syslog();
	unsigned n = 0, gone = 0;

	ck_assert_int_eq(log_open_syslog(syslog_path(), LOG_LEVEL_INFO), R_OK);
	for (int i = 0; i < 3000; i++)
		log_info("%d", i);
	ck_assert_int_lt(clock_monotonic_ms() - begin, 5000);
	while (read_syslog(fd))
		n++;
	log_info("it reads again");
	ck_assert(read_syslog(fd));
	assert_matches("it reads again$", text);
	ck_assert(read_syslog(fd));
	ck_assert_int_eq(sscanf(strstr(text, "log: "), "log: %u lines before",
				&gone),
			 1);
	ck_assert_uint_gt(gone, 0);
	ck_assert_uint_eq(n + gone, 3000);
	(void)close(fd);
}
END_TEST

START_TEST(syslog_that_comes_late_or_anew_is_found)
{
	int fd;

	ck_assert_int_eq(log_open_syslog(syslog_path(), LOG_LEVEL_INFO), R_OK);
	log_info("nobody hears this");
	for (int i = 0; i < 3; i++) {
		fd = begin_syslog();
		log_info("number %d", i);
		ck_assert(read_syslog(fd));
		ck_assert_ptr_nonnull(strstr(text, ": number "));
		ck_assert(read_syslog(fd) == (i == 0));
		if (i == 0)
			assert_matches("<28>.*log: 1 lines before", text);
		(void)close(fd);
	}
	(void)unlink(syslog_path());
	log_info("nor this");
	fd = begin_syslog();
	log_info("at last");
	ck_assert(read_syslog(fd));
	ck_assert_ptr_nonnull(strstr(text, ": at last"));
	(void)close(fd);
}
END_TEST

Suite *suite_log(void);

Suite *
suite_log(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 20);
	tcase_add_test(t, a_line_has_time_level_process_and_text);
	tcase_add_test(t, the_time_is_the_wall_clocks_in_utc);
	tcase_add_test(t, lines_below_the_level_are_left_out);
	tcase_add_test(t, input_cannot_forge_a_line);
	tcase_add_test(t, a_long_line_is_cut_between_characters);
	tcase_add_test(t, lines_of_many_processes_do_not_mix);
	tcase_add_test(t, wrong_targets_are_refused);
	tcase_add_test(t, fifo_without_a_reader_is_refused_at_once);
	tcase_add_test(t, errno_survives_a_line);
	tcase_add_test(t, a_stalled_reader_costs_lines_but_no_thread);
	tcase_add_test(t, a_reader_that_is_gone_does_no_harm);
	tcase_add_test(t, syslog_gets_what_its_daemon_expects);
	tcase_add_test(t, stalled_syslog_costs_lines_but_no_thread);
	tcase_add_test(t, syslog_that_comes_late_or_anew_is_found);
	suite_add_tcase(s, t);
	return (s);
}
