# shellcheck shell=bash disable=SC2154,SC2034
# pg_regress: test/sql/*.sql in the order of test/sql/schedule, against
# expected/*.out, on a private cluster whose database starts empty.

# The schedule's tests; with a pattern those that match, and the first line,
# which sets the database up for the others.
regress_schedule() {
	awk -v pattern="$pattern" '
		/^[ \t]*(#|$)/ { next }
		/^[ \t]*test:/ {
			sub(/^[ \t]*test:[ \t]*/, "")
			line = ""
			for (i = 1; i <= NF; i++)
				if (!seen || pattern == "" || $i ~ pattern)
					line = line " " $i
			seen = 1
			if (line != "")
				print "test:" line
			next
		}
		{ print "bad line in the schedule: " $0 > "/dev/stderr"; exit 1 }' test/sql/schedule
}

suite_regress() {
	local dir=$work/regress cluster=$work/c1 file name status names=() options=()
	local files=(test/sql/*.sql)
	if [ "${#files[@]}" -eq 0 ]; then
		none_selected regress
		return
	fi
	if [ ! -e test/sql/schedule ]; then
		results_could_not_run regress "test/sql/schedule is missing"
		return
	fi
	mkdir -p "$dir/sql" "$dir/expected" "$dir/out" || return
	cp test/sql/*.sql "$dir/sql/"
	cp expected/*.out "$dir/expected/" 2>/dev/null
	if ! regress_schedule >"$dir/schedule"; then
		results_could_not_run regress "test/sql/schedule is malformed"
		return
	fi
	mapfile -t names < <(sed 's/^test: *//' "$dir/schedule" | tr -s ' ' '\n')
	expect_something "$dir" "${names[@]}"
	for file in "${files[@]}"; do
		name=$(basename "$file" .sql)
		if ! grep -qE "^test:.* ?\b$name( |$)" test/sql/schedule; then
			results_could_not_run regress "$file is not in the schedule"
		fi
	done
	own "$dir"
	if ! start_cluster "$cluster" regress; then
		return
	fi
	if "$pg_regress" --help | grep -q -- --expecteddir; then
		options+=(--expecteddir="$dir")
	fi
	cluster_as_user "$pg_regress" --bindir="$(cluster_bindir)" --inputdir="$dir" --outputdir="$dir/out" \
		${options[@]+"${options[@]}"} --host="$cluster" --port="$(cluster_port "$cluster")" --user=postgres \
		--dbname=regression --encoding=UTF8 --schedule="$dir/schedule" >"$logs/regress.log" 2>&1
	status=$?
	report_regress regress "$logs/regress.log" "$status" "${names[@]}"
	if [ -s "$dir/out/regression.diffs" ]; then
		head -n 60 "$dir/out/regression.diffs"
		say "diffs: $dir/out/regression.diffs; results: $dir/out/results/; server log: $(cluster_log "$cluster")"
	fi
	finish_cluster "$cluster" regress
}

# Without an expected file the drivers give up altogether; an empty one shows
# what the test prints as the difference.
expect_something() {
	local dir=$1 name
	shift
	for name in "$@"; do
		[ -e "$dir/expected/$name.out" ] || : >"$dir/expected/$name.out"
	done
}

# Counts pg_regress's or pg_isolation_regress's verdicts, in the form of before
# 16 ("test name ... ok") and after ("ok 1 - name").
report_regress() {
	local suite=$1 log=$2 status=$3 name passed=0 failed=0 verdict
	shift 3
	for name in "$@"; do
		verdict=$(awk -v name="$name" '
			$1 == "test" && $2 == name && $3 == "..." { print $4 }
			$1 == name && $2 == "..." { print $3 }
			$1 == "ok" && $3 ~ /^[-+]$/ && $4 == name { print "ok" }
			$1 == "not" && $4 ~ /^[-+]$/ && $5 == name { print "FAILED" }' "$log" | tail -n 1)
		if [ "$verdict" = ok ]; then
			passed=$((passed + 1))
			printf 'ok - %s/%s\n' "$suite" "$name"
		else
			failed=$((failed + 1))
			printf 'not ok - %s/%s%s\n' "$suite" "$name" "${verdict:+ ($verdict)}"
		fi
	done
	results_add "$suite" "$passed" "$failed"
	if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		results_could_not_run "$suite" "the driver's exit status is $status"
		tail -n 20 "$log"
	elif [ "$status" -gt 1 ]; then
		tail -n 20 "$log"
	fi
}
