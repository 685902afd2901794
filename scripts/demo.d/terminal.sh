# shellcheck shell=bash
# How the demo looks: headings, progress, colours.  Source it.
#
#   terminal_begin, terminal_end      what a terminal can do; no ticker left behind
#   heading TEXT
#   step TEXT ... step_done [MS]      one line per step, with the time it took
#   terminal_paint                    a filter: colours for levels and states
#   terminal_line_style, terminal_bar full|empty
#   now_ms, seconds MS

ticker=
bold=
dim=
red=
yellow=
blue=
green=
reset=

now_ms() {
	local now=${EPOCHREALTIME/[.,]/}
	echo $((now / 1000))
}

seconds() {
	printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
}

terminal_begin() {
	is_terminal=
	if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
		is_terminal=yes
		if [ -z "${NO_COLOR:-}" ]; then
			bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' yellow=$'\e[33m'
			blue=$'\e[36m' green=$'\e[32m' reset=$'\e[0m'
		fi
	fi
	is_utf8=
	if [ "$(locale charmap 2>/dev/null)" = UTF-8 ]; then
		is_utf8=yes
	fi
}

stop_ticker() {
	if [ -n "$ticker" ]; then
		kill "$ticker" 2>/dev/null
		wait "$ticker" 2>/dev/null
		ticker=
	fi
}

terminal_end() {
	stop_ticker
	printf '%s' "$reset"
}

heading() {
	printf '%s== %s%s\n' "$bold" "$1" "$reset"
}

step() {
	step_text=$1
	step_began=$(now_ms)
	if [ -z "$is_terminal" ]; then
		return
	fi
	printf '  %-70s' "$step_text"
	(
		while sleep 1; do
			printf '\r  %-70s %s%s%s' "$step_text" "$dim" "$(seconds $(($(now_ms) - step_began)))" "$reset"
		done
	) &
	ticker=$!
}

step_done() {
	stop_ticker
	if [ -n "$is_terminal" ]; then
		printf '\r'
	fi
	printf '  %-70s %s%s%s\n' "$step_text" "$dim" "$(seconds "${1:-$(($(now_ms) - step_began))}")" "$reset"
}

terminal_line_style() {
	if [ -n "$is_utf8" ]; then echo unicode; else echo ascii; fi
}

terminal_bar() {
	case $1$is_utf8 in
		fullyes) echo '█' ;;
		emptyyes) echo '░' ;;
		full*) echo '#' ;;
		*) echo '.' ;;
	esac
}

# Words are coloured in the last column, where levels and states stand.
terminal_paint() {
	local e='( *)$'
	if [ -z "$bold" ]; then
		sed -E 's/ +$//'
		return
	fi
	sed -E -e "s/(critical|reauth_required|error)$e/$red\\1$reset/" -e "s/(warning|degraded)$e/$yellow\\1$reset/" \
		-e "s/(info)$e/$blue\\1$reset/" -e "s/([ |│])(ok|active)$e/\\1$green\\2$reset/" \
		-e "s/^(all attempts failed)$/$green\\1$reset/" -e "s/^(--.*)$/$dim\\1$reset/" -e 's/ +$//'
}
