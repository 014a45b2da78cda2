-- SPDX-License-Identifier: MIT
--
-- The models that users bring themselves.  Those of the gateways are not stored:
-- they come from the gateways, through the cache.

CREATE TABLE models (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
	-- What requests call it: 'acme/support-7b:free'.
	model_id text NOT NULL,
	name text NOT NULL,
	description text NOT NULL DEFAULT '',
	context_length integer,
	-- Prices per token as decimal strings, as the gateways give them.
	pricing jsonb NOT NULL DEFAULT '{}',
	parameters jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),

	-- Also the index for all models of an owner.
	CONSTRAINT models_model_id_key UNIQUE (owner_id, model_id),
	CONSTRAINT models_model_id_form CHECK (
		model_id ~ '^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$'),
	CONSTRAINT models_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
	CONSTRAINT models_description_length CHECK (char_length(description) <= 10000),
	CONSTRAINT models_context_length_positive CHECK (context_length > 0),
	CONSTRAINT models_pricing_object CHECK (jsonb_typeof(pricing) = 'object'),
	CONSTRAINT models_parameters_object CHECK (jsonb_typeof(parameters) = 'object')
);

ALTER TABLE models ENABLE ROW LEVEL SECURITY;
