/* SPDX-License-Identifier: MIT */
#include "glob.h"

#include "scope.h"

#include <string.h>

void
glob_add_like(struct buf *to, struct bytes glob)
{
	size_t i;

	for (i = 0; i < glob.len; i++) {
		if (glob.at[i] == '\\' && i + 1 < glob.len)
			i++;
		else if (glob.at[i] == '*' || glob.at[i] == '?') {
			buf_char(to, glob.at[i] == '*' ? '%' : '_');
			continue;
		}
		if (strchr("%_\\", glob.at[i]) != NULL)
			buf_char(to, '\\');
		buf_char(to, glob.at[i]);
	}
}

bool
glob_is_scope(struct bytes glob)
{
	struct bytes front = scope_is_prefix(glob) ? scope_prefix(glob) : glob;
	size_t i;

	for (i = 0; i < front.len; i++)
		if (strchr("*?\\", front.at[i]) != NULL)
			return (false);
	return (true);
}
