-- SPDX-License-Identifier: MIT
--
-- A replica that lagged takes over, or a backup does, while workers run: they have followed
-- the log further than it goes now, and would be told nothing until it is as long again.

-- The records after a position, oldest first.  A reader so far behind that some
-- are gone gets one record that matches everything in their place.  A reader that is ahead shows
-- that positions have been lost, and with them what was written: nothing that was cached counts
-- any more, and the log goes on above all positions that were ever given.  That is the time, in
-- microseconds: positions begin with it, and records are fewer.  So a reader that is ahead
-- of the time as well has seen no log of ours.
CREATE OR REPLACE FUNCTION cache_log_read(after_position bigint, most integer)
RETURNS TABLE (at_position bigint, scope text, soft boolean, age_us bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	now_us bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
	-- Before new records get the lost ones' positions.
	IF after_position > (SELECT head FROM cache_log) AND after_position < now_us THEN
		UPDATE cache_log SET head = now_us WHERE head < after_position;
		IF FOUND THEN
			INSERT INTO cache_invalidations (position, scope) VALUES (now_us, '*');
		END IF;
	END IF;
	PERFORM cache_log_position();
	-- In one statement: a prune may come between two.
	RETURN QUERY
		SELECT l.pruned, '*'::text, false, NULL::bigint
		FROM cache_log l WHERE after_position < l.pruned
		UNION ALL
		(SELECT i.position, i.scope, i.soft,
			(extract(epoch FROM clock_timestamp() - i.created_at) * 1000000)::bigint
		 FROM cache_invalidations i
		 WHERE i.position > greatest(after_position, (SELECT pruned FROM cache_log))
		 ORDER BY i.position LIMIT most)
		ORDER BY 1;
END $$;
