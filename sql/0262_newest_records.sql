-- SPDX-License-Identifier: MIT
--
-- Of a scope's records the newest hard one and the newest soft one say all.  A record without a
-- position, which is committed after any fence was read, counts as the newest.  The index has
-- an expression of its own: in the order of positions alone, a scope without records would be
-- searched through the whole log.

DROP INDEX cache_invalidations_scope;
CREATE INDEX cache_invalidations_scope
	ON cache_invalidations (scope, soft, (coalesce(position, 9223372036854775807)));
ANALYZE cache_invalidations;

-- Keep an entry, unless the log or a younger load says it is too old, or the log does not
-- go back to its fence: the record of a long transaction may be pruned as soon as it is
-- seen.  The body is the part of `new_wire` from `body_at` (counted from 1), `body_len` long.
CREATE OR REPLACE FUNCTION cache_store(
	new_key text, scopes text[], new_wire bytea, body_at integer, body_len integer,
	new_fence bigint, loaded_ms bigint, fresh_ms bigint, expires_ms bigint
) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	data jsonb;
	stored boolean;
BEGIN
	-- In one statement: a prune may come between two.
	IF new_fence < (SELECT pruned FROM cache_log) OR EXISTS (
		SELECT FROM unnest(scopes) AS s, (VALUES (false), (true)) AS k (soft), LATERAL (
			SELECT coalesce(i.position, 9223372036854775807) AS at
			FROM cache_invalidations AS i WHERE i.scope = s AND i.soft = k.soft
			ORDER BY at DESC LIMIT 1) AS newest
		WHERE newest.at > new_fence) THEN
		RETURN false;
	END IF;
	BEGIN
		data := convert_from(substr(new_wire, body_at, body_len), 'UTF8')::jsonb;
	EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
		data := NULL; -- \u0000, a number out of range, too deep: valid JSON all the same
	END;
	INSERT INTO cache_entries AS e (cache_key, cache_data, wire, fence, loaded_at,
		fresh_until, expires_at, size_bytes)
	VALUES (new_key, data, new_wire, new_fence, to_timestamp(loaded_ms / 1000.0),
		to_timestamp(fresh_ms / 1000.0), to_timestamp(expires_ms / 1000.0),
		octet_length(new_wire) + coalesce(pg_column_size(data), 0))
	ON CONFLICT (cache_key) DO UPDATE SET
		cache_data = excluded.cache_data, wire = excluded.wire, fence = excluded.fence,
		loaded_at = excluded.loaded_at, fresh_until = excluded.fresh_until,
		expires_at = excluded.expires_at, size_bytes = excluded.size_bytes,
		used_at = now(), updated_at = now()
	WHERE (e.fence, e.loaded_at) <= (excluded.fence, excluded.loaded_at)
	RETURNING true INTO stored;
	RETURN coalesce(stored, false);
END $$;
