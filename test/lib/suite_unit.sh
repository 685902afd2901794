# shellcheck shell=bash disable=SC2154,SC2034
# C unit tests of base, pure and connector under the address and undefined
# behaviour sanitizers.

suite_unit() {
	local files=() built=() file target run=()
	mapfile -t files < <(selected test/unit/test_*.c)
	if [ "${#files[@]}" -eq 0 ]; then
		none_selected unit
		return
	fi
	make -s -k -j "$(nproc)" -f test/lib/unit.mk >"$logs/unit-build.log" 2>&1
	for file in "${files[@]}"; do
		target=build/unit/$(basename "$file" .c)
		if make -s -q -f test/lib/unit.mk "$target" >/dev/null 2>&1; then
			built+=("$target")
		else
			results_could_not_run unit "$file does not build"
		fi
	done
	if [ "${#built[@]}" -lt "${#files[@]}" ]; then
		grep -E 'error|warning|undefined' "$logs/unit-build.log" | head -n 30
		say "log: $logs/unit-build.log"
	fi
	if [ "${#built[@]}" -eq 0 ]; then
		return
	fi
	# With a random layout the sanitizer cannot always place its shadow memory.
	if setarch -R true 2>/dev/null; then
		run=(--exec setarch --exec -R)
	fi
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
		test/lib/run-tap --suite unit --results "$RESULTS" --logs "$logs" \
		${run[@]+"${run[@]}"} "${built[@]}"
}
