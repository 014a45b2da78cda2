/* SPDX-License-Identifier: MIT */
#include "glob.h"

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

void
glob_add_scope(struct buf *to, struct bytes glob)
{
	size_t i, end = 0; /* of the parts before the first wildcard */

	for (i = 0; i < glob.len; i++) {
		if (strchr("*?\\", glob.at[i]) != NULL)
			break;
		if (glob.at[i] == ':')
			end = i + 1;
	}
	if (i == glob.len)
		end = i;
	buf_add(to, (struct bytes){ glob.at, end });
	if (i < glob.len)
		buf_char(to, '*');
}
