#!/usr/bin/env bash
# Recreates the pair corpus on one H200: builds in a neutral folder, times every case un-profiled, then profiles it. Usage: collect.sh OUT_FOLDER cuda|python|again
# then here: unpack all stages into one folder, python benchmarks/ncu/pairs/index.py FOLDER, python benchmarks/ncu/strip.py FOLDER tests/ncu_skill/reports/pairs.tar.xz
# FROM=case resumes a stage that ran out of time: name its report differently (the shipped set is first, second, python, again).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
stage=$2
mkdir -p /bench "$out"
cp "$here"/*.cu "$here"/*.cuh "$here"/pairs_py.py /bench/
cd /bench
shopt -s nullglob
rm -f ./*.ncu-rep ./*.times ./*.cases ./*.log
build() {
  local flags=(-O3 -std=c++17 -lineinfo -gencode arch=compute_90a,code=sm_90a)
  for name in runner memory latency compute matrix; do nvcc "${flags[@]}" -c -o "$name.o" "$name.cu" & done
  wait
  nvcc -o cases runner.o memory.o latency.o compute.o matrix.o
}
full=(--set full --section PmSampling_WarpStates --clock-control none --profile-from-start off)
profile() { # seconds, name, ncu arguments and application: no case is started after that many seconds
  local limit=$1 name=$2 start=$SECONDS
  shift 2
  BUDGET_S=$limit timeout -s INT -k 30 "$((limit + 60))" ncu -f -o "$name" "$@" > "$name.log" 2>&1 || tail -3 "$name.log"
  echo "$name: $((SECONDS - start)) s, $(stat -c %s "$name.ncu-rep" 2>/dev/null || echo no report) bytes"
}
case $stage in
  cuda)
    build
    timeout 90 ./cases time > cuda.times || tail -2 cuda.times
    profile "${LIMIT:-400}" "${NAME:-first}" "${full[@]}" ./cases profile
    grep '^ran' "${NAME:-first}.log" | cut -d' ' -f2 > "${NAME:-first}.cases" || true ;;
  python)
    timeout 120 python3 pairs_py.py time > python.times || tail -2 python.times
    profile "${LIMIT:-300}" python "${full[@]}" --nvtx python3 pairs_py.py profile
    grep '^ran' python.log | cut -d' ' -f2 > python.cases || true ;;
  again) # a second, independent run of some cases: pairs of equal programs for the diff helper
    [ -x cases ] || build
    profile "${LIMIT:-120}" again "${full[@]}" ./cases profile tiles histogram piped oneload threshold append filterbank kinds residual ring
    grep '^ran' again.log | cut -d' ' -f2 > again.cases || true ;;
esac
tar -c ./*.times ./*.cases ./*.ncu-rep ./*.log | xz -T0 -3 --block-size=96MiB | split -b 15M - "$out/$stage.tar.xz."
ls -la "$out"
