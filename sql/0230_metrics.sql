-- SPDX-License-Identifier: MIT
--
-- What the workers of a deployment have counted, all together: each adds what is
-- new every second, and when a scrape asks.  See src/cache/metrics.h.

CREATE TABLE cache_metrics (
	category text NOT NULL,   -- the label's value: a category, a gateway, ...; '' for none
	tier     text NOT NULL,
	name     text NOT NULL,
	bucket   bigint NOT NULL, -- a histogram's upper bound in microseconds; -1: its sum; 0: a counter
	value    bigint NOT NULL,
	PRIMARY KEY (category, tier, name, bucket)
) WITH (fillfactor = 50);

CREATE TABLE cache_workers (
	id         text PRIMARY KEY,
	host       text NOT NULL,
	pid        integer NOT NULL,
	batch      bigint NOT NULL,   -- the last that was added; each is added once
	gauges     jsonb NOT NULL,
	started_at timestamptz NOT NULL DEFAULT now(),
	seen_at    timestamptz NOT NULL DEFAULT now(),
	flushed_at timestamptz,       -- what it had counted by then is in cache_metrics
	scraped_at timestamptz        -- when it last asked all others to flush
) WITH (fillfactor = 50);

DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['cache_metrics', 'cache_workers'] LOOP
		EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO warmfront_worker', t);
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY worker ON %I TO warmfront_worker USING (true) WITH CHECK (true)', t);
	END LOOP;
END $$;
