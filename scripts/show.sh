# ./run: from a clone to a served and filled vramd, each step a line.

# A fifo carries vramd's stdout to descriptor 3, so that waiting for the ready line needs no sleep. Sets vramd_pid, vramd_url and vramd_socket.
start_vramd() {
    local scratch=$1 line word
    shift
    mkfifo "$scratch/stdout"
    build/bin/vramd serve "$@" >"$scratch/stdout" 2>"$scratch/vramd.log" &
    vramd_pid=$!
    exec 3<"$scratch/stdout"
    while read -t 60 -r line <&3; do
        [[ $line == "vramd ready "* ]] || continue
        for word in $line; do
            case $word in
            http=*) vramd_url=${word#http=} ;;
            socket=*) vramd_socket=${word#socket=} ;;
            esac
        done
        echo "  $line"
        return 0
    done
    kill -TERM "$vramd_pid" 2>/dev/null || true
    wait "$vramd_pid" || true
    echo "  vramd did not start. It said:" >&2
    tail -n 20 "$scratch/vramd.log" | sed 's/^/      | /' >&2
    echo "  If another vramd serves here, use that one, or see this one beside it: ./run --once" >&2
    return 1
}

# SIGTERM to the keeper, and its exit status.
stop_vramd() {
    local status=0
    [[ -n ${vramd_pid:-} ]] || return 0
    kill -TERM "$vramd_pid" 2>/dev/null || true
    wait "$vramd_pid" || status=$?
    vramd_pid=
    return "$status"
}

# One model a line: NAME, a tab, its file. A sharded model is its index; its shards are not models of their own.
sample_models() {
    local file name
    local -A taken=()
    find "$samples_dir" -type f \( -name '*.onnx' -o -name '*.gguf' -o -name '*.safetensors' -o -name '*.safetensors.index.json' \) -size +0 | LC_ALL=C sort |
        while read -r file; do
            [[ $file =~ -[0-9]{5}-of-[0-9]{5}\. ]] && continue
            # As vramctl load calls it, the file's name without its ending; further files of that name with their folder and ending.
            name=${file##*/}
            name=${name%.index.json}
            name=${name%.*}
            if [[ -v "taken[$name]" ]]; then
                name=${file#"$samples_dir"/}
                name=${name%.index.json}
                name=${name//\//-}
            fi
            taken[$name]=1
            printf '%s\t%s\n' "$name" "$file"
        done
}

load_samples() {
    local name file
    while IFS=$'\t' read -r name file; do
        step "load $name" build/bin/vramctl "${ctl[@]}" load "$file" --name "$name" || return 1
    done < <(sample_models)
}

show_tables() {
    local first
    first=$(sample_models | head -n 1 | cut -f 1)
    echo && build/bin/vramctl "${ctl[@]}" status
    echo && build/bin/vramctl "${ctl[@]}" models
    echo && echo "The first tensors of $first:" && build/bin/vramctl "${ctl[@]}" tensors "$first" | sed -n '1,12p'
}

verb_run() {
    local once=no argument scratch status=0
    local serve=(--model-dir "$samples_dir")
    local -a ctl
    for argument; do
        if [[ $argument == --once ]]; then once=yes; else serve+=("$argument"); fi
    done
    verb_install build
    step "build" build release vramd vramd-core vramd-worker vramctl
    step "sample models" fetch_samples
    scratch=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "stop_vramd || true; rm -rf '$scratch'" EXIT
    if [[ $once == yes ]]; then
        # A state of its own and free ports, so that it runs beside any other vramd.
        serve=(--listen 127.0.0.1:0 --socket "$scratch/vramd.sock" --state-dir "$scratch/state" "${serve[@]}")
    fi
    start_vramd "$scratch" "${serve[@]}" || exit 1
    ctl=(--url "$vramd_url")
    load_samples || status=1
    show_tables || status=1
    if [[ $once == yes ]]; then
        stop_vramd || status=1
        exit "$status"
    fi
    echo
    echo "Serving at $vramd_url: open it in a browser (the API: $vramd_url/openapi.json). Ctrl-C ends it; what is in memory ends with it."
    trap 'kill -TERM "$vramd_pid" 2>/dev/null || true' INT TERM
    wait "$vramd_pid" || status=$?
    if ((status > 128)); then  # The wait was interrupted, not the daemon.
        status=0
        wait "$vramd_pid" || status=$?
    fi
    vramd_pid=
    exit "$status"
}
