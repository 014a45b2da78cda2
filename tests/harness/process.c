/* SPDX-License-Identifier: MIT */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHARGES_MAX 1024

struct process {
	pid_t pid, owner; /* `owner` started it, and alone can wait for it */
	int end_signal;
	bool ended;
	int status; /* once ended */
	const char *name, *output;
};

/* To the guardian: take charge of a process, or (end_signal 0) no longer. */
struct charge {
	pid_t pid;
	int end_signal;
};

static int guardian = -1;
static pid_t guarded; /* the process that `guardian` is for */
static pid_t guardian_pid;

bool
process_is_alive(pid_t pid)
{
	char path[64], line[512], *state;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f == NULL)
		return (false);
	n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = '\0';
	state = strrchr(line, ')');
	return (state != NULL && state[1] == ' ' && state[2] != 'Z' &&
		state[2] != 'X');
}

/* End all charges: kindly, for 3 s, then not. */
static void
end_charges(const struct charge *charges, unsigned n)
{
	double until = harness_now_ms() + 3000;
	bool left = n > 0;

	for (unsigned i = 0; i < n; i++) {
		kill(charges[i].pid, charges[i].end_signal);
		kill(charges[i].pid, SIGCONT);
	}
	while (left && harness_now_ms() < until) {
		left = false;
		for (unsigned i = 0; i < n; i++)
			left = left || process_is_alive(charges[i].pid);
		harness_nap();
	}
	for (unsigned i = 0; i < n; i++)
		if (process_is_alive(charges[i].pid))
			kill(charges[i].pid, SIGKILL);
}

/* The guardian's life: read charges until every writer is gone. */
static void __attribute__((noreturn)) guard(int fd)
{
	static struct charge charges[CHARGES_MAX];
	struct charge c;
	unsigned n = 0;

	setsid(); /* check ends a test by ending its process group */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	dup2(fd, 0);
	close_range(1, ~0u, 0);
	while (read(0, &c, sizeof(c)) == (ssize_t)sizeof(c)) {
		unsigned i = 0;

		while (i < n && charges[i].pid != c.pid)
			i++;
		if (c.end_signal == 0 && i < n)
			charges[i] = charges[--n];
		else if (c.end_signal != 0 && i < CHARGES_MAX)
			charges[i == n ? n++ : i] = c;
	}
	end_charges(charges, n);
	_exit(0);
}

static void
tell_guardian(pid_t pid, int end_signal)
{
	struct charge c = { pid, end_signal };
	int ends[2];
	pid_t child;

	if (guarded != getpid()) {
		if (guardian >= 0)
			close(guardian); /* of the process we come from */
		if (pipe2(ends, O_CLOEXEC) != 0)
			ck_abort_msg("pipe: %s", strerror(errno));
		/* Orphans of daemons become ours, to be waited for. */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		fflush(NULL);
		child = fork();
		if (child < 0)
			ck_abort_msg("fork: %s", strerror(errno));
		if (child == 0)
			guard(ends[0]);
		close(ends[0]);
		guardian = ends[1];
		guarded = getpid();
		guardian_pid = child;
	}
	if (pid > 0 && write(guardian, &c, sizeof(c)) != (ssize_t)sizeof(c))
		ck_abort_msg("guardian: %s", strerror(errno));
}

void
process_end_all(void)
{
	if (guarded != getpid())
		return;
	close(guardian);
	waitpid(guardian_pid, NULL, 0);
	guardian = -1;
	guarded = 0;
}

/* In the child: stop being root. */
static void
become(const char *user)
{
	struct passwd *pw;

	if (user == NULL || geteuid() != 0)
		return;
	pw = getpwnam(user);
	if (pw == NULL)
		pw = getpwnam("nobody");
	if (pw == NULL || initgroups(pw->pw_name, pw->pw_gid) != 0 ||
	    setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
		fprintf(stderr, "%s: %s\n", user, strerror(errno));
		_exit(126);
	}
}

static void
set_environment(const char *const *env)
{
	for (; env != NULL && *env != NULL; env++) {
		const char *equals = strchr(*env, '=');
		char *name = strndup(*env, equals != NULL
						   ? (size_t)(equals - *env)
						   : strlen(*env));

		if (equals != NULL)
			setenv(name, equals + 1, 1);
		else
			unsetenv(name);
		free(name);
	}
}

static void __attribute__((noreturn))
run_child(const struct process_options *o, const char *output, int end_signal,
	  pid_t parent)
{
	const int flags = O_WRONLY | O_CREAT | O_APPEND;
	sigset_t none;
	int in, out, err;

	/* Not check's: whoever asks whether the program has a handler for one
	 * means the program. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	in = o->input_fd != NULL ? *o->input_fd : open("/dev/null", O_RDONLY);
	out = open(output, flags, 0644);
	err = o->errors != NULL ? open(o->errors, flags, 0644) : out;
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	close_range(3, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0); /* a signal to the test's group is not for it */
	if (o->directory != NULL && chdir(o->directory) != 0) {
		perror(o->directory);
		_exit(126);
	}
	set_environment(o->env);
	become(o->user);
	/* After the change of user, which would clear it. */
	prctl(PR_SET_PDEATHSIG, end_signal);
	if (getppid() != parent)
		_exit(126);
	execvp(o->argv[0], (char *const *)(uintptr_t)o->argv);
	fprintf(stderr, "%s: %s\n", o->argv[0], strerror(errno));
	_exit(127);
}

struct process *
process_start(const struct process_options *o)
{
	struct process *p = scratch_alloc(sizeof(*p));
	pid_t parent = getpid();
	const char *name = o->name;
	int ready[2]; /* the child closes it with all others, its signals set */
	char none;

	if (name == NULL) {
		name = strrchr(o->argv[0], '/');
		name = name != NULL ? name + 1 : o->argv[0];
	}
	tell_guardian(0, 0);
	p->name = name;
	p->owner = parent;
	p->end_signal = o->end_signal != 0 ? o->end_signal : SIGTERM;
	p->output = o->output;
	if (p->output == NULL)
		p->output = scratch_printf("%s/%s.log", scratch_directory(name),
					   name);
	fflush(NULL);
	if (pipe2(ready, O_CLOEXEC) != 0 || (p->pid = fork()) < 0)
		ck_abort_msg("fork: %s", strerror(errno));
	if (p->pid == 0)
		run_child(o, p->output, p->end_signal, parent);
	close(ready[1]);
	(void)!read(ready[0], &none, 1);
	close(ready[0]);
	tell_guardian(p->pid, p->end_signal);
	return (p);
}

struct process *
process_adopt(pid_t pid, const char *output)
{
	struct process *p = scratch_alloc(sizeof(*p));

	p->pid = pid;
	p->owner = getpid();
	p->end_signal = SIGTERM;
	p->name = "adopted";
	p->output = output;
	tell_guardian(pid, SIGTERM);
	return (p);
}

pid_t
process_pid(const struct process *p)
{
	return (p->pid);
}

const char *
process_output(const struct process *p)
{
	return (p->output);
}

bool
process_is_running(struct process *p)
{
	pid_t got;
	int status;

	if (p->ended)
		return (false);
	if (p->owner != getpid())
		return (process_is_alive(p->pid));
	got = waitpid(p->pid, &status, WNOHANG);
	if (got == 0)
		return (true);
	if (got < 0) /* adopted, and not ours to wait for */
		return (process_is_alive(p->pid));
	p->ended = true;
	p->status = WIFEXITED(status) ? WEXITSTATUS(status)
				      : 128 + WTERMSIG(status);
	tell_guardian(p->pid, 0);
	return (false);
}

bool
process_catches(const struct process *p, int signal)
{
	char path[64], line[256];
	unsigned long long caught = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)p->pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "SigCgt:", 7) == 0)
			caught = strtoull(line + 7, NULL, 16);
	if (f != NULL)
		fclose(f);
	return ((caught >> (signal - 1) & 1) != 0);
}

int
process_wait(struct process *p, int timeout_ms)
{
	double until = harness_now_ms() + timeout_ms;
	unsigned spins = 0;

	while (process_is_running(p)) {
		if (harness_now_ms() > until)
			return (-1);
		if (spins++ < 20) /* short runs deserve a short wait */
			usleep(500);
		else
			harness_nap();
	}
	return (p->ended ? p->status : -1);
}

void
process_signal(struct process *p, int signal)
{
	if (!p->ended && kill(p->pid, signal) != 0 && errno != ESRCH)
		ck_abort_msg("kill %s: %s", p->name, strerror(errno));
}

int
process_stop(struct process *p)
{
	if (p == NULL)
		return (-1);
	if (process_is_running(p)) {
		process_signal(p, p->end_signal);
		process_signal(p, SIGCONT);
	}
	if (process_wait(p, 10000) == -1 && process_is_running(p))
		process_kill(p);
	return (p->ended ? p->status : -1);
}

void
process_kill(struct process *p)
{
	if (p == NULL)
		return;
	process_signal(p, SIGKILL);
	process_wait(p, 10000);
}

unsigned
process_children(pid_t pid, pid_t *children, unsigned max)
{
	char path[64];
	unsigned n = 0;
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
		char file[400];
		int child;
		FILE *f;

		snprintf(file, sizeof(file), "%s/%s/children", path,
			 entry->d_name);
		f = fopen(file, "r");
		while (f != NULL && n < max && fscanf(f, "%d", &child) == 1)
			children[n++] = child;
		if (f != NULL)
			fclose(f);
	}
	if (tasks != NULL)
		closedir(tasks);
	return (n);
}

struct process_result
process_run(const struct process_options *options)
{
	struct process_options o = *options;
	const char *place = scratch_directory("run");
	struct process_result r;
	struct process *p;

	o.output = scratch_printf("%s/out", place);
	o.errors = scratch_printf("%s/err", place);
	p = process_start(&o);
	r.status = process_wait(p, 60000);
	r.out = scratch_read(o.output);
	r.err = scratch_read(o.errors);
	if (r.status == -1) {
		process_kill(p);
		ck_abort_msg("%s takes over a minute: %s", o.argv[0], r.err);
	}
	return (r);
}
