# shellcheck shell=bash disable=SC2154,SC2034
# Tests against independent implementations that come from PyPI and npm:
# test/peers/*.t, with what test/peers/requirements.txt and
# test/peers/package.json name installed under build/peers.

suite_peers() {
	local files=() peers=$root/build/peers
	mapfile -t files < <(selected test/peers/*.t)
	if [ "${#files[@]}" -eq 0 ]; then
		none_selected peers
		return
	fi
	if ! install_peers "$peers" >"$logs/peers-install.log" 2>&1; then
		tail -n 20 "$logs/peers-install.log"
		results_could_not_run peers "the peers could not be installed"
		return
	fi
	copy_tree
	mkdir -p "$tree/build"
	if [ -d "$peers" ]; then
		cp -a "$peers" "$tree/build/peers"
		own "$tree/build"
	fi
	tap_env=(
		PYTHONPATH="$tree/build/peers/python"
		NODE_PATH="$tree/build/peers/node_modules"
		PATH="$(cluster_bindir):$tree/build/peers/python/bin:$tree/build/peers/node_modules/.bin:/usr/local/bin:/usr/bin:/bin"
	)
	run_perl_tests peers "${files[@]}"
	tap_env=()
}

install_peers() {
	local peers=$1
	tools/install-dependencies peers || return 1
	mkdir -p "$peers"
	if [ -e test/peers/requirements.txt ]; then
		/usr/bin/python3 -m pip install --quiet --disable-pip-version-check --upgrade \
			--target "$peers/python" -r test/peers/requirements.txt || return 1
	fi
	if [ -e test/peers/package.json ]; then
		cp test/peers/package*.json "$peers/"
		(cd "$peers" && npm install --no-audit --no-fund --silent) || return 1
	fi
}
