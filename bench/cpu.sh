#!/usr/bin/env bash
# One LoRA step of this engine and of PyTorch on the CPU, side by side (docs/benchmarks.md): checks that both compute the same
# step, then times them in turns.
#   bench/cpu.sh [FOLDER]     results.md and results.json go to FOLDER (output/bench-cpu)
# Environment: BENCH_MODELS (medical tiny-sd sd15 llama1b), BENCH_ROUNDS (2), BENCH_STEPS, the least number of timed steps over
# all rounds (by the model, see below), BENCH_VARIANTS (E H F bf16 C; all but E in the first round alone), BENCH_THREADS (cores),
# BENCH_COMPILE_SECONDS (900) for torch.compile, BENCH_BINARY instead of building rankine-bench, BENCH_PREFIX before every
# timed command (chrt -r 10 where that is allowed).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-output/bench-cpu}")
mkdir -p "$folder"
read -ra models <<<"${BENCH_MODELS:-medical tiny-sd sd15 llama1b}"
read -ra variants <<<"${BENCH_VARIANTS:-E H F bf16 C}"
rounds=${BENCH_ROUNDS:-2}
threads=${BENCH_THREADS:-$(nproc)}
compile_seconds=${BENCH_COMPILE_SECONDS:-900}
settings=$(env | grep '^BENCH_' | sort | sed 's/=\(.*\)/="\1"/' | tr '\n' ' ' || true)  # what was asked for
commit="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)$(git diff --quiet HEAD 2>/dev/null || echo ', with changes')"
bench=${BENCH_BINARY:-build/cpu-release/bin/rankine-bench}

if [ -z "${BENCH_BINARY:-}" ]; then
  scripts/install_packages build
  cmake --preset cpu-release >/dev/null
  cmake --build --preset cpu-release -j "$threads" --target rankine-bench >"$folder/build.log"
fi
venv=${XDG_CACHE_HOME:-$HOME/.cache}/rankine-bench-torch
libraries=$(bench/peers/torch_venv "$venv")

prefix=()
if [ -n "${BENCH_PREFIX:-}" ]; then
  read -ra prefix <<<"$BENCH_PREFIX"
elif chrt -r 10 true 2>/dev/null; then
  prefix=(chrt -r 10)
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Compiled code is kept, so that the timed run of variant C does not compile.
export TORCHINDUCTOR_CACHE_DIR=$work/inductor

# steps: timed ones of a round, and once: of who runs in one round alone; shape: what rankine-bench is told.
describe() {
  case $1 in
    sd15) steps=5 shape=(--model sd15 --resolution 256 --batch 1 --rank 8) ;;
    llama1b) steps=2 shape=(--model llama1b --tokens 512 --rank 16 --file "$work/llama1b.gguf") ;;
    tiny-sd)
      steps=10
      shape=(--model sd15 --file examples/sd-style/tiny-sd.safetensors --resolution 128 --batch 4 --rank 16 --conv-rank 16)
      ;;
    medical)
      steps=20
      shape=(--model llama1b --file examples/medical-qa/base/medical-base.ggjtv3.q4_0.bin --tokens 256 --rank 16 --all-linear)
      ;;
    *) echo "bench/cpu.sh: unknown model $1" >&2; exit 2 ;;
  esac
  once=$steps
  local each=$(((${BENCH_STEPS:-0} + rounds - 1) / rounds))
  [ "$each" -le "$steps" ] || steps=$each
  [ "${BENCH_STEPS:-0}" -le "$once" ] || once=$BENCH_STEPS
}

ours() {  # model round
  "${prefix[@]}" "$bench" step "${shape[@]}" --steps "$steps" --threads "$threads" --json >"$folder/$1.ours.$2.json"
}

python() { LD_LIBRARY_PATH=$libraries "$@" "$venv/bin/python" bench/peers/step.py --dump "$work/$model" --threads "$threads" \
  "${arguments[@]}"; }

peer() {  # model round variant
  local model=$1 out=$folder/$1.$3.$2 arguments=(--variant "$3" --steps "$once")
  case $3 in
    E) arguments=(--variant E --steps "$steps") ;;
    bf16) arguments=(--variant E --dtype bf16 --steps "$once") ;;
    C)
      arguments=(--variant C --steps 1)
      if ! python "${prefix[@]}" timeout "$compile_seconds" >/dev/null 2>"$out.log"; then
        echo "$model: variant C gave nothing in $compile_seconds s, see $out.log" >&2
        return 0
      fi
      arguments=(--variant C --steps "$once")
      ;;
  esac
  python "${prefix[@]}" >"$out.json" 2>"$out.log" || { cat "$out.log" >&2; rm -f "$out.json"; return 1; }
}

for model in "${models[@]}"; do
  describe "$model"
  echo "-- $model: writing the first step --" >&2
  "${prefix[@]}" "$bench" step "${shape[@]}" --threads "$threads" --dump "$work/$model"
  for round in $(seq "$rounds"); do
    for variant in "${variants[@]}"; do
      # Ours next to E in every round; of the others one round is enough to place them.
      [ "$variant" = E ] || [ "$round" -eq 1 ] || continue
      [ "$variant" != E ] || ours "$model" "$round"
      echo "-- $model, $variant, round $round --" >&2
      peer "$model" "$round" "$variant"
    done
  done
  rm -rf "${work:?}/$model" "$work/$model.gguf"
done

{
  echo "command: ${settings}bench/cpu.sh"
  echo "commit $commit; $(date -u +%F); ${threads} threads; $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs)"
  echo "rankine-bench: ${BENCH_BINARY:-built from this commit by $(c++ --version | head -1)}"
  for model in "${models[@]}"; do
    describe "$model"
    echo "  $model: rankine-bench step ${shape[*]/#$work/TMP} --steps $steps --threads $threads --json"
  done
  echo "timed under: ${prefix[*]:-nothing}; load now: $(cut -d' ' -f1-3 /proc/loadavg)"
  LD_LIBRARY_PATH=$libraries "$venv/bin/python" -c 'import platform, torch; print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability(), "Python", platform.python_version())'
} | tee "$folder/facts.txt"
python3 bench/peers/table.py "$folder"
