# The web page: its packages, its checks, its tests in a browser against the real daemon, its pictures.

# As cmake/web_packages.cmake does it, and no second time.
web_packages() {
    local installed=web/node_modules/.package-lock.json
    if [[ $installed -nt web/package-lock.json && $installed -nt web/package.json ]]; then return 0; fi
    cmake -DNPM=npm -DWEB="$root/web" -P cmake/web_packages.cmake
}

web_checks() { (cd web && npm run check && npm run unit); }

web_build() { (cd web && npm run build); }

# In Debian's Chromium, against build/bin (or VRAMD_BIN) and the sample models. Whatever hangs is ended, with the browser and the daemon.
in_browser() { (cd web && VRAMD_BIN=${VRAMD_BIN:-$root/build/bin} VRAMD_SAMPLES=$samples_dir timeout --kill-after=20 900 npm run "$@"); }

# What every verb that opens the page in a browser needs first.
prepare_page() {
    [[ $(web_wanted) != OFF ]] || refuse "VRAMD_WEB=OFF builds without the page, and there is nothing to open."
    verb_install
    command -v "${VRAMD_CHROMIUM:-chromium}" >/dev/null || refuse "chromium is missing: apt-get install --no-install-recommends chromium"
    [[ -n ${VRAMD_BIN:-} ]] || step "build release" build release vramd vramd-core vramd-worker vramctl
    step "sample models" fetch_samples
    step "packages of the page" web_packages
}

verb_web() {
    verb_install
    step "packages of the page" web_packages
    step "types and unit tests of the page" web_checks
    step "build of the page" web_build
}

verb_page() {
    prepare_page
    step "types and unit tests of the page" web_checks
    step "the page in a browser" in_browser page
    if [[ ${1:-} == --large ]]; then step "the page with 100,000 allocations" in_browser large; fi
}

verb_shots() {
    local folder
    if [[ ${1:-} == --documents ]]; then
        prepare_page
        step "pictures of the documents" in_browser shots -- "$root/docs/pictures" --documents
        ls -l docs/pictures
        return
    fi
    folder=$(realpath -m "${1:-$(mktemp -d -t vramd-shots-XXXXXX)}")
    prepare_page
    step "pictures of the page" in_browser shots -- "$folder"
    echo "  pictures in $folder"
}
