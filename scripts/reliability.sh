# The long forms of docs/reliability.md's rows that have no verb of their own, and the page itself.

# chaos_run ROW TEST COMMAND: the test against the release build; what it came to is kept as the row's result.
chaos_run() {
    local row=$1 program=$2 command=$3 result
    result=$(mktemp)
    VRAMD_BIN=$root/build/bin VRAMD_CROWD_RESULT=$result VRAMD_VECTORS_RESULT=$result timeout "${CHAOS_SECONDS:-900}" python3 "tests/e2e/$program" || {
        rm -f "$result"
        refuse "chaos $row failed: VRAMD_SEED=${VRAMD_SEED:-1} $command runs the same again."
    }
    python3 scripts/reliability.py --record "$row" "$result" --command "$command"
    rm -f "$result"
}

verb_chaos() {
    [[ ${1:-} == network || ${1:-} == vectors ]] || refuse "./dev chaos network [CONNECTIONS], or ./dev chaos vectors"
    verb_install
    step "build release" build release vramd vramd-core vramd-worker vramctl
    if [[ $1 == network ]]; then
        VRAMD_CROWD=${2:-10000} chaos_run http-crowd test_http_crowd.py "./dev chaos network ${2:-10000}"
    else
        chaos_run http-vectors test_http_vectors.py "./dev chaos vectors"
    fi
}

verb_reliability() { python3 scripts/reliability.py "$@"; }
