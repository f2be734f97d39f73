# Building, formatting and the house's own rules.

# The folder that a preset of CMakePresets.json builds in.
build_dir() { if [[ $1 == release ]]; then echo build; else echo "build/$1"; fi; }

jobs_max() { echo "${VRAMD_JOBS:-$(nproc)}"; }

# VRAMD_WEB=OFF builds without the web page, and so without node, npm and their network.
web_wanted() { echo "${VRAMD_WEB:-ON}"; }

# build PRESET [TARGET…]: configure when needed, then ninja.
build() {
    local preset=$1
    shift
    cmake --preset "$preset" -DVRAMD_WEB="$(web_wanted)" && ninja -C "$(build_dir "$preset")" -j "$(jobs_max)" "$@"
}

verb_build() {
    verb_install build
    (($#)) || set -- release
    step "build $1" build "$@"
}

# The C++ files that git knows, or the given ones among them.
cpp_files() { git ls-files -- '*.cpp' '*.hpp'; }

verb_fmt() {
    local formatter
    formatter=$(command -v clang-format-14 || command -v clang-format) || refuse "clang-format-14 is missing: ./dev install"
    if [[ ${1:-} == check ]]; then
        cpp_files | xargs -r "$formatter" --dry-run --Werror
    else
        cpp_files | xargs -r "$formatter" -i
    fi
}

verb_tidy() { python3 tests/tidy/tidy.py "$@"; }

verb_hook() {
    local hooks
    hooks=$(git rev-parse --git-path hooks)
    mkdir -p "$hooks"
    printf '#!/bin/sh\nexec "$(git rev-parse --show-toplevel)/scripts/pre-commit"\n' >"$hooks/pre-commit"
    chmod +x "$hooks/pre-commit"
    echo "$hooks/pre-commit holds what is staged to ./dev fmt and ./dev tidy."
}
