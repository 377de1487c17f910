#!/usr/bin/env bash
# One run on a machine with a CUDA card, within nine minutes and without a network: builds for this card alone, runs all GPU
# tests and part of them under compute-sanitizer, measures kernels and whole steps, and PyTorch's steps beside them. Prints a
# short table last; logs and numbers of each stage are under OUT. PyTorch is timed where it repeats a first step of ours.
#   bench/gpu.sh OUT
# Exit status: 0 all tests passed, 1 the build or a test failed, 3 no CUDA device: it was built, and nothing run.
# From the environment:
#   RANKINE_PACKAGES  folder of scripts/unpack_packages, for machines that lack libraries [.packages, where it exists]
#   RANKINE_BUILD     build folder [build/gpu]      RANKINE_JOBS  [all cores]
#   RANKINE_SECONDS   for everything [530]          RANKINE_BUILD_SECONDS  for each part of the build [240]
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?gpu.sh: expected a folder for logs and numbers (see the head of this file)}
mkdir -p "$out"
export out=$(cd "$out" && pwd)
export build=${RANKINE_BUILD:-build/gpu} jobs=${RANKINE_JOBS:-$(nproc)} dumps=${TMPDIR:-/tmp}/rankine-gpu-dumps
end=$((SECONDS + ${RANKINE_SECONDS:-530}))
rm -f "$out"/{stages.tsv,kernels.json,steps.jsonl,peers.jsonl}
failed=0

note() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$out/stages.tsv"; }  # stage, result, seconds, remark

# The stages in their order: the most seconds of each, and those that earlier ones leave for it when they run over. The
# latter are 530 together, so that every stage has its turn on a machine where nothing is built yet.
order=(machine configure build-kernels build tests memcheck racecheck kernels steps first-steps peers build-rankine build-rest)
declare -A most=([machine]=30 [configure]=120 [build-kernels]=${RANKINE_BUILD_SECONDS:-240} [build]=${RANKINE_BUILD_SECONDS:-240}
  [tests]=120 [memcheck]=50 [racecheck]=50 [kernels]=110 [steps]=200 [first-steps]=120 [peers]=300 [build-rankine]=60 [build-rest]=530)
declare -A kept=([machine]=5 [configure]=15 [build-kernels]=110 [build]=60 [tests]=45 [memcheck]=20 [racecheck]=20 [kernels]=50
  [steps]=90 [first-steps]=35 [peers]=80 [build-rankine]=0 [build-rest]=0)

limit_of() {  # stage: its seconds from now on
  local left=$((end - SECONDS)) limit name later=
  limit=$left
  for name in "${order[@]}"; do
    [ -z "$later" ] || limit=$((limit - kept[$name]))
    [ "$name" != "$1" ] || later=yes
  done
  [ "$limit" -ge "${kept[$1]}" ] || limit=${kept[$1]}
  [ "$limit" -le "${most[$1]}" ] || limit=${most[$1]}
  [ "$limit" -le "$left" ] || limit=$left
  echo "$limit"
}

# stage NAME FUNCTION [ARGUMENT...]: what it prints goes to OUT/NAME.log, its last line to the table.
stage() {
  local name=$1 limit start=$SECONDS status=0 result=ok
  limit=$(limit_of "$name")
  shift
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

row() { printf '{"command": "%s", "status": "%s", "result": %s}\n' "$2" "$3" "$4" | tee -a "$out/$1"; }

# one FILE SECONDS COMMAND...: appends its JSON line and how it was called to FILE, or what it said when it failed. What the
# stage has left is its limit too.
one() {
  local file=$1 seconds=$2 status=0 answer left=$((limit - SECONDS - 2))
  shift 2
  [ "$left" -ge "$seconds" ] || seconds=$left
  if [ "$seconds" -lt 8 ]; then
    row "$file" "$*" "no time left" null
    return 124
  fi
  answer=$(timeout -k 5 "$seconds" "$@" 2>"$out/last.err") || status=$?
  cat "$out/last.err"
  answer=$(tail -1 <<<"$answer")
  case $answer in {*}) ;; *) answer=null ;; esac
  if [ "$status" -ne 0 ]; then
    echo "status $status of: $*: $(tail -1 "$out/last.err")"
    [ "$status" -eq 4 ] || answer=null  # 4 says what differs
  fi
  row "$file" "$*" "$status" "$answer"
  return "$status"
}

steps() {
  local bench="$build/bin/rankine-bench" bad=0 all=0 llama=${TMPDIR:-/tmp}/rankine-llama7b-fp16.gguf
  step() {
    all=$((all + 1))
    one steps.jsonl "$1" "$bench" step --device cuda --json "${@:2}" || bad=$((bad + 1))
  }
  # One of each model first, then their other types.
  step 40 --model sd15 --resolution 512 --batch 1 --rank 8 --steps 20
  step 60 --model llama7b --tokens 4096 --rank 16 --base q4_0 --steps 5
  step 50 --model sdxl --resolution 1024 --batch 1 --rank 8 --steps 5
  step 60 --model chatglm3 --tokens 4096 --rank 16 --base q4_0 --steps 5
  step 40 --model sd15 --resolution 512 --batch 4 --rank 8 --steps 20
  step 40 --model sd15 --resolution 512 --batch 1 --rank 8 --steps 20 --type bf16
  step 90 --model llama7b --tokens 4096 --rank 16 --base fp16 --steps 5 --file "$llama"
  step 60 --model llama7b --tokens 4096 --rank 16 --base nf4 --steps 5 --file "$llama"
  rm -f "$llama"
  echo "$bad of $all failed"
  [ "$bad" -eq 0 ]
}

has_torch() {
  python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || { echo "no PyTorch that sees the card"; return 1; }
}

# What the peers have to repeat (bench/step_dump.h): a first step of ours from this card, or from the CPU where the card's
# fails. 7B weights would take half a minute to write and to read: LLaMA's layers are compared at the sizes of 1.1B. The
# example is small, and has adapters on convolutions.
first_steps() {
  local bad=0
  write() {  # name, arguments
    timeout -k 5 60 "$build/bin/rankine-bench" step --device cuda --dump "$dumps/$1" "${@:2}" && return
    echo "$1: no first step from the card; from the CPU:"
    bad=$((bad + 1))
    timeout -k 5 60 "$build/bin/rankine-bench" step --dump "$dumps/$1" "${@:2}" || rm -rf "${dumps:?}/$1"
  }
  has_torch || return 0
  rm -rf "$dumps"
  write tiny-sd-bf16 --type bf16 --model sd15 --file examples/sd-style/tiny-sd.safetensors --resolution 128 --batch 2 --rank 4 --conv-rank 4
  write sd15 --model sd15 --resolution 512 --batch 1 --rank 8
  write llama1b --model llama1b --tokens 128 --rank 16
  du -sh "$dumps"
  echo "$bad of 3 not from the card"
  [ "$bad" -eq 0 ]
}

peers() {
  has_torch || return 0
  local bad=0 all=0 variant repeats step=(python3 bench/peers/step.py --device cuda --seconds 6)
  peer() {
    all=$((all + 1))
    one peers.jsonl 60 "${step[@]}" --variant "$variant" "$@" || { bad=$((bad + 1)); return 1; }
  }
  # A case without a dump of its own: timed where the variant has just repeated the same layers in smaller sizes.
  larger() {
    if [ "$repeats" -eq 0 ]; then
      peer "$@"
    else
      row peers.jsonl "${step[*]} --variant $variant $*" "not timed: its check failed" null
    fi
  }
  for variant in E H F C; do
    peer --dtype fp16 --dump "$dumps/sd15" --steps 20
    repeats=$?
    larger --dtype fp16 --model sd15 --resolution 512 --batch 4 --rank 8 --steps 20
    repeats=0  # of F, which has no gradients of adapters
    [ $variant = F ] || peer --dtype fp16 --dump "$dumps/llama1b" --steps 0 || repeats=1
    larger --dtype fp16 --model llama7b --tokens 4096 --rank 16 --steps 5
    [ $variant != E ] || peer --dtype bf16 --dump "$dumps/tiny-sd-bf16" --steps 0
  done
  echo "$bad of $all failed"
  [ "$bad" -eq 0 ]
}
export -f describe_machine configure build_targets has_models gpu_tests sanitize kernels row one steps has_torch first_steps peers
export packages

stage machine describe_machine
if stage configure configure; then  # first what tells most
  stage build-kernels build_targets kernels_cuda_test
  stage build build_targets gpu_tests rankine-bench
  case $? in
    0) ;;
    # Nothing has a turn without programs: all that is left goes into them, for this run or the next on this machine.
    124 | 137) stage build-rest build_targets gpu_tests rankine-bench || failed=1 ;;
    *) failed=1 ;;
  esac
else
  failed=1
fi
if [ "$card" = none ]; then
  for name in tests memcheck racecheck kernels steps first-steps peers; do note $name "no CUDA device" 0 ""; done
else
  stage tests gpu_tests || failed=1
  stage memcheck sanitize memcheck '*/f16_order0' || failed=1
  stage racecheck sanitize racecheck '*Gemm*/f16_order0:*LowRank*/f16_order0:*Attention*/f16_order0:*Conv*/f16_order0:*Norm*/f16_order0' || failed=1
  stage kernels kernels
  if has_models; then
    stage steps steps
    stage first-steps first_steps
    stage peers peers
    stage build-rankine build_targets rankine
  else
    for name in steps first-steps peers; do note $name "not in this build" 0 ""; done
  fi
  rm -rf "$dumps"
fi

python3 bench/gpu_table.py "$out" 2>"$out/table.err" | tee "$out/table.txt" || true
[ -s "$out/table.txt" ] || column -t -s "$(printf '\t')" "$out/stages.tsv" 2>/dev/null || cat "$out/stages.tsv"
[ "$failed" -eq 0 ] || exit 1
[ "$card" != none ] || exit 3
