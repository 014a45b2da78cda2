/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <stddef.h>

const struct event events[] = {
#define EVENT(name, ...) { name, { __VA_ARGS__ } },
#include "events.def"
#undef EVENT
};
const unsigned events_count = sizeof(events) / sizeof(events[0]);

const struct event *
event_find(struct bytes name)
{
	unsigned i;

	for (i = 0; i < events_count; i++)
		if (bytes_equal(name, bytes_of(events[i].name)))
			return (&events[i]);
	return (NULL);
}

void
event_add_scope(const char *scope, struct bytes user, struct buf *to)
{
	struct bytes rest = bytes_of(scope);

	buf_add(to, bytes_cut(&rest, '{'));
	if (rest.len == 0)
		return;
	if (user.len == 0) {
		buf_char(to, '*');
		return;
	}
	(void)bytes_cut(&rest, '}');
	buf_char(to, '@');
	buf_add(to, user);
	buf_add(to, rest);
}
