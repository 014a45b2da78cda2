/* SPDX-License-Identifier: MIT */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * process: programs that tests start.  They end with the process that started
 * them, however that one ends: the kernel signals them, and a guardian process
 * sees to those that the kernel does not know of (daemons, their children).
 */
struct process;

struct process_options {
	const char *const *argv; /* argv[0] is looked up in PATH */
	const char *const
		*env;	  /* "NAME=value", or "NAME" to unset; may be NULL */
	const char *name; /* of its log; NULL: argv[0]'s last part */
	const char *user; /* to run as, when we are root; NULL: ours */
	const char *directory; /* to run in; NULL: ours */
	const char *output;    /* appended to; NULL: a new file */
	const char *errors;    /* NULL: the same as `output` */
	int end_signal;	       /* what ends it well; 0: SIGTERM */
	const int *input_fd;   /* becomes descriptor 0; NULL: /dev/null */
};

struct process *process_start(const struct process_options *options);
pid_t process_pid(const struct process *p);
const char *process_output(const struct process *p); /* the file's path */

/* Still there, and not a zombie. */
bool process_is_running(struct process *p);

/* It has a handler for the signal by now. */
bool process_catches(const struct process *p, int signal);

/* Wait until it has ended; its exit status, or 128 + the signal that ended it;
 * -1 when it has not after `timeout_ms`, or is not ours to know of. */
int process_wait(struct process *p, int timeout_ms);

void process_signal(struct process *p, int signal);

/* End it: with its signal, then after 10 s with SIGKILL; returns like process_wait(). */
int process_stop(struct process *p);
void process_kill(struct process *p); /* SIGKILL, and wait */

/* Take charge of one that something else started. */
struct process *process_adopt(pid_t pid, const char *output);

/* End whatever this process started and has not ended. */
void process_end_all(void);

/* The children of a process, as far as they fit. */
unsigned process_children(pid_t pid, pid_t *children, unsigned max);

/* Run a program to its end; fails the test when it takes longer than a minute. */
struct process_result {
	int status;
	char *out, *err;
};
struct process_result process_run(const struct process_options *options);

/* Is any process of that id there, and more than a zombie? */
bool process_is_alive(pid_t pid);

#endif
