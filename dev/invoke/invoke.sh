#!/usr/bin/env bash
# Runs events of events/ (all of them, or those named) through the real `sam local`,
# in containers: see invoke.go. This script finds what they need, a container engine
# and an image, and leaves nothing running.
#
#   dev/invoke/invoke.sh [--if-possible] [EVENT…]     such as submit-s3-put
#
# Without an engine it fails, or with --if-possible says so and succeeds.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'sam local: %s\n' "$*" >&2; }
optional=
if [ "${1-}" = --if-possible ]; then
	optional=1
	shift
fi
# impossible REASON: there is no way on this machine.
impossible() {
	say "NOT RUN: $*"
	exit $((optional ? 0 : 1))
}

have_engine() { docker info >/dev/null 2>&1; }

# An engine for this run alone, where there is none: Linux, root and dockerd it takes.
# It has a socket of its own, and writes no firewall rule, for those would stay.
start_engine() {
	[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null || return
	mkdir -p .local
	data=$(mktemp -d "$PWD/.local/engine-XXXXXX")
	sockets=$(mktemp -d) # elsewhere, for the path of a socket must be short
	[ -e /sys/class/net/docker0 ] || bridge=ours
	export DOCKER_HOST="unix://$sockets/docker.sock"
	for driver in overlay2 vfs; do # overlay2 is fast, vfs works everywhere
		say "starting dockerd ($driver) for this run …"
		# Apart from our terminal's Ctrl-C, and ended if we are killed.
		setsid setpriv --pdeathsig TERM dockerd --host "$DOCKER_HOST" --data-root "$data" --exec-root "$sockets/exec" --pidfile "$sockets/pid" \
			--iptables=false --ip-masq=false --ip-forward=false --storage-driver "$driver" >"$data.log" 2>&1 </dev/null &
		engine=$!
		while kill -0 "$engine" 2>/dev/null; do
			have_engine && return
			sleep 0.2
		done
		engine=
	done
	impossible "dockerd does not start: $(tail -n 1 "$data.log")"
}
engine='' data='' sockets='' bridge=''
finish() {
	if [ -n "$engine" ]; then
		kill "$engine" 2>/dev/null || true
		wait "$engine" || true
	fi
	[ -z "$data" ] || rm -rf "$data" "$data.log" "$sockets"
	[ -z "$bridge" ] || ! command -v ip >/dev/null || ip link delete docker0 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# The image that containers are made of: Lambda's, which sam takes by itself, or, where
# no registry can be reached, a stand-in of nothing but busybox. That is enough for a
# static program and for what sam adds, but it is not Amazon Linux and does not say so.
image=
find_image() {
	local arch platform lambda busybox root
	case $(uname -m) in
	arm64 | aarch64) arch=arm64 platform=linux/arm64 ;;
	*) arch=x86_64 platform=linux/amd64 ;;
	esac
	lambda=public.ecr.aws/lambda/provided:al2023-$arch
	docker image inspect "$lambda" >/dev/null 2>&1 && return
	say "pulling $lambda …"
	local problem
	problem=$(docker pull --quiet "$lambda" 2>&1) && return
	busybox=$(command -v busybox || true)
	if [ -z "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then
		impossible "it can't be pulled ($problem), and a stand-in needs a static busybox (on Debian and Ubuntu: apt-get install busybox-static)"
	fi
	# sam names its own image after this one, and does not make it anew when this changes.
	image=extend-intake/busybox-for-lambda-$(cat "$busybox" dev/invoke/invoke.sh | cksum | cut -d' ' -f1)
	say "it can't be pulled ($problem): containers are made of $image, which is made here"
	docker image inspect "$image" >/dev/null 2>&1 && return
	root=$(mktemp -d)
	mkdir -p "$root"/{bin,etc/ssl/certs,tmp,usr/bin,var/rapid,var/runtime,var/task}
	cp "$busybox" "$root/bin/busybox"
	for name in sh mv chmod; do ln -s busybox "$root/bin/$name"; done
	[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	chmod 755 "$root" && chmod 1777 "$root/tmp"
	tar -C "$root" --owner=0 --group=0 -cf - . | docker import --platform "$platform" --change 'WORKDIR /var/task' --change 'ENV PATH=/bin:/usr/bin LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime' - "$image" >/dev/null
	rm -rf "$root"
}

command -v docker >/dev/null || impossible "there is no container engine. Install Docker or another with the command docker
  (Debian, Ubuntu: apt-get install docker.io; where no image can be pulled, busybox-static too)"
have_engine || start_engine || impossible "no container engine answers (docker info says why). Start it, or run this as a user who may use it"
# sam knows nothing of docker's contexts.
[ -n "${DOCKER_HOST-}" ] || DOCKER_HOST=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || DOCKER_HOST=unix:///var/run/docker.sock
export DOCKER_HOST
find_image

# Not exec: finish comes after it.
go run ./dev/invoke --image "$image" "$@"
