# shellcheck shell=bash disable=SC2154,SC2034
# TAP tests in Perl: each makes and breaks its own servers through SaasCluster,
# as the unprivileged user and in a copy of the tree that this user can read.

suite_tap() {
	local files=()
	mapfile -t files < <(selected test/tap/*.t)
	if [ "${#files[@]}" -eq 0 ]; then
		none_selected tap
		return
	fi
	run_perl_tests tap "${files[@]}"
}

# SUITE FILE...; further variables of the environment come through tap_env.
tap_env=()
run_perl_tests() {
	local suite=$1 perl_lib
	shift
	perl_lib=$(dirname "$(dirname "$pg_regress")")/perl
	if [ ! -e "$perl_lib/PostgreSQL/Test/Cluster.pm" ]; then
		results_could_not_run "$suite" "$perl_lib has no PostgreSQL::Test::Cluster"
		return
	fi
	copy_tree
	mkdir -p "$work/$suite" && : >"$work/$suite/results" && mkdir -p "$work/$suite/logs"
	own "$work/$suite"
	(
		cd "$tree" || exit 1
		cluster_as_user env PERL5LIB="$tree/test/lib:$perl_lib" PG_REGRESS="$pg_regress" \
			TESTDIR="$work/$suite" TESTDATADIR="$work/$suite/tmp_check" \
			TESTLOGDIR="$work/$suite/tmp_check/log" top_builddir="$work/$suite" PG_TEST_PORT_DIR="$work/$suite/ports" \
			PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-300}" \
			${tap_env[@]+"${tap_env[@]}"} \
			test/lib/run-tap --suite "$suite" --results "$work/$suite/results" \
			--logs "$work/$suite/logs" --exec perl "$@"
	) || say "server logs: $work/$suite/tmp_check/log/"
	if [ -s "$work/$suite/results" ]; then
		cat "$work/$suite/results" >>"$RESULTS"
	else
		results_could_not_run "$suite" "the harness ended without a result"
	fi
}
