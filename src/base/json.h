/* SPDX-License-Identifier: MIT */
#ifndef JSON_H
#define JSON_H

#include "buf.h"
#include "bytes.h"
#include "result.h"

/*
 * json: look into JSON texts (RFC 8259) without taking them apart.  No tree is built,
 * so a catalogue of 20 MB costs no memory, and what is passed on keeps every byte
 * that its origin gave it: a number stays 1.10 or 12345678901234567890.
 *
 * json_check() judges; all others want a text that has passed it, or a part they have
 * cut from one.  Given anything else they return nonsense, but stay within it.
 * Views point into the caller's text.
 */
#define JSON_DEPTH_MAX 128

/* R_INVALID unless `text` is one JSON value, in UTF-8, with arrays and
 * objects at most JSON_DEPTH_MAX deep.  Names may repeat (the last one
 * counts) and numbers may be of any size; half a surrogate pair is refused. */
MUST_USE enum result json_check(struct bytes text);

enum json_kind {
	JSON_NONE, /* nothing there */
	JSON_NULL,
	JSON_BOOLEAN,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};
enum json_kind json_kind_of(struct bytes value);

/* The value of an object's member `name`, without white space around it;
 * `at` is NULL when there is none, or no object. */
struct bytes json_member(struct bytes object, struct bytes name);

/* Take the next element off an array.  `*rest` is the array at first, and
 * then what the last call left of it; false at its end, or when it is no
 * array. */
bool json_next_element(struct bytes *rest, struct bytes *element);

/* Append the object without its member `name`, other members as they are. */
void json_add_object_without(struct buf *to, struct bytes object,
			     struct bytes name);

/* The same, with `value`, a JSON text, as the last member `name`. */
void json_add_object_with(struct buf *to, struct bytes object,
			  struct bytes name, struct bytes value);

/* Take the next member off an object, as json_next_element() does; `name`
 * comes with its quotes and escapes. */
bool json_next_member(struct bytes *rest, struct bytes *name,
		      struct bytes *value);

/* Append what a string means, without quotes and escapes.  It may hold NULs. */
void json_add_string(struct buf *to, struct bytes quoted);

/* Without white space around it. */
struct bytes json_trim(struct bytes text);

#endif
