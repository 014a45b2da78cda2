/* SPDX-License-Identifier: MIT */
#ifndef LOG_H
#define LOG_H

#include "result.h"

/*
 * log: one line per event: time, level, process id, text.  A line is written with
 * one write(2), or sent to syslog's daemon as syslog(3) would if that did not wait
 * for it, so lines of many processes do not mix.  Any thread.  Control bytes
 * in the text are replaced, so input cannot forge a line.  A long line is cut, and a
 * reader that stands still costs lines (their number is logged), not our threads.
 */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/* `target`: "stderr", "syslog" or "file:/path".  Before the first call,
 * lines of level info and above go to stderr, as they do after log_close().
 * Both are called while no other thread logs. */
MUST_USE enum result log_open(const char *target, enum log_level level);

/* "syslog", with the daemon's socket at another path than /dev/log.  It need not
 * be there, or not yet. */
MUST_USE enum result log_open_syslog(const char *path, enum log_level level);
void log_close(void);

void log_write(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
