/* SPDX-License-Identifier: MIT */
#include "../records.h"
#include "base/alloc.h"
#include "base/random.h"
#include "web/fastcgi.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_LIMIT 100000
#define BEGIN(id, role, flags) "\1\1\0" id "\0\10\0\0\0" role flags "\0\0\0\0\0"

/* What a stream of records has brought, as text to compare. */
struct heard {
	struct buf text;
	struct buf reply;
};

static void
heard_fini(struct heard *h)
{
	buf_fini(&h->text);
	buf_fini(&h->reply);
}

static void
hear_request(struct heard *h, const struct fastcgi_reader *r)
{
	buf_printf(&h->text, "request %u keep=%d params=", r->id,
		   r->keep_connection);
	buf_hex(&h->text, r->whole_params);
	buf_printf(&h->text, " (%s) body=", result_text(r->params.error));
	buf_hex(&h->text, buf_bytes(&r->body));
	buf_printf(&h->text, " (%s)\n", result_text(r->body.error));
}

/* Feed all that `input` holds; false once it is broken. */
static bool
feed(struct heard *h, struct fastcgi_reader *r, struct bytes *input)
{
	for (;;) {
		switch (fastcgi_feed(r, input, BODY_LIMIT, &h->reply)) {
		case FASTCGI_MORE:
			return (true);
		case FASTCGI_REQUEST:
			hear_request(h, r);
			fastcgi_reader_reset(r);
			break;
		case FASTCGI_ABORT:
			buf_str(&h->text, "abort\n");
			fastcgi_reader_reset(r);
			break;
		case FASTCGI_REPLY:
			buf_str(&h->text, "reply\n");
			break;
		case FASTCGI_BROKEN:
			buf_str(&h->text, "broken\n");
			return (false);
		}
	}
}

/* Feed `stream` in pieces of the sizes that `piece` gives, each from memory of its
 * own, as large as it is and no larger. */
static void
feed_in_pieces(struct heard *h, struct bytes stream,
	       size_t (*piece)(size_t left))
{
	struct fastcgi_reader r = { 0 };
	struct buf rest = { 0 };
	bool whole = true;

	while (stream.len > 0 && whole) {
		size_t n = piece(stream.len);
		struct bytes input;
		char *copy;

		buf_add(&rest, (struct bytes){ stream.at, n });
		stream = bytes_from(stream, n);
		copy = malloc(rest.len);
		memcpy(copy, rest.at, rest.len);
		input = (struct bytes){ copy, rest.len };
		whole = feed(h, &r, &input);
		buf_clear(&rest);
		buf_add(&rest, input);
		free(copy);
	}
	buf_fini(&rest);
	fastcgi_reader_fini(&r);
}

static size_t
all_at_once(size_t left)
{
	return (left);
}

static size_t
byte_by_byte(size_t left)
{
	(void)left;
	return (1);
}

static size_t
by_chance(size_t left)
{
	size_t most = (size_t)1 << rand() % 14, n = 1 + (size_t)rand() % most;

	return (n < left ? n : left);
}

static void
check_same(struct bytes stream, size_t (*piece)(size_t))
{
	struct heard whole = { 0 }, parts = { 0 };

	feed_in_pieces(&whole, stream, all_at_once);
	feed_in_pieces(&parts, stream, piece);
	ck_assert(bytes_equal(buf_bytes(&whole.text), buf_bytes(&parts.text)));
	ck_assert(
		bytes_equal(buf_bytes(&whole.reply), buf_bytes(&parts.reply)));
	heard_fini(&whole);
	heard_fini(&parts);
}

static void
check_heard(struct bytes stream, const char *text)
{
	struct heard h = { 0 };

	feed_in_pieces(&h, stream, all_at_once);
	ck_assert_str_eq(h.text.len > 0 ? h.text.at : "", text);
	heard_fini(&h);
	check_same(stream, byte_by_byte);
}

START_TEST(request_in_one_piece_is_not_copied)
{
	struct fastcgi_reader r = { 0 };
	struct buf stream = { 0 }, reply = { 0 };
	struct bytes input;

	records_request(&stream, 1, RECORDS_KEEP, "/a", BYTES_NONE);
	buf_str(&stream, "next");
	input = buf_bytes(&stream);
	mem_fail_after(1);
	ck_assert_int_eq(fastcgi_feed(&r, &input, 0, &reply), FASTCGI_REQUEST);
	mem_fail_after(0);
	ck_assert(r.keep_connection);
	ck_assert(r.whole_params.at > stream.at &&
		  r.whole_params.at < stream.at + stream.len);
	ck_assert(bytes_equal(input, BYTES("next")));
	fastcgi_reader_fini(&r);
	buf_fini(&stream);
}
END_TEST

START_TEST(records_in_single_bytes_give_the_same_request)
{
	struct buf stream = { 0 };

	records_begin(&stream, 258, RECORDS_RESPONDER, RECORDS_CLOSE);
	records_stream(&stream, RECORDS_PARAMS, 258, BYTES("\1\2abc\1\0d"), 3);
	records_stream(&stream, RECORDS_STDIN, 258, BYTES("body"), 3);
	check_heard(buf_bytes(&stream),
		    "request 258 keep=0 params=0102616263010064 (ok) "
		    "body=626f6479 (ok)\n");
	buf_fini(&stream);
}
END_TEST

static void
add_random_record(struct buf *to, unsigned id)
{
	char junk[300];
	struct bytes content = { junk, (size_t)rand() % sizeof(junk) };

	for (size_t i = 0; i < content.len; i++)
		junk[i] = (char)rand();
	switch (rand() % 8) {
	case 0:
		records_add(to, RECORDS_GET_VALUES, 0,
			    BYTES("\17\0FCGI_MPXS_CONNS"), 0);
		break;
	case 1:
		records_add(to, 12 + (unsigned)rand() % 200, 0, content, 3);
		break;
	case 2: /* another's */
		records_add(to, RECORDS_STDIN, id + 1, content, 0);
		break;
	case 3:
		records_begin(to, id + 1, RECORDS_RESPONDER, RECORDS_KEEP);
		break;
	case 4:
		records_add(to, RECORDS_DATA, id, content, 255);
		break;
	case 5:
		records_begin(to, id, 2 + (unsigned)rand() % 3, 0);
		break;
	default:
		break;
	}
}

static void
add_random_request(struct buf *to)
{
	static char noise[200000];
	const unsigned id = 1 + (unsigned)rand() % 65535;
	size_t params = (size_t)rand() % (rand() % 8 ? 500 : 70000),
	       body = (size_t)rand() % (rand() % 8 ? 500 : 150000);

	for (size_t i = 0; i < sizeof(noise); i += 97)
		noise[i] = (char)rand();
	add_random_record(to, id);
	records_begin(to, id, RECORDS_RESPONDER, (unsigned)rand() % 2);
	records_stream(to, RECORDS_PARAMS, id, (struct bytes){ noise, params },
		       1 + (size_t)rand() % 65535);
	if (rand() % 8 == 0) {
		records_add(to, RECORDS_ABORT, id, BYTES_NONE, 0);
		return;
	}
	add_random_record(to, id ^ 1);
	records_stream(to, RECORDS_STDIN, id, (struct bytes){ noise, body },
		       1 + (size_t)rand() % 65535);
}

START_TEST(random_streams_mean_the_same_however_they_are_split)
{
	const char *given = getenv("TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10)
			      : (unsigned)random_cheap();

	printf("TEST_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 60; i++) {
		struct buf stream = { 0 };

		for (int n = rand() % 6; n >= 0; n--)
			add_random_request(&stream);
		if (rand() % 4 == 0) /* break it somewhere */
			stream.at[(size_t)rand() % stream.len] ^= 1;
		check_same(buf_bytes(&stream), by_chance);
		buf_fini(&stream);
	}
}
END_TEST

static const struct {
	struct bytes stream;
	const char *heard;
} malformed[] = {
	{ BYTES_INIT("\2"), "broken\n" },
	{ BYTES_INIT("GET / HTTP/1.1\r\n\r\n"), "broken\n" },
	{ BYTES_INIT("\1\0\0\1\0\0\0\0"), "broken\n" }, /* type 0 */
	{ BYTES_INIT("\1\1\0\1\0\7\0\0\0\1\0\0\0\0\0"),
	  "broken\n" },					     /* short BEGIN */
	{ BYTES_INIT("\1\1\0\1\0\0\0\0"), "broken\n" },	     /* empty BEGIN */
	{ BYTES_INIT(BEGIN("\0", "\1", "\1")), "broken\n" }, /* of request 0 */
	{ BYTES_INIT("\1\4\0\0\0\0\0\0"), "broken\n" },
	{ BYTES_INIT(BEGIN("\1", "\1", "\1") BEGIN("\1", "\1", "\1")),
	  "broken\n" },
	{ BYTES_INIT(
		  BEGIN("\1", "\1", "\1") "\1\4\0\1\0\0\0\0\1\4\0\1\0\0\0\0"),
	  "broken\n" }, /* PARAMS twice at their end */
	{ BYTES_INIT(
		  BEGIN("\1", "\1", "\1") "\1\5\0\1\0\0\0\0\1\5\0\1\0\0\0\0"),
	  "broken\n" },
	{ BYTES_INIT("\1\11\0\0\0\3\0\0\17\0F"),
	  "broken\n" }, /* GET_VALUES cut */
	{ BYTES_INIT("\1\11\0\0\0\3\0\0\17\0"), "" },
	{ BYTES_INIT("\1\5\0\1\0\3\0\0abc\1\2\0\1\0\0\0\0"),
	  "" }, /* of nobody */
	{ BYTES_INIT(BEGIN("\1", "\0", "\0")), "abort\n" },
	{ BYTES_INIT(
		  BEGIN("\1", "\2", "\0") "\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0"),
	  "abort\n" },
	{ BYTES_INIT(BEGIN("\1", "\1", "\0") "\1\2\0\1\0\0\0\0"), "abort\n" },
	{ BYTES_INIT(BEGIN("\1", "\1", "\0") "\1\2\0\2\0\0\0\0"), "" },
	{ BYTES_INIT(
		  BEGIN("\1", "\1", "\0") "\1\5\0\1\0\0\0\0\1\4\0\1\0\0\0\0"),
	  "request 1 keep=0 params= (ok) body= (ok)\n" },
};

START_TEST(hostile_records_are_refused_or_skipped)
{
	check_heard(malformed[_i].stream, malformed[_i].heard);
}
END_TEST

static void
check_reply(struct bytes stream, struct bytes reply)
{
	struct heard h = { 0 };

	feed_in_pieces(&h, stream, all_at_once);
	ck_assert_uint_eq(h.reply.len, reply.len);
	ck_assert_mem_eq(h.reply.at, reply.at, reply.len);
	heard_fini(&h);
}

START_TEST(another_role_is_declined)
{
	check_reply(BYTES(BEGIN("\5", "\3", "\1")),
		    BYTES("\1\3\0\5\0\10\0\0\0\0\0\0\3\0\0\0"));
}
END_TEST

START_TEST(second_request_on_a_busy_connection_is_declined)
{
	struct buf stream = { 0 };

	records_begin(&stream, 1, RECORDS_RESPONDER, RECORDS_KEEP);
	records_begin(&stream, 2, RECORDS_RESPONDER, RECORDS_CLOSE);
	records_stream(&stream, RECORDS_PARAMS, 2, BYTES("\1\1ab"), 9);
	records_stream(&stream, RECORDS_PARAMS, 1, BYTES("\1\1cd"), 9);
	records_stream(&stream, RECORDS_STDIN, 1, BYTES_NONE, 9);
	check_reply(buf_bytes(&stream),
		    BYTES("\1\3\0\2\0\10\0\0\0\0\0\0\1\0\0\0"));
	check_heard(buf_bytes(&stream),
		    "reply\n"
		    "request 1 keep=1 params=01016364 (ok) body= (ok)\n");
	buf_fini(&stream);
}
END_TEST

START_TEST(aborted_request_is_ended)
{
	check_reply(BYTES(BEGIN("\1", "\1", "\0") "\1\2\0\1\0\0\0\0"),
		    BYTES("\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0"));
}
END_TEST

START_TEST(values_are_told_once_each)
{
	struct buf stream = { 0 }, names = { 0 };

	for (int i = 0; i < 1000; i++) {
		records_pair(&names, "FCGI_MPXS_CONNS", BYTES_NONE);
		records_pair(&names, "FCGI_OTHER", BYTES_NONE);
	}
	records_add(&stream, RECORDS_GET_VALUES, 0, buf_bytes(&names), 7);
	check_reply(buf_bytes(&stream),
		    BYTES("\1\12\0\0\0\22\0\0\17\1FCGI_MPXS_CONNS0"));
	buf_fini(&names);
	buf_fini(&stream);
}
END_TEST

START_TEST(unknown_management_records_are_named)
{
	check_reply(BYTES("\1\77\0\0\0\1\1\0xp"),
		    BYTES("\1\13\0\0\0\10\0\0\77\0\0\0\0\0\0\0"));
}
END_TEST

static void
check_body(size_t length, enum result error)
{
	struct fastcgi_reader r = { 0 };
	struct buf stream = { 0 }, reply = { 0 };
	struct bytes input;
	char *body = calloc(1, length);

	records_request(&stream, 1, 0, "/", (struct bytes){ body, length });
	input = buf_bytes(&stream);
	ck_assert_int_eq(fastcgi_feed(&r, &input, BODY_LIMIT, &reply),
			 FASTCGI_REQUEST);
	ck_assert_int_eq(r.body.error, error);
	ck_assert_uint_eq(r.body.len, error == R_OK ? length : 0);
	ck_assert_uint_eq(input.len, 0);
	fastcgi_reader_fini(&r);
	buf_fini(&stream);
	free(body);
}

START_TEST(body_over_the_limit_is_dropped)
{
	check_body(BODY_LIMIT, R_OK);
	check_body(BODY_LIMIT + 1, R_TOO_LARGE);
	check_body(3 * BODY_LIMIT, R_TOO_LARGE);
}
END_TEST

static void
check_params(size_t length, enum result error)
{
	struct fastcgi_reader r = { 0 };
	struct buf stream = { 0 }, reply = { 0 };
	struct bytes input;
	char *params = calloc(1, length);

	records_begin(&stream, 1, RECORDS_RESPONDER, 0);
	records_stream(&stream, RECORDS_PARAMS, 1,
		       (struct bytes){ params, length }, 65535);
	records_stream(&stream, RECORDS_STDIN, 1, BYTES_NONE, 1);
	input = buf_bytes(&stream);
	ck_assert_int_eq(fastcgi_feed(&r, &input, 0, &reply), FASTCGI_REQUEST);
	ck_assert_int_eq(r.params.error, error);
	ck_assert_uint_eq(r.whole_params.len, error == R_OK ? length : 0);
	fastcgi_reader_fini(&r);
	buf_fini(&stream);
	free(params);
}

START_TEST(params_over_the_limit_are_dropped)
{
	check_params(65535, R_OK);
	check_params(FASTCGI_PARAMS_MAX, R_OK);
	check_params(FASTCGI_PARAMS_MAX + 1, R_TOO_LARGE);
	check_params(5 * FASTCGI_PARAMS_MAX, R_TOO_LARGE);
}
END_TEST

START_TEST(no_memory_is_told_with_the_request)
{
	struct buf stream = { 0 };

	records_begin(&stream, 1, RECORDS_RESPONDER, 0);
	records_stream(&stream, RECORDS_PARAMS, 1, BYTES("\1\1ab\1\1cd"), 4);
	records_stream(&stream, RECORDS_STDIN, 1, BYTES("body"), 1);
	for (unsigned n = 1;; n++) {
		struct fastcgi_reader r = { 0 };
		struct buf reply = { 0 };
		struct bytes input = buf_bytes(&stream);
		bool failed;

		mem_fail_after(n);
		ck_assert_int_eq(fastcgi_feed(&r, &input, 9, &reply),
				 FASTCGI_REQUEST);
		mem_fail_after(0);
		failed = r.params.error != R_OK || r.body.error != R_OK;
		fastcgi_reader_fini(&r);
		if (!failed) {
			ck_assert_uint_gt(n, 2);
			break;
		}
	}
	buf_fini(&stream);
}
END_TEST

static const struct {
	struct bytes stream;
	int pairs; /* then the end, or something malformed */
	bool whole;
} param_streams[] = {
	{ BYTES_INIT(""), 0, true },
	{ BYTES_INIT("\0\0"), 1, true },
	{ BYTES_INIT("\1\1ab\200\0\0\1\200\0\0\2xyz"), 2, true },
	{ BYTES_INIT("\1"), 0, false },
	{ BYTES_INIT("\1\1a"), 0, false },
	{ BYTES_INIT("\1\1ab\2\0a"), 1, false },
	{ BYTES_INIT("\200\0\0"), 0, false },
	{ BYTES_INIT("\0\377\377\377\377"), 0, false },
	{ BYTES_INIT("\377\377\377\377\377\377\377\377abc"), 0, false },
	{ BYTES_INIT("\200\0\0\1\0"), 0, false },
};

START_TEST(params_stop_at_what_is_malformed)
{
	struct bytes rest = param_streams[_i].stream, name, value;
	int pairs = 0;

	while (fastcgi_next_param(&rest, &name, &value))
		pairs++;
	ck_assert_int_eq(pairs, param_streams[_i].pairs);
	ck_assert(param_streams[_i].whole == (rest.len == 0));
}
END_TEST

/* Write `w` with sendmsg()s that take at most `most` bytes of `max` pieces. */
static struct buf
write_all(struct fastcgi_writer w, unsigned max, size_t most)
{
	static struct fastcgi_scratch scratch;
	struct iovec iov[512];
	struct buf out = { 0 };
	unsigned n;

	while ((n = fastcgi_fill(&w, &scratch, iov, max)) > 0) {
		size_t left = most;

		for (unsigned i = 0; i < n && left > 0; i++) {
			size_t take = iov[i].iov_len < left ? iov[i].iov_len
							    : left;

			ck_assert_uint_gt(iov[i].iov_len, 0);
			buf_add(&out, (struct bytes){ iov[i].iov_base, take });
			left -= take;
			w.sent += take;
		}
	}
	ck_assert_uint_eq(w.sent, fastcgi_stream_bytes(&w));
	ck_assert_uint_eq(out.len, w.sent);
	return (out);
}

/* The STDOUT stream that `out` carries; it must end as the protocol has it. */
static struct buf
unwrap(struct bytes out)
{
	struct buf payload = { 0 };
	const unsigned char *at;
	size_t length;

	for (;;) {
		ck_assert_uint_ge(out.len, 8);
		at = (const unsigned char *)out.at;
		length = (size_t)at[4] << 8 | at[5];
		ck_assert_uint_ge(out.len, 8 + length);
		ck_assert_mem_eq(at, "\1\6\1\2", 4);
		ck_assert_mem_eq(at + 6, "\0\0", 2);
		buf_add(&payload, (struct bytes){ out.at + 8, length });
		out = bytes_from(out, 8 + length);
		if (length == 0)
			break;
	}
	ck_assert(bytes_equal(out, BYTES("\1\3\1\2\0\10\0\0\0\0\0\0\0\0\0\0")));
	return (payload);
}

static const struct {
	size_t head, body;
} answers[] = {
	{ 0, 0 },	  { 1, 0 },	      { 0, 1 },		 { 100, 2048 },
	{ 100, 65428 },	  { 100, 65429 },     { 65528, 0 },	 { 65528, 1 },
	{ 65529, 65527 }, { 200000, 300000 }, { 300, 20 << 20 },
};

START_TEST(answer_comes_out_whole_however_the_socket_takes_it)
{
	static const struct {
		unsigned max;
		size_t most;
	} ways[] = { { 512, SIZE_MAX }, { 4, SIZE_MAX }, { 5, 65537 },
		     { 512, 1000003 },	{ 7, 65536 },	 { 512, 7 } };
	size_t size = answers[_i].head + answers[_i].body;
	char *bytes = malloc(size + 1);
	struct fastcgi_writer w = { .head = { bytes, answers[_i].head },
				    .body = { bytes + answers[_i].head,
					      answers[_i].body },
				    .id = 258 };

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	for (int i = 0; i < 6; i++) {
		struct buf out, payload;

		if (ways[i].most == 7 && size > 1000000)
			continue;
		out = write_all(w, ways[i].max, ways[i].most);
		payload = unwrap(buf_bytes(&out));
		ck_assert_uint_eq(payload.len, size);
		if (size > 0)
			ck_assert_mem_eq(payload.at, bytes, size);
		buf_fini(&payload);
		buf_fini(&out);
	}
	free(bytes);
}
END_TEST

START_TEST(small_answer_is_four_pieces)
{
	static struct fastcgi_scratch scratch;
	struct iovec iov[512];
	const struct fastcgi_writer w = { .head = BYTES("Status: 200\r\n\r\n"),
					  .body = BYTES("{}"),
					  .id = 1 };

	ck_assert_uint_eq(fastcgi_fill(&w, &scratch, iov, 512), 4);
	ck_assert_ptr_eq(iov[1].iov_base, w.head.at);
	ck_assert_ptr_eq(iov[2].iov_base, w.body.at);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *suite_fastcgi(void);

Suite *
suite_fastcgi(void)
{
	Suite *s = suite_create("fastcgi");
	TCase *reading = tcase_create("reading"),
	      *writing = tcase_create("writing");

	tcase_set_timeout(reading, 60);
	tcase_add_test(reading, request_in_one_piece_is_not_copied);
	tcase_add_test(reading, records_in_single_bytes_give_the_same_request);
	tcase_add_test(reading,
		       random_streams_mean_the_same_however_they_are_split);
	tcase_add_loop_test(reading, hostile_records_are_refused_or_skipped, 0,
			    COUNT(malformed));
	tcase_add_test(reading, another_role_is_declined);
	tcase_add_test(reading,
		       second_request_on_a_busy_connection_is_declined);
	tcase_add_test(reading, aborted_request_is_ended);
	tcase_add_test(reading, values_are_told_once_each);
	tcase_add_test(reading, unknown_management_records_are_named);
	tcase_add_test(reading, body_over_the_limit_is_dropped);
	tcase_add_test(reading, params_over_the_limit_are_dropped);
	tcase_add_test(reading, no_memory_is_told_with_the_request);
	tcase_add_loop_test(reading, params_stop_at_what_is_malformed, 0,
			    COUNT(param_streams));
	suite_add_tcase(s, reading);
	tcase_set_timeout(writing, 60);
	tcase_add_loop_test(writing,
			    answer_comes_out_whole_however_the_socket_takes_it,
			    0, COUNT(answers));
	tcase_add_test(writing, small_answer_is_four_pieces);
	suite_add_tcase(s, writing);
	return (s);
}
