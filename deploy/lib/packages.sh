# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# packages: install what a list of Debian packages names and the machine lacks,
# without starting any service.
#
#	install_missing LIST LOG	0, or 1 with the reason on stderr
#	packages_cleanup		from an EXIT trap: no policy of ours stays

policy=/usr/sbin/policy-rc.d
policy_is_ours=no

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

packages_cleanup() {
	[ "$policy_is_ours" = no ] || as_root rm -f "$policy"
	policy_is_ours=no
}

missing_packages() {
	local name
	while read -r name; do
		case $name in '' | '#'*) continue ;; esac
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
			printf '%s\n' "$name"
	done <"$1"
}

install_missing() {
	local list=$1 log=$2 missing service
	if ! command -v dpkg-query >/dev/null; then
		echo "not a Debian: what $list names must be there already" >&2
		return 0
	fi
	mapfile -t missing < <(missing_packages "$list")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		echo "neither root nor sudo; as root: apt-get install ${missing[*]}" >&2
		return 1
	fi

	echo "installing ${missing[*]}"
	if [ ! -e "$policy" ]; then
		policy_is_ours=yes
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null &&
			as_root chmod 755 "$policy" || return 1
	fi
	# A list that cannot be refreshed may still do; the install decides.
	as_root timeout 300 apt-get -q update </dev/null >>"$log" 2>&1
	if ! as_root timeout 1800 env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=300 --no-install-recommends \
		install "${missing[@]}" </dev/null >>"$log" 2>&1; then
		tail -n 15 "$log" >&2
		echo "apt-get could not install ${missing[*]}" >&2
		packages_cleanup
		return 1
	fi
	packages_cleanup

	# What came with a service of its own shall not start at the next boot.
	if command -v systemctl >/dev/null; then
		for service in nginx redis-server postgresql; do
			case " ${missing[*]}" in
			*" $service"*) as_root systemctl disable "$service" >>"$log" 2>&1 ;;
			esac
		done
	fi
	return 0
}
