#!/usr/bin/env bash
# Makes the lock files of the Python tools anew: dev/tools/requirements/*.txt from the
# *.in beside them. Each package is named there with its version and the hashes of its
# files, for all systems and for Python from 3.10 on. Read what has changed before you
# commit it: from then on it is trusted.
#
#   dev/tools/lock.sh [--upgrade]     to newer versions of what is not named in a *.in
set -euo pipefail
cd "$(dirname "$0")/../.."
dev/tools/tools.sh
cd dev/tools/requirements
for input in *.in; do
	name=${input%.in}
	# The file is made beside the old one, whose versions are kept where they can be.
	../../../.tools/uv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
		"$@" --output-file "$name.txt" "$input"
	{ echo "# Made by dev/tools/lock.sh from $input."; cat "$name.txt"; } >"$name.new"
	mv "$name.new" "$name.txt"
done
