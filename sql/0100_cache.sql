-- SPDX-License-Identifier: MIT
--
-- The cache's PostgreSQL tier: entries that survive every process, leases that
-- let one loader work for a whole deployment, and the invalidation log.

CREATE TABLE cache_entries (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	cache_key   text NOT NULL UNIQUE CHECK (octet_length(cache_key) <= 1024),
	cache_data  jsonb,                 -- the body, for SQL and people; null when jsonb cannot hold it
	wire        bytea NOT NULL,        -- the entry as every tier keeps it (src/cache/entry.h)
	fence       bigint NOT NULL,       -- log position read before the load began
	loaded_at   timestamptz NOT NULL,
	fresh_until timestamptz NOT NULL,
	expires_at  timestamptz NOT NULL,  -- end of grace: useless from then on
	used_at     timestamptz NOT NULL DEFAULT now(),
	size_bytes  bigint NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now()
);
-- The wire form holds its own compressed copy of the body.
ALTER TABLE cache_entries ALTER COLUMN wire SET STORAGE EXTERNAL;
DO $$ BEGIN
	ALTER TABLE cache_entries ALTER COLUMN cache_data SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
	NULL; -- a server built without lz4 uses its default
END $$;
CREATE INDEX cache_entries_expires_at ON cache_entries (expires_at);
CREATE INDEX cache_entries_used_at ON cache_entries (used_at);
CREATE INDEX cache_entries_fence ON cache_entries (fence);

-- A lost lease costs one more load, so this needs no write-ahead log.
CREATE UNLOGGED TABLE cache_leases (
	cache_key  text PRIMARY KEY,
	holder     text NOT NULL,
	failure    integer, -- set: the load failed lately, do not try before expires_at
	expires_at timestamptz NOT NULL
);

-- The log.  A writer inserts records without a position, in the transaction
-- that changes the data.  A record gets its position from the first reader that
-- sees it committed: so positions follow the order in which records became
-- visible, which a sequence drawn by the writer would not.
CREATE TABLE cache_invalidations (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	position   bigint UNIQUE,
	scope      text NOT NULL CHECK (octet_length(scope) BETWEEN 1 AND 1024),
	soft       boolean NOT NULL DEFAULT false, -- stale from now on, not gone
	created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cache_invalidations_scope ON cache_invalidations (scope, position);
CREATE INDEX cache_invalidations_unstamped ON cache_invalidations (id) WHERE position IS NULL;
COMMENT ON COLUMN cache_invalidations.scope IS
	'an exact key, or a prefix that ends in ":*", or "*"; a user stands in it as "@" and id';

CREATE TABLE cache_log (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	head     bigint NOT NULL, -- the newest position given
	pruned   bigint NOT NULL  -- records up to here may be gone
);
-- Positions begin with the time, in microseconds: a database that is made anew goes
-- on above all that workers and Redis may remember of another.
INSERT INTO cache_log (head, pruned)
SELECT now_us, now_us FROM (
	SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) AS t;

-- Give positions to what has been committed; return the newest.
CREATE FUNCTION cache_log_position() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	newest bigint;
	stamped bigint;
BEGIN
	IF EXISTS (SELECT FROM cache_invalidations WHERE position IS NULL) THEN
		SELECT head INTO newest FROM cache_log FOR UPDATE;
		UPDATE cache_invalidations AS i SET position = newest + o.n
		FROM (SELECT id, row_number() OVER (ORDER BY id) AS n
		      FROM cache_invalidations WHERE position IS NULL) AS o
		WHERE i.id = o.id;
		GET DIAGNOSTICS stamped = ROW_COUNT;
		IF stamped > 0 THEN
			UPDATE cache_log SET head = newest + stamped;
		END IF;
	END IF;
	RETURN (SELECT head FROM cache_log);
END $$;

-- The records after a position, oldest first.  A reader so far behind that some
-- are gone gets one record that matches everything in their place.
CREATE FUNCTION cache_log_read(after_position bigint, most integer)
RETURNS TABLE (at_position bigint, scope text, soft boolean, age_us bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	gone bigint;
BEGIN
	PERFORM cache_log_position();
	SELECT l.pruned INTO gone FROM cache_log l;
	IF after_position < gone THEN
		RETURN QUERY SELECT gone, '*'::text, false, NULL::bigint;
	END IF;
	RETURN QUERY
		SELECT i.position, i.scope, i.soft,
		       (extract(epoch FROM clock_timestamp() - i.created_at) * 1000000)::bigint
		FROM cache_invalidations i
		WHERE i.position > greatest(after_position, gone)
		ORDER BY i.position LIMIT most;
END $$;

CREATE FUNCTION cache_log_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('warmfront_log', '');
	RETURN NULL;
END $$;
CREATE TRIGGER cache_invalidations_ring AFTER INSERT ON cache_invalidations
	FOR EACH STATEMENT EXECUTE FUNCTION cache_log_ring();

-- Write records for the calling transaction.
CREATE FUNCTION cache_invalidate(scopes text[], is_soft boolean DEFAULT false) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
	INSERT INTO cache_invalidations (scope, soft)
	SELECT DISTINCT s, is_soft FROM unnest(scopes) AS s;
$$;

-- Keep an entry, unless the log or a younger load says it is too old.  The body
-- is the part of `new_wire` from `body_at` (counted from 1), `body_len` long.
CREATE FUNCTION cache_store(
	new_key text, scopes text[], new_wire bytea, body_at integer, body_len integer,
	new_fence bigint, loaded_ms bigint, fresh_ms bigint, expires_ms bigint
) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	data jsonb;
	stored boolean;
BEGIN
	IF EXISTS (SELECT FROM cache_invalidations i WHERE i.scope = ANY (scopes)
		   AND (i.position IS NULL OR i.position > new_fence)) THEN
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

-- Try to become the one loader of a key.  One row: won, or what the holder left.
CREATE FUNCTION cache_lease_take(wanted text, me text, for_ms integer)
RETURNS TABLE (won boolean, left_by_failure integer, left_ms bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	taken text;
BEGIN
	INSERT INTO cache_leases AS l (cache_key, holder, expires_at)
	VALUES (wanted, me, clock_timestamp() + for_ms * interval '1 ms')
	ON CONFLICT (cache_key) DO UPDATE SET
		holder = excluded.holder, failure = NULL, expires_at = excluded.expires_at
	WHERE l.expires_at <= clock_timestamp()
	RETURNING l.holder INTO taken;
	IF taken IS NOT NULL THEN
		RETURN QUERY SELECT true, NULL::integer, for_ms::bigint;
		RETURN;
	END IF;
	RETURN QUERY SELECT false, l.failure,
		greatest(0, extract(epoch FROM l.expires_at - clock_timestamp()) * 1000)::bigint
	FROM cache_leases l WHERE l.cache_key = wanted;
	IF NOT FOUND THEN -- given back in between: the caller asks again
		RETURN QUERY SELECT false, NULL::integer, 0::bigint;
	END IF;
END $$;

-- Drop what no lookup would return any more.  Returns the number of entries.
CREATE FUNCTION cleanup_expired_cache() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	removed integer;
BEGIN
	DELETE FROM cache_entries WHERE expires_at <= now();
	GET DIAGNOSTICS removed = ROW_COUNT;
	DELETE FROM cache_leases WHERE expires_at <= now() - interval '1 minute';
	RETURN removed;
END $$;

-- Keep the tier within a size, least recently used first out.
CREATE FUNCTION cache_shrink(max_bytes bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	removed integer;
BEGIN
	IF (SELECT coalesce(sum(size_bytes), 0) FROM cache_entries) <= max_bytes THEN
		RETURN 0;
	END IF;
	DELETE FROM cache_entries WHERE id IN (
		SELECT id FROM (
			SELECT id, sum(size_bytes) OVER (ORDER BY used_at DESC, id DESC) AS upto
			FROM cache_entries) AS ranked
		WHERE upto > max_bytes);
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END $$;

-- Forget records older than any living entry's fence and than `keep`, which must
-- cover the life of entries in Redis and memory.
CREATE FUNCTION cache_log_prune(keep interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	upto bigint;
	removed bigint;
BEGIN
	PERFORM cache_log_position();
	PERFORM FROM cache_log FOR UPDATE;
	SELECT max(position) INTO upto FROM cache_invalidations
	WHERE created_at < clock_timestamp() - keep
	AND position <= coalesce((SELECT min(fence) FROM cache_entries WHERE expires_at > now()),
				 (SELECT head FROM cache_log));
	IF upto IS NULL THEN
		RETURN 0;
	END IF;
	DELETE FROM cache_invalidations WHERE position <= upto;
	GET DIAGNOSTICS removed = ROW_COUNT;
	UPDATE cache_log SET pruned = greatest(pruned, upto);
	RETURN removed;
END $$;
