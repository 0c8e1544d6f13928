# Shell functions shared by scripts/demo and scripts/test; POSIX sh, sourced from the top of the checkout.
#
# PYTHON      the interpreter to build the environment from (default: python3, else the newest python3.x on PATH)
# ZTFDB_VENV  where the environment lies (default: .venv)

VENV=${ZTFDB_VENV:-.venv}
KERNELS="kernels/pyproject.toml kernels/setup.py kernels/ztfdb_kernels.c"
export UV_PYTHON_DOWNLOADS=never  # the interpreter is chosen here
export UV_SYSTEM_CERTS=1          # uv then trusts what the system's other programs trust
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# Print an interpreter that is new enough, or say what is missing.
find_python() {
    seen=
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        path=$(command -v "$name") || continue
        version=$("$path" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
        if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            printf '%s\n' "$path"
            return
        fi
        seen="$seen $path ($version)"
    done
    [ -z "$seen" ] || die "ztfdb needs Python 3.11 or newer; found only$seen." \
        "Install a newer one and put it on PATH, or name it: PYTHON=/path/to/python3.x $0"
    die "ztfdb needs Python 3.11 or newer, and there is no ${PYTHON:-python3} on PATH." \
        "On Debian and Ubuntu: apt install python3 python3-venv"
}

# Make an empty environment with pip in it: by uv where it is there and works, else by Python's own venv.
make_venv() {  # <python>
    [ ! -e "$VENV" ] || [ -f "$VENV/pyvenv.cfg" ] || die "$VENV is there and is no environment; it is left alone." \
        "Move it away, or name another place: ZTFDB_VENV=folder $0"
    rm -rf "$VENV"
    if command -v uv >/dev/null; then
        uv venv --quiet --seed --python "$1" "$VENV" && return
        say "uv could not make the environment; going on without it."
        rm -rf "$VENV"
    fi
    if ! "$1" -c 'import venv, ensurepip' 2>/dev/null; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        die "$1 lacks venv or ensurepip, which make the environment." \
            "On Debian and Ubuntu: apt install python3-venv (or python$version-venv). Having uv on PATH helps as well."
    fi
    "$1" -m venv "$VENV" || die "$1 could not make an environment in $VENV (its words are above)."
}

# Install a lock and, without its dependencies, the checkout itself.
install_lock() {  # <lock>
    if command -v uv >/dev/null; then
        uv pip install --quiet --python "$VENV/bin/python" --require-hashes --no-deps -r "requirements/$1.txt" &&
            uv pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation -e . && return
        say "uv could not install the packages; going on with pip."
    fi
    "$VENV/bin/python" -m pip install --quiet --require-hashes --no-deps -r "requirements/$1.txt" &&
        "$VENV/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e . ||
        die "The packages of requirements/$1.txt could not be installed (pip's words are above)." \
            "They come from the package index that pip is set up for: is there a network?"
}

# Whether extension modules can be built: a C compiler and Python's headers.
can_compile() {
    { command -v cc || command -v gcc || command -v clang; } >/dev/null &&
        "$VENV/bin/python" -c 'import sys, sysconfig, pathlib as p
sys.exit(not (p.Path(sysconfig.get_path("include")) / "Python.h").exists())'
}

# Build the compiled kernels and install them, from a copy, so that the checkout stays as it is. They are optional.
install_kernels() {
    if ! can_compile; then
        say "No C compiler or no headers of Python: ztfdb-kernels is left out, and its tests are skipped."
        return
    fi
    copy=$(mktemp -d)
    mkdir "$copy/kernels"
    cp $KERNELS kernels/README.md kernels/LICENSE "$copy/kernels"
    "$VENV/bin/python" -m pip install --quiet --no-deps --no-build-isolation --no-index "$copy/kernels" || {
        rm -rf "$copy"
        die "kernels/ could not be built (the compiler's words are above)."
    }
    rm -rf "$copy"
}

# What the environment was made from. Empty where it does not run (any more).
fingerprint() {
    "$VENV/bin/python" -c 'import sys; print(sys.version, sys.prefix)' 2>/dev/null || return 0
    pwd
    cat pyproject.toml scripts/lib.sh requirements/*.txt $KERNELS | cksum
}

# Whether the environment is in place: its stamp names a lock that holds all we need, and nothing changed since.
is_ready() {  # <lock>
    [ -f "$VENV/stamp" ] || return 1
    now=$(fingerprint)
    case $(cat "$VENV/stamp") in
        "$now
$1" | "$now
test") return 0 ;;
    esac
    return 1
}

build_env() {  # <lock>
    python=$(find_python) || exit 1
    say "Making the environment in $VENV with $python; once, a minute or so ..."
    make_venv "$python"
    install_lock "$1"
    [ "$1" != test ] || install_kernels
    { fingerprint; printf '%s\n' "$1"; } >"$VENV/stamp"
}

# Leave an environment with the packages of requirements/<lock>.txt and ztfdb in $VENV; at once when it is there.
ensure_env() {  # <lock>
    is_ready "$1" && return
    (
        if command -v flock >/dev/null; then  # of two scripts started together the second finds the work done
            flock 9
            is_ready "$1" && exit
        fi
        build_env "$1"
    ) 9>"$VENV.lock"
}
