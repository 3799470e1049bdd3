# Shared by scripts of bash (sourced): help, packages and builds. Expects `root`, the project's folder.

build_packages=(gcc cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libprotobuf-c-dev protobuf-c-compiler
    libuv1-dev libpcre2-dev libjansson-dev libxxhash-dev libutf8proc-dev libedit-dev libinih-dev libmicrohttpd-dev
    libcurl4-openssl-dev python3 python3-pip ca-certificates)
test_packages=(libcmocka-dev g++ clang libclang-rt-14-dev qemu-user clang-format gnuplot-nox zsh fish mandoc man-db
    lintian slurmctld slurmd slurm-client munge openssh-server debootstrap dpkg-dev file prometheus systemd)

say() { printf '\n== %s\n' "$1" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit "${2:-1}"
}

# help_asked ARGUMENT...: whether help is; then the script's head comment has been printed.
help_asked() {
    case ${1:-} in -h | --help | help) ;; *) return 1 ;; esac
    sed -n '2,/^[^#]/{ s/^# \{0,1\}//; t print; d; :print; p }' "$0"
}

# patiently WHAT COMMAND...: runs it, and says every minute that it goes on. Who says so ends with fd 9.
patiently() {
    local what=$1 began=$SECONDS rc
    shift
    exec 9> >(
        read -r -t 60 _
        while [ $? -gt 128 ]; do
            printf '== %s: %d min so far\n' "$what" $(((SECONDS - began) / 60)) >&2
            read -r -t 60 _
        done
    )
    "$@" 9>&-
    rc=$?
    exec 9>&-
    return $rc
}

# into FILE COMMAND...: all that it prints goes into the file.
into() { "${@:2}" > "$1" 2>&1; }

# quietly WHAT COMMAND...: patiently, and its output is shown only if it fails: much of it would alarm without need.
quietly() {
    local log rc
    log=$(mktemp) || die "no temporary file"
    patiently "$1" into "$log" "${@:2}"
    rc=$?
    [ "$rc" = 0 ] || tail -n 40 "$log" >&2
    rm -f "$log"
    return $rc
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
    quietly "apt-get update" "${as_root[@]}" apt-get update -q || die "apt-get update failed"
    quietly "apt-get install" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" || die "apt-get install failed"
}

# need_python NAME...: packages for tests that are Python, into build/python.
need_python() { python_into "$root/build/python" "$@"; }

# python_into FOLDER NAME...
python_into() {
    local folder=$1
    shift
    export PYTHONPATH=$folder${PYTHONPATH:+:$PYTHONPATH}
    [ "$(cat "$folder/complete" 2> /dev/null)" != "$*" ] || return 0
    say "installing for Python: $*"
    quietly "pip install" python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore \
        --target "$folder" "$@" || die "pip install failed"
    echo "$*" > "$folder/complete"
}

# need_cuda [NAME...]: NVIDIA's compiler, in the version whose instructions tests count, what reads its output, and
# packages that are named, into build/cuda, where CMake finds it. 110 MB to fetch, 320 MB of disk.
need_cuda() {
    local folder=$root/build/cuda packages=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-cuobjdump==13.2.51
        nvidia-cuda-nvdisasm==13.2.51 "$@")
    [ "$(cat "$folder/complete" 2> /dev/null)" != "${packages[*]}" ] || return 0
    say "installing NVIDIA's compiler: ${packages[*]}"
    rm -rf "$folder"
    quietly "pip install" python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore \
        --no-deps --target "$folder" "${packages[@]}" || die "pip install failed"
    echo "${packages[*]}" > "$folder/complete"
}

# build FOLDER TARGET [CMAKE_OPTION...]
build() {
    local folder=$1 target=$2 generator=()
    shift 2
    [ -e "$folder/CMakeCache.txt" ] || ! command -v ninja > /dev/null || generator=(-G Ninja)
    say "building $target in $folder"
    quietly "cmake in $folder" cmake -S "$root" -B "$folder" "${generator[@]}" "$@" &&
        patiently "building $target in $folder" cmake --build "$folder" --target "$target" -j "$(nproc)"
}
