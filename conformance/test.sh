#!/usr/bin/env bash
# Runs every test there is, or the steps named, and counts them.
# Each step is a function here; what it needs is installed by it, pinned,
# into .cache/ (git-ignored) or as a Debian package.
set -euo pipefail
cd "$(dirname "$0")/.."
source conformance/shell.sh

cache=$PWD/.cache
bin=${CARGO_TARGET_DIR:-$PWD/target}/debug
mkdir -p "$cache/log"

step_format() { cargo fmt --all --check; }

step_clippy() {
    need npm npm
    need_assets
    cargo clippy --workspace --all-targets --locked -- -D warnings
}

step_licences() {
    need_tool cargo-deny 0.20.2
    "$cache/bin/cargo-deny" --log-level error check bans licenses sources
}

step_cargo() {
    need ip iproute2
    need npm npm
    need_assets
    cargo test --workspace --locked --no-fail-fast
}

# The agent, and the tests of it on a real kernel.
real_kernel() {
    cargo test --locked --no-run -p onprem-bmc --test real_kernel \
        --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

# What is left of this test is what the serial line says of its machine's end.
deadly=watchdog::a_machine_whose_agent_was_killed_is_reset
watchdogs="--test-threads=1 watchdog::"

# in_guest STEP SECONDS RUN...: tests in a virtual machine of our own, in one
# boot; each RUN is what libtest is told, `--test-threads` first.
in_guest() {
    local step=$1 limit=$2 said=$cache/log/$1-serial.log status=0 commands=
    local built tests run name
    shift 2
    built=$(real_kernel)
    tests=$(grep '/real_kernel-[^/]*$' <<<"$built")
    for run in "$@"; do
        commands+="$tests --ignored $run; "
    done
    conformance/hil/run -t "$limit" -m uhid -m hid-cp2112 -m max6650 \
        -m bridge -m 8021q -m dummy -m veth \
        -p "$(grep '/onprem-bmc$' <<<"$built")" -p "$tests" \
        /bin/busybox sh -c "$commands" 2>&1 | tee "$said" |
        sed '/^test result:/d' || status=$?
    if [ $status = 75 ]; then
        say "$step: skipped on this machine"
        return
    fi
    [ $status = 126 ] && grep -q '^the agent is killed' "$said" &&
        grep -q 'softdog: Initiating system reboot' "$said" || deadly=
    verdict "$tests" "$said" "$@"
}

# verdict TESTS SAID RUN...: one on each test by its name, whatever the machine
# came to. libtest begins them in their order, so many at a time.
verdict() {
    local tests=$1 said=$2 passed=0 failed=0 run names name running
    shift 2
    for run in "$@"; do
        running=${run#--test-threads=}
        running=${running%% *}
        [ "$failed" = 0 ] || running=0
        # shellcheck disable=SC2086 # one word an argument
        names=$("$tests" --ignored $run --list | sed -n 's/: test$//p')
        [ -n "$names" ] || { echo "no tests: $run"; return 1; }
        for name in $names; do
            if grep -q "^test $name \.\.\. FAILED$" "$said"; then
                failed=$((failed + 1))
            elif grep -q "^test $name \.\.\. ok$" "$said"; then
                passed=$((passed + 1))
            elif [ "$name" = "$deadly" ]; then
                passed=$((passed + 1))
                echo "test $name ... ok"
            else
                failed=$((failed + 1))
                [ $((running -= 1)) -ge 0 ] &&
                    echo "test $name ... FAILED: the machine ended in it" ||
                    echo "test $name ... FAILED: the machine ended before it"
            fi
        done
    done
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}

# Two HATs, a rack, a fan, buttons, bridges with LLDP on a real kernel: they
# mostly wait, and do so side by side. Then the watchdogs, which would take
# others along; of the last one the machine dies.
step_hil() {
    in_guest hil 420 "--test-threads=3 --skip watchdog::" "$watchdogs"
}

# The watchdogs alone.
step_watchdog() {
    in_guest watchdog 120 "$watchdogs"
}

# The agent for Arm, on an emulated Raspberry Pi.
step_pi() {
    local status=0
    conformance/hil/pi -t 600 real_kernel_pi --ignored --test-threads=1 ||
        status=$?
    if [ $status = 75 ]; then
        say "pi: skipped on this machine"
        return
    fi
    return $status
}

step_redfish() {
    need_binaries
    python3 conformance/run.py direct --agent "$bin/onprem-bmc"
}

# A minute of what nobody would send: requests, at the service below TLS, and
# what strangers say elsewhere. Only our own code is compiled for it, and with
# the features that the binaries have.
step_fuzz() {
    local built=${CARGO_TARGET_DIR:-$PWD/target}/debug program failed=
    local -A running
    need ip iproute2
    need c++ g++
    RUSTC_WORKSPACE_WRAPPER=$PWD/bmc/fuzz/rustc cargo build --locked \
        -p onprem-bmc -p onprem-fleet -p onprem-cli -p onprem-bmc-fuzz \
        --features onprem-bmc-fuzz/libfuzzer --bin request --bin stranger
    for program in request stranger; do
        mkdir -p "$cache/fuzz/$program"
        # In a network of its own, since a request may name whom to call.
        unshare -n sh -c 'ip link set lo up && exec "$@"' fuzz \
            "$built/$program" "$cache/fuzz/$program" \
            "bmc/fuzz/seeds/$program" -dict="bmc/fuzz/$program.dict" \
            -artifact_prefix="$cache/fuzz-$program-" \
            -max_total_time=60 -max_len=8192 -timeout=25 \
            -rss_limit_mb=512 -print_final_stats=1 \
            >"$cache/log/fuzz-$program.log" 2>&1 &
        running[$program]=$!
    done
    for program in "${!running[@]}"; do
        wait "${running[$program]}" || failed="$failed $program"
        tail -n 30 "$cache/log/fuzz-$program.log"
    done
    [ -z "$failed" ] || die "what broke$failed is in $cache/fuzz-*"
    echo "2 passed, 0 failed"
}

step_openapi() {
    need_binaries
    conformance/openapi/run.sh "$bin/onprem-fleet"
}

step_system() {
    need_binaries
    need ip iproute2
    need chromium chromium
    need promtool prometheus
    python3 conformance/system.py
}

# need_tool NAME VERSION: a tool from crates.io.
need_tool() {
    "$cache/bin/$1" --version 2>/dev/null | grep -q " $2\$" && return
    cargo install "$1" --version "$2" --locked --debug \
        --config profile.dev.debug=false \
        --root "$cache" --target-dir "$cache/$1"
    rm -rf "${cache:?}/$1"
}

need_binaries() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    need npm npm
    need_assets
    cargo build --locked --bins -p onprem-bmc -p onprem-fleet -p onprem-cli
}

# counts LOG WORD: how many tests passed or failed, by the runners' own lines.
counts() {
    sed -nE "s/.*\\b([0-9]+) $2\\b.*/\\1/p" <(
        grep -E '^(test result: .*|[0-9]+ passed, [0-9]+ failed.*)$' "$1"
    ) | awk '{ n += $1 } END { print n + 0 }'
}

# recap LOG: which tests failed and what they said, for whoever reads the end only.
recap() {
    grep -aE '^(test .* \.\.\. FAILED|FAIL|error(\[|:))' "$1" |
        head -n 20 || true
    awk '/^---- .* stdout ----$/ { n = 15 } n-- > 0' "$1" |
        head -n 120 || true
}

if [ "${1-}" = --in ]; then
    "step_$2"
    exit
fi

all="format clippy licences cargo hil redfish fuzz openapi system"
passed=0 failed=0 broken=
for step in ${*:-$all}; do
    declare -F "step_$step" >/dev/null ||
        die "no step named \`$step\`: $all watchdog pi"
    say "== $step"
    log=$cache/log/$step.log
    began=$SECONDS
    status=ok
    # In a process of its own: `set -e` rests on the left of `||`.
    conformance/test.sh --in "$step" 2>&1 | tee "$log" || status=failed
    passed=$((passed + $(counts "$log" passed)))
    failed=$((failed + $(counts "$log" failed)))
    [ $status = ok ] || broken="$broken $step"
    say "== $step $status in $((SECONDS - began)) s"
done
if [ -n "$broken" ]; then
    for step in $broken; do
        say "== what failed in $step"
        recap "$cache/log/$step.log"
    done
    say "failed:$broken"
    [ $failed -gt 0 ] || failed=1
fi
echo "$passed passed, $failed failed"
[ -z "$broken" ]
