/* SPDX-License-Identifier: MIT */
#include "tree.h"
#include "scratch.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* All trees, so that they stay reachable. */
struct kept {
	struct kept *next;
	json_t *tree;
};
static struct kept *trees;

json_t *
tree_parse(const char *text, size_t len)
{
	struct kept *k = scratch_alloc(sizeof(*k));
	json_error_t error;

	k->tree = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (k->tree == NULL)
		ck_abort_msg("not JSON at byte %d of %zu: %s: %.200s",
			     error.position, len, error.text, text);
	k->next = trees;
	trees = k;
	return (k->tree);
}

json_t *
tree_at(json_t *tree, const char *path)
{
	while (tree != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		char *name = scratch_copy(path, len);

		tree = json_is_array(tree)
			       ? json_array_get(tree, (size_t)atol(name))
			       : json_object_get(tree, name);
		path += len + (path[len] == '.');
	}
	return (tree);
}

const char *
tree_string(json_t *tree, const char *path)
{
	const char *text = json_string_value(tree_at(tree, path));

	return (text != NULL ? text : "");
}

long long
tree_int(json_t *tree, const char *path)
{
	json_t *number = tree_at(tree, path);

	return (json_is_integer(number) ? json_integer_value(number) : -1);
}

size_t
tree_count(json_t *tree, const char *path)
{
	json_t *at = tree_at(tree, path);

	return (json_is_object(at) ? json_object_size(at)
				   : json_array_size(at));
}

json_t *
tree_find(json_t *array, const char *name, const char *value)
{
	json_t *item;
	size_t i;

	json_array_foreach(array, i,
			   item) if (strcmp(tree_string(item, name), value) ==
				     0) return (item);
	return (NULL);
}
