#!/usr/bin/env bash
# The daemon on a real GPU, from a checkout and built programs alone: first that it is right (tests/e2e/test_cuda.py on the GPU), then how
# fast it is beside what the machine can do (gpu.py). Builds nothing; ends within eight minutes.
#
#   benchmarks/gpu.sh [--quick] [PROGRAMS]
#
# PROGRAMS is the folder with vramd, vramd-core, vramd-worker and vramctl (build/bin unless told). For a machine without a compiler or
# Debian's libraries they are built elsewhere and gathered with the libraries that they look for in lib/ beside them; that folder and the
# checkout are all that goes there, with Python 3 and the NVIDIA driver:
#   cmake --preset release -DVRAMD_PORTABLE=ON -DVRAMD_BENCH=OFF && ninja -C build vramd vramd-core vramd-worker vramctl vramd_torch
#   benchmarks/gpu.sh --gather build/bin build/gpu        there: benchmarks/gpu.sh build/gpu
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
quick=()
gather=0
while (($#)); do
    case $1 in
        --quick) quick=(--quick) ;;
        --gather) gather=1 ;;
        -h | --help)
            sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) break ;;
    esac
    shift
done

if ((gather)); then
    programs=${1:?"the folder of the programs"} folder=${2:?"where to put them"}
    mkdir -p "$folder/lib"
    for program in vramd vramd-core vramd-worker vramctl ../libvramd_torch.so.0; do
        cp -L "$programs/$program" "$folder/"
        strip --strip-debug "$folder/$(basename "$program")"
        # The C library is the other machine's own.
        ldd "$programs/$program" | sed -n 's/^.* => \(\/[^ ]*\) .*$/\1/p' | grep -Ev '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so' | xargs -r cp -Lt "$folder/lib"
    done
    du -sh "$folder"
    exit 0
fi

VRAMD_BIN=$(cd "${1:-$root/build/bin}" && pwd)
export VRAMD_BIN VRAMD_CUDA_REAL=1
if [[ -e $VRAMD_BIN/libvramd_torch.so.0 ]]; then export VRAMD_TORCH_LIBRARY=$VRAMD_BIN/libvramd_torch.so.0; fi
echo "== the machine"
nvidia-smi --query-gpu=name,uuid,memory.total,memory.free,driver_version,compute_mode,mig.mode.current --format=csv,noheader || echo "nvidia-smi is not there"
echo "$(nproc) processors, $(awk '/^MemTotal/ {printf "%.1f GiB", $2 / 1048576}' /proc/meminfo), kernel $(uname -r)"
"$VRAMD_BIN/vramctl" version || true
status=0
echo "== right: the daemon's tests on this GPU"
timeout 150 python3 "$root/tests/e2e/test_cuda.py" -v 2>&1 || status=1
timeout 60 python3 "$root/tests/e2e/test_python_cuda.py" -v 2>&1 || status=1
timeout 60 python3 "$root/tests/e2e/test_torch_allocator.py" -v 2>&1 || status=1
echo "== fast: what it does beside what the machine can"
timeout 300 python3 "$root/benchmarks/gpu.py" "${quick[@]}" 2>&1 || status=1
exit $status
