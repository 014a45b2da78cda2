-- SPDX-License-Identifier: MIT
--
-- The group role a worker's login belongs to: it can do what the worker does
-- and nothing else.  Grant it:  CREATE ROLE warmfront LOGIN IN ROLE warmfront_worker;

DO $$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'warmfront_worker') THEN
		CREATE ROLE warmfront_worker NOLOGIN;
	END IF;
EXCEPTION
	WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration was first
	WHEN insufficient_privilege THEN
		RAISE EXCEPTION 'the role warmfront_worker is missing and % may not create it', current_user
			USING HINT = 'CREATE ROLE warmfront_worker NOLOGIN, as a role with CREATEROLE; then migrate again';
END $$;

DO $$
DECLARE
	t text;
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO warmfront_worker', current_schema());
	FOREACH t IN ARRAY ARRAY['users', 'api_keys', 'models', 'servers', 'server_models', 'usage_events',
				 'cache_entries', 'cache_leases'] LOOP
		EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO warmfront_worker', t);
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY worker ON %I TO warmfront_worker USING (true) WITH CHECK (true)', t);
	END LOOP;
	-- The log is written through functions only.
	EXECUTE 'GRANT SELECT ON schema_migrations TO warmfront_worker';
	EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO warmfront_worker', current_schema());
	FOREACH t IN ARRAY ARRAY['cache_invalidations', 'cache_log'] LOOP
		EXECUTE format('GRANT SELECT ON %I TO warmfront_worker', t);
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY worker ON %I FOR SELECT TO warmfront_worker USING (true)', t);
	END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION cleanup_expired_cache(), cache_shrink(bigint),
	cache_log_prune(interval), cache_invalidate(text[], boolean), cache_log_position(),
	cache_log_read(bigint, integer), cache_invalidate_owners(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cleanup_expired_cache(), cache_shrink(bigint),
	cache_log_prune(interval), cache_invalidate(text[], boolean), cache_log_position(),
	cache_log_read(bigint, integer), cache_invalidate_owners(text, text[]) TO warmfront_worker;
