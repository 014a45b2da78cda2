/* SPDX-License-Identifier: MIT */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

/*
 * certificates: a certificate authority of the test's own, by openssl(1).
 */

/* A new directory with ca.crt and ca.key. */
const char *certificates_new(void);

/* Add NAME.crt, signed by it, and NAME.key.  `alternative`: "DNS:localhost,IP:127.0.0.1";
 * `days`: until it expires, "-1" for one that has. */
void certificates_add(const char *directory, const char *name,
		      const char *alternative, const char *days);

#endif
