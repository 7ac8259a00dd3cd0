# What the scripts share. Sourced by bash.
# shellcheck shell=bash

# The folder that checkouts share, made if need be.
cache_folder() {
    local folder=${XDG_CACHE_HOME:-$HOME/.cache}/gst-plugin-anomaly
    mkdir -p "$folder" && echo "$folder"
}

# A Python with pip, the system's where the first one on the PATH has none.
python_with_pip() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import importlib.util as u; raise SystemExit(u.find_spec("pip") is None)' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "no Python with pip: script/bootstrap installs it (Debian package python3-pip)" >&2
    return 1
}

# fetch_wheel PIN FOLDER [OPTION...]: prints the path in FOLDER of the one wheel that the file PIN names, downloading it
# with pip and these OPTIONs if need be. Its hash is one of those in PIN.
fetch_wheel() {
    local pin=$1 folder=$2 python wheel
    shift 2
    for wheel in "$folder"/*.whl; do
        if [[ -e $wheel ]] && grep -q "sha256:$(sha256sum <"$wheel" | cut -d ' ' -f 1)" "$pin"; then
            echo "$wheel"
            return
        fi
        # Another version, or half of one.
        rm -f "$wheel"
    done
    python=$(python_with_pip) &&
        "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
            --requirement "$pin" --dest "$folder" "$@" >&2 &&
        echo "$folder"/*.whl
}
