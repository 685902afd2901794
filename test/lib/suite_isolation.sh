# shellcheck shell=bash disable=SC2154,SC2034
# Isolation specs: test/isolation/specs/*.spec against expected/isolation/*.out,
# one after the other in one database with the extension installed.

suite_isolation() {
	local dir=$work/isolation cluster=$work/c3 files=() names=() options=() file status
	mapfile -t files < <(selected test/isolation/specs/*.spec)
	if [ "${#files[@]}" -eq 0 ]; then
		none_selected isolation
		return
	fi
	mkdir -p "$dir/specs" "$dir/expected" "$dir/out" || return
	cp "${files[@]}" "$dir/specs/"
	cp expected/isolation/*.out "$dir/expected/" 2>/dev/null
	for file in "${files[@]}"; do
		names+=("$(basename "$file" .spec)")
	done
	expect_something "$dir" "${names[@]}"
	own "$dir"
	start_cluster "$cluster" isolation || return
	if ! cluster_psql "$cluster" -q -c 'create database isolation' ||
		! PGDATABASE=isolation cluster_psql "$cluster" -q -v ON_ERROR_STOP=1 \
			-f test/lib/database.sql >"$logs/isolation-prepare.log" 2>&1; then
		tail -n 20 "$logs/isolation-prepare.log"
		results_could_not_run isolation "its database could not be prepared"
		return
	fi
	if "$pg_isolation_regress" --help | grep -q -- --expecteddir; then
		options+=(--expecteddir="$dir")
	fi
	cluster_as_user "$pg_isolation_regress" --bindir="$(cluster_bindir)" --inputdir="$dir" \
		--outputdir="$dir/out" ${options[@]+"${options[@]}"} --host="$cluster" \
		--port="$(cluster_port "$cluster")" --user=postgres --use-existing --dbname=isolation \
		"${names[@]}" >"$logs/isolation.log" 2>&1
	status=$?
	report_regress isolation "$logs/isolation.log" "$status" "${names[@]}"
	file=$(find "$dir/out" -name regression.diffs -size +0 | head -n 1)
	if [ -n "$file" ]; then
		head -n 60 "$file"
		say "diffs: $file; server log: $(cluster_log "$cluster")"
	fi
	finish_cluster "$cluster" isolation
}
