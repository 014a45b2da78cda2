/* SPDX-License-Identifier: MIT */
#include "catalogue.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define REMEMBERED 32
#define EPOCH_OF_VERSION_0 1757376000 /* 2025-09-09, an hour a version */

/* What catalogue_make() hands out, with what it was made from. */
struct made {
	struct catalogue
		catalogue; /* first: catalogue_unref() goes back to it */
	atomic_uint references;
	char *path;
	unsigned version, models;
	size_t bytes;
};

static pthread_mutex_t remembered_lock = PTHREAD_MUTEX_INITIALIZER;
static struct made *remembered[REMEMBERED];
static unsigned next_place;

static const char *const makers[] = {
	"alder", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel",
};
static const char *const families[] = {
	"Lark", "Heron", "Swift", "Plover", "Wren", "Osprey", "Finch",
};
static const char *const sentences[] = {
	"A mixture-of-experts model for long documents and tool calls. ",
	"It keeps its tone over many turns \\u2014 even in small quantisations. ",
	"Trained on code, \\\"plain\\\" prose and mathematics in 40 languages.\\n\\n",
	"Supports structured output, parallel tools and images up to 4 MB. ",
	"Réponses brèves, 日本語 and العربية are handled without a switch. ",
	"Benchmarks: [see the card](https://models.example/card?id=1&lang=en). ",
	"Prefer it for classification, extraction and retrieval (RAG). ",
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* FNV-1a: short, and good enough to tell catalogues apart. */
static uint64_t
hash(const char *at, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)at[i]) * UINT64_C(0x100000001b3);
	return (h);
}

static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15)); /* SplitMix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31));
}

/* "/groq/models" gives "groq", the first segment; it begins every id. */
static void
origin_of(const char *path, char *out, size_t size)
{
	size_t n = 0;

	for (path += *path == '/'; *path != '\0' && *path != '/'; path++) {
		char c = *path;
		bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (n + 1 < size)
			out[n++] = word ? c : '-';
	}
	out[n] = '\0';
}

/* One model; `padding` more spaces stand at the end of its description. */
static void
write_model(FILE *f, const char *origin, const struct made *m, unsigned i,
	    uint64_t *random, size_t padding)
{
	const char *maker = makers[next_random(random) % LENGTH(makers)];
	const char *family = families[next_random(random) % LENGTH(families)];
	unsigned size = 1u << (next_random(random) % 9);
	unsigned context = 4096u << (next_random(random) % 9);
	unsigned long price = next_random(random) % 9000 + m->version;
	const char *variant = i % 5 == 4 ? ":free" : "";

	fprintf(f,
		"{\"id\":\"%s-%s/%s-%ub-%u%s\",\"canonical_slug\":"
		"\"%s-%s/%s-%ub-%u\",\"hugging_face_id\":\"\","
		"\"name\":\"%s: %s %uB (%u)\",\"created\":%u,\"description\":\"",
		origin, maker, family, size, i, variant, origin, maker, family,
		size, i, maker, family, size, i,
		1700000000u + (unsigned)(next_random(random) % 57000000));
	fprintf(f, "Edition %u. ", m->version);
	for (uint64_t n = next_random(random) % 12 + 3; n > 0; n--)
		fputs(sentences[next_random(random) % LENGTH(sentences)], f);
	for (; padding > 0; padding--)
		fputc(' ', f);
	fprintf(f,
		"\",\"context_length\":%u,\"architecture\":{\"modality\":"
		"\"text->text\",\"input_modalities\":[\"text\"],"
		"\"output_modalities\":[\"text\"],\"tokenizer\":\"Other\","
		"\"instruct_type\":null},",
		context);
	if (i % 100 == 7)
		fputs("\"pricing\":{\"prompt\":\"-1\",\"completion\":\"-1\"},",
		      f);
	else
		fprintf(f,
			"\"pricing\":{\"prompt\":\"0.%010lu\",\"completion\":"
			"\"0.%010lu\",\"request\":\"0\",\"image\":\"0\","
			"\"web_search\":\"0\",\"internal_reasoning\":\"0\"},",
			price, price * 4);
	fprintf(f,
		"\"top_provider\":{\"context_length\":%u,"
		"\"max_completion_tokens\":%s,\"is_moderated\":%s},"
		"\"per_request_limits\":null,\"supported_parameters\":["
		"\"max_tokens\",\"temperature\",\"tool_choice\",\"tools\","
		"\"top_p\"]}",
		context, i % 3 ? "null" : "16384", i % 2 ? "false" : "true");
}

/* Write `models` of them, the last one padded. */
static bool
write_catalogue(struct made *m, unsigned models, size_t padding)
{
	char origin[64];
	uint64_t random = hash(m->path, strlen(m->path));
	FILE *f = open_memstream(&m->catalogue.body, &m->catalogue.body_len);

	if (f == NULL)
		return (false);
	origin_of(m->path, origin, sizeof(origin));
	fputs("{\"data\":[", f);
	for (unsigned i = 0; i < models; i++) {
		if (i > 0)
			fputc(',', f);
		write_model(f, origin, m, i, &random,
			    i + 1 == models ? padding : 0);
	}
	fputs("]}", f);
	return (fclose(f) == 0);
}

/* As many models as fit into `m->bytes`, and padding for what is left. */
static bool
write_to_size(struct made *m)
{
	unsigned models = (unsigned)(m->bytes / 2200);

	if (!write_catalogue(m, models, 0))
		return (false);
	if (m->catalogue.body_len > m->bytes) {
		/* Smaller than a model: an empty list will have to do. */
		return (true);
	}
	if (models > 0) {
		size_t padding = m->bytes - m->catalogue.body_len;

		free(m->catalogue.body);
		m->catalogue.body = NULL;
		return (write_catalogue(m, models, padding));
	}
	return (true);
}

/* Validators and the compressed form. */
static bool
finish(struct catalogue *c)
{
	z_stream z = { 0 };
	uint64_t h = hash(c->body, c->body_len);

	snprintf(c->etag, sizeof(c->etag), "\"%016" PRIx64 "\"", h);
	snprintf(c->etag_gzip, sizeof(c->etag_gzip), "\"%016" PRIx64 "-gz\"",
		 h);
	if (deflateInit2(&z, 5, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return (false);
	c->gzip_len = deflateBound(&z, c->body_len);
	c->gzip = malloc(c->gzip_len);
	if (c->gzip != NULL) {
		z.next_in = (Bytef *)c->body;
		z.avail_in = (uInt)c->body_len;
		z.next_out = (Bytef *)c->gzip;
		z.avail_out = (uInt)c->gzip_len;
		deflate(&z, Z_FINISH);
		c->gzip_len = z.total_out;
	}
	deflateEnd(&z);
	return (c->gzip != NULL);
}

struct catalogue *
catalogue_ref(struct catalogue *c)
{
	atomic_fetch_add(&((struct made *)c)->references, 1);
	return (c);
}

void
catalogue_unref(struct catalogue *c)
{
	struct made *m = (struct made *)c;

	if (m == NULL || atomic_fetch_sub(&m->references, 1) != 1)
		return;
	free(m->catalogue.body);
	free(m->catalogue.gzip);
	free(m->path);
	free(m);
}

static struct made *
recall(const struct catalogue_wish *wish)
{
	struct made *found = NULL;

	pthread_mutex_lock(&remembered_lock);
	for (unsigned i = 0; i < REMEMBERED && found == NULL; i++) {
		struct made *m = remembered[i];

		if (m != NULL && m->version == wish->version &&
		    m->models == wish->models && m->bytes == wish->bytes &&
		    strcmp(m->path, wish->path) == 0)
			found = m;
	}
	if (found != NULL)
		catalogue_ref(&found->catalogue);
	pthread_mutex_unlock(&remembered_lock);
	return (found);
}

static void
remember(struct made *m)
{
	struct made *old;

	catalogue_ref(&m->catalogue);
	pthread_mutex_lock(&remembered_lock);
	old = remembered[next_place];
	remembered[next_place] = m;
	next_place = (next_place + 1) % REMEMBERED;
	pthread_mutex_unlock(&remembered_lock);
	if (old != NULL)
		catalogue_unref(&old->catalogue);
}

struct catalogue *
catalogue_make(const struct catalogue_wish *wish)
{
	struct made *m = recall(wish);
	bool made;

	if (m != NULL)
		return (&m->catalogue);
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return (NULL);
	atomic_init(&m->references, 1);
	m->version = wish->version;
	m->models = wish->models;
	m->bytes = wish->bytes;
	m->path = strdup(wish->path);
	m->catalogue.modified =
		EPOCH_OF_VERSION_0 + 3600 * (time_t)wish->version;
	made = m->path != NULL &&
	       (m->bytes > 0 ? write_to_size(m)
			     : write_catalogue(m, m->models, 0)) &&
	       finish(&m->catalogue);
	if (!made) {
		catalogue_unref(&m->catalogue);
		return (NULL);
	}
	remember(m);
	return (&m->catalogue);
}

struct catalogue *
catalogue_of(char *body, size_t len, time_t modified)
{
	struct made *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		free(body);
		return (NULL);
	}
	atomic_init(&m->references, 1);
	m->catalogue.body = body;
	m->catalogue.body_len = len;
	m->catalogue.modified = modified;
	if (!finish(&m->catalogue)) {
		catalogue_unref(&m->catalogue);
		return (NULL);
	}
	return (&m->catalogue);
}
