# shellcheck shell=bash disable=SC2154,SC2034
# pgTAP: every test/pgtap/*.sql in a fresh database of a private cluster, with
# the extension and its tables installed and pgtap in schema tap.

suite_pgtap() {
	local cluster=$work/c2 files=()
	mapfile -t files < <(selected test/pgtap/*.sql)
	if [ "${#files[@]}" -eq 0 ]; then
		none_selected pgtap
		return
	fi
	start_cluster "$cluster" pgtap || return
	(
		cluster_env "$cluster"
		PATH=$(cluster_bindir):$PATH
		test/lib/run-tap --suite pgtap --results "$RESULTS" --logs "$logs" \
			--exec test/lib/run-pgtap "${files[@]}"
	) || say "server log: $(cluster_log "$cluster")"
	finish_cluster "$cluster" pgtap
}
