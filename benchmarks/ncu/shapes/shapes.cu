// Kernels of known shape over time, for the timeline: each is built so that its PM samples must show one shape. ./shapes list | CASE LAUNCHES | all LAUNCHES
// The truth (shape, and where it is known the share of the time) stands in shapes.yaml.
#include <cooperative_groups.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>
namespace cg = cooperative_groups;
#define CHECK(call) do { cudaError_t e_ = (call); if (e_ != cudaSuccess) { std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e_)); std::exit(1); } } while (0)
constexpr int SM = 132;

// Nanoseconds at about 1.98 GHz, of this multiprocessor: blocks only compare with their own start.
__device__ __forceinline__ unsigned long long now() { return (unsigned long long)clock64() * 50 / 99; }
__device__ __forceinline__ float work(float v, int n) { for (int i = 0; i < n; ++i) v = v * 1.0001f + 0.5f; return v; }
__device__ __forceinline__ float work_until(float v, unsigned long long end) { while (now() < end) v = work(v, 256); return v; }
__device__ __forceinline__ void sleep_until(unsigned long long end) { while (now() < end) __nanosleep(1000); }
__device__ __forceinline__ void put(float* out, float v) { out[blockIdx.x * blockDim.x + threadIdx.x] = v; }

__global__ void equal_blocks(float* out, int n) { put(out, work(threadIdx.x, n)); }
__global__ void growing_blocks(float* out, int n) { put(out, work(threadIdx.x, n / 5 + int((long long)n * blockIdx.x / gridDim.x))); }
__global__ void one_long_block(float* out, int n) { put(out, work(threadIdx.x, blockIdx.x == 17 ? 3 * n : n)); }
__global__ void half_leaves(float* out, int n) { put(out, work(threadIdx.x, blockIdx.x & 1 ? n : 2 * n)); }
__global__ void rising(float* out, unsigned ramp_ns, unsigned total_ns) {
  unsigned long long t = now();
  sleep_until(t + (unsigned long long)ramp_ns * blockIdx.x / gridDim.x);
  put(out, work_until(threadIdx.x, t + total_ns));
}
__global__ void swinging(float* out, unsigned period_ns, int cycles) {
  unsigned long long t = now();
  float v = threadIdx.x;
  for (int k = 0; k < cycles; ++k) {
    v = work_until(v, t + (unsigned long long)period_ns * k + period_ns / 2);
    sleep_until(t + (unsigned long long)period_ns * (k + 1));
  }
  put(out, v);
}
__global__ void pausing(float* out, unsigned busy_ns, unsigned pause_ns) {
  unsigned long long t = now();
  float v = work_until(threadIdx.x, t + busy_ns);
  sleep_until(t + busy_ns + pause_ns);
  put(out, work_until(v, t + 2ull * busy_ns + pause_ns));
}
__global__ void copying(const float4* x, float4* y, size_t n) { for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) y[i] = x[i]; }
__global__ void load_then_compute(const float4* x, float* out, size_t slice, int cycles, int n) {
  cg::grid_group grid = cg::this_grid();
  float v = 0;
  for (int k = 0; k < cycles; ++k) {
    for (size_t i = grid.thread_rank(); i < slice; i += grid.size()) { float4 a = x[k * slice + i]; v += a.x + a.y + a.z + a.w; }
    grid.sync();
    v = work(v, n);
    grid.sync();
  }
  put(out, v);
}

int main(int argc, char** argv) {
  float *out, *big;
  constexpr size_t N = size_t(64) << 20;
  CHECK(cudaMalloc(&out, 64 << 20)); CHECK(cudaMalloc(&big, N * 8)); CHECK(cudaMemset(big, 0, N * 8));
  std::map<std::string, std::function<void()>> cases;
  cases["flat_compute"] = [=] { equal_blocks<<<SM * 8, 256>>>(out, 12000); };
  cases["flat_copy"] = [=] { copying<<<SM * 16, 256>>>((float4*)big, (float4*)(big + N), N / 4); };
  cases["flat_waves"] = [=] { equal_blocks<<<SM * 8 * 12, 256>>>(out, 1500); };
  cases["tail_small"] = [=] { equal_blocks<<<SM * 8 * 3 + 40, 256>>>(out, 5000); };
  cases["tail_half"] = [=] { equal_blocks<<<SM * 2 + SM / 2, 1024>>>(out, 12000); };
  cases["imbalance_linear"] = [=] { growing_blocks<<<SM * 8, 256>>>(out, 14000); };
  cases["imbalance_one"] = [=] { one_long_block<<<SM * 8, 256>>>(out, 9000); };
  cases["imbalance_half"] = [=] { half_leaves<<<SM, 1024>>>(out, 12000); };
  cases["ramp_third"] = [=] { rising<<<SM * 8, 256>>>(out, 200000, 600000); };
  cases["ramp_half"] = [=] { rising<<<SM * 8, 256>>>(out, 400000, 800000); };
  cases["sawtooth_sleep"] = [=] { swinging<<<SM * 8, 256>>>(out, 80000, 8); };
  cases["sawtooth_fast"] = [=] { swinging<<<SM * 8, 256>>>(out, 30000, 20); };
  cases["sawtooth_phases"] = [=] {
    size_t slice = N / 4 / 8; int cycles = 8, n = 3000; auto x = (const float4*)big; float* o = out;
    void* args[] = {&x, &o, &slice, &cycles, &n};
    CHECK(cudaLaunchCooperativeKernel((void*)load_then_compute, dim3(SM * 4), dim3(256), args));
  };
  cases["gap_middle"] = [=] { pausing<<<SM * 8, 256>>>(out, 200000, 200000); };
  int launches = argc > 2 ? std::atoi(argv[2]) : 1;
  std::string wanted = argc > 1 ? argv[1] : "list";
  for (auto& c : cases) {
    if (wanted == "list") { std::printf("%s\n", c.first.c_str()); continue; }
    if (wanted != "all" && wanted != c.first) continue;
    for (int k = 0; k < launches; ++k) { c.second(); CHECK(cudaGetLastError()); CHECK(cudaDeviceSynchronize()); }
  }
  return 0;
}
