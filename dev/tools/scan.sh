#!/usr/bin/env bash
# Runs the scanners with all the rules that they have on by default and, of cfn-lint, the
# informational ones; prints a closing line for each. Any finding is a failure. An
# exception is not made here but beside the line that it is about, with its reason:
# #nosec in Go, checkov:skip in the template, disable= in scripts.
set -euo pipefail
cd "$(dirname "$0")/../.."
dev/tools/tools.sh scanners

failed=
# lines NAME WHAT COMMAND...: a scanner that prints one line for each finding.
lines() {
	local name=$1 what=$2 output status=0
	shift 2
	output=$("$@" 2>&1) || status=$?
	[ -z "$output" ] || printf '%s\n' "$output"
	printf '%s: %s: %d findings\n' "$name" "$what" "$(grep -c . <<<"$output")"
	[ "$status" = 0 ] && [ -z "$output" ] || failed="$failed $name"
}

# Informational rules too, and the rules that can be stricter; in some regions near those
# of Extend, for not every region has everything. Once as it is, for the lines, and once
# as SAM transforms it, for the rules that wait for that: dev/tools/lint/transform.py. The
# experimental rules are out: all they ask for is a description of each resource for machines.
rm -f .tools/template.json
.tools/sam/bin/python dev/tools/lint/transform.py <template.yaml >.tools/template.json || failed="$failed sam"
lines cfn-lint "template.yaml, and what SAM makes of it, informational rules too" .tools/sam/bin/cfn-lint --template template.yaml .tools/template.json \
	--regions us-east-1 us-west-2 eu-central-1 eu-west-1 --include-checks I --non-zero-exit-code informational --format parseable \
	--configure-rule E3012:strict=true I3042:region=true I3042:accountId=true

# checkov knows SAM's resources. What SAM makes of them has no finding of its own.
# A template that it can't read passes nothing and fails nothing.
checkov() {
	local output status=0 counts
	output=$(.tools/scanners/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet 2>&1) || status=$?
	counts=$(sed -n 's/^Passed checks: \([1-9][0-9]*\), Failed checks: \([0-9]*\), Skipped checks: \([0-9]*\)$/\1 checks passed, \2 findings, \3 argued exceptions/p' <<<"$output")
	[ "$status" = 0 ] && [ -n "$counts" ] || { printf '%s\n' "$output"; failed="$failed checkov"; }
	printf 'checkov: template.yaml: %s\n' "${counts:-no checks}"
}
checkov

go build -C dev/tools/lint -o "$PWD/.tools/gosec" . # a module of its own: dev/tools/lint/main.go says why
packages=$(go list -f '{{.Dir}}' ./... | sed "s|^$PWD/||")
# shellcheck disable=SC2086 # a list of directories
.tools/gosec $packages || failed="$failed gosec"

scripts=(dev/*/*.sh .ci/run)
lines shellcheck "${#scripts[@]} scripts" .tools/scanners/bin/shellcheck --format gcc "${scripts[@]}"

[ -z "$failed" ] || { echo "scan: see the findings of$failed above"; exit 1; }
