// Runs registered cases. ./cases list | time [CASE...] (median of un-profiled launches) | profile [CASE...] (inside the profiler's range, three launches of a case with a twin, one of another).
// BUDGET_S=n starts no case after n seconds; FROM=name skips the cases before it.
#include <cuda_profiler_api.h>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include "runner.cuh"

std::vector<Case>& registry() { static std::vector<Case> cases; return cases; }
static std::vector<void*> pool;
void* raw(size_t bytes) { void* p; CHECK(cudaMalloc(&p, bytes)); pool.push_back(p); return p; }
__device__ unsigned mixed(size_t i) { unsigned v = unsigned(i) * 2654435761u + unsigned(i >> 32); v ^= v >> 15; v *= 2246822519u; v ^= v >> 13; v *= 3266489917u; return v ^ (v >> 16); }
__global__ void draw_floats(float* p, size_t n, float low, float high) { for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) p[i] = low + (high - low) * (mixed(i) >> 8) * 0x1p-24f; }
__global__ void draw_integers(unsigned* p, size_t n, unsigned modulo) { for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) p[i] = modulo ? mixed(i) % modulo : mixed(i); }
void noise(float* p, size_t n, float low, float high) { draw_floats<<<1024, 256>>>(p, n, low, high); }
void integers(unsigned* p, size_t n, unsigned modulo) { draw_integers<<<1024, 256>>>(p, n, modulo); }

static int launches(const Case& c) {
  std::string name = c.name, twin = name + "_fixed";
  if (name.size() > 6 && name.substr(name.size() - 6) == "_fixed") return 3;
  for (auto& other : registry()) if (twin == other.name) return 3;
  return 1;
}
static void timed(const Case& c, const Launch& launch) {
  cudaEvent_t a, b;
  CHECK(cudaEventCreate(&a)); CHECK(cudaEventCreate(&b));
  std::vector<float> ms;
  for (int k = 0; k < 12; ++k) {
    CHECK(cudaEventRecord(a)); launch(); CHECK(cudaEventRecord(b)); CHECK(cudaEventSynchronize(b));
    float t; CHECK(cudaEventElapsedTime(&t, a, b));
    if (k >= 3) ms.push_back(t);
  }
  std::sort(ms.begin(), ms.end());
  std::printf("%s %.0f %.0f %.0f\n", c.name, ms[ms.size() / 2] * 1e6, ms.front() * 1e6, ms.back() * 1e6);
}
int main(int argc, char** argv) {
  std::string mode = argc > 1 ? argv[1] : "list";
  auto& cases = registry();
  std::sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return std::strcmp(a.name, b.name) < 0; });
  const char *budget = std::getenv("BUDGET_S"), *from = std::getenv("FROM");
  auto began = std::chrono::steady_clock::now();
  for (auto& c : cases) {
    if (budget && std::chrono::steady_clock::now() - began > std::chrono::seconds(std::atoi(budget))) { std::fprintf(stderr, "stopped before %s\n", c.name); break; }
    if (from && std::strcmp(c.name, from) < 0) continue;
    bool wanted = argc <= 2;
    for (int k = 2; k < argc; ++k) wanted |= !std::strcmp(argv[k], c.name);
    if (!wanted) continue;
    if (mode == "list") { std::printf("%s\n", c.name); continue; }
    Launch launch = c.make();
    CHECK(cudaDeviceSynchronize());
    if (mode == "time") timed(c, launch);
    else {
      CHECK(cudaProfilerStart());
      for (int k = 0; k < launches(c); ++k) { launch(); CHECK(cudaDeviceSynchronize()); }
      CHECK(cudaProfilerStop());
      std::fprintf(stderr, "ran %s\n", c.name);
    }
    CHECK(cudaGetLastError());
    CHECK(cudaDeviceSynchronize());
    for (void* p : pool) CHECK(cudaFree(p));
    pool.clear();
  }
}
