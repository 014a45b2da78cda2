-- SPDX-License-Identifier: MIT
--
-- Users and their API keys.

CREATE TABLE users (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	email text NOT NULL,
	name text NOT NULL DEFAULT '',
	role text NOT NULL DEFAULT 'user',
	profile jsonb NOT NULL DEFAULT '{}',
	preferences jsonb NOT NULL DEFAULT '{}',
	subscription jsonb NOT NULL DEFAULT '{"plan": "free", "status": "active"}',
	credits numeric(18, 6) NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),

	CONSTRAINT users_email_form CHECK (
		email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$'
		AND char_length(email) <= 254),
	CONSTRAINT users_name_length CHECK (char_length(name) <= 200),
	CONSTRAINT users_role_known CHECK (role IN ('user', 'admin')),
	CONSTRAINT users_profile_object CHECK (jsonb_typeof(profile) = 'object'),
	CONSTRAINT users_preferences_object CHECK (jsonb_typeof(preferences) = 'object'),
	CONSTRAINT users_subscription_object CHECK (jsonb_typeof(subscription) = 'object'),
	-- One member after the other adds up.
	CONSTRAINT users_profile_length CHECK (pg_column_size(profile) <= 65536),
	CONSTRAINT users_preferences_length CHECK (pg_column_size(preferences) <= 65536),
	CONSTRAINT users_subscription_length CHECK (pg_column_size(subscription) <= 65536),
	CONSTRAINT users_credits_number CHECK (credits <> 'NaN')
);

-- One account per address, however it is capitalised.
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
-- The order in which lists of users are paged.
CREATE INDEX users_created_at_idx ON users (created_at DESC, id);

COMMENT ON COLUMN users.credits IS 'in US dollars; may fall below zero by what was used last';

CREATE TABLE api_keys (
	-- The part of a key that may be seen: wf_<id>_<secret>.
	id text PRIMARY KEY,
	user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
	-- SHA-256 of the secret's 64 hexadecimal digits.  The secret is 256 random
	-- bits, so a slow hash would add nothing.
	secret_hash bytea NOT NULL,
	name text NOT NULL DEFAULT '',
	created_at timestamptz NOT NULL DEFAULT now(),
	revoked_at timestamptz,

	CONSTRAINT api_keys_id_form CHECK (id ~ '^[0-9a-f]{16}$'),
	CONSTRAINT api_keys_secret_hash_length CHECK (octet_length(secret_hash) = 32),
	CONSTRAINT api_keys_name_length CHECK (char_length(name) <= 200)
);

CREATE INDEX api_keys_user_id_idx ON api_keys (user_id);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;

-- `target` with the members of `patch` put in, member by member at every depth; a
-- null takes its member out (RFC 7396).
CREATE FUNCTION json_merge_patch(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
	name text;
	value jsonb;
BEGIN
	IF jsonb_typeof(patch) <> 'object' THEN
		RETURN patch;
	END IF;
	IF target IS NULL OR jsonb_typeof(target) <> 'object' THEN
		target := '{}';
	END IF;
	FOR name, value IN SELECT * FROM jsonb_each(patch) LOOP
		IF value = 'null' THEN
			target := target - name;
		ELSE
			target := jsonb_set(target, ARRAY[name],
					    json_merge_patch(target -> name, value));
		END IF;
	END LOOP;
	RETURN target;
END $$;
