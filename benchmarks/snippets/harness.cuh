// Harness: what the cases share: device buffers, seeded data, comparison with a host result in double, registration under a page's name.
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

struct Case {
  std::string page;
  double (*run)();  // largest error that was seen, in the unit of `limit`
  double limit;
};
std::vector<Case>& cases();
struct Registered {
  Registered(const char* page, double (*run)(), double limit) { cases().push_back({page, run, limit}); }
};
// CASE(kind, page_name, limit): underscores stand for the hyphens of the page's name; the snippet is in the namespace kind_page_name.
#define CASE(kind, name, limit)                                                        \
  static double run_##kind##_##name();                                                 \
  static Registered registered_##kind##_##name(#kind "/" #name, run_##kind##_##name, limit); \
  static double run_##kind##_##name()

template <class T>
struct Device {  // zeroed, or a copy of host values
  T* data = nullptr;
  size_t size;
  explicit Device(size_t n) : size(n) {
    cudaMalloc(&data, n * sizeof(T));
    cudaMemset(data, 0, n * sizeof(T));
  }
  explicit Device(const std::vector<T>& host) : Device(host.size()) { cudaMemcpy(data, host.data(), size * sizeof(T), cudaMemcpyHostToDevice); }
  Device(const Device&) = delete;
  ~Device() { cudaFree(data); }
  std::vector<T> read() const {
    std::vector<T> host(size);
    cudaMemcpy(host.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost);
    return host;
  }
  template <class U>
  U* as() const {
    return reinterpret_cast<U*>(data);
  }
};

struct Worst {  // keeps the largest error; a NaN counts as infinite
  double value = 0;
  void see(double got, double want) { error(std::fabs(got - want)); }
  void relative(double got, double want, double floor) { error(std::fabs(got - want) / (std::fabs(want) + floor)); }
  void differs(bool wrong) { error(wrong ? 1 : 0); }
  void error(double e) { value = e <= value ? value : (e == e ? e : INFINITY); }
};

inline std::mt19937& random_bits() {
  static std::mt19937 generator(7);
  return generator;
}
inline float uniform() { return std::uniform_real_distribution<float>(-1, 1)(random_bits()); }
inline std::vector<float> floats(size_t n, float scale = 1) {
  std::vector<float> made(n);
  for (auto& x : made) x = uniform() * scale;
  return made;
}
inline std::vector<uint32_t> words(size_t n) {
  std::vector<uint32_t> made(n);
  for (auto& x : made) x = random_bits()();
  return made;
}
inline uint16_t to_bf16(float x) {
  __nv_bfloat16 b = __float2bfloat16(x);
  uint16_t bits;
  std::memcpy(&bits, &b, 2);
  return bits;
}
inline float from_bf16(uint16_t bits) {
  __nv_bfloat16 b;
  std::memcpy(&b, &bits, 2);
  return __bfloat162float(b);
}
inline float from_e4m3(uint8_t bits) {
  __nv_fp8_e4m3 value;
  value.__x = bits;
  return float(value);
}
inline std::vector<uint16_t> bf16s(size_t n, float scale = 1) {
  std::vector<uint16_t> made(n);
  for (auto& x : made) x = to_bf16(uniform() * scale);
  return made;
}

// The element (row, column) of an m16n8k16 operand that `mma.sync` expects in register order: 4 (A) or 2 (B) words a lane.
inline float a_fragment(const std::vector<uint32_t>& words_, size_t tile, int row, int k) {
  int lane = row % 8 * 4 + k % 8 / 2, word = row / 8 + 2 * (k / 8);
  return from_bf16(words_[(tile * 32 + lane) * 4 + word] >> (16 * (k % 2)));
}
inline float b_fragment(const std::vector<uint32_t>& words_, size_t tile, int k, int column) {
  int lane = column * 4 + k % 8 / 2;
  return from_bf16(words_[(tile * 32 + lane) * 2 + k / 8] >> (16 * (k % 2)));
}
inline std::vector<uint32_t> bf16_pairs(size_t n) {
  std::vector<uint32_t> made(n);
  for (auto& x : made) x = to_bf16(uniform()) | uint32_t(to_bf16(uniform())) << 16;
  return made;
}

CUtensorMap tensor_map(CUtensorMapDataType type, void* data, int columns, int rows, int element_bytes, int box_columns, int box_rows,
                       CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE);
template <class Kernel>
void allow_shared(Kernel kernel, size_t bytes) {
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
}
