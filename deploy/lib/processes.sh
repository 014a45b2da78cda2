# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # names of the script that reads this
#
# processes: start daemons, remember them in the file $pids, and end those and no
# others.  A line there is: name, pid, and the time the process was started at,
# which together with the pid no other process has.

# Field 22 of /proc/PID/stat; nothing for what has ended, waited for or not.  A
# zombie with threads (field 20) has not: they still hold its sockets.
# The program's name may hold blanks and parentheses: read behind it.
started_at() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	case $1 in
	Z | X) [ "${18}" -gt 1 ] || return 1 ;;
	esac
	printf '%s\n' "${20}"
}

note_process() { # NAME PID
	local since
	since=$(started_at "$2") || return 1
	printf '%s %s %s\n' "$1" "$2" "$since" >>"$pids"
}

is_alive() { # PID SINCE
	[ "$(started_at "$1")" = "$2" ]
}

# The pids of NAME that are alive, separated by spaces.
pids_of() { # NAME
	local name pid since found=()
	[ -e "$pids" ] || return 0
	while read -r name pid since; do
		[ "$name" = "$1" ] && is_alive "$pid" "$since" && found+=("$pid")
	done <"$pids"
	printf '%s' "${found[*]}"
}

# The names noted that have no living process.
ended_processes() {
	local name pid since
	while read -r name pid since; do
		is_alive "$pid" "$since" || printf '%s\n' "$name"
	done <"$pids" | sort -u
}

# `as USER COMMAND...`: as that user if we are root, which an empty USER leaves.
as() {
	local user=$1
	shift
	if [ -z "$user" ]; then "$@"; else
		setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" \
			--init-groups -- "$@"
	fi
}

# Start a command that stays in the foreground, in a session of its own, and note
# it; what it says goes to $state/log/NAME.log.  Sets $daemon_pid.
daemon() { # NAME USER COMMAND...
	local name=$1 user=$2
	shift 2
	local as=()
	[ -z "$user" ] || as=(setpriv --reuid="$(id -u "$user")"
		--regid="$(id -g "$user")" --init-groups --)
	(cd / && exec setsid "${as[@]}" "$@") \
		</dev/null >>"$state/log/$name.log" 2>&1 9<&- &
	daemon_pid=$!
	note_process "$name" "$daemon_pid"
}

# Until COMMAND succeeds; fails when $watched (a pid, or empty) ends or time is up.
await() { # SECONDS COMMAND...
	local limit=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ -z "${watched:-}" ] || started_at "$watched" >/dev/null || return 1
		[ "$SECONDS" -lt "$limit" ] || return 1
		sleep 0.05
	done
}

# Forget all processes of NAME.
forget() {
	local rest
	rest=$(grep -v "^$1 " "$pids")
	printf '%s' "${rest:+$rest
}" >"$pids"
}

none_alive() { # NAME
	[ -z "$(pids_of "$1")" ]
}

# End all of NAME: the signal, and after 10 s SIGKILL.  A stopped process gets its
# signal only when it goes on.  A killed leader's children are in its group, whose
# number no new process gets while they live.
end_processes() { # NAME SIGNAL
	local name pid since watched=''
	[ -e "$pids" ] || return 0
	while read -r name pid since; do
		[ "$name" = "$1" ] || continue
		if is_alive "$pid" "$since"; then
			kill -s "$2" "$pid" && kill -s CONT "$pid"
		elif ! started_at "$pid" >/dev/null; then
			kill -s KILL -- "-$pid"
		fi 2>/dev/null
	done <"$pids"
	if ! await 10 none_alive "$1"; then
		# shellcheck disable=SC2046
		kill -s KILL $(pids_of "$1") 2>/dev/null
		if ! await 10 none_alive "$1"; then
			echo "could not end $1: $(pids_of "$1")" >&2
			return 1
		fi
	fi
	forget "$1"
}
