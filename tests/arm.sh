#!/usr/bin/env bash
# Tests on 64-bit ARM, emulated by qemu-user, on any Debian: `bash tests/arm.sh tests/test_gemm.py`
# takes what pytest takes. Debian's Python and the index's wheels for aarch64 are kept in .arm/;
# nothing is installed, and nobody need be root.
set -euo pipefail
cd "$(dirname "$0")/.."
arm=$PWD/.arm
root=$arm/root python=$arm/python
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Debug::NoLocking=1
     -o APT::Sandbox::User= -o Dir::State::lists="$arm/lists" -o Dir::State::status="$arm/none"
     -o Dir::Cache="$arm/cache" -o Dir::Cache::archives="$arm/archives")

if [ ! -x "$python" ]; then
  mkdir -p "$arm"/{lists,archives}/partial "$arm/cache" "$arm/site" "$root"
  touch "$arm/none"
  "${apt[@]}" update
  "${apt[@]}" install -y --download-only --no-install-recommends python3 libstdc++6 libgomp1
  for package in "$arm"/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  (cd "$arm" && apt-get -qq download qemu-user-static && dpkg-deb -x qemu-user-static_*.deb qemu)

  version=$(basename "$(readlink "$root/usr/bin/python3")")
  python3 - > "$arm/wanted" << 'EOF'
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("\n".join(project["dependencies"] + project["optional-dependencies"]["test"]))
EOF
  glibc=() # wheels for any C library up to Debian's
  for minor in $(seq 17 36); do glibc+=(--platform "manylinux_2_${minor}_aarch64"); done
  python3 -m pip install -q --target "$arm/site" --only-binary=:all: --implementation cp \
    --python-version "${version#python}" --platform manylinux2014_aarch64 "${glibc[@]}" -r "$arm/wanted"

  # Processes that tests begin are emulated, too
  printf '#!/bin/sh\nexec %q -L %q %q "$@"\n' "$arm/qemu/usr/bin/qemu-aarch64-static" "$root" \
    "$root/usr/bin/$version" > "$python"
  printf 'import sys\n\nsys.executable = %s\n' "'$python'" > "$arm/site/sitecustomize.py"
  chmod +x "$python"
fi

PYTHONPATH=$arm/site:$PWD NUMBA_CACHE_DIR=$arm/kernels exec "$python" -m pytest -q "$@"
