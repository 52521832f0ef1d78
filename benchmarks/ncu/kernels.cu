// Kernels with one known bottleneck each ("before") and the twin that removes it ("after"), plus kernels that are already at a roof.
// A line that holds the planted defect ends in "// PLANT <case>". Run one case: ./kernels CASE; ./kernels all runs every case once, in the order that ./kernels prints. Labels: labels.yaml.
#include <cuda_fp16.h>
#include <mma.h>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#define CHECK(call) do { cudaError_t e = (call); if (e != cudaSuccess) { std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e)); std::exit(1); } } while (0)

// ---- device memory at its roof
__global__ void saxpy_vec4(const float4* x, const float4* y, float4* out, size_t n) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) {
    float4 a = x[i], b = y[i];
    out[i] = make_float4(2 * a.x + b.x, 2 * a.y + b.y, 2 * a.z + b.z, 2 * a.w + b.w);  // PLANT saxpy
  }
}

// ---- uncoalesced global access: array of structures against structure of arrays
struct Particle { float x, y, z, w, vx, vy, vz, m, pad[8]; };
__global__ void energy_aos(const Particle* p, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    float v = p[i].vx;  // PLANT aos
    out[i] = v * v;
  }
}
__global__ void energy_soa(const float* vx, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = vx[i] * vx[i];
}
__global__ void row_sum_by_thread(const float* m, float* out, int rows, int cols) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  float s = 0;
  if (r < rows) {
    for (int c = 0; c < cols; ++c) s += m[size_t(r) * cols + c];  // PLANT rowsum
    out[r] = s;
  }
}
__global__ void row_sum_by_warp(const float* m, float* out, int rows, int cols) {
  int r = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
  float s = 0;
  if (r < rows) {
    const float4* row = reinterpret_cast<const float4*>(m + size_t(r) * cols);
#pragma unroll 4
    for (int c = lane; c < cols / 4; c += 32) { float4 v = row[c]; s += v.x + v.y + v.z + v.w; }
    for (int k = 16; k; k >>= 1) s += __shfl_xor_sync(~0u, s, k);
    if (!lane) out[r] = s;
  }
}
__global__ void scatter_store(const float* x, float* out, int n, int stride) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[(size_t(i) * stride) % n] = x[i];  // PLANT scatter
}

// ---- narrow access
__global__ void invert_bytes(const unsigned char* in, unsigned char* out, size_t n) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < n) out[i] = 255 - in[i];  // PLANT bytes
}
__global__ void invert_vec16(const uint4* in, uint4* out, size_t n) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < n) { uint4 v = in[i]; out[i] = make_uint4(~v.x, ~v.y, ~v.z, ~v.w); }
}
__global__ void scale_half_scalar(const __half* in, __half* out, size_t n) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < n) out[i] = __hmul(in[i], __float2half(0.5f));  // PLANT halfs
}
__global__ void scale_half_vec8(const uint4* in, uint4* out, size_t n) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < n) {
    uint4 v = in[i];
    __half2* h = reinterpret_cast<__half2*>(&v);
#pragma unroll
    for (int k = 0; k < 4; ++k) h[k] = __hmul2(h[k], __float2half2_rn(0.5f));
    out[i] = v;
  }
}

// ---- shared memory
template <int PITCH>
__global__ void column_walk(float* out, int rounds) {
  extern __shared__ float tile[];
  int t = threadIdx.x;
  for (int i = t; i < 32 * PITCH; i += blockDim.x) tile[i] = i;
  __syncthreads();
  float s = 0;
  int row = t & 31, col = t >> 5;
  for (int r = 0; r < rounds; ++r) s += tile[row * PITCH + ((col + r) & 31)];  // PLANT columns
  out[blockIdx.x * blockDim.x + t] = s;
}
__global__ void shared_stream(float* out, int rounds) {
  __shared__ float4 tile[1024];
  int t = threadIdx.x;
  tile[t] = make_float4(t, t, t, t);
  __syncthreads();
  float4 s = make_float4(0, 0, 0, 0);
  for (int r = 0; r < rounds; ++r) {
    float4 v = tile[(t + r * 32) & 1023];  // PLANT shstream
    s.x += v.x; s.y += v.y; s.z += v.z; s.w += v.w;
  }
  out[blockIdx.x * blockDim.x + t] = s.x + s.y + s.z + s.w;
}
__global__ void l1_reread(const float4* table, float* out, int rounds) {
  int t = threadIdx.x;
  float s = 0;
#pragma unroll 8
  for (int r = 0; r < rounds; ++r) { float4 v = __ldca(table + ((t + r * 32) & 1023)); s += v.x + v.y * v.z + v.w; }  // PLANT l1reread
  out[blockIdx.x * blockDim.x + t] = s;
}
__global__ void l2_reread(const float4* table, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
  float s = 0;
#pragma unroll 8
  for (int r = 0; r < rounds; ++r) { float4 v = __ldcg(table + ((i + r * (total / 4 + 64)) & (n - 1))); s += v.x + v.y * v.z + v.w; }  // PLANT l2reread
  out[i] = s;
}

// ---- registers spilled to local memory
template <int N>
__device__ __forceinline__ float churn(const float* x, int n, int rounds) {
  float a[N];
#pragma unroll
  for (int k = 0; k < N; ++k) a[k] = x[(threadIdx.x + k * 32) % n];
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int k = 0; k < N; ++k) a[k] = a[k] * 1.0001f + a[(k * 7 + 3) % N];  // PLANT churn
  }
  float s = 0;
#pragma unroll
  for (int k = 0; k < N; ++k) s += a[k];
  return s;
}
__global__ void __launch_bounds__(1024, 2) churn_spilled(const float* x, float* out, int n, int rounds) { out[blockIdx.x * blockDim.x + threadIdx.x] = churn<96>(x, n, rounds); }
__global__ void __launch_bounds__(256, 2) churn_in_registers(const float* x, float* out, int n, int rounds) { out[blockIdx.x * blockDim.x + threadIdx.x] = churn<96>(x, n, rounds); }
__global__ void indexed_locals(const int* idx, float* out, int rounds) {
  float a[64];
  for (int k = 0; k < 64; ++k) a[k] = k + threadIdx.x;
  int j = idx[threadIdx.x & 63];
  for (int r = 0; r < rounds; ++r) { a[j] += 1.5f; j = (j * 5 + int(a[(j + 1) & 63])) & 63; }  // PLANT indexed
  out[blockIdx.x * blockDim.x + threadIdx.x] = a[0] + a[j];
}

// ---- latency
__global__ void list_walk(const int* next, int* out, int steps) {
  int j = blockIdx.x * blockDim.x + threadIdx.x;
  for (int s = 0; s < steps; ++s) j = next[j];  // PLANT walk
  out[blockIdx.x * blockDim.x + threadIdx.x] = j;
}
__global__ void sum_serial(const float* x, float* out, int per) {
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
  float s = 0;
#pragma unroll 1
  for (int k = 0; k < per; ++k) s = s * 0.5f + x[t + size_t(k) * total];  // PLANT serial
  out[t] = s;
}
__global__ void sum_unrolled(const float* x, float* out, int per) {
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
  float s = 0;
#pragma unroll 16
  for (int k = 0; k < per; ++k) s = s * 0.5f + x[t + size_t(k) * total];
  out[t] = s;
}

// ---- atomics
__global__ void count_global(const int* in, int* bins, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(&bins[in[i] & 7], 1);  // PLANT count
}
__global__ void count_private(const int* in, int* bins, int n) {
  __shared__ int mine[8 * 32];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) mine[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&mine[(in[i] & 7) * 32 + (threadIdx.x & 31)], 1);
  __syncthreads();
  if (threadIdx.x < 8) { int s = 0; for (int k = 0; k < 32; ++k) s += mine[threadIdx.x * 32 + ((k + threadIdx.x) & 31)]; atomicAdd(&bins[threadIdx.x], s); }
}
__global__ void sum_atomic_float(const float* in, float* total, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = i < n ? in[i] : 0;
  if (v > 0.001f) { float old = atomicAdd(total, v); if (old < -1e30f) total[1] = old; }  // PLANT sumatomic
}

// ---- asynchronous copies
__device__ __forceinline__ void copy16(void* dst, const void* src) {
  unsigned d = __cvta_generic_to_shared(dst);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(d), "l"(src));
}
template <int DEPTH>
__global__ void staged(const float4* in, float* out, int tiles) {
  extern __shared__ float4 stage[];
  int t = threadIdx.x;
  const float4* mine = in + size_t(blockIdx.x) * tiles * blockDim.x;
#pragma unroll
  for (int d = 0; d < DEPTH - 1; ++d) { copy16(&stage[d * blockDim.x + t], mine + size_t(d) * blockDim.x + t); asm volatile("cp.async.commit_group;"); }
  float s = 0;
  for (int k = 0; k < tiles; ++k) {
    int ahead = k + DEPTH - 1;
    if (ahead < tiles) copy16(&stage[(ahead % DEPTH) * blockDim.x + t], mine + size_t(ahead) * blockDim.x + t);  // PLANT staged
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.wait_group %0;" ::"n"(DEPTH - 1));  // PLANT stagedwait
    __syncthreads();
    float4 v = stage[(k % DEPTH) * blockDim.x + (t ^ 1)];
    s += v.x + v.y + v.z + v.w;
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + t] = s;
}

// ---- occupancy
template <int EXTRA>
__device__ __forceinline__ float lookup(const float* x, int per) {
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
  float s[EXTRA];
#pragma unroll
  for (int k = 0; k < EXTRA; ++k) s[k] = k;
#pragma unroll 1
  for (int k = 0; k < per; ++k) {
    float v = x[t + size_t(k) * total];  // PLANT lookup
#pragma unroll
    for (int j = 0; j < EXTRA; ++j) s[j] = s[j] * v + 1.0f;
  }
  float sum = 0;
#pragma unroll
  for (int k = 0; k < EXTRA; ++k) sum += s[k];
  return sum;
}
__global__ void __launch_bounds__(128) lookup_many_registers(const float* x, float* out, int per) { out[blockIdx.x * blockDim.x + threadIdx.x] = lookup<200>(x, per); }
__global__ void __launch_bounds__(128) lookup_few_registers(const float* x, float* out, int per) { out[blockIdx.x * blockDim.x + threadIdx.x] = lookup<8>(x, per); }
__global__ void lookup_with_scratch(const float* x, float* out, int per) {
  extern __shared__ float scratch[];
  scratch[threadIdx.x] = threadIdx.x;
  float s = lookup<4>(x, per);
  out[blockIdx.x * blockDim.x + threadIdx.x] = s + scratch[threadIdx.x];
}
__global__ void lookup_plain(const float* x, float* out, int per) { out[blockIdx.x * blockDim.x + threadIdx.x] = lookup<4>(x, per); }

// ---- grids
__global__ void polynomial(const float* x, float* out, int n, int rounds) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    float v = x[i], s = v;
    for (int r = 0; r < rounds; ++r) s = s * v + 0.25f;
    out[i] = s;
  }
}
__global__ void tiny_update(float* x) { x[threadIdx.x] += 1; }
__global__ void heavy_blocks(float* out, int rounds) {
  float a = threadIdx.x, b = 1, c = 2, d = 3;
  for (int r = 0; r < rounds; ++r) { a = a * 1.0001f + b; b = b * 0.999f + c; c = c * 1.001f + d; d = d * 0.99f + a; }
  out[blockIdx.x * blockDim.x + threadIdx.x] = a + b + c + d;
}
__global__ void ragged(const int* length, float* out) {
  int len = length[blockIdx.x];
  float a = threadIdx.x;
  for (int r = 0; r < len; ++r) a = a * 1.0001f + 0.5f;  // PLANT ragged
  out[blockIdx.x * blockDim.x + threadIdx.x] = a;
}

// ---- control flow
__device__ __noinline__ float path_a(float v, int rounds) { for (int r = 0; r < rounds; ++r) v = v * 1.01f + 0.1f; return v; }
__device__ __noinline__ float path_b(float v, int rounds) { for (int r = 0; r < rounds; ++r) v = v * 0.98f - 0.2f; return v; }
__device__ __noinline__ float path_c(float v, int rounds) { for (int r = 0; r < rounds; ++r) v = v * 0.97f - 0.3f; return v; }
__device__ __noinline__ float path_d(float v, int rounds) { for (int r = 0; r < rounds; ++r) v = v * 0.96f - 0.4f; return v; }
template <bool BY_WARP>
__global__ void branchy(const float* x, float* out, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, way = (BY_WARP ? i / 32 : i) & 3;
  float v = x[i];
  switch (way) {  // PLANT branchy
    case 0: v = path_a(v, rounds); break;
    case 1: v = path_b(v, rounds); break;
    case 2: v = path_c(v, rounds); break;
    default: v = path_d(v, rounds);
  }
  out[i] = v;
}
__global__ void one_warp_works(float* out, int rounds) {
  __shared__ float total;
  float v = threadIdx.x;
  for (int r = 0; r < rounds; ++r) {
    if (threadIdx.x < 32) { float s = v; for (int k = 0; k < 64; ++k) s = s * 0.99f + 0.1f; total = s; }
    __syncthreads();  // PLANT onewarp
    v += total * 0.001f;
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void each_warp_works(float* out, int rounds) {
  float v = threadIdx.x;
  for (int r = 0; r < rounds; ++r) { float s = v; for (int k = 0; k < 4; ++k) s = s * 0.99f + 0.1f; v += __shfl_sync(~0u, s, 0) * 0.001f; }
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void block_scan_barriers(const float* x, float* out, int rounds) {
  __shared__ float s[1024];
  int t = threadIdx.x;
  float v = x[blockIdx.x * blockDim.x + t];
  for (int r = 0; r < rounds; ++r) {
    s[t] = v;
    __syncthreads();
    for (int k = 512; k; k >>= 1) { if (t < k) s[t] += s[t + k]; __syncthreads(); }  // PLANT scan
    v = v * 0.5f + s[0] * 1e-3f;
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + t] = v;
}
__global__ void block_scan_shuffles(const float* x, float* out, int rounds) {
  __shared__ float s[2][32];
  int t = threadIdx.x;
  float v = x[blockIdx.x * blockDim.x + t];
  for (int r = 0; r < rounds; ++r) {
    float a = v;
    for (int k = 16; k; k >>= 1) a += __shfl_xor_sync(~0u, a, k);
    if ((t & 31) == 0) s[r & 1][t / 32] = a;
    __syncthreads();
    a = s[r & 1][t & 31];
    for (int k = 16; k; k >>= 1) a += __shfl_xor_sync(~0u, a, k);
    v = v * 0.5f + a * 1e-3f;
  }
  out[blockIdx.x * blockDim.x + t] = v;
}

// ---- arithmetic pipes
__global__ void transcendental(float* out, int rounds) {
  float a = threadIdx.x * 0.001f, b = a + 1, c = a + 2, d = a + 3;
  for (int r = 0; r < rounds; ++r) { a = __sinf(a); b = __cosf(b); c = __expf(c) ; d = __logf(d); c = __frcp_rn(c + 1.5f); d = __fsqrt_rn(d * d + 1.f); }  // PLANT sfu
  out[blockIdx.x * blockDim.x + threadIdx.x] = a + b + c + d;
}
__global__ void double_literals(const float* x, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    float v = x[i];
    for (int r = 0; r < rounds; ++r) v = v * 0.9999 + 0.1 * v * v - 0.3;  // PLANT doubles
    out[i] = v;
  }
}
__global__ void float_literals(const float* x, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    float v = x[i];
    for (int r = 0; r < rounds; ++r) v = v * 0.9999f + 0.1f * v * v - 0.3f;
    out[i] = v;
  }
}
__global__ void divide_at_run_time(const unsigned* x, unsigned* out, int n, unsigned d, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    unsigned v = x[i], s = 0;
    for (int r = 0; r < rounds; ++r) { s += v / (d + r); v = v * 1664525u + v % (d + 3 * r); }  // PLANT divide
    out[i] = s + v;
  }
}
__global__ void mix_bits(const unsigned* x, unsigned* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    unsigned a = x[i], b = a ^ 0x9e3779b9u, c = a + 77, d = b + 99;
    for (int r = 0; r < rounds; ++r) {
      a = (a ^ (b << 5)) + (c >> 3); b = (b ^ (c >> 7)) + (d & a); c = (c | (d << 3)) ^ a; d = (d + (a >> 11)) ^ (b & 0xff00ffu);  // PLANT mix
    }
    out[i] = a + b + c + d;
  }
}
__global__ void __launch_bounds__(256) fma_roof(float* out, int rounds) {
  float a[16];
#pragma unroll
  for (int k = 0; k < 16; ++k) a[k] = threadIdx.x + k;
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int u = 0; u < 8; ++u)
#pragma unroll
      for (int k = 0; k < 16; ++k) a[k] = a[k] * 1.0001f + 0.5f;  // PLANT fma
  }
  float s = 0;
#pragma unroll
  for (int k = 0; k < 16; ++k) s += a[k];
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
__global__ void double_roof(double* out, int rounds) {
  double a[8];
#pragma unroll
  for (int k = 0; k < 8; ++k) a[k] = threadIdx.x + k;
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int k = 0; k < 8; ++k) a[k] = a[k] * 1.0001 + 0.5;  // PLANT fp64
  }
  double s = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) s += a[k];
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}

// ---- matrix products
__global__ void gemm_half_simt(const __half* A, const __half* B, float* C, int n) {
  __shared__ __half a[32][32], b[32][32];
  int x = threadIdx.x, y = threadIdx.y, col = blockIdx.x * 32 + x, row = blockIdx.y * 32 + y * 4;
  float s[4] = {0, 0, 0, 0};
  for (int k = 0; k < n; k += 32) {
#pragma unroll
    for (int j = 0; j < 4; ++j) { a[y * 4 + j][x] = A[size_t(row + j) * n + k + x]; b[y * 4 + j][x] = B[size_t(k + y * 4 + j) * n + col]; }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) s[j] += __half2float(a[y * 4 + j][i]) * __half2float(b[i][x]);  // PLANT simtgemm
    __syncthreads();
  }
  for (int j = 0; j < 4; ++j) C[size_t(row + j) * n + col] = s[j];
}
__global__ void gemm_wmma_from_global(const __half* A, const __half* B, float* C, int n) {
  using namespace nvcuda::wmma;
  int warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, tiles = n / 16, row = warp / tiles, col = warp % tiles;
  fragment<accumulator, 16, 16, 16, float> c;
  fill_fragment(c, 0.f);
  for (int k = 0; k < n; k += 16) {
    fragment<matrix_a, 16, 16, 16, __half, row_major> a;
    fragment<matrix_b, 16, 16, 16, __half, row_major> b;
    load_matrix_sync(a, A + size_t(row) * 16 * n + k, n);  // PLANT starved
    load_matrix_sync(b, B + size_t(k) * n + col * 16, n);  // PLANT starved
    mma_sync(c, a, b, c);
  }
  store_matrix_sync(C + size_t(row) * 16 * n + col * 16, c, n, mem_row_major);
}
__global__ void mma_loop(float* out, int rounds) {
  using namespace nvcuda::wmma;
  fragment<matrix_a, 16, 16, 16, __half, row_major> a;
  fragment<matrix_b, 16, 16, 16, __half, row_major> b;
  fragment<accumulator, 16, 16, 16, float> c[4];
  fill_fragment(a, __float2half(0.5f));
  fill_fragment(b, __float2half(0.25f));
#pragma unroll
  for (int k = 0; k < 4; ++k) fill_fragment(c[k], float(k));
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int k = 0; k < 4; ++k) mma_sync(c[k], a, b, c[k]);  // PLANT mma
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) store_matrix_sync(out + ((blockIdx.x * blockDim.x + threadIdx.x) / 32 * 4 + k) * 256, c[k], 16, mem_row_major);
}

// ---- code size
__device__ __forceinline__ float many_steps(float v, int j) {
#pragma unroll
  for (int k = 0; k < 200; ++k) v = v * (1.0f + (j * 200 + k) * 1e-6f) + (j * 200 + k) * 0.001f;  // PLANT longcode
  return v;
}
__global__ void long_code(float* out, int rounds) {
  float v = threadIdx.x;
  for (int r = (threadIdx.x / 32) * 3; r < rounds; ++r) {
#define SIX(j) v = many_steps(many_steps(many_steps(many_steps(many_steps(many_steps(v, j), j + 1), j + 2), j + 3), j + 4), j + 5)
    SIX(0); SIX(6); SIX(12); SIX(18); SIX(24); SIX(30);
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void short_code(float* out, int rounds) {
  float v = threadIdx.x;
  for (int r = (threadIdx.x / 32) * 3; r < rounds; ++r) {
#pragma unroll 8
    for (int k = 0; k < 7172; ++k) v = v * (1.0f + 1e-6f) + 0.001f;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}

// ---- a second set, written after the playbook to test it
__global__ void gemm_float_tiled(const float* A, const float* B, float* C, int n) {
  __shared__ float a[16][16], b[16][16];
  int x = threadIdx.x, y = threadIdx.y, col = blockIdx.x * 16 + x, row = blockIdx.y * 16 + y;
  float s = 0;
  for (int k = 0; k < n; k += 16) {
    a[y][x] = A[size_t(row) * n + k + x];
    b[y][x] = B[size_t(k + y) * n + col];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 16; ++i) s += a[y][i] * b[i][x];  // PLANT floatgemm
    __syncthreads();
  }
  C[size_t(row) * n + col] = s;
}
__global__ void histogram_shared(const int* in, int* bins, int n) {
  __shared__ int mine[256];
  mine[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&mine[in[i] & 1], 1);  // PLANT sharedatomic
  __syncthreads();
  atomicAdd(&bins[threadIdx.x], mine[threadIdx.x]);
}
__global__ void one_long_warp(float* out, int rounds) {
  float v = threadIdx.x;
  int mine = threadIdx.x < 32 ? rounds * 30 : rounds;
  for (int r = 0; r < mine; ++r) v = v * 1.0001f + 0.5f;  // PLANT longwarp
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void transpose_plain(const float* in, float* out, int n) {
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
  out[size_t(x) * n + y] = in[size_t(y) * n + x];  // PLANT plaintranspose
}
__global__ void gray(const uchar3* in, unsigned char* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) { uchar3 p = in[i]; out[i] = (unsigned char)((p.x * 77 + p.y * 150 + p.z * 29) >> 8); }  // PLANT gray
}
__global__ void long_index(const float* x, float* out, long long n, long long rows, long long cols, long long batch) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
    out[i] = x[(i % cols) + ((i / cols) % rows) * cols + ((i / (cols * rows)) % batch) * cols * rows];  // PLANT longindex
}
__global__ void __launch_bounds__(1024) big_blocks(const float* x, float* out, int per) {
  extern __shared__ float scratch[];
  float s[40];
#pragma unroll
  for (int k = 0; k < 40; ++k) s[k] = k;
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
#pragma unroll 1
  for (int k = 0; k < per; ++k) {
    float v = x[t + size_t(k) * total];  // PLANT bigblocks
#pragma unroll
    for (int j = 0; j < 40; ++j) s[j] = s[j] * v + 1.0f;
  }
  float sum = 0;
#pragma unroll
  for (int k = 0; k < 40; ++k) sum += s[k];
  out[t] = sum;
}
__global__ void gelu(const float* x, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = x[i];
  for (int r = 0; r < rounds; ++r) v = v / (1.0f + __expf(-1.702f * v)) + 0.1f;  // PLANT gelu
  out[i] = v;
}
__global__ void sum_one_block(const float* x, float* out, int n) {
  float s = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) s += x[i];
  atomicAdd(out, s);
}
__global__ void rows_ragged(const float* x, const int* length, float* out, int cols) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  float s = 0;
  for (int c = 0; c < length[row]; ++c) s = s * 0.99f + c;  // PLANT raggedlanes
  out[row] = s;
}

// ---- the runner
static std::vector<void*> pool;
template <class T>
T* device(size_t n, std::function<T(size_t)> value = nullptr) {
  T* p = nullptr;
  CHECK(cudaMalloc(&p, n * sizeof(T)));
  pool.push_back(p);
  if (value) {
    std::vector<T> h(n);
    for (size_t i = 0; i < n; ++i) h[i] = value(i);
    CHECK(cudaMemcpy(p, h.data(), n * sizeof(T), cudaMemcpyHostToDevice));
  } else {
    CHECK(cudaMemset(p, 0, n * sizeof(T)));
  }
  return p;
}
static unsigned hashed(size_t i) { unsigned v = unsigned(i) * 2654435761u; v ^= v >> 15; v *= 2246822519u; return v ^ (v >> 13); }
template <class K>
void dynamic(K kernel, int bytes) { CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes)); }

int main(int argc, char** argv) {
  const int SM = 132;
  const size_t M = 1 << 20;
  std::map<std::string, std::function<void()>> cases;
  auto zeros = [](size_t n) { return device<float>(n); };
  cases["saxpy"] = [=] { auto x = zeros(128 * M), y = zeros(128 * M), z = zeros(128 * M); saxpy_vec4<<<SM * 8, 512>>>((float4*)x, (float4*)y, (float4*)z, 32 * M); };
  cases["aos"] = [=] { auto p = device<Particle>(32 * M); auto o = zeros(32 * M); energy_aos<<<32 * M / 256, 256>>>(p, o, 32 * M); };
  cases["aos_fixed"] = [=] { auto p = zeros(32 * M), o = zeros(32 * M); energy_soa<<<32 * M / 256, 256>>>(p, o, 32 * M); };
  cases["rowsum"] = [=] { auto m = zeros(256 * M), o = zeros(M); row_sum_by_thread<<<M / 4 / 128, 128>>>(m, o, M / 4, 1024); };
  cases["rowsum_fixed"] = [=] { auto m = zeros(256 * M), o = zeros(M); row_sum_by_warp<<<M / 4 / 8, 256>>>(m, o, M / 4, 1024); };
  cases["scatter"] = [=] { auto x = zeros(64 * M), o = zeros(64 * M); scatter_store<<<64 * M / 256, 256>>>(x, o, 64 * M, 4097); };
  cases["bytes"] = [=] { auto x = device<unsigned char>(512 * M), o = device<unsigned char>(512 * M); invert_bytes<<<512 * M / 256, 256>>>(x, o, 512 * M); };
  cases["bytes_fixed"] = [=] { auto x = device<unsigned char>(512 * M), o = device<unsigned char>(512 * M); invert_vec16<<<32 * M / 256, 256>>>((uint4*)x, (uint4*)o, 32 * M); };
  cases["halfs"] = [=] { auto x = zeros(128 * M), o = zeros(128 * M); scale_half_scalar<<<256 * M / 256, 256>>>((__half*)x, (__half*)o, 256 * M); };
  cases["halfs_fixed"] = [=] { auto x = zeros(128 * M), o = zeros(128 * M); scale_half_vec8<<<32 * M / 256, 256>>>((uint4*)x, (uint4*)o, 32 * M); };
  cases["columns"] = [=] { auto o = zeros(M); column_walk<32><<<SM * 2, 1024, 32 * 32 * 4>>>(o, 2000); };
  cases["columns_fixed"] = [=] { auto o = zeros(M); column_walk<33><<<SM * 2, 1024, 32 * 33 * 4>>>(o, 2000); };
  cases["shstream"] = [=] { auto o = zeros(M); shared_stream<<<SM * 2, 1024>>>(o, 4000); };
  cases["l1reread"] = [=] { auto x = zeros(4096), o = zeros(M); l1_reread<<<SM * 2, 1024>>>((float4*)x, o, 4000); };
  cases["l2reread"] = [=] { auto x = zeros(4 * M), o = zeros(M); l2_reread<<<SM * 2, 1024>>>((float4*)x, o, M, 400); };
  cases["churn"] = [=] { auto x = zeros(M), o = zeros(M); churn_spilled<<<SM * 2, 1024>>>(x, o, M, 200); };
  cases["churn_fixed"] = [=] { auto x = zeros(M), o = zeros(M); churn_in_registers<<<SM * 8, 256>>>(x, o, M, 200); };
  cases["indexed"] = [=] { auto j = device<int>(64, [](size_t i) { return int(hashed(i) & 63); }); auto o = zeros(M); indexed_locals<<<SM * 4, 256>>>(j, o, 500); };
  cases["walk"] = [=] { auto x = device<int>(16 * M, [=](size_t i) { return int(hashed(i) & (16 * M - 1)); }), o = device<int>(M); list_walk<<<SM, 128>>>(x, o, 400); };
  cases["serial"] = [=] { auto x = zeros(64 * M), o = zeros(M); sum_serial<<<SM, 256>>>(x, o, 500); };
  cases["serial_fixed"] = [=] { auto x = zeros(64 * M), o = zeros(M); sum_unrolled<<<SM, 256>>>(x, o, 500); };
  auto random_ints = [=](size_t n) { return device<int>(n, [](size_t i) { return int(hashed(i)); }); };
  cases["count"] = [=] { auto x = random_ints(16 * M), b = device<int>(64); count_global<<<16 * M / 256, 256>>>(x, b, 16 * M); };
  cases["count_fixed"] = [=] { auto x = random_ints(16 * M), b = device<int>(64); count_private<<<SM * 8, 256>>>(x, b, 16 * M); };
  cases["sumatomic"] = [=] { auto x = device<float>(4 * M, [](size_t i) { return float(hashed(i) & 255) / 64; }), b = zeros(64); sum_atomic_float<<<4 * M / 256, 256>>>(x, b, 4 * M); };
  cases["staged"] = [=] { auto x = zeros(256 * M), o = zeros(M); dynamic(staged<1>, 4096); staged<1><<<SM * 2, 128, 128 * 16>>>((float4*)x, o, 1024); };
  cases["staged_fixed"] = [=] { auto x = zeros(256 * M), o = zeros(M); dynamic(staged<16>, 128 * 16 * 16); staged<16><<<SM * 2, 128, 128 * 16 * 16>>>((float4*)x, o, 1024); };
  cases["registers"] = [=] { auto x = zeros(64 * M), o = zeros(M); lookup_many_registers<<<SM * 8, 128>>>(x, o, 200); };
  cases["registers_fixed"] = [=] { auto x = zeros(64 * M), o = zeros(M); lookup_few_registers<<<SM * 16, 128>>>(x, o, 100); };
  cases["scratch"] = [=] { auto x = zeros(64 * M), o = zeros(M); dynamic(lookup_with_scratch, 100 * 1024); lookup_with_scratch<<<SM * 16, 128, 100 * 1024>>>(x, o, 100); };
  cases["scratch_fixed"] = [=] { auto x = zeros(64 * M), o = zeros(M); lookup_with_scratch<<<SM * 16, 128, 512>>>(x, o, 100); };
  cases["blocksize"] = [=] { auto x = zeros(64 * M), o = zeros(M); lookup_plain<<<SM * 64, 32>>>(x, o, 100); };
  cases["blocksize_fixed"] = [=] { auto x = zeros(64 * M), o = zeros(M); lookup_plain<<<SM * 8, 256>>>(x, o, 100); };
  cases["smallgrid"] = [=] { auto x = zeros(M), o = zeros(M); polynomial<<<12, 256>>>(x, o, M / 4, 500); };
  cases["smallgrid_fixed"] = [=] { auto x = zeros(M), o = zeros(M); polynomial<<<SM * 8, 256>>>(x, o, M / 4, 500); };
  cases["tiny"] = [=] { auto x = zeros(1024); tiny_update<<<1, 128>>>(x); };
  cases["tail"] = [=] { auto o = zeros(M); heavy_blocks<<<SM * 2 + 6, 1024>>>(o, 30000); };
  cases["tail_fixed"] = [=] { auto o = zeros(M); heavy_blocks<<<SM * 2, 1024>>>(o, 30000); };
  cases["ragged"] = [=] { auto l = device<int>(SM * 8, [](size_t i) { return i % 132 == 7 ? 60000 : 2000; }); auto o = zeros(M); ragged<<<SM * 8, 256>>>(l, o); };
  cases["ragged_fixed"] = [=] { auto l = device<int>(SM * 8, [](size_t) { return 2440; }); auto o = zeros(M); ragged<<<SM * 8, 256>>>(l, o); };
  cases["branchy"] = [=] { auto x = zeros(M), o = zeros(M); branchy<false><<<M / 256, 256>>>(x, o, 300); };
  cases["branchy_fixed"] = [=] { auto x = zeros(M), o = zeros(M); branchy<true><<<M / 256, 256>>>(x, o, 300); };
  cases["onewarp"] = [=] { auto o = zeros(M); one_warp_works<<<SM, 512>>>(o, 1000); };
  cases["onewarp_fixed"] = [=] { auto o = zeros(M); each_warp_works<<<SM, 512>>>(o, 1000); };
  cases["scan"] = [=] { auto x = zeros(M), o = zeros(M); block_scan_barriers<<<SM, 1024>>>(x, o, 500); };
  cases["scan_fixed"] = [=] { auto x = zeros(M), o = zeros(M); block_scan_shuffles<<<SM, 1024>>>(x, o, 500); };
  cases["sfu"] = [=] { auto o = zeros(M); transcendental<<<SM * 4, 512>>>(o, 1000); };
  cases["doubles"] = [=] { auto x = zeros(4 * M), o = zeros(4 * M); double_literals<<<4 * M / 256, 256>>>(x, o, 4 * M, 100); };
  cases["doubles_fixed"] = [=] { auto x = zeros(4 * M), o = zeros(4 * M); float_literals<<<4 * M / 256, 256>>>(x, o, 4 * M, 100); };
  cases["divide"] = [=] { auto x = device<unsigned>(4 * M), o = device<unsigned>(4 * M); divide_at_run_time<<<4 * M / 256, 256>>>(x, o, 4 * M, 7 + unsigned(argc & 1), 50); };
  cases["mix"] = [=] { auto x = device<unsigned>(4 * M), o = device<unsigned>(4 * M); mix_bits<<<4 * M / 256, 256>>>(x, o, 4 * M, 200); };
  cases["fma"] = [=] { auto o = zeros(M); fma_roof<<<SM * 8, 256>>>(o, 1000); };
  cases["fp64"] = [=] { auto o = device<double>(M); double_roof<<<SM * 8, 256>>>(o, 1000); };
  cases["simtgemm"] = [=] { auto a = zeros(2 * M), b = zeros(2 * M), c = zeros(4 * M); gemm_half_simt<<<dim3(64, 64), dim3(32, 8)>>>((__half*)a, (__half*)b, c, 2048); };
  cases["starved"] = [=] { auto a = zeros(2 * M), b = zeros(2 * M), c = zeros(4 * M); gemm_wmma_from_global<<<128 * 128 / 4, 128>>>((__half*)a, (__half*)b, c, 2048); };
  cases["mma"] = [=] { auto o = zeros(SM * 16 * 4 * 256); mma_loop<<<SM * 2, 256>>>(o, 4000); };
  cases["longcode"] = [=] { auto o = zeros(M); long_code<<<SM * 2, 512>>>(o, 100); };
  cases["longcode_fixed"] = [=] { auto o = zeros(M); short_code<<<SM * 2, 512>>>(o, 100); };
  cases["floatgemm"] = [=] { auto a = zeros(4 * M), b = zeros(4 * M), c = zeros(4 * M); gemm_float_tiled<<<dim3(128, 128), dim3(16, 16)>>>(a, b, c, 2048); };
  cases["sharedatomic"] = [=] { auto x = random_ints(16 * M), b = device<int>(256); histogram_shared<<<SM * 8, 256>>>(x, b, 16 * M); };
  cases["longwarp"] = [=] { auto o = zeros(4 * M); one_long_warp<<<SM * 40, 256>>>(o, 1500); };
  cases["plaintranspose"] = [=] { auto x = zeros(64 * M), o = zeros(64 * M); transpose_plain<<<dim3(256, 1024), dim3(32, 8)>>>(x, o, 8192); };
  cases["gray"] = [=] { auto x = device<uchar3>(128 * M); auto o = device<unsigned char>(128 * M); gray<<<128 * M / 256, 256>>>(x, o, 128 * M); };
  cases["longindex"] = [=] { auto x = zeros(16 * M), o = zeros(16 * M); long_index<<<SM * 8, 256>>>(x, o, 16 * M, 1000 + argc % 2, 777, 20); };
  cases["bigblocks"] = [=] { auto x = zeros(64 * M), o = zeros(M); big_blocks<<<SM * 4, 1024>>>(x, o, 100); };
  cases["gelu"] = [=] { auto x = zeros(4 * M), o = zeros(4 * M); gelu<<<4 * M / 256, 256>>>(x, o, 4 * M, 100); };
  cases["oneblock"] = [=] { auto x = zeros(8 * M), o = zeros(64); sum_one_block<<<1, 1024>>>(x, o, 2 * M); };
  cases["raggedlanes"] = [=] { auto x = zeros(M); auto l = device<int>(M, [](size_t i) { return int(hashed(i) % 1000); }); auto o = zeros(M); rows_ragged<<<M / 256, 256>>>(x, l, o, 1000); };
  if (argc < 2) {
    for (auto& c : cases) std::printf("%s\n", c.first.c_str());
    return 0;
  }
  bool found = false;
  for (auto& c : cases) {
    if (std::strcmp(argv[1], "all") && c.first != argv[1]) continue;
    found = true;
    c.second();
    CHECK(cudaDeviceSynchronize());
    for (void* p : pool) CHECK(cudaFree(p));
    pool.clear();
  }
  if (!found) { std::fprintf(stderr, "no case %s\n", argv[1]); return 2; }
  return 0;
}
