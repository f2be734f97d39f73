# ./bench: every benchmark of the tree, each kept with the machine it ran on, for a figure without its machine says nothing.

describe_machine() {
    echo "date     $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "commit   $(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo ' and changes')"
    echo "cpu      $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
    echo "memory   $(awk '/^MemTotal/ {printf "%.1f GiB", $2 / 1048576}' /proc/meminfo)"
    echo "kernel   $(uname -r)"
    echo "command  $*"
    echo "load     $(cut -d ' ' -f 1-3 /proc/loadavg) before it began"
}

verb_bench() {
    local program name result failed=0 found=0
    verb_install
    step "build release with benchmarks" build release
    mkdir -p benchmarks/results
    for program in build/bin/bench_* benchmarks/*.py; do
        [[ -f $program ]] || continue
        found=1
        name=$(basename "$program" .py)
        result=benchmarks/results/$(date -u +%Y-%m-%d)-$(uname -n)-${name#bench_}.txt
        describe_machine "$program" "$@" >"$result"
        echo >>"$result"
        echo "== ${name#bench_}"
        if [[ $program == *.py ]]; then python3 "$program" "$@"; else "$program" "$@"; fi 2>&1 | tee -a "$result" || failed=1
        echo "   kept in $result"
    done
    ((found)) || refuse "This tree has no benchmarks."
    exit "$failed"
}
