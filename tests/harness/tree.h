/* SPDX-License-Identifier: MIT */
#ifndef TREE_H
#define TREE_H

#include <jansson.h>

/*
 * tree: JSON answers, looked into by paths: "data.0.pricing.prompt".  What the
 * functions return lives until the test ends.
 */

/* Fails the test when the text is not JSON. */
json_t *tree_parse(const char *text, size_t len);

/* NULL when there is nothing. */
json_t *tree_at(json_t *tree, const char *path);

/* "" and -1 and 0 when there is no such thing there. */
const char *tree_string(json_t *tree, const char *path);
long long tree_int(json_t *tree, const char *path);
size_t tree_count(json_t *tree, const char *path);

/* The element of an array of objects whose `name` has this value; or NULL. */
json_t *tree_find(json_t *array, const char *name, const char *value);

#endif
