/* SPDX-License-Identifier: MIT */
#include "product.h"

static void
fill(const char *email, const char *name, unsigned n)
{
	harness_sql(
		stack.owner_url,
		"UPDATE users SET name = '%s', profile = jsonb_build_object('bio', repeat('%s ', 300)) WHERE email = '%s';"
		"INSERT INTO models (owner_id, model_id, name) SELECT id, '%s/m' || i, 'Model %s ' || i FROM users, generate_series(1, %u) AS i WHERE email = '%s';"
		"INSERT INTO servers (owner_id, name, state) SELECT id, '%s-' || i, 'ready' FROM users, generate_series(1, %u) AS i WHERE email = '%s';"
		"INSERT INTO server_models (server_id, model_id) SELECT s.id, m.id FROM servers s JOIN models m USING (owner_id) JOIN users u ON u.id = owner_id WHERE u.email = '%s';"
		"INSERT INTO usage_events (user_id, model, cost, input_tokens, output_tokens, latency_ms, occurred_at) SELECT id, '%s/m' || i, 0.1 + i * 0.0000000001, 10, 20, i, now() - i * interval '1 hour' FROM users, generate_series(1, %u) AS i WHERE email = '%s'",
		name, name, email, name, name, n, email, name, n, email, email,
		name, n, email);
}

struct product
product_new(void)
{
	struct product p = {
		stack_login("anna@example.org", "user"),
		stack_login("ben@example.org", "user"),
		stack_login("root@example.org", "admin"),
	};

	fill("anna@example.org", "anna", 20);
	fill("ben@example.org", "ben", 2);
	return (p);
}

const char *
product_id(const char *email)
{
	return (harness_sql(stack.owner_url,
			    "SELECT id FROM users WHERE email = '%s'", email));
}

const char *
product_server(const char *email)
{
	return (harness_sql(stack.owner_url,
			    "SELECT s.id FROM servers s JOIN users u "
			    "ON u.id = s.owner_id WHERE u.email = '%s' "
			    "ORDER BY s.name LIMIT 1",
			    email));
}

json_t *
product_data(const struct http_response *r, const char *path)
{
	assert_status(r, 200);
	return (tree_at(tree_parse(r->body, r->body_len), path));
}
