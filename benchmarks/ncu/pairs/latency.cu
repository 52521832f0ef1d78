// Cases about waiting: dependent loads, atomics, asynchronous copies, occupancy, grids, balance, divergence, barriers.
#include <cuda_pipeline.h>
#include "runner.cuh"

// ---- dependent loads
template <int CHAINS>
__global__ void lower_bound(const int* sorted, const int* key, int* out, int n) {
  int t = (blockIdx.x * blockDim.x + threadIdx.x) * CHAINS, low[CHAINS], high[CHAINS];
#pragma unroll
  for (int c = 0; c < CHAINS; ++c) { low[c] = 0; high[c] = n; }
  for (int s = 0; s < 26; ++s)
#pragma unroll
    for (int c = 0; c < CHAINS; ++c) {
      int mid = (low[c] + high[c]) / 2;
      if (sorted[mid] < key[t + c]) low[c] = mid + 1; else high[c] = mid;  // PLANT search
    }
#pragma unroll
  for (int c = 0; c < CHAINS; ++c) out[t + c] = low[c];
}
CASE(search, std::vector<int> h(64 * M); for (size_t i = 0; i < h.size(); ++i) h[i] = int(i * 16); auto s = upload(h); auto k = below(SM * 128 * 8, 1u << 30); auto o = zeros<int>(M); return [=] { lower_bound<1><<<SM * 2, 256>>>(s, k, o, 64 * M); };);
__global__ void follow_edges(const int2* edge, const int* first, int* out, int steps) {
  int t = blockIdx.x * blockDim.x + threadIdx.x, at = first[t], sum = 0;
  for (int s = 0; s < steps; ++s) { int2 e = edge[at]; sum += e.y; at = e.x; }  // PLANT graphwalk
  out[t] = sum;
}
CASE(graphwalk, auto e = (int2*)below(64 * M, 32 * M); auto f = below(M, 32 * M); auto o = zeros<int>(M); return [=] { follow_edges<<<SM * 2, 128>>>(e, f, o, 200); };);
template <int AHEAD>
__global__ void running_product(const float* x, float* out, int per) {
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
  float p = 1, v[AHEAD];
  for (int i = 0; i < per; i += AHEAD) {
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) v[k] = x[t + size_t(i + k) * total];  // PLANT oneload
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) p = p * v[k] + 0.5f;
  }
  out[t] = p;
}
CASE(oneload, auto x = uniform(96 * M), o = zeros<float>(M); return [=] { running_product<1><<<SM * 2, 192>>>(x, o, 1600); };);
CASE(oneload_fixed, auto x = uniform(96 * M), o = zeros<float>(M); return [=] { running_product<16><<<SM * 2, 192>>>(x, o, 1600); };);
__global__ void spmv_by_row(const int* start, const int* column, const float* value, const float* x, float* y, int rows) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  float s = 0;
  for (int k = start[r]; k < start[r + 1]; ++k) s += value[k] * x[column[k]];  // PLANT spmv
  y[r] = s;
}
CASE(spmv, std::vector<int> h(M / 2 + 1); for (size_t i = 0; i < h.size(); ++i) h[i] = int(i * 64); auto s = upload(h); auto c = below(32 * M, M / 2); auto v = uniform(32 * M), x = uniform(M), y = zeros<float>(M); return [=] { spmv_by_row<<<M / 2 / 128, 128>>>(s, c, v, x, y, M / 2); };);

// ---- atomics
__global__ void histogram_bytes(const unsigned* x, unsigned* bins, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    unsigned v = x[i];
#pragma unroll
    for (int k = 0; k < 4; ++k) atomicAdd(&bins[(v >> (8 * k)) & 15], 1u);  // PLANT histogram
  }
}
__global__ void histogram_bytes_private(const unsigned* x, unsigned* bins, int n) {
  __shared__ unsigned mine[16 * 32];
  for (int i = threadIdx.x; i < 512; i += blockDim.x) mine[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    unsigned v = x[i];
#pragma unroll
    for (int k = 0; k < 4; ++k) atomicAdd(&mine[((v >> (8 * k)) & 15) * 32 + (threadIdx.x & 31)], 1u);
  }
  __syncthreads();
  if (threadIdx.x < 16) { unsigned s = 0; for (int k = 0; k < 32; ++k) s += mine[threadIdx.x * 32 + (k + threadIdx.x) % 32]; atomicAdd(&bins[threadIdx.x], s); }
}
CASE(histogram, auto x = (unsigned*)below(2 * M, 0); auto b = zeros<unsigned>(256); return [=] { histogram_bytes<<<SM * 8, 256>>>(x, b, 2 * M); };);
CASE(histogram_fixed, auto x = (unsigned*)below(2 * M, 0); auto b = zeros<unsigned>(256); return [=] { histogram_bytes_private<<<SM * 8, 256>>>(x, b, 2 * M); };);
__global__ void largest_by_exchange(const float* x, int* best, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int mine = __float_as_int(x[i]), seen = *reinterpret_cast<volatile int*>(best);
  while (seen < mine + (i & 7)) { int old = atomicCAS(best, seen, seen + 1); if (old == seen) break; seen = old; }  // PLANT exchange
}
CASE(exchange, auto x = uniform(M, 1.f, 2.f); auto b = zeros<int>(4); return [=] { largest_by_exchange<<<16, 256>>>(x, b, 4096); };);
__global__ void append_positive(const float* x, float* out, int* count, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    float v = x[i];
    if (v > 0) { int at = atomicAdd(count + (i & 1), 1 + (i & 1)); out[at % n] = v; }  // PLANT append
  }
}
__global__ void append_positive_by_block(const float* x, float* out, int* count, int n) {
  __shared__ int taken, base;
  for (int start = blockIdx.x * blockDim.x; start < n; start += gridDim.x * blockDim.x) {
    int i = start + threadIdx.x;
    float v = i < n ? x[i] : -1;
    unsigned ballot = __ballot_sync(~0u, v > 0);
    if (!threadIdx.x) taken = 0;
    __syncthreads();
    int lane = threadIdx.x & 31, slot = 0;
    if (!lane) slot = atomicAdd(&taken, __popc(ballot));
    slot = __shfl_sync(~0u, slot, 0) + __popc(ballot & ((1u << lane) - 1));
    __syncthreads();
    if (!threadIdx.x) base = atomicAdd(count, taken);
    __syncthreads();
    if (v > 0) out[(base + slot) % n] = v;
    __syncthreads();
  }
}
CASE(append, auto x = uniform(4 * M, -1, 1), o = zeros<float>(4 * M); auto c = zeros<int>(8); return [=] { append_positive<<<SM * 8, 256>>>(x, o, c, 4 * M); };);
CASE(append_fixed, auto x = uniform(4 * M, -1, 1), o = zeros<float>(4 * M); auto c = zeros<int>(8); return [=] { append_positive_by_block<<<SM * 8, 256>>>(x, o, c, 4 * M); };);

// ---- asynchronous copies
template <int STAGES>
__global__ void piped_norm(const float4* x, float* out, int tiles) {
  extern __shared__ float4 stage[];
  int t = threadIdx.x;
  const float4* mine = x + size_t(blockIdx.x) * tiles * blockDim.x + t;
  float s = 0;
  for (int k = 0; k < STAGES - 1; ++k) { __pipeline_memcpy_async(stage + k * blockDim.x + t, mine + size_t(k) * blockDim.x, 16); __pipeline_commit(); }
  for (int k = 0; k < tiles; ++k) {
    int next = k + STAGES - 1;
    if (next < tiles) __pipeline_memcpy_async(stage + (next % STAGES) * blockDim.x + t, mine + size_t(next) * blockDim.x, 16);  // PLANT piped
    __pipeline_commit();
    __pipeline_wait_prior(STAGES - 1);  // PLANT piped
    float4 v = stage[(k % STAGES) * blockDim.x + t];
    s += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  out[blockIdx.x * blockDim.x + t] = sqrtf(s);
}
CASE(piped, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { piped_norm<1><<<SM * 4, 128, 2048>>>((float4*)x, o, 240); };);
CASE(piped_fixed, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { piped_norm<8><<<SM * 4, 128, 16384>>>((float4*)x, o, 240); };);
__device__ __forceinline__ unsigned shared_address(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }
__device__ __forceinline__ void barrier_wait(uint64_t* bar, int phase) {
  asm volatile("{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra done;\nbra again;\ndone:\n}" ::"r"(shared_address(bar)), "r"(phase) : "memory");
}
__device__ __forceinline__ void bulk_copy(void* to, const void* from, unsigned bytes, uint64_t* bar) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(bar)), "r"(bytes) : "memory");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)), "l"(from), "r"(bytes), "r"(shared_address(bar)) : "memory");
}
template <int STAGES, int FLOATS>
__global__ void bulk_sum(const float* x, float* out, int tiles) {
  extern __shared__ __align__(128) float ring[];
  __shared__ uint64_t bar[STAGES];
  int t = threadIdx.x;
  const float* mine = x + size_t(blockIdx.x) * tiles * FLOATS;
  if (!t) for (int k = 0; k < STAGES; ++k) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(bar + k)));
  __syncthreads();
  if (!t) for (int k = 0; k < STAGES - 1; ++k) bulk_copy(ring + k * FLOATS, mine + size_t(k) * FLOATS, FLOATS * 4, bar + k);
  float s = 0;
  for (int k = 0; k < tiles; ++k) {
    int next = k + STAGES - 1;
    if (!t && next < tiles) bulk_copy(ring + (next % STAGES) * FLOATS, mine + size_t(next) * FLOATS, FLOATS * 4, bar + next % STAGES);  // PLANT bulk
    barrier_wait(bar + k % STAGES, (k / STAGES) & 1);  // PLANT bulk
    for (int i = t; i < FLOATS; i += blockDim.x) s += ring[(k % STAGES) * FLOATS + i];
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + t] = s;
}
CASE(bulk, auto x = uniform(64 * M), o = zeros<float>(M); dynamic(bulk_sum<1, 2048>, 8192); return [=] { bulk_sum<1, 2048><<<SM * 2, 256, 8192>>>(x, o, 120); };);
CASE(bulk_fixed, auto x = uniform(64 * M), o = zeros<float>(M); dynamic(bulk_sum<6, 2048>, 49152); return [=] { bulk_sum<6, 2048><<<SM * 2, 256, 49152>>>(x, o, 120); };);

// ---- occupancy
template <int WIDE>
__global__ void __launch_bounds__(256) moments(const float* x, float* out, int per) {
  float a[WIDE];
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
#pragma unroll
  for (int k = 0; k < WIDE; ++k) a[k] = 0;
#pragma unroll 1
  for (int i = 0; i < per; ++i) {
    float v = x[t + size_t(i) * total], p = v;  // PLANT moments
#pragma unroll
    for (int k = 0; k < WIDE; ++k) a[k] = fmaf(a[k], 0.5f, p + k);
  }
  float s = 0;
#pragma unroll
  for (int k = 0; k < WIDE; ++k) s += a[k] * k;
  out[t] = s;
}
CASE(moments, auto x = uniform(48 * M), o = zeros<float>(M); return [=] { moments<150><<<SM * 4, 256>>>(x, o, 300); };);
CASE(moments_fixed, auto x = uniform(48 * M), o = zeros<float>(M); return [=] { moments<16><<<SM * 8, 256>>>(x, o, 150); };);
__global__ void history_blend(const float* x, float* out, int per) {
  extern __shared__ float past[];
  int t = threadIdx.x;
  past[t] = 0;
  size_t at = size_t(blockIdx.x) * blockDim.x * per + t;
#pragma unroll 1
  for (int i = 0; i < per; ++i) past[t] = past[t] * 0.9f + x[at + size_t(i) * blockDim.x];  // PLANT history
  out[blockIdx.x * blockDim.x + t] = past[t];
}
CASE(history, auto x = uniform(64 * M), o = zeros<float>(M); dynamic(history_blend, 72 * 1024); return [=] { history_blend<<<SM * 12, 160, 72 * 1024>>>(x, o, 250); };);
CASE(history_fixed, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { history_blend<<<SM * 12, 160, 640>>>(x, o, 250); };);
__global__ void smooth_rows(const float* x, float* out, int per) {
  size_t at = size_t(blockIdx.x) * blockDim.x * per + threadIdx.x;
  float s = 0;
#pragma unroll 1
  for (int i = 0; i < per; ++i) { s = s * 0.9f + x[at + size_t(i) * blockDim.x]; out[at + size_t(i) * blockDim.x] = s; }  // PLANT smallblocks
}
CASE(smallblocks, auto x = uniform(32 * M), o = zeros<float>(32 * M); return [=] { smooth_rows<<<16384, 32>>>(x, o, 60); };);
CASE(smallblocks_fixed, auto x = uniform(32 * M), o = zeros<float>(32 * M); return [=] { smooth_rows<<<2048, 256>>>(x, o, 60); };);
__global__ void mix_odd(const float* x, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float a = x[i], b = a + 1, c = a + 2, d = a + 3;
  for (int r = 0; r < rounds; ++r) { a = a * b + 0.1f; b = b * c + 0.2f; c = c * d + 0.3f; d = d * a + 0.4f; }  // PLANT oddblock
  out[i] = a + b + c + d;
}
CASE(oddblock, auto x = uniform(4 * M), o = zeros<float>(4 * M); return [=] { mix_odd<<<4 * M / 36 + 1, 36>>>(x, o, 4 * M, 200); };);
CASE(oddblock_fixed, auto x = uniform(4 * M), o = zeros<float>(4 * M); return [=] { mix_odd<<<4 * M / 256, 256>>>(x, o, 4 * M, 200); };);

// ---- grids
__global__ void row_variance(const float* x, float* out, int cols) {
  __shared__ float2 part[32];
  float s = 0, q = 0;
  for (int c = threadIdx.x; c < cols; c += blockDim.x) { float v = x[size_t(blockIdx.x) * cols + c]; s += v; q += v * v; }
  for (int k = 16; k; k >>= 1) { s += __shfl_xor_sync(~0u, s, k); q += __shfl_xor_sync(~0u, q, k); }
  if (!(threadIdx.x & 31)) part[threadIdx.x / 32] = make_float2(s, q);
  __syncthreads();
  if (!threadIdx.x) { s = q = 0; for (int k = 0; k < blockDim.x / 32; ++k) { s += part[k].x; q += part[k].y; } atomicAdd(&out[0], q / cols - (s / cols) * (s / cols)); }
}
CASE(fewrows, auto x = uniform(32 * M), o = zeros<float>(64); return [=] { row_variance<<<24, 512>>>(x, o, 32 * M / 24); };);
CASE(fewrows_fixed, auto x = uniform(32 * M), o = zeros<float>(64); return [=] { row_variance<<<24 * 44, 512>>>(x, o, 32 * M / 24 / 44); };);
__global__ void halve(float* x, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= 0.5f; }
CASE(shortest, auto x = uniform(M); return [=] { halve<<<16, 128>>>(x, 2048); };);
__global__ void wave_work(float* out, int rounds) {
  extern __shared__ float pad[];
  float a = threadIdx.x * 1e-3f, b = a + 1;
  for (int r = 0; r < rounds; ++r) { a = fmaf(a, b, 0.1f); b = fmaf(b, 0.99f, a); }
  out[blockIdx.x * blockDim.x + threadIdx.x] = a + b;
}
CASE(lastwave, auto o = zeros<float>(M); return [=] { wave_work<<<SM * 4 * 2 + 20, 512>>>(o, 40000); };);
CASE(lastwave_fixed, auto o = zeros<float>(M); return [=] { wave_work<<<SM * 4 * 2, 512>>>(o, 40000); };);

// ---- balance
__global__ void triangle_rows(const float* x, float* out, int n) {
  int row = blockIdx.x;
  float s = 0;
  for (int r = 0; r < 4; ++r) for (int c = threadIdx.x; c <= row * 8; c += blockDim.x) s += x[(c + r) & (n - 1)];  // PLANT triangle
  out[size_t(row) * blockDim.x + threadIdx.x] = s;
}
CASE(triangle, auto x = uniform(M), o = zeros<float>(4 * M); return [=] { triangle_rows<<<SM * 16, 128>>>(x, o, M); };);
__global__ void expert_tokens(const int* first, const float* x, float* out) {
  int from = first[blockIdx.x], to = first[blockIdx.x + 1];
  float s = 0;
  for (int k = from; k < to; ++k) { float v = x[size_t(k) * blockDim.x + threadIdx.x]; for (int j = 0; j < 24; ++j) s = s * v + 0.25f; }  // PLANT experts
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
static std::vector<int> split(bool even) {
  std::vector<int> first(SM * 6 + 1);
  const int total = 60000, blocks = SM * 6;
  double weight = 0;
  std::vector<double> w(blocks);
  for (int b = 0; b < blocks; ++b) weight += w[b] = even ? 1.0 : (hashed(b) % 100 < 3 ? 40.0 : 1.0);
  double at = 0;
  for (int b = 0; b < blocks; ++b) { first[b] = int(at / weight * total); at += w[b]; }
  first[blocks] = total;
  return first;
}
CASE(experts, auto f = upload(split(false)); auto x = uniform(16 * M), o = zeros<float>(M); return [=] { expert_tokens<<<SM * 6, 256>>>(f, x, o); };);
CASE(experts_fixed, auto f = upload(split(true)); auto x = uniform(16 * M), o = zeros<float>(M); return [=] { expert_tokens<<<SM * 6, 256>>>(f, x, o); };);

// ---- divergence
__global__ void collatz(unsigned* steps, unsigned from, int n, int sorted) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned v = from + hashed(i), count = 0;
  while (v != 1 && count < 3000) { v = v & 1 ? (3 * v + 1) >> 1 : v >> 1; ++count; }  // PLANT collatz
  steps[i] = count;
}
CASE(collatz, auto s = zeros<unsigned>(M); return [=] { collatz<<<M / 256, 256>>>(s, 3, M, 0); };);
template <bool GROUPED>
__global__ void by_kind(const float* x, float* out, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, kind = GROUPED ? (i >> 5) % 8 : i % 8;
  float v = x[i];
  for (int r = 0; r < rounds; ++r) {
    if (kind == 0) v = v * 0.99f + 1.f;  // PLANT kinds
    else if (kind == 1) v = fabsf(v - 3.f) * 0.5f;
    else if (kind == 2) v = sqrtf(v + 2.f);
    else if (kind == 3) v = fmaxf(v * v - 7.f, 0.3f);
    else if (kind == 4) v = v / (1.f + v);
    else if (kind == 5) v = fminf(v * 1.5f, 9.f) - 0.2f;
    else if (kind == 6) v = __expf(-v);
    else v = __logf(v + 1.5f);
  }
  out[i] = v;
}
CASE(kinds, auto x = uniform(2 * M), o = zeros<float>(2 * M); return [=] { by_kind<false><<<2 * M / 256, 256>>>(x, o, 60); };);
CASE(kinds_fixed, auto x = uniform(2 * M), o = zeros<float>(2 * M); return [=] { by_kind<true><<<2 * M / 256, 256>>>(x, o, 60); };);

// ---- barriers
template <bool ONE>
__global__ void prefix_of_block(const float* x, float* out, int rounds) {
  __shared__ float s[512];
  int t = threadIdx.x;
  float v = x[blockIdx.x * 512 + t];
  for (int r = 0; r < rounds; ++r) {
    s[t] = v;
    __syncthreads();
    if (ONE) {
      if (t == 0) { float a = 0; for (int k = 0; k < 512; ++k) { a += s[k]; s[k] = a; } }
      __syncthreads();  // PLANT prefix
      v = s[t] * 1e-3f;
    } else {
      float a = v;
      for (int k = 1; k < 32; k *= 2) { float b = __shfl_up_sync(~0u, a, k); if ((t & 31) >= k) a += b; }
      __shared__ float w[16];
      if ((t & 31) == 31) w[t / 32] = a;
      __syncthreads();
      float base = 0;
      for (int k = 0; k < t / 32; ++k) base += w[k];
      v = (a + base) * 1e-3f;
    }
    __syncthreads();
  }
  out[blockIdx.x * 512 + t] = v;
}
CASE(prefix, auto x = uniform(M), o = zeros<float>(M); return [=] { prefix_of_block<true><<<SM * 2, 512>>>(x, o, 40); };);
CASE(prefix_fixed, auto x = uniform(M), o = zeros<float>(M); return [=] { prefix_of_block<false><<<SM * 2, 512>>>(x, o, 40); };);
__global__ void heat_steps(const float* x, float* out, int steps) {
  __shared__ float a[1026];
  int t = threadIdx.x;
  a[t + 1] = x[blockIdx.x * blockDim.x + t];
  if (t < 2) a[t * 1025] = 0;
  __syncthreads();
  for (int s = 0; s < steps; ++s) {
    float v = 0.25f * a[t] + 0.5f * a[t + 1] + 0.25f * a[t + 2];
    __syncthreads();  // PLANT heat
    a[t + 1] = v;
    __syncthreads();  // PLANT heat
  }
  out[blockIdx.x * blockDim.x + t] = a[t + 1];
}
CASE(heat, auto x = uniform(M), o = zeros<float>(M); return [=] { heat_steps<<<SM, 1024>>>(x, o, 2000); };);
