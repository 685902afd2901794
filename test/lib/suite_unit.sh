# shellcheck shell=bash disable=SC2154,SC2034
# C unit tests of base, pure and connector under the address and undefined
# behaviour sanitizers, and libFuzzer's targets over the same layers.
#
# SAAS_FUZZ_SECONDS (default 60) is shared by the fuzz targets.

# MAKEFILE FILE...: builds the files' programs; those that build are in built.
unit_build() {
	local makefile=$1 file target log
	shift
	log=$logs/$(basename "$makefile" .mk)-build.log
	built=()
	make -s -k -j "$(nproc)" -f "$makefile" >"$log" 2>&1
	for file in "$@"; do
		target=build/$(basename "$makefile" .mk)/$(basename "$file" .c)
		if make -s -q -f "$makefile" "$target" >/dev/null 2>&1; then
			built+=("$target")
		else
			results_could_not_run unit "$file does not build"
		fi
	done
	if [ "${#built[@]}" -lt $# ]; then
		grep -E 'error|warning|undefined' "$log" | head -n 30
		say "log: $log"
	fi
}

# Runs what was built; arguments are the programs that run it.
unit_run() {
	local run=() program
	# With a random layout the sanitizer cannot always place its shadow memory.
	if setarch -R true 2>/dev/null; then
		run=(--exec setarch --exec -R)
	fi
	for program in "$@"; do
		run+=(--exec "$program")
	done
	if [ "${#built[@]}" -eq 0 ]; then
		return
	fi
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
		test/lib/run-tap --suite unit --results "$RESULTS" --logs "$logs" \
		${run[@]+"${run[@]}"} "${built[@]}"
}

suite_unit() {
	local tests=() fuzzers=() built=()
	mapfile -t tests < <(selected test/unit/test_*.c)
	mapfile -t fuzzers < <(selected test/fuzz/fuzz_*.c)
	if [ $((${#tests[@]} + ${#fuzzers[@]})) -eq 0 ]; then
		none_selected unit
		return
	fi
	if [ "${#tests[@]}" -gt 0 ]; then
		unit_build test/lib/unit.mk "${tests[@]}"
		unit_run
	fi
	if [ "${#fuzzers[@]}" -gt 0 ]; then
		unit_build test/lib/fuzz.mk "${fuzzers[@]}"
		# Rounded up: libFuzzer takes 0 for no end.
		FUZZ_SECONDS=$(((${SAAS_FUZZ_SECONDS:-60} + ${#fuzzers[@]} - 1) / ${#fuzzers[@]})) unit_run test/lib/run-fuzz
	fi
}
