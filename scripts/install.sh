# The Debian packages that a build, a test and a run need: only what is missing is installed, and nothing else is touched.

# missing_packages WHAT: those of packaging/debian-packages.txt that dpkg does not know as installed; `build` leaves out what tests alone need.
missing_packages() {
    local what=$1 package
    local -A have=()
    while read -r package; do have[$package]=1; done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p')
    while read -r package; do
        if [[ $what == build && $package == "# Tests alone:"* ]]; then break; fi
        [[ -z $package || $package == \#* || -v "have[$package]" ]] || echo "$package"
    done <"$root/packaging/debian-packages.txt"
    # Node of another origin conflicts with Debian's npm, so it is asked for only where no npm is.
    command -v npm >/dev/null || printf '%s\n' nodejs npm
}

# As root when we are not: by sudo, or not at all.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 127
    fi
}

# install_packages NAME…: apt, without recommendations and without questions.
install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

verb_install() {
    local what=${1:-all} missing=()
    [[ $what == all || $what == build ]] || refuse "./dev install takes \`build\` or nothing."
    command -v dpkg-query >/dev/null || refuse "This is not a Debian system. Needed are the packages that packaging/debian-packages.txt names, by your system's names."
    mapfile -t missing < <(missing_packages "$what")
    if ((${#missing[@]} == 0)); then return 0; fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        refuse "Packages are missing, and this user can neither install them nor sudo. As root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    if ((EUID != 0)); then sudo -v; fi
    step "install ${#missing[@]} packages" install_packages "${missing[@]}"
}
