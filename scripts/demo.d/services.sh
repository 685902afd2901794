# shellcheck shell=bash
# What runs beside the demo's cluster: the exporter and the Salesforce double.
# Source it after test/lib/cluster.sh, in the repository's root.
#
# Each runs as the cluster's user with the demo's directory as its working
# directory, by which it is recognized before it is stopped.
#
#   start_exporter DIR, start_upstream DIR
#   service_url DIR exporter|upstream
#   control DIR METHOD PATH            the double's control API, body from stdin
#   create_org DIR NAME                an org with NAME's limits; its credentials go to DIR/NAME.org
#   services_stop DIR                  stop everything, remove the directory
#   services_stop_directory DIR        the same for a directory that a person names

# Starts COMMAND in the background; its process id goes to DIR/NAME.pid.
start_service() {
	local dir=$1 name=$2
	shift 2
	# It outlives the terminal when it is to be kept.
	(
		trap '' HUP
		# shellcheck disable=SC2016
		cluster_as_user setsid sh -c 'cd "$1" && echo $$ >"$2.pid" && shift 2 && exec "$@"' sh "$dir" "$name" "$@"
	) </dev/null >"$dir/$name.log" 2>&1 9>&- &
	disown
}

service_pid() {
	local pid
	pid=$(cat "$1/$2.pid" 2>/dev/null) && [ "$(readlink "/proc/$pid/cwd")" = "$1" ] && echo "$pid"
}

stop_service() {
	local pid
	pid=$(service_pid "$1" "$2") || return 0
	kill -s TERM "$pid" 2>/dev/null
	timeout 10 tail -s 0.05 --pid="$pid" -f /dev/null || kill -s KILL "$pid" 2>/dev/null
}

service_url() {
	case $2 in
		exporter) printf 'http://127.0.0.1:%s/metrics\n' "$(cat "$1/exporter.port")" ;;
		upstream) printf 'http://127.0.0.1:%s\n' "$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$1/upstream.state")" ;;
	esac
}

answers() {
	python3 - "$1" 2>/dev/null <<'END'
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5).read(1)
END
}

# Another process may take the port first: then there is another one.
start_exporter() {
	local dir=$1 port
	for _ in 1 2 3; do
		port=$(cluster_free_port) || return 1
		rm -f "$dir/exporter.pid"
		echo "$port" >"$dir/exporter.port"
		start_service "$dir" exporter prometheus-node-exporter --web.listen-address="127.0.0.1:$port"
		for _ in $(seq 100); do
			if service_pid "$dir" exporter >/dev/null && answers "$(service_url "$dir" exporter)"; then
				return 0
			fi
			if [ -s "$dir/exporter.pid" ] && ! service_pid "$dir" exporter >/dev/null; then
				break
			fi
			sleep 0.1
		done
	done
	return 1
}

start_upstream() {
	local dir=$1
	# The checkout may lie where the cluster's user cannot read.
	tar -C test --exclude=__pycache__ -cf - upstream | tar -C "$dir" -xf - --no-same-owner || return 1
	chmod -R a+rX "$dir/upstream"
	start_service "$dir" upstream python3 "$dir/upstream/upstream" --state "$dir/upstream.state" \
		--host 127.0.0.1 --latency-ms 20 --quiet --outlive-parent
	for _ in $(seq 100); do
		[ -s "$dir/upstream.state" ] && return 0
		if [ -s "$dir/upstream.pid" ] && ! service_pid "$dir" upstream >/dev/null; then
			return 1
		fi
		sleep 0.1
	done
	return 1
}

control() {
	local dir=$1
	shift
	python3 "scripts/demo.d/control" "$(service_url "$dir" upstream)" "$@"
}

create_org() {
	(umask 077 && control "$1" POST orgs <"scripts/demo.d/salesforce-$2.json" >"$1/$2.org")
}

services_stop() {
	stop_service "$1" exporter
	stop_service "$1" upstream
	cluster_destroy "$1"
}

services_stop_directory() {
	local dir=${1%/}
	if [ ! -f "$dir/demo" ] || [ ! -d "$dir/data" ]; then
		printf 'demo: %s is no directory of a demo that was kept\n' "$dir" >&2
		return 1
	fi
	services_stop "$dir" && printf 'Stopped and removed %s.\n' "$dir"
}
