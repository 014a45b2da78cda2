/* SPDX-License-Identifier: MIT */
#include "query.h"

struct cache_query
cache_part_query(const struct cache_part *part, enum cache_demand demand,
		 int64_t deadline_ms)
{
	return ((struct cache_query){
		.key = buf_bytes(&part->key),
		.log_key = buf_bytes(&part->log_key),
		.arguments = buf_bytes(&part->arguments),
		.policy = part->policy,
		.source = part->source,
		.demand = demand,
		.deadline_ms = deadline_ms,
	});
}

void
cache_part_fini(struct cache_part *part)
{
	entry_unref(part->answer.entry);
	part->answer.entry = NULL;
	buf_fini(&part->key);
	buf_fini(&part->log_key);
	buf_fini(&part->arguments);
}
