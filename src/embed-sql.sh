#!/bin/sh
# SPDX-License-Identifier: MIT
#
# embed-sql.sh DIRECTORY OUTPUT: write the migrations DIRECTORY/NNNN_name.sql as a
# C source file, so that a binary carries the schema it needs.  OUTPUT is left
# alone when it would not change, so that nothing is compiled for nothing.
set -eu
export LC_ALL=C
directory=$1
output=$2
new=$output.$$ # make may run twice at once

trap 'rm -f "$new"' EXIT
{
	echo '/* Made by src/embed-sql.sh from the files in sql/. */'
	echo '#include "migrate.h"'
	for file in "$directory"/[0-9][0-9][0-9][0-9]_*.sql; do
		name=$(basename "$file" .sql)
		printf '\nstatic const unsigned char sql_%s[] = {\n' "$name"
		od -An -v -tx1 "$file" | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'
		echo '};'
	done
	printf '\nconst struct migration migrate_embedded[] = {\n'
	for file in "$directory"/[0-9][0-9][0-9][0-9]_*.sql; do
		name=$(basename "$file" .sql)
		version=$(echo "$name" | sed 's/^0*\([0-9][0-9]*\)_.*$/\1/')
		printf '\t{ %s, "%s", sql_%s, sizeof(sql_%s) },\n' \
			"$version" "$name" "$name" "$name"
	done
	echo '};'
	printf 'const unsigned migrate_embedded_count =\n'
	printf '\tsizeof(migrate_embedded) / sizeof(migrate_embedded[0]);\n'
} >"$new"
cmp -s "$new" "$output" || mv -f "$new" "$output"
