# shellcheck shell=bash
# A private PostgreSQL cluster in one directory, for the tests, the demo and
# the benchmarks.  Source it; it defines functions and starts nothing.
#
# The cluster runs as an unprivileged user: the caller, or "postgres" when the
# caller is root, because PostgreSQL refuses to run as root.  Its socket lies in
# the directory itself, which only that user (and root) can enter, so local
# connections are trusted and no TCP port is open unless listen_addresses is
# given.
#
#   cluster_create DIR [name=value ...]  initdb, master key, settings
#   cluster_start DIR                    start and wait until it accepts connections
#   cluster_stop DIR [fast|immediate|smart]
#   cluster_destroy DIR                  stop and remove the directory
#   cluster_psql DIR [psql arguments]    psql as superuser postgres
#   cluster_env DIR                      export PGHOST, PGPORT, PGUSER, PGDATABASE
#   cluster_port DIR, cluster_pid DIR, cluster_log DIR
#   cluster_stop_below DIR               stop at once whatever server runs below
#   cluster_as_user COMMAND ...          run a command as the cluster's user
#
# PG_CONFIG names the installation; the default is the pg_config on the PATH.

cluster_say() {
	printf '%s\n' "$*" >&2
}

cluster_bindir() {
	"${PG_CONFIG:-pg_config}" --bindir
}

cluster_user() {
	if [ "$(id -u)" -eq 0 ]; then
		echo postgres
	else
		id -un
	fi
}

# Root's own PATH may lead through directories that the user cannot enter.
cluster_as_user() {
	local path
	path=$(cluster_bindir):/usr/local/bin:/usr/bin:/bin
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u postgres -- env HOME=/tmp PATH="$path" "$@"
	else
		env PATH="$path" "$@"
	fi
}

# A directory of our own that the cluster's user can enter.
cluster_tempdir() {
	local base=/tmp
	if [ "$(id -u)" -ne 0 ] && [ -n "${TMPDIR:-}" ] && [ "${#TMPDIR}" -lt 60 ]; then
		base=$TMPDIR
	fi
	local dir
	dir=$(mktemp -d "$base/${1:-pg_saas}.XXXXXXXX") || return 1
	if [ "$(id -u)" -eq 0 ]; then
		chown postgres: "$dir" || return 1
	fi
	printf '%s\n' "$dir"
}

# A TCP port that nobody listens on, below the range of ephemeral ports.
cluster_free_port() {
	local port
	for _ in $(seq 100); do
		port=$((20000 + RANDOM % 12768))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return 0
		fi
	done
	cluster_say "no free port between 20000 and 32767"
	return 1
}

cluster_setting() {
	local quote="'"
	printf "%s = '%s'\n" "$1" "${2//$quote/$quote$quote}"
}

cluster_create() {
	local dir=$1 setting port key
	shift
	if [ ! -d "$dir" ]; then
		mkdir -p "$dir" || return 1
		if [ "$(id -u)" -eq 0 ]; then
			chown postgres: "$dir" || return 1
		fi
	fi
	chmod 0700 "$dir" || return 1
	if ! cluster_as_user test -x "$dir" -a -w "$dir"; then
		cluster_say "user $(cluster_user) cannot write in $dir: choose a directory under /tmp"
		return 1
	fi
	if ! cluster_as_user initdb -D "$dir/data" -U postgres -E UTF8 --locale=C.UTF-8 \
		--auth-local=trust --auth-host=scram-sha-256 --no-sync >"$dir/initdb.log" 2>&1; then
		cat "$dir/initdb.log" >&2
		return 1
	fi
	key=$(openssl rand -hex 32) || return 1
	# The key passes through a pipe: arguments are visible to every user.
	# shellcheck disable=SC2016
	printf '1:%s\n' "$key" |
		cluster_as_user sh -c 'umask 077 && cat >"$1"' sh "$dir/master_key" || return 1
	port=$(cluster_free_port) || return 1
	{
		cluster_setting port "$port"
		cluster_setting unix_socket_directories "$dir"
		cluster_setting listen_addresses ''
		cluster_setting shared_preload_libraries pg_saas
		cluster_setting saas.master_key_file "$dir/master_key"
		cluster_setting fsync off
		cluster_setting log_line_prefix '%m [%p] %q%a '
		cluster_setting timezone UTC
		cluster_setting log_timezone UTC
		for setting in "$@"; do
			cluster_setting "${setting%%=*}" "${setting#*=}"
		done
	} | cluster_as_user tee -a "$dir/data/postgresql.conf" >/dev/null
}

# The last line of a setting wins, as in the server.
cluster_port() {
	sed -n "s/^port = '\([0-9]*\)'$/\1/p" "$1/data/postgresql.conf" | tail -n 1
}

cluster_log() {
	printf '%s\n' "$1/server.log"
}

cluster_pid() {
	cluster_postmaster "$1/data"
}

# The process id of a data directory's postmaster, while it is that postmaster.
cluster_postmaster() {
	local pid
	pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1" ] && echo "$pid"
}

cluster_start() {
	local dir=$1
	for _ in 1 2 3 4 5; do
		: >"$dir/start.log"
		# Without a closed stdin and its own output the server would hold the
		# caller's pipes open.
		if cluster_as_user pg_ctl -D "$dir/data" -l "$dir/server.log" -w -t 120 start \
			</dev/null >"$dir/start.log" 2>&1; then
			return 0
		fi
		if ! tail -n 20 "$dir/server.log" 2>/dev/null | grep -q 'Address already in use'; then
			break
		fi
		cluster_setting port "$(cluster_free_port)" |
			cluster_as_user tee -a "$dir/data/postgresql.conf" >/dev/null
	done
	cluster_say "the server in $dir did not start:"
	tail -n 20 "$dir/server.log" >&2 2>/dev/null || cat "$dir/start.log" >&2
	return 1
}

cluster_stop() {
	local dir=$1 mode=${2:-fast} pid signal
	pid=$(cluster_pid "$dir") || return 0
	case $mode in
		smart) signal=TERM ;;
		immediate) signal=QUIT ;;
		*) signal=INT ;;
	esac
	kill -s "$signal" "$pid" 2>/dev/null
	if ! timeout 120 tail -s 0.1 --pid="$pid" -f /dev/null; then
		cluster_say "the server $pid in $dir did not stop in 120 s; stopping it at once"
		kill -s QUIT "$pid" 2>/dev/null
		timeout 60 tail -s 0.1 --pid="$pid" -f /dev/null || kill -s KILL "$pid" 2>/dev/null
		return 1
	fi
}

# For what a killed test left behind.
cluster_stop_below() {
	local file pid
	while IFS= read -r file; do
		if pid=$(cluster_postmaster "$(dirname "$file")"); then
			kill -s QUIT "$pid" 2>/dev/null
			timeout 60 tail -s 0.1 --pid="$pid" -f /dev/null || kill -s KILL "$pid" 2>/dev/null
		fi
	done < <(find "$1" -maxdepth 6 -name postmaster.pid 2>/dev/null)
}

cluster_destroy() {
	local status=0
	[ -d "$1" ] || return 0
	cluster_stop "$1" "${2:-immediate}" || status=1
	rm -rf -- "$1"
	return "$status"
}

cluster_env() {
	PGHOST=$1
	PGPORT=$(cluster_port "$1")
	PGUSER=postgres
	PGDATABASE=${2:-postgres}
	export PGHOST PGPORT PGUSER PGDATABASE
}

cluster_psql() {
	local dir=$1
	shift
	PGHOST=$dir PGPORT=$(cluster_port "$dir") PGUSER=postgres PGDATABASE=${PGDATABASE:-postgres} \
		"$(cluster_bindir)/psql" -X "$@"
}
