# What `dev` and the scripts here share. Sourced.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# apt_install PACKAGE...: Debian packages, with patience for another apt.
apt_install() {
    local root=() try
    [ "$(id -u)" = 0 ] || root=(sudo)
    for try in 1 2 3; do
        if "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
            --no-install-recommends "$@" >&2; then
            return
        fi
        say "apt: trying again ($try)"
        "${root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq >&2 || true
    done
    return 1
}

need_compiler() {
    if ! command -v cc >/dev/null; then
        say "installing a C compiler"
        apt_install gcc libc6-dev
    fi
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    if ! command -v cargo >/dev/null; then
        say "installing Rust"
        command -v rustup >/dev/null || apt_install rustup ||
            die "Rust 1.95 or newer is needed: see https://rustup.rs"
        rustup toolchain install stable --profile default
    fi
}

# need COMMAND PACKAGE: the Debian package, unless the command is there.
need() { command -v "$1" >/dev/null || apt_install "$2"; }

# htmx for the console, by its lock file; pages work without it.
need_assets() {
    command -v npm >/dev/null || return 0
    cmp -s templates/package-lock.json templates/node_modules/.lock && return
    npm ci --prefix templates --ignore-scripts --no-audit --no-fund --silent
    cp templates/package-lock.json templates/node_modules/.lock
}
