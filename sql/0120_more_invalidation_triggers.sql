-- SPDX-License-Identifier: MIT
--
-- The same for users, servers and usage.  A statement over many rows must not
-- become slow by this: one transition table a statement, never compared as a
-- whole.  What rows became is read from their table.

CREATE FUNCTION users_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	IF EXISTS (SELECT FROM changed) THEN
		PERFORM cache_invalidate(ARRAY['admin:users:*']);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER users_inserted AFTER INSERT ON users REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION users_inserted();

-- Who shows a user: the user's own pages, the lists of admins, and, for the role,
-- what workers know of the user's API keys.
CREATE FUNCTION users_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	rows integer := (SELECT count(*) FROM (SELECT FROM before LIMIT 101) AS few);
	roles_changed boolean;
BEGIN
	IF rows <= 100 THEN
		PERFORM cache_invalidate(ARRAY(
			SELECT scope FROM before b LEFT JOIN users u USING (id),
				unnest(ARRAY['user:@' || b.id || ':*', 'admin:users:*']) AS scope
			WHERE to_jsonb(b) - 'updated_at' IS DISTINCT FROM to_jsonb(u) - 'updated_at'
			UNION
			SELECT 'auth:' || k.id FROM before b JOIN users u USING (id)
				JOIN api_keys k ON k.user_id = b.id
			WHERE b.role <> u.role));
		RETURN NULL;
	END IF;
	PERFORM cache_invalidate(ARRAY['user:*', 'admin:users:*']);
	-- A plan for this many rows, not one kept from a statement with few.
	EXECUTE 'SELECT EXISTS (SELECT FROM before b JOIN users u USING (id) WHERE b.role <> u.role)'
		INTO roles_changed;
	IF roles_changed THEN
		PERFORM cache_invalidate(ARRAY['auth:*']);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER users_updated AFTER UPDATE ON users REFERENCING OLD TABLE AS before
	FOR EACH STATEMENT EXECUTE FUNCTION users_updated();

-- What hangs on a user is deleted with it, and has triggers of its own.
CREATE FUNCTION users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
	gone text[] := ARRAY(SELECT id::text FROM changed LIMIT 101);
BEGIN
	PERFORM cache_invalidate_owners('user:@:*', gone);
	PERFORM cache_invalidate_owners('analytics:@:*', gone);
	IF cardinality(gone) > 0 THEN
		PERFORM cache_invalidate(ARRAY['admin:users:*']);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER users_deleted AFTER DELETE ON users REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION users_deleted();

CREATE FUNCTION usage_events_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM cache_invalidate_owners('usage:@:*',
		ARRAY(SELECT DISTINCT user_id::text FROM changed LIMIT 101));
	RETURN NULL;
END $$;
CREATE TRIGGER usage_events_inserted AFTER INSERT ON usage_events REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION usage_events_changed();
CREATE TRIGGER usage_events_updated AFTER UPDATE ON usage_events REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION usage_events_changed();
CREATE TRIGGER usage_events_moved AFTER UPDATE ON usage_events REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION usage_events_changed();
CREATE TRIGGER usage_events_deleted AFTER DELETE ON usage_events REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION usage_events_changed();

CREATE FUNCTION servers_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM cache_invalidate_owners('servers:@:*',
		ARRAY(SELECT DISTINCT owner_id::text FROM changed LIMIT 101));
	RETURN NULL;
END $$;
CREATE TRIGGER servers_inserted AFTER INSERT ON servers REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION servers_changed();
CREATE TRIGGER servers_updated AFTER UPDATE ON servers REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION servers_changed();
CREATE TRIGGER servers_moved AFTER UPDATE ON servers REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION servers_changed();
CREATE TRIGGER servers_deleted AFTER DELETE ON servers REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION servers_changed();

-- Which models servers serve, and what those are called.
CREATE FUNCTION server_models_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM cache_invalidate_owners('servers:@:*', ARRAY(
		SELECT DISTINCT s.owner_id::text
		FROM changed c JOIN servers s ON s.id = c.server_id LIMIT 101));
	RETURN NULL;
END $$;
CREATE TRIGGER server_models_inserted AFTER INSERT ON server_models REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION server_models_changed();
CREATE TRIGGER server_models_updated AFTER UPDATE ON server_models REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION server_models_changed();
CREATE TRIGGER server_models_moved AFTER UPDATE ON server_models REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION server_models_changed();
CREATE TRIGGER server_models_deleted AFTER DELETE ON server_models REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION server_models_changed();

CREATE FUNCTION served_models_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM cache_invalidate_owners('servers:@:*', ARRAY(
		SELECT DISTINCT s.owner_id::text
		FROM changed c JOIN server_models sm ON sm.model_id = c.id
		JOIN servers s ON s.id = sm.server_id LIMIT 101));
	RETURN NULL;
END $$;
CREATE TRIGGER models_served_updated AFTER UPDATE ON models REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION served_models_changed();

-- TRUNCATE has no rows to show.
CREATE FUNCTION cache_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM cache_invalidate(TG_ARGV);
	RETURN NULL;
END $$;
CREATE TRIGGER users_truncated AFTER TRUNCATE ON users FOR EACH STATEMENT
	EXECUTE FUNCTION cache_truncated('user:*', 'admin:users:*', 'analytics:*');
CREATE TRIGGER api_keys_truncated AFTER TRUNCATE ON api_keys FOR EACH STATEMENT
	EXECUTE FUNCTION cache_truncated('auth:*');
CREATE TRIGGER models_truncated AFTER TRUNCATE ON models FOR EACH STATEMENT
	EXECUTE FUNCTION cache_truncated('models:user:*');
CREATE TRIGGER servers_truncated AFTER TRUNCATE ON servers FOR EACH STATEMENT
	EXECUTE FUNCTION cache_truncated('servers:*');
CREATE TRIGGER server_models_truncated AFTER TRUNCATE ON server_models FOR EACH STATEMENT
	EXECUTE FUNCTION cache_truncated('servers:*');
CREATE TRIGGER usage_events_truncated AFTER TRUNCATE ON usage_events FOR EACH STATEMENT
	EXECUTE FUNCTION cache_truncated('usage:*');
