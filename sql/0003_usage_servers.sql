-- SPDX-License-Identifier: MIT
--
-- Inference servers, the models they serve, and what was used.

CREATE TABLE servers (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
	name text NOT NULL,
	region text NOT NULL DEFAULT '',
	state text NOT NULL DEFAULT 'starting',
	load double precision NOT NULL DEFAULT 0, -- 0: idle, 1: full
	seen_at timestamptz,			  -- the last sign of life
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),

	-- Also the index for all servers of an owner.
	CONSTRAINT servers_name_key UNIQUE (owner_id, name),
	CONSTRAINT servers_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
	CONSTRAINT servers_region_length CHECK (char_length(region) <= 64),
	CONSTRAINT servers_state_known CHECK (
		state IN ('starting', 'ready', 'draining', 'down')),
	CONSTRAINT servers_load_range CHECK (load BETWEEN 0 AND 1)
);

CREATE TABLE server_models (
	server_id uuid NOT NULL REFERENCES servers ON DELETE CASCADE,
	model_id uuid NOT NULL REFERENCES models ON DELETE CASCADE,
	since timestamptz NOT NULL DEFAULT now(),

	PRIMARY KEY (server_id, model_id)
);

CREATE INDEX server_models_model_id_idx ON server_models (model_id);

CREATE TABLE usage_events (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
	server_id uuid REFERENCES servers ON DELETE SET NULL, -- NULL: a gateway's
	gateway text NOT NULL DEFAULT '',
	-- As the request named it; a gateway's models are in no table.
	model text NOT NULL,
	occurred_at timestamptz NOT NULL DEFAULT now(),
	input_tokens integer NOT NULL DEFAULT 0,
	output_tokens integer NOT NULL DEFAULT 0,
	-- US dollars.  Prices per token have up to ten decimals; the sum must be exact.
	cost numeric(20, 10) NOT NULL DEFAULT 0,
	latency_ms integer,
	outcome text NOT NULL DEFAULT 'ok',

	CONSTRAINT usage_events_gateway_length CHECK (char_length(gateway) <= 64),
	CONSTRAINT usage_events_model_length CHECK (char_length(model) BETWEEN 1 AND 200),
	CONSTRAINT usage_events_tokens_positive CHECK (
		input_tokens >= 0 AND output_tokens >= 0),
	CONSTRAINT usage_events_cost_positive CHECK (cost >= 0 AND cost <> 'NaN'),
	CONSTRAINT usage_events_latency_positive CHECK (latency_ms >= 0),
	CONSTRAINT usage_events_outcome_known CHECK (
		outcome IN ('ok', 'error', 'timeout', 'cancelled'))
);

-- One user's costs and analytics between two times.
CREATE INDEX usage_events_user_id_occurred_at_idx ON usage_events (user_id, occurred_at);
-- Who was active lately, from the index alone.
CREATE INDEX usage_events_occurred_at_idx ON usage_events (occurred_at) INCLUDE (user_id);
-- For the foreign key, when a server is deleted.
CREATE INDEX usage_events_server_id_idx ON usage_events (server_id)
	WHERE server_id IS NOT NULL;

ALTER TABLE servers ENABLE ROW LEVEL SECURITY;
ALTER TABLE server_models ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_events ENABLE ROW LEVEL SECURITY;
