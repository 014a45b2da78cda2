/* SPDX-License-Identifier: MIT */
#include "scope_table.h"

#include "../base/alloc.h"
#include "../base/map.h"
#include "scope.h"

#include <stdlib.h>
#include <string.h>

struct scope_table {
	struct map *scopes;
	size_t most;
	int64_t newest; /* of all positions so far */
	int64_t floor;
};

struct scope_item {
	int64_t hard, soft; /* the newest of each kind */
	struct bytes scope;
	char room[];
};

struct scope_table *
scope_table_new(size_t most)
{
	struct scope_table *t = mem_alloc(sizeof(*t));

	if (t == NULL || (t->scopes = map_new()) == NULL) {
		free(t);
		return (NULL);
	}
	t->most = most;
	return (t);
}

static void
forget_all(struct scope_table *t)
{
	struct scope_item *item;
	size_t cursor = 0;

	while ((item = map_next(t->scopes, &cursor)) != NULL) {
		map_remove(t->scopes, item->scope);
		free(item);
	}
}

void
scope_table_free(struct scope_table *t)
{
	if (t == NULL)
		return;
	forget_all(t);
	map_free(t->scopes);
	free(t);
}

static void
raise(struct scope_item *item, int64_t position, enum scope_effect effect)
{
	int64_t *newest = effect == SCOPE_SOFT ? &item->soft : &item->hard;

	if (*newest < position)
		*newest = position;
}

void
scope_table_add(struct scope_table *t, struct bytes scope, int64_t position,
		enum scope_effect effect)
{
	struct scope_item *item = map_get(t->scopes, scope);

	if (t->newest < position)
		t->newest = position;
	if (item != NULL) {
		raise(item, position, effect);
		return;
	}
	if (map_count(t->scopes) < t->most &&
	    (item = mem_alloc(sizeof(*item) + scope.len)) != NULL) {
		memcpy(item->room, scope.at, scope.len);
		item->scope = (struct bytes){ item->room, scope.len };
		raise(item, position, effect);
		if (map_put(t->scopes, item->scope, item) == R_OK)
			return;
		free(item);
	}
	forget_all(t);
	t->floor = t->newest;
}

enum scope_effect
scope_table_judge(struct scope_table *t, struct bytes key, int64_t fence)
{
	enum scope_effect effect = fence < t->floor ? SCOPE_HARD : SCOPE_NONE;
	struct buf list = { 0 };
	const struct scope_item *item;
	struct bytes rest;

	/* A key we cannot take apart is not kept either. */
	if (effect == SCOPE_NONE &&
	    (scope_list(key, &list) == 0 || list.error != R_OK))
		effect = SCOPE_HARD;
	for (rest = buf_bytes(&list); effect != SCOPE_HARD && rest.len > 0;) {
		item = map_get(t->scopes, bytes_cut(&rest, '\0'));
		if (item != NULL && item->hard > fence)
			effect = SCOPE_HARD;
		else if (item != NULL && item->soft > fence)
			effect = SCOPE_SOFT;
	}
	buf_fini(&list);
	return (effect);
}
