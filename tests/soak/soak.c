/* SPDX-License-Identifier: MIT */
/*
 * soak: does a deployment stay as it is, whatever is asked of it and whatever befalls
 * it?  See usage(), and RESULTS.md for what is asserted.
 *
 * Four workers behind nginx; 200 clients that ask for everything.  First all is calm,
 * and each client asks as fast as it is answered: no error, flat memory, metrics that
 * are exact.  Then storm.c breaks things.  Then all must be as it was.
 */
#include "../harness/harness.h"
#include "../harness/random.h"
#include "crowd.h"
#include "deployment.h"
#include "footprint.h"
#include "judge.h"
#include "storm.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* At most, and at most a share of all. */
#define WARM_UP_S 20
#define CALM_S 60
#define AFTER_S 10
/* From the end of one trouble to the next, at most; and a tenth of the storm. */
#define GAP_S 12

static struct {
	unsigned seconds, per_second;
	uint64_t seed;
} options = { .per_second = 200 };

/* With sanitizers two hundred at once would wait for the processor alone. */
#ifdef SANITIZED
#define FULL_SPEED options.per_second
#else
#define FULL_SPEED 0
#endif

/* A run. */

static double
smaller(double a, double b)
{
	return (a < b ? a : b);
}

/* Let the crowd ask for `seconds`, and hold the metrics against what it saw. */
static void
ask_in_calm(struct storm *s, enum phase phase, double seconds)
{
	struct tally_sums seen[2], counted[2];
	long refused;

	storm_catch_up(s);
	seen[0] = s->seen;
	counted[0] = s->counted;
	s->phase = phase;
	crowd_let(phase, phase == PHASE_CALM ? FULL_SPEED : options.per_second);
	storm_watch(s, seconds * 1e3);
	crowd_hold();
	storm_catch_up(s);
	seen[1] = s->seen;
	counted[1] = s->counted;
	tally_answers(phase, &refused);
	if (refused > 0)
		judge_complain("%s: %ld errors", tally_phases[phase], refused);
	printf("%s: metrics against what was seen:\n", tally_phases[phase]);
	if (!tally_agrees(seen, counted, 0))
		judge_complain("%s: the metrics do not add up",
			       tally_phases[phase]);
}

static void
ask_in_storm(struct storm *s, double seconds)
{
	double until = harness_now_ms() + seconds * 1e3, gap_ms;
	unsigned most_ms = 1 + (unsigned)(1e3 * smaller(GAP_S, seconds / 10));
	struct tally_sums seen[2], counted[2];

	seen[0] = s->seen;
	counted[0] = s->counted;
	s->phase = PHASE_STORM;
	crowd_let(PHASE_STORM, options.per_second);
	while (harness_now_ms() < until) {
		gap_ms = random_below(&s->random, most_ms);
		if (harness_now_ms() + gap_ms > until)
			gap_ms = until - harness_now_ms();
		storm_watch(s, gap_ms);
		if (harness_now_ms() < until)
			storm_blow(s);
	}
	storm_heal(s);
	crowd_hold();
	storm_catch_up(s);
	seen[1] = s->seen;
	counted[1] = s->counted;
	printf("storm: metrics against what was seen:\n");
	if (!tally_agrees(seen, counted, s->lost))
		judge_complain("storm: the metrics do not add up");
}

static long
largest_kib(const struct footprint *f)
{
	long largest = 0;

	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++)
		if (f->rss_kib[i] > largest)
			largest = f->rss_kib[i];
	return (largest);
}

/* Each of the first `same` was there before, and is held against itself; those that
 * have taken others' places, against the largest that there was. */
static void
check_memory(const char *when, const struct footprint *before,
	     const struct footprint *after, unsigned same)
{
	for (unsigned i = 0; i < DEPLOYMENT_WORKERS; i++) {
		long was = i < same ? before->rss_kib[i] : largest_kib(before);

		if (!footprint_is_flat(was, after->rss_kib[i]))
			judge_complain("%s: worker %u has grown from %ld to "
				       "%ld KiB",
				       when, i, was, after->rss_kib[i]);
	}
}

static void
check_connections(const struct footprint *before, const struct footprint *after)
{
	unsigned most = 0, i;

	for (i = 0; i < DEPLOYMENT_WORKERS; i++)
		if (before->descriptors[i] > most)
			most = before->descriptors[i];
	for (i = 0; i < DEPLOYMENT_WORKERS; i++)
		if (after->descriptors[i] > most + FOOTPRINT_IDLE)
			judge_complain("worker %u has %u descriptors, not %u",
				       i, after->descriptors[i], most);
	/* Those of the pools stay once they were needed; and each worker listens. */
	if (after->postgres > DEPLOYMENT_WORKERS * (DEPLOYMENT_POOL + 1))
		judge_complain("%u connections to PostgreSQL", after->postgres);
	if (after->redis != before->redis)
		judge_complain("%u connections to Redis, not %u", after->redis,
			       before->redis);
}

/* All is as it was. */
static void
check_end(const struct footprint *before)
{
	struct footprint after;

	footprint_rest("in the end", &after);
	check_memory("in the end", before, &after, 1);
	check_connections(before, &after);
	wait_until(footprint_leases() == 0, 5000);
	printf("no lease is held; %.2f MB of entries are stored\n",
	       (double)footprint_stored_bytes() / 1e6);
}

/* The clean-up that cron asks for leaves no more than there may be. */
static void
check_stored(void)
{
	deployment_clean_up();
	if (footprint_stored_bytes() > DEPLOYMENT_STORED_BYTES)
		judge_complain("%lld bytes of entries are stored, not %d",
			       footprint_stored_bytes(),
			       DEPLOYMENT_STORED_BYTES);
}

static double
wall_s(void)
{
	return ((double)time(NULL));
}

static void
run(struct storm *s)
{
	double all = options.seconds;
	double warm_up = smaller(WARM_UP_S, all / 6);
	double calm = smaller(CALM_S, all / 5);
	double after = smaller(AFTER_S, all / 10);
	struct footprint before, warm;

	ask_in_calm(s, PHASE_WARM_UP, warm_up / 2);
	crowd_let(PHASE_WARM_UP, FULL_SPEED);
	storm_watch(s, warm_up / 2 * 1e3);
	crowd_hold();
	footprint_rest("warm", &warm);
	ask_in_calm(s, PHASE_CALM, calm);
	footprint_rest("calm", &before);
	check_memory("calm", &warm, &before, DEPLOYMENT_WORKERS);
	ask_in_storm(s, all - warm_up - calm - after);
	ask_in_calm(s, PHASE_AFTER, after);
	check_stored();
	check_end(&before);
}

START_TEST(all_is_as_it_was_after_whatever_befell)
{
	const char *url = deployment_start();
	struct storm storm = { .random = options.seed + 3000 };
	double began = wall_s();
	const char *what;
	double slowest;
	unsigned wrong;

	storm.scraper = client_new(url);
	crowd_start(url, options.seed);
	run(&storm);
	crowd_end();
	client_free(storm.scraper);
	deployment_stop();
	printf("\nseed %llu, %.0f s, at %u requests a second in the storm\n",
	       (unsigned long long)options.seed, wall_s() - began,
	       options.per_second);
	tally_report();
	slowest = judge_slowest(&what);
	printf("slowest: %.0f ms (%s)\n", slowest, what);
	storm_report(&storm);
	wrong = judge_complaints();
	fflush(stdout);
	ck_assert_msg(wrong == 0, "%u times wrong (seed %llu)", wrong,
		      (unsigned long long)options.seed);
}
END_TEST

static void
usage(FILE *to)
{
	fprintf(to,
		"usage: tests/soak/run SECONDS [OPTION]...\n\n"
		"  --seed N   what is asked and what breaks (random)\n"
		"  --rate N   requests a second, but while all is calm (%u)\n"
		"  --help\n",
		options.per_second);
}

static bool
parse_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	options.seed = (uint64_t)time(NULL) % 1000000;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		if (c == 'h') {
			usage(stdout);
			exit(0);
		}
		if (c == 's')
			options.seed = n;
		else if (c == 'r' && n > 0)
			options.per_second = n;
		else
			return (false);
	}
	if (optind + 1 != argc)
		return (false);
	options.seconds = (unsigned)strtoul(argv[optind], NULL, 10);
	return (options.seconds >= 20);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("soak");
	TCase *test = tcase_create("soak");
	SRunner *runner;
	int failed;

	if (!parse_options(argc, argv)) {
		usage(stderr);
		return (64);
	}
	printf("seed %llu\n", (unsigned long long)options.seed);
	fflush(stdout);
	harness_begin();
	tcase_set_timeout(test, 0);
	tcase_add_checked_fixture(test, stack_start, stack_stop);
	tcase_add_checked_fixture(test, stack_begin, stack_end);
	tcase_add_test(test, all_is_as_it_was_after_whatever_befell);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	/* A forked test may not last longer than fits into an int of
	 * microseconds. */
	if (options.seconds > INT_MAX / 1000000 - 200)
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	harness_end(failed);
	return (failed == 0 ? 0 : 1);
}
