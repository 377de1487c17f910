#!/usr/bin/env bash
# One run on a machine with a CUDA card, within nine minutes and without a network: builds for this card alone, runs all GPU
# tests and part of them under compute-sanitizer, measures kernels and whole steps, and PyTorch's steps beside them. Prints a
# short table last; logs and numbers of each stage are under OUT.
#   bench/gpu.sh OUT
# Exit status: 0 all tests passed, 1 the build or a test failed, 3 no CUDA device: it was built, and nothing run.
# From the environment:
#   RANKINE_PACKAGES  folder of scripts/unpack_packages, for machines that lack libraries [.packages, where it exists]
#   RANKINE_BUILD     build folder [build/gpu]      RANKINE_JOBS  [all cores]
#   RANKINE_SECONDS   for everything [530]          RANKINE_BUILD_SECONDS  [240]
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?gpu.sh: expected a folder for logs and numbers (see the head of this file)}
mkdir -p "$out"
export out=$(cd "$out" && pwd)
export build=${RANKINE_BUILD:-build/gpu} jobs=${RANKINE_JOBS:-$(nproc)}
end=$((SECONDS + ${RANKINE_SECONDS:-530}))
rm -f "$out"/{stages.tsv,kernels.json,steps.jsonl,peers.jsonl}
failed=0

note() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$out/stages.tsv"; }  # stage, result, seconds, remark

# stage NAME SECONDS FUNCTION [ARGUMENT...]: what it prints goes to OUT/NAME.log, its last line to the table. The time that is
# left for everything is its limit too.
stage() {
  local name=$1 limit=$2 start=$SECONDS status=0 result=ok
  shift 2
  [ $((end - SECONDS)) -ge "$limit" ] || limit=$((end - SECONDS))
  if [ "$limit" -lt 5 ]; then
    note "$name" "no time left" 0 ""
    return 124
  fi
  echo "== $name (at most $limit s)" >&2
  limit=$limit timeout -k 10 "$limit" bash -c '"$@"' stage "$@" >"$out/$name.log" 2>&1 || status=$?
  case $status in
    0) ;;
    124 | 137) result="stopped by its limit" ;;
    *) result="FAILED" ;;
  esac
  note "$name" "$result" $((SECONDS - start)) "$(grep -v '^[[:space:]]*$' "$out/$name.log" | tail -1 | cut -c1-100 | tr '\t' ' ')"
  return "$status"
}

# --- the machine ---
card=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d '. ')
case $card in '' | *[!0-9]*) card=none ;; esac
export card
packages=${RANKINE_PACKAGES:-.packages}
if [ -d "$packages/usr" ]; then
  packages=$(cd "$packages" && pwd)
  export CPATH=$packages/usr/include/$(uname -m)-linux-gnu${CPATH:+:$CPATH}  # headers that headers there include
  export CMAKE_PREFIX_PATH=$packages/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
  export LD_LIBRARY_PATH=$packages/usr/lib/$(uname -m)-linux-gnu:$packages/lib/$(uname -m)-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
command -v nvcc >/dev/null || export PATH=$PATH:/usr/local/cuda/bin
# cuDNN and cuBLASLt may be there for PyTorch alone, in Python's packages.
export cudnn_include= nvidia=
nvidia=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)
if [ -n "$nvidia" ]; then
  cudnn_include=$(dirname "$(find "$nvidia" -name cudnn.h | head -1)")
  [ "$cudnn_include" != . ] || cudnn_include=
  for folder in $(find "$nvidia" \( -name 'libcudnn.so.*' -o -name 'libcublasLt.so.*' \) -printf '%h\n' | sort -u); do
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
  done
  export LD_LIBRARY_PATH
fi

describe_machine() {
  git log -1 --format='commit %h %s' 2>/dev/null
  nvidia-smi 2>&1 || echo "no answer of nvidia-smi"
  for tool in nvcc c++ cmake ninja compute-sanitizer python3; do
    echo "$tool: $(command -v "$tool" || echo absent) $("$tool" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+[^ ,)]*' | head -1)"
  done
  python3 -c 'import torch; print("torch:", torch.__version__)' 2>&1 | tail -1
  echo "cuDNN headers: ${cudnn_include:-of the toolkit, if any}; unpacked libraries: $packages"
  [ "$card" != none ] || { echo "no CUDA device: built for sm_90, nothing will be run"; return 0; }
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader | head -1
}

# The largest part of the project whose libraries are here.
configure() {
  local generator=(-G Ninja) parts
  command -v ninja >/dev/null || generator=()
  for parts in "ALL ON ON" "ALL OFF ON" "ALL OFF OFF" "KERNELS OFF OFF"; do
    read -r part blas webp <<<"$parts"
    cmake -S . -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DRANKINE_CUDA=ON \
      -DCMAKE_CUDA_ARCHITECTURES="$([ "$card" = none ] && echo 90 || echo "$card")-real" -DRANKINE_PARTS="$part" \
      -DRANKINE_BLAS="$blas" -DRANKINE_WEBP="$webp" ${cudnn_include:+-DRANKINE_CUDNN_INCLUDE="$cudnn_include"} \
      >"$out/cmake.log" 2>&1 && { echo "parts: $part, OpenBLAS $blas, WebP $webp"; return 0; }
    cat "$out/cmake.log"
    grep -A3 'CMake Error' "$out/cmake.log" | grep -vE 'CMake Error|^--$' | tr -s ' \n' ' ' | sed "s/^/without $parts: /; s/\$/\n/"
  done
  return 1
}

build_targets() {
  local keep_going=-k
  grep -q 'CMAKE_GENERATOR:INTERNAL=Ninja' "$build/CMakeCache.txt" && keep_going=-k0
  cmake --build "$build" -j "$jobs" --target "$@" -- "$keep_going" && echo "built: $*"
}
has_models() { grep -q 'RANKINE_PARTS:STRING=ALL' "$build/CMakeCache.txt"; }

gpu_tests() {
  ctest --test-dir "$build" -L gpu -j $((jobs < 8 ? jobs : 8)) --timeout 120 --no-tests=error --output-on-failure >"$out/ctest.log" 2>&1
  local status=$?
  grep -E '\*\*\*|tests passed|No tests' "$out/ctest.log"
  return $status
}

# A bounded part of the tests under one of compute-sanitizer's tools. Tests that refuse on purpose make errors of the API.
sanitize() {  # TOOL FILTER
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not here"; return 0; }
  timeout -s INT -k 5 $((limit - 12)) compute-sanitizer --tool "$1" --report-api-errors no --error-exitcode 9 \
    "$build/bin/kernels_cuda_test" --gtest_filter="$2" >"$out/$1-all.log" 2>&1
  local status=$? reports passed
  reports=$(grep -cE '^========= +(Invalid|Error|Out-of-range|Misaligned|Race|Uninit)' "$out/$1-all.log")
  passed=$(grep -c '^\[       OK' "$out/$1-all.log")
  tail -30 "$out/$1-all.log"
  if [ "$passed" -eq 0 ]; then
    echo "did not run here: $(grep -m1 '^=========' "$out/$1-all.log")"
    return 0
  fi
  echo "$1: $passed tests, $reports reports$([ $status -ne 124 ] || echo ', stopped by its limit')"
  [ "$reports" -eq 0 ] && ! grep -q '^\[  FAILED' "$out/$1-all.log" && { [ $status -eq 0 ] || [ $status -eq 124 ]; }
}

kernels() {
  "$build/bin/rankine-bench" kernels --device cuda --seconds 0.03 --limit $((limit - 15)) --save "$out/kernels.json"
}

# one FILE SECONDS COMMAND...: appends its JSON line and how it was called to FILE, or what it said when it failed.
one() {
  local file=$1 seconds=$2 status=0 answer
  shift 2
  answer=$(timeout -k 5 "$seconds" "$@" 2>"$out/last.err") || status=$?
  cat "$out/last.err"
  answer=$(tail -1 <<<"$answer")
  case $answer in {*}) ;; *) answer=null ;; esac
  if [ "$status" -ne 0 ]; then
    echo "status $status of: $*: $(tail -1 "$out/last.err")"
    answer=null
  fi
  printf '{"command": "%s", "status": %s, "result": %s}\n' "$*" "$status" "$answer" | tee -a "$out/$file"
  return "$status"
}

steps() {
  local bench="$build/bin/rankine-bench" bad=0 llama=${TMPDIR:-/tmp}/rankine-llama7b-fp16.gguf
  step() { one steps.jsonl "$1" "$bench" step --device cuda --json "${@:2}" || bad=$((bad + 1)); }
  step 40 --model sd15 --resolution 512 --batch 1 --rank 8 --steps 20
  step 40 --model sd15 --resolution 512 --batch 4 --rank 8 --steps 20
  step 60 --model llama7b --tokens 4096 --rank 16 --base q4_0 --steps 5
  step 90 --model llama7b --tokens 4096 --rank 16 --base fp16 --steps 5 --file "$llama"
  step 60 --model llama7b --tokens 4096 --rank 16 --base nf4 --steps 5 --file "$llama"
  rm -f "$llama"
  echo "$bad of 5 failed"
  [ "$bad" -eq 0 ]
}

peers() {
  [ -f bench/peers/step.py ] || { echo "no bench/peers"; return 0; }
  python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || { echo "no PyTorch that sees the card"; return 0; }
  local bad=0 variant
  peer() { one peers.jsonl "$1" python3 bench/peers/step.py --device cuda --dtype fp16 --seconds 6 "${@:2}" || bad=$((bad + 1)); }
  for variant in E H F C; do
    peer 60 --model sd15 --resolution 512 --batch 1 --rank 8 --steps 20 --variant $variant
    peer 60 --model sd15 --resolution 512 --batch 4 --rank 8 --steps 20 --variant $variant
    peer 60 --model llama7b --tokens 4096 --rank 16 --steps 5 --variant $variant
  done
  echo "$bad of 12 failed"
  [ "$bad" -eq 0 ]
}
export -f describe_machine configure build_targets gpu_tests sanitize kernels one steps peers
export packages

stage machine 30 describe_machine
build_seconds=${RANKINE_BUILD_SECONDS:-240}
if stage configure 120 configure; then  # first what tells most
  programs=(rankine-bench)
  if has_models; then programs+=(cuda_training_test); fi
  stage build-kernels "$build_seconds" build_targets kernels_cuda_test bench_cuda_test || failed=1
  stage build "$build_seconds" build_targets "${programs[@]}" || failed=1
else
  failed=1
fi
if [ "$card" = none ]; then
  for name in tests memcheck racecheck kernels steps peers; do note $name "no CUDA device" 0 ""; done
else
  stage tests 120 gpu_tests || failed=1
  stage memcheck 50 sanitize memcheck '*/f16_order0' || failed=1
  stage racecheck 50 sanitize racecheck '*Gemm*/f16_order0:*LowRank*/f16_order0:*Attention*/f16_order0:*Conv*/f16_order0:*Norm*/f16_order0' || failed=1
  stage kernels 110 kernels
  stage steps 200 steps
  stage peers 300 peers
  if has_models; then stage build-rankine 60 build_targets rankine; fi
fi

python3 bench/gpu_table.py "$out" 2>"$out/table.err" | tee "$out/table.txt" || true
[ -s "$out/table.txt" ] || column -t -s "$(printf '\t')" "$out/stages.tsv" 2>/dev/null || cat "$out/stages.tsv"
[ "$failed" -eq 0 ] || exit 1
[ "$card" != none ] || exit 3
