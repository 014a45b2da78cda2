-- SPDX-License-Identifier: MIT
--
-- Demo data: 1,000 users, 300 models, 100 servers, and usage events over the last
-- 90 days.  May be applied again: it adds what is missing.  The number of events:
--
--	psql -c "SET demo.usage_events = 1000000" -f demo.sql
--
-- The same number gives the same rows, but for the times, which end now.

BEGIN;

-- Two sessions that load it at once would do the work twice.
SELECT pg_advisory_xact_lock(hashtext('warmfront demo data'));

INSERT INTO users (id, email, name, role, profile, preferences, subscription,
		   credits, created_at, updated_at)
SELECT md5('demo user ' || i)::uuid,
	lower(first || '.' || last) || i || '@demo.example',
	first || ' ' || last,
	CASE WHEN i <= 3 THEN 'admin' ELSE 'user' END,
	jsonb_build_object(
		'company', (ARRAY['Acme', 'Globex', 'Initech', 'Umbrella', 'Hooli'])[1 + i % 5],
		'timezone', (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Tokyo',
				   'UTC'])[1 + i % 4],
		'bio', repeat('Builds things with language models. ', i % 5)),
	jsonb_build_object(
		'theme', (ARRAY['dark', 'light', 'system'])[1 + i % 3],
		'language', (ARRAY['en', 'de', 'ja', 'fr'])[1 + i % 4],
		'notifications', jsonb_build_object('email', i % 2 = 0, 'usage', i % 3 = 0)),
	jsonb_build_object(
		'plan', (ARRAY['free', 'free', 'free', 'pro', 'team'])[1 + i % 5],
		'status', CASE WHEN i % 37 = 0 THEN 'past_due' ELSE 'active' END,
		'seats', 1 + (i % 5 / 4) * (i % 20)),
	((i * 7919) % 100000)::numeric / 1000,
	now() - make_interval(days => 90 + (i * 31) % 600),
	now() - make_interval(days => (i * 17) % 90)
FROM generate_series(1, 1000) AS i,
	LATERAL (SELECT
		(ARRAY['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Ken', 'Margaret',
		       'Dennis', 'Radia', 'Tony'])[1 + i % 10] AS first,
		(ARRAY['Lovelace', 'Hopper', 'Turing', 'Dijkstra', 'Liskov', 'Thompson',
		       'Hamilton', 'Ritchie', 'Perlman', 'Hoare',
		       'Lamport'])[1 + i % 11] AS last) AS names
ON CONFLICT DO NOTHING;

INSERT INTO models (id, owner_id, model_id, name, description, context_length,
		    pricing, parameters, created_at, updated_at)
SELECT md5('demo model ' || i)::uuid,
	md5('demo user ' || owner)::uuid,
	'demo/' || family || '-' || size || 'b-' || i,
	initcap(family) || ' ' || size || 'B no. ' || i,
	'A ' || size || ' billion parameter model, tuned on ' || i || ' thousand dialogues.',
	4096 * (1 << i % 6),
	jsonb_build_object('prompt', (size * 0.00000002)::text,
			   'completion', (size * 0.00000006)::text),
	jsonb_build_object('temperature', 0.7, 'top_p', 0.9, 'max_tokens', 1024 * (1 + i % 8)),
	now() - make_interval(days => (i * 7) % 90),
	now() - make_interval(days => (i * 3) % 7)
FROM generate_series(1, 300) AS i,
	LATERAL (SELECT
		(ARRAY['support', 'coder', 'writer', 'vision', 'translate'])[1 + i % 5] AS family,
		(ARRAY[1, 3, 7, 13, 34, 70])[1 + i % 6] AS size,
		CASE WHEN i % 5 = 0 THEN 1 + i / 5 % 12 ELSE 1 + (i * 13) % 400 END AS owner
	) AS kinds
ON CONFLICT DO NOTHING;

-- Their owners are among those who have models; the first few users, who use most,
-- have most.
INSERT INTO servers (id, owner_id, name, region, state, load, seen_at, created_at)
SELECT md5('demo server ' || i)::uuid,
	md5('demo user ' || owner)::uuid,
	'gpu-' || i,
	(ARRAY['eu-central', 'us-east', 'ap-northeast'])[1 + i % 3],
	(ARRAY['ready', 'ready', 'ready', 'ready', 'starting', 'draining', 'down'])[1 + i % 7],
	(i * 37 % 100) / 100.0,
	now() - make_interval(secs => i % 60),
	now() - make_interval(days => i % 90)
FROM generate_series(1, 100) AS i,
	LATERAL (SELECT CASE WHEN i % 2 = 0 THEN 1 + i / 2 % 12
			ELSE 1 + (i * 13) % 400 END AS owner) AS owners
ON CONFLICT DO NOTHING;

INSERT INTO server_models (server_id, model_id)
SELECT s.id, m.id
FROM servers s JOIN models m USING (owner_id)
WHERE s.id IN (SELECT md5('demo server ' || i)::uuid FROM generate_series(1, 100) AS i)
ON CONFLICT DO NOTHING;

-- A few users cause most of the usage.  Rows are in order of time, and the last is
-- of now.  Per-row arithmetic only, and md5() once per user: a million rows are a
-- matter of seconds.
WITH
wanted AS (
	SELECT coalesce(nullif(current_setting('demo.usage_events', true), ''),
			'100000')::int AS n
),
present AS (
	SELECT count(*)::int AS n
	FROM usage_events
	WHERE model LIKE 'demo/%'
),
people AS MATERIALIZED (
	SELECT i AS number, md5('demo user ' || i)::uuid AS id
	FROM generate_series(1, 1000) AS i
),
machines AS MATERIALIZED (
	SELECT owner_id, id, row_number() OVER (PARTITION BY owner_id ORDER BY name) AS number
	FROM servers
	WHERE id IN (SELECT md5('demo server ' || i)::uuid FROM generate_series(1, 100) AS i)
),
rolled AS (
	SELECT i, wanted.n,
		hash & 65535 AS a, (hash >> 16) & 65535 AS b,
		(hash >> 32) & 65535 AS c, (hash >> 48) & 32767 AS d
	FROM wanted, present,
		generate_series(present.n + 1, wanted.n) AS i,
		LATERAL (SELECT hashint8extended(i, 1) AS hash) AS dice
)
INSERT INTO usage_events (user_id, server_id, gateway, model, occurred_at, input_tokens,
			  output_tokens, cost, latency_ms, outcome)
SELECT people.id, machines.id,
	CASE WHEN machines.id IS NULL THEN
		(ARRAY['openrouter', 'groq', 'together'])[1 + a % 3] ELSE '' END,
	'demo/' || (ARRAY['support-7b', 'coder-34b', 'writer-13b', 'vision-70b', 'translate-3b',
			  'coder-7b', 'support-13b', 'writer-70b'])[1 + b % 8],
	now() - interval '90 days' * (1 - i::double precision / n),
	50 + c % 4000,
	10 + d % 1500,
	(50 + c % 4000) * 0.0000003 + (10 + d % 1500) * 0.0000009,
	80 + (a * 3 + d) % 4000,
	CASE WHEN b % 97 = 0 THEN 'error' WHEN b % 389 = 0 THEN 'timeout' ELSE 'ok' END
FROM rolled
JOIN people ON people.number = 1 + (1000 * (a / 65536.0::double precision) ^ 3)::int % 1000
LEFT JOIN machines ON machines.owner_id = people.id AND machines.number = d % 8
ORDER BY i;

COMMIT;

ANALYZE users, models, servers, server_models, usage_events;
