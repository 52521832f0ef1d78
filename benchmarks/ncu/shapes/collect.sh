#!/usr/bin/env bash
# Recreates the reports of known shape on one H200, in a neutral folder: two runs at the same settings (A/A) and one with a warm cache.
# Usage: collect.sh OUT_FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
mkdir -p /bench/shapes "$out"
cp "$here/shapes.cu" /bench/shapes/
cd /bench/shapes
nvcc -O3 -std=c++17 -lineinfo -gencode arch=compute_90a,code=sm_90a -o shapes shapes.cu
./shapes list > shapes.cases
sections=(--section LaunchStats --section Occupancy --section SpeedOfLight --section WorkloadDistribution --section WarpStateStats --section SchedulerStats
  --section InstructionStats --section MemoryWorkloadAnalysis --section SourceCounters --section PmSampling --section PmSampling_WarpStates)
profile() { # seconds, name, ncu arguments and application
  local limit=$1 name=$2 start=$SECONDS
  shift 2
  timeout -s INT -k 20 "$limit" ncu -f -o "$name" "$@" > "$name.log" 2>&1 || tail -3 "$name.log"
  echo "$name: $((SECONDS - start)) s, $(stat -c %s "$name.ncu-rep" 2>/dev/null || echo no report) bytes"
}
profile 80 shapes "${sections[@]}" --clock-control none ./shapes all 3
profile 80 shapes_again "${sections[@]}" --clock-control none ./shapes all 3
profile 25 shapes_warm "${sections[@]}" --clock-control none --cache-control none ./shapes flat_copy 3
ncu --help | grep -A4 -E "pm-sampling-(interval|buffer-size|max-passes)" || true
tar -c shapes*.ncu-rep shapes.cases ./*.log | xz -T0 -3 > "$out/shapes.tar.xz"
ls -la "$out"
