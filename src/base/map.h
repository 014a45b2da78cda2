/* SPDX-License-Identifier: MIT */
#ifndef MAP_H
#define MAP_H

#include "bytes.h"
#include "result.h"

/*
 * map: byte string to pointer.  Keys are not copied: a key must live as long as its
 * item is in the map (usually it is part of the item).  One thread at a time.
 */
struct map;

struct map *map_new(void);
void map_free(struct map *m); /* the items are the caller's */

void *map_get(const struct map *m, struct bytes key);

/* Add, or replace the item (never NULL) and key that stood there. */
MUST_USE enum result map_put(struct map *m, struct bytes key, void *item);

/* Take out and return it; NULL when absent. */
void *map_remove(struct map *m, struct bytes key);

size_t map_count(const struct map *m);

/* Walk all items; start with *cursor = 0; NULL at the end.  Removing the
 * item just returned is allowed while walking; adding is not. */
void *map_next(const struct map *m, size_t *cursor);

#endif
