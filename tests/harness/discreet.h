/* SPDX-License-Identifier: MIT */
#ifndef DISCREET_H
#define DISCREET_H

/*
 * discreet: what no client may see of the inside, in whatever case it is written.
 */
enum discretion {
	REPORT,	 /* may name the tiers, not say where and how they are asked */
	REFUSAL, /* tells nothing of what there is inside */
};

/* What of the inside stands in a text; NULL: nothing. */
const char *discreet_leak(const char *text, enum discretion d);

#endif
