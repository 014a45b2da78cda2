-- SPDX-License-Identifier: MIT
--
-- What a change of data makes stale, whoever makes it: a worker, psql, a
-- migration.  One record per statement and scope; a statement that touches very
-- many owners writes one record for all of them.

-- Records for `owners`, each put in the place of "@" in `template`.
CREATE FUNCTION cache_invalidate_owners(template text, owners text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	IF cardinality(owners) > 100 THEN
		PERFORM cache_invalidate(ARRAY[split_part(template, '@', 1) || '*']);
	ELSIF cardinality(owners) > 0 THEN
		PERFORM cache_invalidate(ARRAY(
			SELECT replace(template, '@', '@' || o) FROM unnest(owners) AS o));
	END IF;
END $$;

CREATE FUNCTION models_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM cache_invalidate_owners('models:user:@',
		ARRAY(SELECT DISTINCT owner_id::text FROM changed WHERE owner_id IS NOT NULL LIMIT 101));
	RETURN NULL;
END $$;
CREATE TRIGGER models_inserted AFTER INSERT ON models REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION models_changed();
CREATE TRIGGER models_updated AFTER UPDATE ON models REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION models_changed();
CREATE TRIGGER models_moved AFTER UPDATE ON models REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION models_changed();
CREATE TRIGGER models_deleted AFTER DELETE ON models REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION models_changed();

-- What a worker knows of an API key: that it exists, whose it is, and the role.
CREATE FUNCTION api_keys_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
	IF (SELECT count(*) FROM (SELECT FROM changed LIMIT 101) AS few) > 100 THEN
		PERFORM cache_invalidate(ARRAY['auth:*']);
	ELSE
		PERFORM cache_invalidate(ARRAY(SELECT 'auth:' || id FROM changed));
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys REFERENCING OLD TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();
