#!/usr/bin/env bash
# Runs ./page.sh, the commands of a page of the documentation, for tests/docs.rs: stops at the first that fails and says
# where. PAGE is the page's name; the lines of page.sh are the page's.

set -eEuo pipefail

# A debug build learns slowly: small images, where the page names no size.
adtrain() {
    { local -; set +x; } 2>/dev/null
    case " $* " in
        *" --size "*) ;;
        " fit "*) set -- "$@" --size 160x160 ;;
    esac
    command adtrain "$@"
}

# run_example NAME -- ARGUMENT...: in the place of cargo run --example; of the made-up parts, as few as are enough to begin with.
run_example() {
    { local -; set +x; } 2>/dev/null
    "$EXAMPLES/$1" "${@:3}"
    rm -f bottle/train/good/0[2-5]?.png
}

failed() {
    { local code=$?; set +x; } 2>/dev/null
    # Within adtrain and run_example the line is theirs; the one that called them counts.
    local line=$1
    [[ ${#FUNCNAME[@]} -le 3 ]] || line=${BASH_LINENO[1]}
    echo "$PAGE:$line: exit code $code"
}

trap 'failed $LINENO' ERR
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
PS4='+ $PAGE:$LINENO: '
set -x
# shellcheck disable=SC1091 # the test writes it
source ./page.sh
