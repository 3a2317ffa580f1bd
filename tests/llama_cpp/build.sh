#!/usr/bin/env bash
# Builds llama.cpp's server, and the one of llama-cpp-python upon the same libraries, into DIR: build.sh DIR [PYTHON]
set -euo pipefail
out=$(mkdir -p "${1:?usage: build.sh DIR [PYTHON]}" && cd "$1" && pwd)
python=${2:-python3}
cd "$(dirname "$0")"
for tool in cmake c++; do
  command -v $tool >/dev/null || { echo "missing $tool: apt-get install cmake g++" >&2; exit 1; }
done
"$python" -m venv --clear "$out/env"
pip=("$out/env/bin/pip" --quiet --disable-pip-version-check)
rm -rf "$out/source" "$out/build"
"${pip[@]}" download --no-deps --no-binary :all: --require-hashes --requirement source.txt --dest "$out/source"
archive=$(echo "$out"/source/*.tar.gz)
tar --extract --file "$archive" --directory "$out/source"
cmake -S "$out"/source/*/vendor/llama.cpp -B "$out/build" -Wno-dev --log-level=ERROR \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O2 -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DGGML_NATIVE=OFF \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=\$ORIGIN" -DBUILD_SHARED_LIBS=ON -DGGML_OPENMP=OFF \
  -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
nice cmake --build "$out/build" --target llama-server --parallel "$(nproc)" -- --quiet
rm -rf "$out/bin" && cp -a "$out/build/bin" "$out/bin"
# The libraries are there already: the package finds them by LLAMA_CPP_LIB_PATH.
CMAKE_ARGS="-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF" "${pip[@]}" install --constraint "$PWD/constraints.txt" "${archive}[server]"
rm -rf "$out/source" "$out/build"
"$out/bin/llama-server" --version
