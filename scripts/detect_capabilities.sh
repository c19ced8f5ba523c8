#!/bin/sh
# detect_capabilities.sh: writes .env from what this machine is. What stands in it is kept.
# usage: scripts/detect_capabilities.sh [FILE]     (default: .env; PLEXUS names the program)
# SPDX-License-Identifier: Apache-2.0
set -eu
file=${1:-.env}
here=$(cd "$(dirname "$0")/.." && pwd)

plexus=${PLEXUS:-}
for candidate in "$here/build/plexus" "$(command -v plexus || true)"; do
    [ -n "$plexus" ] && break
    [ -n "$candidate" ] && [ -x "$candidate" ] && plexus=$candidate
done
if [ -z "$plexus" ]; then
    echo "detect_capabilities: no plexus found. Build it (make all), install it, or set PLEXUS=/path/to/plexus." >&2
    exit 69
fi
exec "$plexus" env --file "$file"
