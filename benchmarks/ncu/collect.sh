#!/usr/bin/env bash
# Recreates the report corpus on one H200: builds in a neutral folder, profiles every case, writes one compressed tar. Usage: collect.sh OUT_FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
mkdir -p /bench "$out"
cp "$here"/kernels.cu "$here"/graph.cu "$here"/kernels_py.py /bench/
cd /bench
nvcc -O3 -std=c++17 -lineinfo -gencode arch=compute_90a,code=sm_90a -o kernels kernels.cu &
nvcc -O3 -std=c++17 -lineinfo -gencode arch=compute_90a,code=sm_90a -o graph graph.cu &
wait
./kernels > cases.txt
full=(--set full --clock-control none)
profile() { # seconds, name, ncu arguments and application
  local limit=$1 name=$2
  shift 2
  local start=$SECONDS
  timeout "$limit" ncu -f -o "$name" "$@" > "$name.log" 2>&1 || tail -3 "$name.log"
  echo "$name: $((SECONDS - start)) s, $(stat -c %s "$name.ncu-rep" 2>/dev/null || echo no report) bytes"
}
profile 60 graph --section LaunchStats --section SpeedOfLight --graph-profiling graph ./graph
profile 60 range --section SpeedOfLight --replay-mode range python3 kernels_py.py t_add
profile 120 python "${full[@]}" --section PmSampling_WarpStates --nvtx --profile-from-start off python3 kernels_py.py
profile "${CUDA_LIMIT:-260}" cuda "${full[@]}" ./kernels all
tar -c cases.txt ./*.ncu-rep | xz -T0 -4 --block-size=96MiB | split -b 15M - "$out/corpus.tar.xz."
cp ./*.log "$out"/ 2>/dev/null || true
ls -la "$out"
