# How the scripts speak: one line a step with its time; what a step printed is kept in a log, and shown only when the step fails.

log_dir=${VRAMD_LOG_DIR:-$root/.cache/logs}

# A refusal in words, and the end.
refuse() {
    printf '%s\n' "$*" >&2
    exit 1
}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

seconds_since() {
    local elapsed=$(($(now_ms) - $1))
    printf '%d.%d s' $((elapsed / 1000)) $((elapsed % 1000 / 100))
}

# step NAME COMMAND…: runs the command with its output in a log named after the step; on failure shows the log's end and returns its status.
step() {
    local name=$1 begun log status=0
    shift
    mkdir -p "$log_dir"
    log=$log_dir/${name//[^a-zA-Z0-9]/-}.log
    begun=$(now_ms)
    if [[ -t 1 ]]; then printf '  … %s\r' "$name"; fi
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status == 0)); then
        printf '  ok  %-52s %9s\n' "$name" "$(seconds_since "$begun")"
        return 0
    fi
    printf '  BAD %-52s %9s\n' "$name" "$(seconds_since "$begun")"
    tail -n "${VRAMD_LOG_LINES:-60}" "$log" | sed 's/^/      | /'
    printf '      the whole log: %s\n' "$log"
    return "$status"
}
