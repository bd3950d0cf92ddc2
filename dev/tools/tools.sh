#!/usr/bin/env bash
# Puts the tools of this repository into .tools/: the Python packages that
# dev/tools/requirements/*.txt names, and dynoxide. A file whose SHA-256 is not the one
# that is written down is not installed. Git ignores that directory: delete it to start
# afresh. Needs Python 3.10 or newer with venv and pip; npm is optional. Does nothing, in
# no time, when all is in place.
#
#   dev/tools/tools.sh [scanners]     what only dev/tools/scan.sh needs, too: it is large
set -euo pipefail
cd "$(dirname "$0")/../.."

DYNOXIDE=1.2.1
DYNOXIDE_SHA256=80e1ed33e33ec33c7bdcb1779ea09678e5c6f87c5c225f44c2037d2b2ea71164

tools=$PWD/.tools
say() { printf 'tools: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
# have NAME VERSIONS: NAME is there, complete, and of these versions.
have() { [ "$(cat "$tools/$1/.installed" 2>/dev/null)" = "$2 in $tools" ]; }
done_with() { echo "$2 in $tools" >"$tools/$1/.installed"; } # a virtual environment cannot be moved

# lock NAME: what .installed says of a virtual environment that was made by that file.
lock() { echo "requirements $(cksum <"dev/tools/requirements/$1.txt")"; }

# venv NAME: a virtual environment of its own with what dev/tools/requirements/NAME.txt
# names, for sam, ministack and checkov each pin another botocore. Only wheels: a source
# package would fetch what builds it, which has no hash. Bytecode is compiled now, else
# every start of sam pays for it.
venv() {
	local name=$1 began=$SECONDS want
	want=$(lock "$name")
	have "$name" "$want" && return
	local requirements=dev/tools/requirements/$name.txt
	say "installing $(grep -v '^#' "dev/tools/requirements/$name.in" | tr '\n' ' ')…"
	rm -rf "${tools:?}/$name"
	python3 -m venv "$tools/$name" >"$tools/$name.log" 2>&1 || failed "$name"
	local pip=("$tools/$name/bin/python" -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$requirements")
	if [ "$name" = uv ]; then
		"${pip[@]}" >>"$tools/$name.log" 2>&1 || failed "$name"
	else
		# pip is slower, but on some machines it is the one that is set up for a mirror.
		"$tools/uv/bin/uv" pip install -q --compile-bytecode -p "$tools/$name/bin/python" --no-deps --only-binary :all: --require-hashes -r "$requirements" >>"$tools/$name.log" 2>&1 ||
			"${pip[@]}" >>"$tools/$name.log" 2>&1 || failed "$name"
	fi
	done_with "$name" "$want"
	say "installed $name ($((SECONDS - began)) s)"
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
	have uv "$(lock uv)" && have sam "$(lock sam)" && have ministack "$(lock ministack)" || return
	[ -z "$scanners" ] || have scanners "$(lock scanners)" || return
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

venv uv
venv sam
venv ministack
[ -z "$scanners" ] || venv scanners
dynoxide
