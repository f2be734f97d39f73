# ./dev package: the Debian package, and its life in a bare Debian 12.

# package_release: into build/package; prints its path.
package_release() {
    build release vramd vramd-core vramd-worker vramctl manual && rm -rf build/package && (cd build && cpack -G DEB)
}

verb_package() {
    local what=${1:-}
    [[ -z $what || $what == test ]] || refuse "./dev package takes \`test\` or nothing."
    verb_install build
    command -v dpkg-shlibdeps >/dev/null || step "install dpkg-dev" install_packages dpkg-dev
    step "package" package_release
    ls build/package/*.deb
    if [[ $what == test ]]; then
        ((EUID == 0)) || refuse "A bare system is made and entered by root alone: sudo ./dev package test"
        command -v debootstrap >/dev/null || step "install debootstrap" install_packages debootstrap
        step "sample models" fetch_samples
        VRAMD_SAMPLES=$samples_dir bash tests/package/life.sh "$(echo "$root"/build/package/*.deb)"
    fi
}
