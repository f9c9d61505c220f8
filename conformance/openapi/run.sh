#!/usr/bin/env bash
# Checks the API's document with a linter, and a running server against the
# document. The last line says how many checks passed and failed.
# usage: run.sh FLEET_BINARY
set -euo pipefail
fleet=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/openapi
mkdir -p "$cache/npm"

# Installed again only when what is pinned has changed.
if ! cmp -s "$here/package-lock.json" "$cache/npm/package-lock.json" ||
    [ ! -d "$cache/npm/node_modules" ]; then
    cp "$here/package.json" "$here/package-lock.json" "$cache/npm/"
    npm ci --prefix "$cache/npm" --ignore-scripts --no-audit --no-fund >&2
fi
if ! cmp -s "$here/requirements.txt" "$cache/venv/requirements.txt"; then
    rm -rf "$cache/venv"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install -q -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$cache/venv/"
fi

state=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    rm -rf "$state"
}
trap finish EXIT

"$fleet" --state-dir "$state" --listen 127.0.0.1:0 \
    --devices-listen 127.0.0.1:0 2>"$state/log" &
pid=$!
for _ in $(seq 300); do
    [ -s "$state/addresses.json" ] && break
    kill -0 "$pid" 2>/dev/null || { cat "$state/log" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/.*"api":"\([^"]*\)".*/\1/p' "$state/addresses.json")
token=$(cat "$state/initial-token")

passed=0 failed=0
check() {
    local name=$1
    shift
    echo "== $name"
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

lint() {
    curl -sf "$url/openapi.json" -o "$state/openapi.json" &&
        REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
            "$cache/npm/node_modules/.bin/redocly" lint \
            --config "$here/redocly.yaml" "$state/openapi.json"
}

# The session's own end and the changes of the account that tests are left
# out; `stateful` follows what one operation made into the next.
operations() {
    (cd "$state" && SCHEMATHESIS_HOOKS= "$cache/venv/bin/schemathesis" \
        --config-file "$here/schemathesis.toml" run "$url/openapi.json" \
        --header "Authorization: Bearer $token" --no-color "$@")
}

no_panic() {
    ! grep -n "panicked\|ERROR" "$state/log"
}

check "document" lint
check "operations" operations
check "server log" no_panic
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
