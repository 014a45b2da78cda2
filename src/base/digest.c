/* SPDX-License-Identifier: MIT */
#include "digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>

/* Fetching an algorithm costs more than a short digest: once for the
 * process. */
static EVP_MD *md;
static EVP_MAC *mac;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void
fetch(void)
{
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

/* Without a digest no key is safe to use, and there is no answer to give. */
static void
must(int ok)
{
	if (!ok)
		abort();
}

void
sha256(struct bytes data, unsigned char out[static SHA256_BYTES])
{
	(void)pthread_once(&fetched, fetch);
	must(md != NULL && EVP_Digest(data.len > 0 ? data.at : "", data.len,
				      out, NULL, md, NULL) == 1);
}

void
hmac_sha256(struct bytes secret, struct bytes data,
	    unsigned char out[static SHA256_BYTES])
{
	char name[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name,
						 0),
		OSSL_PARAM_construct_end(),
	};
	/* A NULL key would mean "the key of before". */
	const char *key = secret.len > 0 ? secret.at : "";
	EVP_MAC_CTX *context;
	size_t len = 0;

	(void)pthread_once(&fetched, fetch);
	must(mac != NULL);
	context = EVP_MAC_CTX_new(mac);
	must(context != NULL &&
	     EVP_MAC_init(context, (const unsigned char *)key, secret.len,
			  params) == 1 &&
	     EVP_MAC_update(context, (const unsigned char *)data.at,
			    data.len) == 1 &&
	     EVP_MAC_final(context, out, &len, SHA256_BYTES) == 1 &&
	     len == SHA256_BYTES);
	EVP_MAC_CTX_free(context);
}

bool
bytes_equal_constant_time(struct bytes given, struct bytes secret)
{
	bool as_long = given.len == secret.len;
	const char *other = as_long ? secret.at : given.at;

	return (CRYPTO_memcmp(given.at, other, given.len) == 0 && as_long);
}

void
hex_encode(struct bytes raw, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.at[i];

		*out++ = digits[c >> 4];
		*out++ = digits[c & 15];
	}
	*out = '\0';
}
