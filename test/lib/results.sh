# shellcheck shell=bash
# Counts of the suites.  Every suite appends "suite passed failed" to the file
# that RESULTS names; the runner adds them up.

results_add() {
	printf '%s %s %s\n' "$1" "$2" "$3" >>"$RESULTS"
}

# A suite that should run and could not has failed, whatever it printed.
results_could_not_run() {
	printf 'not ok - %s could not run: %s\n' "$1" "$2"
	results_add "$1" 0 1
}

results_by_suite() {
	awk '{ passed[$1] += $2; failed[$1] += $3; if (!seen[$1]++) order[++n] = $1 }
		END { for (i = 1; i <= n; i++)
			printf "%-10s %d passed, %d failed\n", order[i] ":", passed[order[i]], failed[order[i]] }' "$RESULTS"
}

results_failed() {
	awk '{ failed += $3 } END { print failed + 0 }' "$RESULTS"
}

# The one line that others read.
results_total() {
	awk '{ passed += $2; failed += $3 } END { printf "%d passed, %d failed\n", passed, failed }' "$RESULTS"
}
