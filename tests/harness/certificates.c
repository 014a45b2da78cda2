/* SPDX-License-Identifier: MIT */
#include "certificates.h"

#include "harness.h"

static void
openssl(const char *directory, const char *const *argv)
{
	struct process_result r = process_run(&(struct process_options){
		.argv = argv,
		.directory = directory,
	});

	ck_assert_msg(r.status == 0, "openssl: %s", r.err);
}

#define OPENSSL(directory, ...) \
	openssl(directory,      \
		(const char *const[]){ "openssl", __VA_ARGS__, NULL })

const char *
certificates_new(void)
{
	const char *directory = scratch_directory("tls");

	OPENSSL(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes",
		"-subj", "/CN=test authority", "-days", "10", "-keyout",
		"ca.key", "-out", "ca.crt");
	return (directory);
}

void
certificates_add(const char *directory, const char *name,
		 const char *alternative, const char *days)
{
	char *extensions = scratch_printf("%s/%s.ext", directory, name);
	char *request = scratch_printf("%s.csr", name);

	scratch_write(extensions,
		      scratch_printf("subjectAltName=%s\n", alternative));
	OPENSSL(directory, "req", "-newkey", "rsa:2048", "-nodes", "-subj",
		"/CN=test", "-keyout", scratch_printf("%s.key", name), "-out",
		request);
	OPENSSL(directory, "x509", "-req", "-in", request, "-CA", "ca.crt",
		"-CAkey", "ca.key", "-CAcreateserial", "-days", days,
		"-extfile", extensions, "-out", scratch_printf("%s.crt", name));
}
