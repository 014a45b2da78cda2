-- SPDX-License-Identifier: MIT
--
-- Where the functions look for tables.  Temporary tables come first unless pg_temp is named:
-- anyone who may connect could put one in a table's place, and code of theirs would run with the
-- rights of the owner.  So each function has a search_path with pg_temp at its end.
--
-- For later migrations: SET search_path FROM CURRENT gives a function that, as `migrate` sets it
-- so (src/migrate.c); CREATE OR REPLACE without it would take it away.  What a trigger runs is
-- for nobody to make triggers with: who may is asked then, not when one fires.

DO $$
DECLARE
	f regprocedure;
	is_trigger boolean;
BEGIN
	FOR f, is_trigger IN
		SELECT oid, prorettype = 'trigger'::regtype FROM pg_proc
		WHERE pronamespace = current_schema()::regnamespace AND proname IN (
			'json_merge_patch', 'cache_log_position', 'cache_log_read', 'cache_log_ring',
			'cache_invalidate', 'cache_store', 'cache_lease_take', 'cleanup_expired_cache',
			'cache_shrink', 'cache_log_prune', 'cache_invalidate_owners', 'models_changed',
			'api_keys_changed', 'users_inserted', 'users_updated', 'users_deleted',
			'usage_events_changed', 'servers_changed', 'server_models_changed',
			'served_models_changed', 'cache_truncated') LOOP
		EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f, current_schema());
		IF is_trigger THEN
			EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
		END IF;
	END LOOP;
END $$;
