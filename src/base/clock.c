/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <limits.h>
#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t offset_ms;
static atomic_bool may_jump;

static int64_t
read_us(clockid_t id)
{
	struct timespec now;
	int64_t offset = atomic_load_explicit(&offset_ms, memory_order_relaxed);

	(void)clock_gettime(id, &now); /* cannot fail for these clocks */
	return ((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 +
		offset * 1000);
}

int64_t
clock_monotonic_us(void)
{
	return (read_us(CLOCK_MONOTONIC));
}

int64_t
clock_monotonic_ms(void)
{
	return (read_us(CLOCK_MONOTONIC) / 1000);
}

int64_t
clock_wall_ms(void)
{
	return (read_us(CLOCK_REALTIME) / 1000);
}

int
clock_left_ms(int64_t deadline_ms)
{
	int64_t now = clock_monotonic_ms();

	if (deadline_ms <= now)
		return (0);
	if (deadline_ms - now > INT_MAX)
		return (INT_MAX);
	return ((int)(deadline_ms - now));
}

void
clock_advance_ms(int64_t ms)
{
	atomic_store(&may_jump, true);
	atomic_fetch_add(&offset_ms, ms);
}

bool
clock_may_jump(void)
{
	return (atomic_load_explicit(&may_jump, memory_order_relaxed));
}
