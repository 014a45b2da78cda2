-- SPDX-License-Identifier: MIT
--
-- Keys in the order of their bytes: what a scope such as "models:*" matches lies side by
-- side in it, and so does what a page of the listing shows.  The database's own collation,
-- which the unique index has, knows no prefixes.

CREATE INDEX cache_entries_key_bytes ON cache_entries (cache_key COLLATE "C");
