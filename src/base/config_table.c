/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "config_row.h"

#include <string.h>

#define PLAIN_WIDTH 96

static const struct config_row rows[] = {
#define SETTING(id, type, initial, minimum, maximum, help) \
	{ #id, CONFIG_##type, initial, minimum, maximum, help },
#include "settings.def"
#undef SETTING
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct config_row gateway_key_row = {
	"GATEWAY_<NAME>_API_KEY",
	CONFIG_SECRET,
	"",
	0,
	4096,
	"sent to that gateway as Authorization: Bearer (name in upper case, - as _)"
};

/* A row that is being printed; the bufs are used for one row after another. */
struct printer {
	FILE *to;
	enum config_table form;
	int name_width;
	struct buf name, initial, bounds, help;
};

static void
print_markdown_cell(FILE *to, struct bytes text, const char *quote)
{
	(void)fputs(" ", to);
	if (text.len > 0)
		(void)fputs(quote, to);
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '|')
			(void)fputc('\\', to);
		(void)fputc(text.at[i], to);
	}
	if (text.len > 0)
		(void)fputs(quote, to);
	(void)fputs(" |", to);
}

/* Print words up to the width, the next lines indented by `indent`. */
static void
print_wrapped(FILE *to, struct bytes text, int indent)
{
	size_t room = (size_t)(PLAIN_WIDTH - indent), used = 0;
	struct bytes word;

	while (text.len > 0) {
		word = bytes_cut(&text, ' ');
		if (used > 0 && used + 1 + word.len > room) {
			(void)fprintf(to, "\n%*s", indent, "");
			used = 0;
		} else if (used > 0) {
			(void)fputc(' ', to);
			used++;
		}
		(void)fprintf(to, "%.*s", BYTES_ARG(word));
		used += word.len;
	}
	(void)fputc('\n', to);
}

static void
print_row(struct printer *p, const struct config_row *row)
{
	int indent;

	buf_clear(&p->initial);
	buf_clear(&p->bounds);
	buf_clear(&p->help);
	buf_add(&p->initial, config_row_default(row));
	config_row_bounds(row, &p->bounds);
	buf_str(&p->help, row->help);
	if (p->form == CONFIG_TABLE_MARKDOWN) {
		(void)fputs("|", p->to);
		print_markdown_cell(p->to, bytes_of(row->name), "`");
		print_markdown_cell(p->to, bytes_of(config_row_type(row)), "");
		print_markdown_cell(p->to, buf_bytes(&p->initial), "`");
		print_markdown_cell(p->to, buf_bytes(&p->bounds), "");
		print_markdown_cell(p->to, buf_bytes(&p->help), "");
		(void)fputc('\n', p->to);
		return;
	}
	if (p->bounds.len > 0 && row->type != CONFIG_BOOL)
		buf_printf(&p->help, " (%s)", p->bounds.at);
	indent = fprintf(p->to, "  %-*s  %-6s  %-9s  ", p->name_width,
			 row->name, config_row_type(row),
			 p->initial.len > 0 ? p->initial.at : "-");
	print_wrapped(p->to, buf_bytes(&p->help), indent);
}

static void
name_policy(struct buf *name, const char *category, const char *suffix)
{
	buf_clear(name);
	for (const char *c = category; *c != '\0'; c++)
		buf_char(name, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A')
			       : *c == '-'	      ? '_'
						      : *c);
	buf_str(name, suffix);
}

static void
print_policy(struct printer *p, const struct config_policy *policy)
{
	const struct {
		const char *suffix, *help;
		int64_t initial;
	} parts[] = {
		{ "_CACHE_TTL_MS", "how long an answer is fresh; 0: not cached",
		  policy->ttl_ms },
		{ "_CACHE_REFRESH_MS",
		  "loaded again in advance when it is fresh for less than this",
		  policy->refresh_ms },
		{ "_CACHE_GRACE_MS",
		  "how long past that it may be served when a load takes long "
		  "or fails",
		  policy->grace_ms },
	};
	struct config_row row = { .type = CONFIG_MS,
				  .maximum = CONFIG_POLICY_MAX_MS };
	char initial[24];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		name_policy(&p->name, policy->category, parts[i].suffix);
		if (buf_error(&p->name) != R_OK)
			return;
		(void)snprintf(initial, sizeof(initial), "%lld",
			       (long long)parts[i].initial);
		row.name = p->name.at;
		row.initial = initial;
		row.help = parts[i].help;
		print_row(p, &row);
	}
}

static int
widest_name(const struct config_policy *policies)
{
	size_t widest = strlen(gateway_key_row.name), width;

	for (size_t i = 0; i < ROWS; i++) {
		width = strlen(rows[i].name);
		widest = width > widest ? width : widest;
	}
	for (; policies != NULL && policies->category != NULL; policies++) {
		width = strlen(policies->category) +
			strlen("_CACHE_REFRESH_MS");
		widest = width > widest ? width : widest;
	}
	return ((int)widest);
}

void
config_print_table(FILE *to, enum config_table form,
		   const struct config_policy *policies)
{
	struct printer p = { .to = to, .form = form };

	p.name_width = widest_name(policies);
	if (form == CONFIG_TABLE_MARKDOWN)
		(void)fputs("| Variable | Type | Default | Accepted | Meaning "
			    "|\n|---|---|---|---|---|\n",
			    to);
	for (size_t i = 0; i < ROWS; i++) {
		print_row(&p, &rows[i]);
		if (rows[i].type == CONFIG_GATEWAYS)
			print_row(&p, &gateway_key_row);
	}
	for (; policies != NULL && policies->category != NULL; policies++)
		print_policy(&p, policies);
	buf_fini(&p.name);
	buf_fini(&p.initial);
	buf_fini(&p.bounds);
	buf_fini(&p.help);
}
