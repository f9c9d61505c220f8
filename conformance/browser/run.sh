#!/usr/bin/env bash
# The console in a real browser, against a fleet that runs already.
# ONPREM_URL, ONPREM_USER, ONPREM_PASSWORD_FILE and ONPREM_DEVICE say which; the
# device is one that may be reset. The last line counts.
set -euo pipefail
cd "$(dirname "$0")"
: "${ONPREM_URL:?}" "${ONPREM_USER:?}" "${ONPREM_PASSWORD_FILE:?}" "${ONPREM_DEVICE:?}"
[[ $ONPREM_PASSWORD_FILE = /* ]] || ONPREM_PASSWORD_FILE=$OLDPWD/$ONPREM_PASSWORD_FILE

want=$(sed -n 's/.*"playwright-core": "\(.*\)"/\1/p' package.json)
have=$(sed -n 's/^  "version": "\(.*\)",/\1/p' \
    node_modules/playwright-core/package.json 2>/dev/null || true)
[[ $have = "$want" ]] || npm ci --silent >&2
exec node console.mjs
