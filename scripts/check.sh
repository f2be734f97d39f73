# ./test: everything that is checked. Steps go on after a failure, so that one run tells all; the last line counts.

# The rooms whose code runs on several threads, or starts some: their tests run under ThreadSanitizer too.
threaded_rooms="base device_host transfer worker http engine api ledger keeper ipc"

check_failed=0
check_logs=()

# check NAME LOG COMMAND…: a step whose failure is counted and does not end the run. LOG: where its tests are counted, `-` for the step's own log.
check() {
    local name=$1 counted=$2
    shift 2
    if [[ $counted == - ]]; then counted=$log_dir/${name//[^a-zA-Z0-9]/-}.log; fi
    step "$name" "$@" || check_failed=$((check_failed + 1))
    check_logs+=("$counted")
}

# The threaded rooms' test programs that this tree has.
tsan_tests() {
    local room
    for room in $threaded_rooms; do
        if compgen -G "src/${room/_//}/*_test.cpp" >/dev/null; then echo "${room}_test"; fi
    done
}

# What failed is told last: a step's log is shown by its end.
run_ctest() {
    local folder status=0
    folder=$(build_dir "$1")
    shift
    ctest --test-dir "$folder" -j "$(jobs_max)" --no-tests=error --timeout 900 "$@" || status=$?
    if ((status)); then python3 scripts/tally.py --show-failed 40 "$folder/Testing/Temporary/LastTest.log"; fi
    return "$status"
}

# The seed of everything random: VRAMD_SEED when given, else the commit, so that a commit means one run.
commit_seed() { echo $((16#$(git rev-parse HEAD | cut -c 1-15))); }

print_replay() { echo "  seed $VRAMD_SEED; the same run again: VRAMD_SEED=$VRAMD_SEED ./test"; }

# The page: what can be said of it without a browser, then in Chromium against the daemon of the release build.
check_page() {
    if [[ $(web_wanted) == OFF ]]; then
        echo "  --  the page's tests are left out: VRAMD_WEB=OFF builds without it"
        return
    fi
    step "packages of the page" web_packages || check_failed=$((check_failed + 1))
    check "types and unit tests of the page" - web_checks
    check "the page in a browser" - in_browser page
}

test_everything() {
    local asan=build/asan tests
    local -a tsan=()
    VRAMD_SEED=${VRAMD_SEED:-$(commit_seed)}
    export VRAMD_SEED VRAMD_SAMPLES=$samples_dir
    print_replay
    mapfile -t tsan < <(tsan_tests)
    step "sample models" fetch_samples || check_failed=$((check_failed + 1))
    check "tidy" - python3 tests/tidy/tidy.py
    step "build release" build release vramd vramd-core vramd-worker vramctl simulation || check_failed=$((check_failed + 1))
    check_page
    step "build asan" build asan || check_failed=$((check_failed + 1))
    check "tests under ASan and UBSan" "$asan/Testing/Temporary/LastTest.log" run_ctest asan
    if ((${#tsan[@]})); then
        step "build tsan" build tsan "${tsan[@]}" || check_failed=$((check_failed + 1))
        tests=$(IFS='|' && echo "^(${tsan[*]})\$")
        check "threaded rooms under TSan" build/tsan/Testing/Temporary/LastTest.log run_ctest tsan -R "$tests"
    fi
    check "a million steps of simulation" - build/bin/simulation --runs 400 --steps 2500
    check "crash test" - python3 tests/crash/crash.py --kills 200 --seed "$VRAMD_SEED"
    check "kill at every step of the ledger" - python3 tests/crash/steps.py
}

verb_test() {
    local status=0
    verb_install
    if (($#)); then
        build asan
        run_ctest asan -R "$1"
        return
    fi
    test_everything
    python3 scripts/tally.py --failed-steps "$check_failed" "${check_logs[@]}" || status=1
    exit "$status"
}

verb_sim() {
    verb_install
    step "build asan" build asan simulation
    VRAMD_SEED=${VRAMD_SEED:-$(commit_seed)}
    export VRAMD_SEED
    build/asan/bin/simulation "$@"
}

# Needs some minutes of all cores: every bug of tests/planted/bugs.toml must be noticed.
verb_planted() {
    verb_install
    python3 tests/planted/planted.py --jobs "$(jobs_max)" "$@"
}

verb_crash() {
    local kills=${1:-10000}
    verb_install
    step "build release" build release vramd vramd-core vramd-worker vramctl
    step "sample models" fetch_samples
    VRAMD_SAMPLES=$samples_dir python3 tests/crash/crash.py --kills "$kills" --seed "${SEED:-$(commit_seed)}"
}

verb_fuzz() {
    [[ -f fuzz/run.sh ]] || refuse "This tree has no fuzzers yet."
    bash fuzz/run.sh "$@"
}
