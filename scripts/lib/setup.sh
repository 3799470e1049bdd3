# Shared by scripts/quickstart and scripts/test (sourced): packages and builds. Expects `root`, the project's folder.

build_packages=(gcc cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libprotobuf-c-dev protobuf-c-compiler
    libuv1-dev libpcre2-dev libjansson-dev libxxhash-dev libedit-dev libinih-dev python3 python3-pip ca-certificates)
test_packages=(libcmocka-dev clang libclang-rt-14-dev qemu-user clang-format gnuplot-nox)

say() { printf '\n== %s\n' "$1" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit "${2:-1}"
}

is_debian() { command -v apt-get > /dev/null && grep -qsE '^ID(_LIKE)?=.*debian' /etc/os-release; }

has_package() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

# need_packages NAME...: installs those that are missing, and asks for nothing where none is.
need_packages() {
    local missing=() as_root=()
    if ! is_debian; then
        say "not Debian, so nothing is installed; needed are the counterparts of: $*"
        return 0
    fi
    for name in "$@"; do has_package "$name" || missing+=("$name"); done
    [ ${#missing[@]} = 0 ] && return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null || die "not root, and no sudo: as root, apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q || die "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" ||
        die "apt-get install failed"
}

# need_python NAME...: packages for tests that are Python, into build/python.
need_python() {
    local folder=$root/build/python
    export PYTHONPATH=$folder${PYTHONPATH:+:$PYTHONPATH}
    [ "$(cat "$folder/complete" 2> /dev/null)" != "$*" ] || return 0
    say "installing for Python: $*"
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --target "$folder" "$@" ||
        die "pip install failed"
    echo "$*" > "$folder/complete"
}

# build FOLDER TARGET [CMAKE_OPTION...]
build() {
    local folder=$1 target=$2 generator=()
    shift 2
    [ -e "$folder/CMakeCache.txt" ] || ! command -v ninja > /dev/null || generator=(-G Ninja)
    say "building $target in $folder"
    cmake -S "$root" -B "$folder" "${generator[@]}" "$@" && cmake --build "$folder" --target "$target" -j "$(nproc)"
}
