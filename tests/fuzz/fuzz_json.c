/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "base/json.h"

/* From here on these four names are jansson's; ours are not needed. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#include <string.h>

/*
 * json against jansson: the same texts are valid, and have the same members and
 * elements.
 */
#define FLAGS (JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL)

/* jansson has no place for numbers that no double holds, nor for a NUL in a name; we
 * keep them as they are. */
static bool
is_beyond_jansson(const json_error_t *error)
{
	return (strstr(error->text, "overflow") != NULL ||
		strstr(error->text, "NUL byte in object key") != NULL);
}

/* Deeper than we allow?  jansson allows some thousands. */
static size_t
depth_of(json_t *value)
{
	size_t deepest = 0, depth, i;
	const char *name;
	json_t *child;

	json_array_foreach(value, i, child) if ((depth = depth_of(child)) >
						deepest) deepest = depth;
	json_object_foreach(value, name, child) if ((depth = depth_of(child)) >
						    deepest) deepest = depth;
	return (deepest + (json_is_array(value) || json_is_object(value)));
}

static void compare(struct bytes text, json_t *tree);

static void
compare_array(struct bytes text, json_t *tree)
{
	struct bytes element;
	size_t count = 0;

	while (json_next_element(&text, &element))
		compare(element, json_array_get(tree, count++));
	FUZZ_MUST(count == json_array_size(tree));
}

static bool
is_view_of(struct bytes part, struct bytes whole)
{
	return (part.at >= whole.at &&
		part.at + part.len <= whole.at + whole.len);
}

static void
compare_object(struct bytes text, json_t *tree)
{
	const char *name;
	json_t *child;

	json_object_foreach(tree, name, child)
	{
		struct bytes value = json_member(text, bytes_of(name));

		FUZZ_MUST(value.at != NULL && is_view_of(value, text));
		compare(value, child);
	}
	FUZZ_MUST(json_member(text, BYTES("no such name")).at == NULL ||
		  json_object_get(tree, "no such name") != NULL);
}

static void
compare_changed(struct bytes text, json_t *tree)
{
	struct buf with = { 0 }, without = { 0 };
	json_t *a, *b, *copy = json_copy(tree);
	json_error_t error;

	json_add_object_with(&with, text, BYTES("a"), BYTES("[null]"));
	json_add_object_without(&without, text, BYTES("a"));
	FUZZ_MUST(buf_error(&with) == R_OK && buf_error(&without) == R_OK);
	a = json_loadb(with.at, with.len, FLAGS, &error);
	b = json_loadb(without.at, without.len, FLAGS, &error);
	FUZZ_MUST(a != NULL && b != NULL && copy != NULL);
	(void)json_object_del(copy, "a");
	FUZZ_MUST(json_equal(copy, b));
	FUZZ_MUST(json_object_set_new(copy, "a", json_pack("[n]")) == 0);
	FUZZ_MUST(json_equal(copy, a));
	json_decref(a);
	json_decref(b);
	json_decref(copy);
	buf_fini(&with);
	buf_fini(&without);
}

static void
compare(struct bytes text, json_t *tree)
{
	json_error_t error;
	json_t *part;

	switch (json_typeof(tree)) {
	case JSON_OBJECT:
		compare_object(text, tree);
		break;
	case JSON_ARRAY:
		compare_array(text, tree);
		break;
	default:
		part = json_loadb(text.at, text.len, FLAGS, &error);
		FUZZ_MUST(part != NULL && json_equal(part, tree));
		json_decref(part);
	}
}

/* What is invalid must at least not lead astray. */
static void
wander(struct bytes text)
{
	struct bytes rest = text, element;
	struct buf b = { 0 };

	(void)json_member(text, BYTES("a"));
	json_add_object_without(&b, text, BYTES("a"));
	json_add_string(&b, text);
	while (json_next_element(&rest, &element))
		FUZZ_MUST(is_view_of(element, text));
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = { (const char *)data, size };
	bool valid = json_check(text) == R_OK;
	json_error_t error;
	json_t *tree;

	if (!valid)
		wander(text);
	if (bytes_find(text, '\0') >= 0) {
		FUZZ_MUST(!valid); /* jansson takes a NUL for the end */
		return (0);
	}
	tree = json_loadb(text.at, text.len, FLAGS, &error);
	if (valid && tree == NULL)
		FUZZ_MUST(is_beyond_jansson(&error));
	if (!valid && tree != NULL)
		FUZZ_MUST(depth_of(tree) > JSON_DEPTH_MAX);
	if (valid && tree != NULL)
		compare(text, tree);
	if (valid && json_is_object(tree))
		compare_changed(text, tree);
	json_decref(tree);
	return (0);
}
