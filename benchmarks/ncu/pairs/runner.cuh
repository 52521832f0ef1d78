// The registry of cases and their inputs: CASE(name, body) registers a case whose body allocates and returns the launch.
#pragma once
#include <cuda_runtime.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#define CHECK(call) do { cudaError_t e = (call); if (e != cudaSuccess) { std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e)); std::exit(1); } } while (0)

using Launch = std::function<void()>;
struct Case { const char* name; std::function<Launch()> make; };
std::vector<Case>& registry();
struct Register { Register(const char* name, std::function<Launch()> make) { registry().push_back({name, make}); } };
#define CASE(name, ...) static Register register_##name(#name, []() -> Launch { __VA_ARGS__ })

void* raw(size_t bytes);                                // device memory that lives until the case ends
void noise(float* p, size_t n, float low, float high);  // random floats
void integers(unsigned* p, size_t n, unsigned modulo);  // random integers below modulo (0: all 32 bits)

constexpr int SM = 132;
constexpr size_t M = 1 << 20;
template <class T> T* zeros(size_t n) { T* p = static_cast<T*>(raw(n * sizeof(T))); CHECK(cudaMemset(p, 0, n * sizeof(T))); return p; }
inline float* uniform(size_t n, float low = 0.f, float high = 1.f) { float* p = static_cast<float*>(raw(n * 4)); noise(p, n, low, high); return p; }
inline int* below(size_t n, unsigned modulo) { unsigned* p = static_cast<unsigned*>(raw(n * 4)); integers(p, n, modulo); return reinterpret_cast<int*>(p); }
template <class T> T* bits(size_t bytes) { return reinterpret_cast<T*>(below(bytes / 4, 0)); }
template <class T> T* upload(const std::vector<T>& h) { T* p = static_cast<T*>(raw(h.size() * sizeof(T))); CHECK(cudaMemcpy(p, h.data(), h.size() * sizeof(T), cudaMemcpyHostToDevice)); return p; }
template <class K> void dynamic(K kernel, int bytes) { CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes)); }
__host__ __device__ inline unsigned hashed(size_t i) { unsigned v = unsigned(i) * 2654435761u; v ^= v >> 15; v *= 2246822519u; return v ^ (v >> 13); }
