/* SPDX-License-Identifier: MIT */
/*
 * upstream: an HTTP server that plays the origin of a models catalogue.
 *
 * Every path answers a catalogue, as slowly and as badly as it is told to:
 *
 *	POST /control?path=/groq&delay_ms=100&status=500&mode=hang&times=3
 *	POST /control/reset
 *	GET  /control/stats
 *
 * One thread for each connection, so a request that hangs holds up no other.
 */
#include "origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EX_USAGE 64

static const char usage[] =
	"usage: upstream [options]\n"
	"\n"
	"  --listen ADDRESS    host:port or unix:/path (127.0.0.1:0); port 0: a free one\n"
	"  --port-file FILE    write the port there once connections are accepted\n"
	"  --delay-ms N[-M]    answer after so many milliseconds (0)\n"
	"  --file FILE         answer this file, byte for byte\n"
	"  --models N          answer N made-up models (324)\n"
	"  --log FILE          append a line for each request as it arrives:\n"
	"                      time method path status if-none-match\n"
	"  --tls-cert FILE --tls-key FILE    speak TLS\n"
	"  --help\n"
	"\n"
	"At run time, for the paths under a prefix:\n"
	"  POST /control?path=/groq[&delay_ms=N[-M]][&status=N][&mode=MODE][&times=N]\n"
	"       modes: normal refuse-reset truncate chunk-cut endless trickle not-json\n"
	"       broken-json huge:BYTES redirect:URL hang version:N retry-after:SECONDS\n"
	"  POST /control/reset\n"
	"  GET  /control/stats\n";

static struct {
	const char *listen, *port_file, *file, *log, *tls_cert, *tls_key;
} options = { .listen = "127.0.0.1:0" };

static struct origin_options origin = { .models = 324, .log_fd = -1 };

static void __attribute__((noreturn)) die(const char *what, const char *which)
{
	fprintf(stderr, "upstream: %s: %s\n", which, what);
	exit(errno == 0 ? EX_USAGE : 1);
}

static char *
read_file(const char *path, size_t *len, time_t *modified)
{
	FILE *f = fopen(path, "rb");
	struct stat s;
	char *text;

	if (f == NULL || fstat(fileno(f), &s) != 0)
		die(strerror(errno), path);
	text = malloc((size_t)s.st_size + 1);
	if (text == NULL)
		die(strerror(errno), path);
	*len = fread(text, 1, (size_t)s.st_size, f);
	text[*len] = '\0';
	if (modified != NULL)
		*modified = s.st_mtime;
	fclose(f);
	return (text);
}

static int
listen_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		die(strerror(errno), path);
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(fd, 1024) != 0)
		die(strerror(errno), path);
	return (fd);
}

static int
listen_tcp(const char *address, unsigned *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	char host[64], rest;
	const int on = 1;
	int fd;

	if (sscanf(address, "%63[0-9.]:%u%c", host, port, &rest) != 2 ||
	    *port > 65535 || inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		errno = 0;
		die("not host:port (numbers) or unix:/path", address);
	}
	a.sin_port = htons((uint16_t)*port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(fd, 1024) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		die(strerror(errno), address);
	*port = ntohs(a.sin_port);
	return (fd);
}

/* In one step, so that a reader never sees half a number. */
static void
write_port(const char *path, unsigned port)
{
	char temporary[4096];
	FILE *f;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	f = fopen(temporary, "w");
	if (f == NULL || fprintf(f, "%u\n", port) < 0 || fclose(f) != 0 ||
	    rename(temporary, path) != 0)
		die(strerror(errno), path);
}

static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "port-file", required_argument, NULL, 'p' },
		{ "delay-ms", required_argument, NULL, 'd' },
		{ "file", required_argument, NULL, 'f' },
		{ "models", required_argument, NULL, 'm' },
		{ "log", required_argument, NULL, 'o' },
		{ "tls-cert", required_argument, NULL, 'c' },
		{ "tls-key", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char rest;
	int o;

	errno = 0;
	while ((o = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (o) {
		case 'l':
			options.listen = optarg;
			break;
		case 'p':
			options.port_file = optarg;
			break;
		case 'f':
			options.file = optarg;
			break;
		case 'o':
			options.log = optarg;
			break;
		case 'c':
			options.tls_cert = optarg;
			break;
		case 'k':
			options.tls_key = optarg;
			break;
		case 'd':
			if (!plan_parse_delay(optarg, &origin.delay))
				die("not N or N-M", "--delay-ms");
			break;
		case 'm':
			if (sscanf(optarg, "%u%c", &origin.models, &rest) != 1)
				die("not a number", "--models");
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(EX_USAGE);
		}
	}
	if (optind < argc)
		die("unexpected argument", argv[optind]);
	if ((options.tls_cert == NULL) != (options.tls_key == NULL))
		die("needs the other one too", "--tls-cert, --tls-key");
}

int
main(int argc, char **argv)
{
	unsigned port = 0;
	time_t modified;
	sigset_t ends;
	size_t len;
	char *body;
	int fd, which;

	read_options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	if (options.file != NULL) {
		body = read_file(options.file, &len, &modified);
		origin.catalogue = catalogue_of(body, len, modified);
		if (origin.catalogue == NULL)
			die("no memory", options.file);
	}
	if (options.log != NULL) {
		origin.log_fd = open(options.log,
				     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
				     0644);
		if (origin.log_fd < 0)
			die(strerror(errno), options.log);
	}
	if (options.tls_cert != NULL) {
		origin.tls_cert = read_file(options.tls_cert, &len, NULL);
		origin.tls_key = read_file(options.tls_key, &len, NULL);
	}
	if (strncmp(options.listen, "unix:", 5) == 0)
		fd = listen_unix(options.listen + 5);
	else
		fd = listen_tcp(options.listen, &port);
	if (!origin_start(fd, &origin))
		die("the server does not start", options.listen);
	if (options.port_file != NULL)
		write_port(options.port_file, port);
	sigwait(&ends, &which);
	_exit(0); /* requests that hang have threads that would be waited for */
}
