/* SPDX-License-Identifier: MIT */
#include "result.h"

#include <errno.h>

static const char *const texts[R_COUNT_] = {
	[R_OK] = "ok",
	[R_NOT_FOUND] = "not found",
	[R_UNCHANGED] = "unchanged",
	[R_INVALID] = "invalid",
	[R_FORBIDDEN] = "forbidden",
	[R_CONFLICT] = "conflict",
	[R_TOO_LARGE] = "too large",
	[R_TIMEOUT] = "timeout",
	[R_UNAVAILABLE] = "unavailable",
	[R_BUSY] = "busy",
	[R_BAD_ANSWER] = "bad answer",
	[R_NO_MEMORY] = "no memory",
	[R_INTERNAL] = "internal",
};

const char *
result_text(enum result r)
{
	if ((unsigned)r >= R_COUNT_)
		return ("unknown");
	return (texts[r]);
}

enum result
result_of_errno(int error)
{
	switch (error) {
	case 0:
		return (R_OK);
	case ENOENT:
	case ENOTDIR:
		return (R_NOT_FOUND);
	case EINVAL:
	case ENAMETOOLONG:
	case EILSEQ:
		return (R_INVALID);
	case EACCES:
	case EPERM:
	case EROFS:
		return (R_FORBIDDEN);
	case EEXIST:
	case EADDRINUSE:
		return (R_CONFLICT);
	case EFBIG:
	case EMSGSIZE:
	case E2BIG:
		return (R_TOO_LARGE);
	case ETIMEDOUT:
		return (R_TIMEOUT);
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case ENOTCONN:
		return (R_UNAVAILABLE);
	case EAGAIN:
	case EBUSY:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOSPC:
	case EDQUOT:
		return (R_BUSY);
	case ENOMEM:
		return (R_NO_MEMORY);
	default:
		return (R_INTERNAL);
	}
}
