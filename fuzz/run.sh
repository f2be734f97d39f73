#!/usr/bin/env bash
# Fuzzes with clang's libFuzzer, AddressSanitizer and UBSan: fuzz/run.sh [NAME] [SECONDS]
# Each fuzz/NAME.cpp (or only NAME) runs for SECONDS (60) from fuzz/corpus/NAME; what it finds and grows lies in build/fuzz/NAME.
# A crash ends it with an error and leaves its input as build/fuzz/NAME/crash-*: fixed, it moves into the corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=${1:-}
seconds=${2:-60}
[[ $name =~ ^[0-9]+$ ]] && seconds=$name name=
compiler=$(command -v clang++-19 || command -v clang++) || { echo "fuzz/run.sh: no clang++ (Debian: clang-19 libclang-rt-19-dev)" >&2; exit 1; }
flags=(-std=c++23 -O1 -g -fno-omit-frame-pointer -Isrc -Ifuzz)

# room_objects ROOM…: compiles the rooms' sources, each once, and prints the objects.
room_objects() {
    local room source object
    for room in "$@"; do
        for source in "src/$room"/*.cpp; do
            [[ $source == *_test.cpp ]] && continue
            object=build/fuzz/objects/${source//\//_}.o
            if [[ ! -f $object || -n $(find src/base "src/$room" -newer "$object" -name '*.?pp' -print -quit) ]]; then
                "$compiler" "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -c "$source" -o "$object"
            fi
            echo "$object"
        done
    done
}

mkdir -p build/fuzz/objects
for file in fuzz/*.cpp; do
    fuzzer=$(basename "$file" .cpp)
    [[ $fuzzer == replay_main || (-n $name && $fuzzer != "$name") ]] && continue
    read -ra rooms <<<"$(sed -n 's|^// links: ||p' "$file" | head -n 1)"
    mapfile -t objects < <(room_objects base "${rooms[@]}")
    mkdir -p "build/fuzz/$fuzzer/grown"
    "$compiler" "${flags[@]}" -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all "$file" "${objects[@]}" -lboost_json -lboost_system -lprometheus-cpp-core -lseccomp -lz -lpthread -o "build/fuzz/$fuzzer/fuzz"
    echo "fuzzing $fuzzer for $seconds s"
    "build/fuzz/$fuzzer/fuzz" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=1024 -timeout=5 -print_final_stats=1 -verbosity="${FUZZ_VERBOSITY:-0}" \
        -artifact_prefix="build/fuzz/$fuzzer/" "build/fuzz/$fuzzer/grown" "fuzz/corpus/$fuzzer"
done
