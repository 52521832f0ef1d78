// Cases about bytes: coalescing, access width, device memory, L2, L1, shared memory banks, local memory. A planted line ends in "// PLANT <case>".
#include <cuda_bf16.h>
#include "runner.cuh"

// ---- uncoalesced
__global__ void channel_sum_by_pixel(const float* x, float* out, int pixels, int channels) {
  int p = blockIdx.x * blockDim.x + threadIdx.x;
  if (p >= pixels) return;
  float s = 0;
  for (int c = 0; c < channels; ++c) s += x[size_t(p) * channels + c];  // PLANT nhwc
  out[p] = s;
}
__global__ void channel_sum_by_group(const float* x, float* out, int pixels, int channels) {
  int p = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
  if (p >= pixels) return;
  float s = 0;
#pragma unroll 8
  for (int c = lane; c < channels; c += 32) s += x[size_t(p) * channels + c];
  for (int k = 16; k; k >>= 1) s += __shfl_xor_sync(~0u, s, k);
  if (!lane) out[p] = s;
}
CASE(nhwc, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { channel_sum_by_pixel<<<M / 4 / 256, 256>>>(x, o, M / 4, 256); };);
CASE(nhwc_fixed, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { channel_sum_by_group<<<M / 4 / 8, 256>>>(x, o, M / 4, 256); };);

template <bool SWAPPED>
__global__ void scale_columns(float* m, const float* scale, int rows, int cols) {
  int fast = blockIdx.x * blockDim.x + threadIdx.x, slow = blockIdx.y * blockDim.y + threadIdx.y;
  int row = SWAPPED ? fast : slow, col = SWAPPED ? slow : fast;
  if (row < rows && col < cols) m[size_t(row) * cols + col] *= scale[col];  // PLANT swapped
}
CASE(swapped, auto m = uniform(64 * M), s = uniform(8192); return [=] { scale_columns<true><<<dim3(256, 1024), dim3(32, 8)>>>(m, s, 8192, 8192); };);
CASE(swapped_fixed, auto m = uniform(64 * M), s = uniform(8192); return [=] { scale_columns<false><<<dim3(256, 1024), dim3(32, 8)>>>(m, s, 8192, 8192); };);

__global__ void embed_by_token(const float* table, const int* token, float* out, int tokens, int width) {
  int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= tokens) return;
  const float* row = table + size_t(token[t]) * width;
  for (int d = 0; d < width; ++d) out[size_t(t) * width + d] = row[d];  // PLANT embedding
}
__global__ void embed_by_row(const float4* table, const int* token, float4* out, int width4) {
  size_t t = blockIdx.x;
  for (int d = threadIdx.x; d < width4; d += blockDim.x) out[t * width4 + d] = table[size_t(token[t]) * width4 + d];
}
CASE(embedding, auto w = uniform(48 * M), o = zeros<float>(64 * M); auto t = below(65536, 49152); return [=] { embed_by_token<<<512, 128>>>(w, t, o, 65536, 1024); };);
CASE(embedding_fixed, auto w = uniform(48 * M), o = zeros<float>(64 * M); auto t = below(65536, 49152); return [=] { embed_by_row<<<65536, 128>>>((float4*)w, t, (float4*)o, 256); };);

// ---- narrow access
__global__ void threshold_bytes(const uint8_t* x, uint8_t* out, size_t n, int limit) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x)
    out[i] = x[i] > limit ? 255 : 0;  // PLANT threshold
}
__global__ void threshold_words(const uint4* x, uint4* out, size_t n, unsigned limit) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) {
    uint4 v = x[i];
    out[i] = make_uint4(__vcmpgtu4(v.x, limit), __vcmpgtu4(v.y, limit), __vcmpgtu4(v.z, limit), __vcmpgtu4(v.w, limit));
  }
}
CASE(threshold, auto x = bits<uint8_t>(256 * M), o = bits<uint8_t>(256 * M); return [=] { threshold_bytes<<<SM * 16, 512>>>(x, o, 256 * M, 100); };);
CASE(threshold_fixed, auto x = bits<uint8_t>(256 * M), o = bits<uint8_t>(256 * M); return [=] { threshold_words<<<SM * 16, 512>>>((uint4*)x, (uint4*)o, 16 * M, 0x64646464u); };);

__global__ void residual_scalar(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = __hadd(a[i], b[i]);  // PLANT residual
}
__global__ void residual_vector(const uint4* a, const uint4* b, uint4* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint4 u = a[i], v = b[i];
  __nv_bfloat162 *p = reinterpret_cast<__nv_bfloat162*>(&u), *q = reinterpret_cast<__nv_bfloat162*>(&v);
#pragma unroll
  for (int k = 0; k < 4; ++k) p[k] = __hadd2(p[k], q[k]);
  out[i] = u;
}
CASE(residual, auto a = zeros<__nv_bfloat16>(128 * M), b = zeros<__nv_bfloat16>(128 * M), o = zeros<__nv_bfloat16>(128 * M); return [=] { residual_scalar<<<128 * M / 256, 256>>>(a, b, o, 128 * M); };);
CASE(residual_fixed, auto a = zeros<__nv_bfloat16>(128 * M), b = zeros<__nv_bfloat16>(128 * M), o = zeros<__nv_bfloat16>(128 * M); return [=] { residual_vector<<<16 * M / 256, 256>>>((uint4*)a, (uint4*)b, (uint4*)o, 16 * M); };);

__global__ void dequantize(const int8_t* q, const float* scale, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = q[i] * scale[i >> 7];  // PLANT dequantize
}
CASE(dequantize, auto q = bits<int8_t>(128 * M); auto s = uniform(M), o = zeros<float>(128 * M); return [=] { dequantize<<<128 * M / 256, 256>>>(q, s, o, 128 * M); };);

// ---- device memory at its roof
__global__ void triad(const double2* b, const double2* c, double2* a, double s, size_t n) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < n) { double2 x = b[i], y = c[i]; a[i] = make_double2(x.x + s * y.x, x.y + s * y.y); }
}
CASE(triad, auto b = zeros<double2>(16 * M), c = zeros<double2>(16 * M), a = zeros<double2>(16 * M); return [=] { triad<<<16 * M / 256, 256>>>(b, c, a, 3.0, 16 * M); };);
__global__ void adam(float4* w, const float4* g, float4* m, float4* v, float rate, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float4 W = w[i], G = g[i], A = m[i], B = v[i];
  float *pw = &W.x, *pg = &G.x, *pa = &A.x, *pb = &B.x;
#pragma unroll
  for (int k = 0; k < 4; ++k) { pa[k] = 0.9f * pa[k] + 0.1f * pg[k]; pb[k] = 0.999f * pb[k] + 0.001f * pg[k] * pg[k]; pw[k] -= rate * pa[k] * rsqrtf(pb[k] + 1e-8f); }
  w[i] = W; m[i] = A; v[i] = B;
}
CASE(adam, auto w = uniform(32 * M), g = uniform(32 * M), m = uniform(32 * M), v = uniform(32 * M); return [=] { adam<<<8 * M / 256, 256>>>((float4*)w, (float4*)g, (float4*)m, (float4*)v, 1e-3f, 8 * M); };);
__global__ void block_sums(const float4* x, float* out, size_t n) {
  __shared__ float part[32];
  float s = 0;
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n; i += size_t(gridDim.x) * blockDim.x) { float4 v = x[i]; s += v.x + v.y + v.z + v.w; }
  for (int k = 16; k; k >>= 1) s += __shfl_xor_sync(~0u, s, k);
  if (!(threadIdx.x & 31)) part[threadIdx.x / 32] = s;
  __syncthreads();
  if (threadIdx.x < 32) { s = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0; for (int k = 16; k; k >>= 1) s += __shfl_xor_sync(~0u, s, k); if (!threadIdx.x) out[blockIdx.x] = s; }
}
CASE(blocksum, auto x = uniform(128 * M), o = zeros<float>(SM * 16); return [=] { block_sums<<<SM * 16, 256>>>((float4*)x, o, 32 * M); };);

// ---- L2 and L1 at their roofs
__global__ void stream_shared_table(const float4* table, float4* out, int n, int rounds) {
  float4 s = make_float4(0, 0, 0, 0);
  int stride = blockDim.x * 64;
  for (int r = 0; r < rounds; ++r)
#pragma unroll 4
    for (int i = (blockIdx.x % 64) * blockDim.x + threadIdx.x; i < n; i += stride) { float4 v = __ldcg(table + i); s.x += v.x; s.y += v.y; s.z += v.z; s.w += v.w; }
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
CASE(sharedtable, auto t = uniform(4 * M); auto o = zeros<float4>(2 * M); return [=] { stream_shared_table<<<SM * 4, 512>>>((float4*)t, o, M, 12); };);
__global__ void window_sum(const float* x, const float* w, float* out, int n, int taps) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float s = 0;
#pragma unroll 8
  for (int k = 0; k < taps; ++k) s += fabsf(__ldg(x + i + k) - w[0]);  // PLANT window
  if (i < n) out[i] = s;
}
CASE(window, auto x = uniform(5 * M), w = uniform(64), o = zeros<float>(4 * M); return [=] { window_sum<<<4 * M / 256, 256>>>(x, w, o, 4 * M, 192); };);
__global__ void lookup_table_shared(const unsigned* x, float* out, int n) {
  __shared__ float4 table[256];
  table[threadIdx.x] = make_float4(threadIdx.x, 1, 2, 3);
  __syncthreads();
  float4 s = make_float4(0, 0, 0, 0);
  unsigned v = x[blockIdx.x * blockDim.x + threadIdx.x] + threadIdx.x;
  for (int k = 0; k < n; ++k) { float4 t = table[(v + k) & 255]; s.x += t.x; s.y += t.y; s.z += t.z; s.w += t.w; }  // PLANT smemtable
  out[blockIdx.x * blockDim.x + threadIdx.x] = s.x + s.y + s.z + s.w;
}
CASE(smemtable, auto x = zeros<unsigned>(M); auto o = zeros<float>(M); return [=] { lookup_table_shared<<<SM * 8, 256>>>(x, o, 2000); };);

// ---- shared memory banks
template <bool SPREAD>
__global__ void tree_sum(const float* x, float* out, int rounds) {
  __shared__ float s[1024];
  int t = threadIdx.x;
  float total = 0;
  for (int r = 0; r < rounds; ++r) {
    s[t] = x[t] + r; s[t + 512] = x[t + 512] + r;
    __syncthreads();
    for (int k = 1; k < 1024; k *= 2) {
      int at = SPREAD ? t : 2 * k * t, step = SPREAD ? 512 / k : k;
      if (SPREAD ? t < step : at < 1024) s[at] += s[at + step];  // PLANT interleaved
      __syncthreads();
    }
    total += s[0];
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + t] = total;
}
CASE(interleaved, auto x = uniform(1024), o = zeros<float>(M); return [=] { tree_sum<false><<<SM * 4, 512>>>(x, o, 100); };);
CASE(interleaved_fixed, auto x = uniform(1024), o = zeros<float>(M); return [=] { tree_sum<true><<<SM * 4, 512>>>(x, o, 100); };);
template <bool BY_FIELD>
__global__ void bodies_in_shared(const float* x, float* out, int rounds) {
  __shared__ float body[256 * 8];
  int t = threadIdx.x;
  for (int f = 0; f < 8; ++f) body[BY_FIELD ? f * 256 + t : t * 8 + f] = x[t * 8 + f];
  __syncthreads();
  float s = 0;
  for (int r = 0; r < rounds; ++r) {
    int j = (t + r) & 255;
    float a = body[BY_FIELD ? j : j * 8], b = body[BY_FIELD ? 256 + j : j * 8 + 1], c = body[BY_FIELD ? 1280 + j : j * 8 + 5];  // PLANT bodies
    s += a * b + c;
  }
  out[blockIdx.x * 256 + t] = s;
}
CASE(bodies, auto x = uniform(2048), o = zeros<float>(M); return [=] { bodies_in_shared<false><<<SM * 8, 256>>>(x, o, 3000); };);
CASE(bodies_fixed, auto x = uniform(2048), o = zeros<float>(M); return [=] { bodies_in_shared<true><<<SM * 8, 256>>>(x, o, 3000); };);
template <int PITCH>
__global__ void transpose_tiles(const float* in, float* out, int n) {
  __shared__ float tile[32 * PITCH];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
#pragma unroll
  for (int k = 0; k < 32; k += 8) tile[(threadIdx.y + k) * PITCH + threadIdx.x] = in[size_t(y + k) * n + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x; y = blockIdx.x * 32 + threadIdx.y;
#pragma unroll
  for (int k = 0; k < 32; k += 8) out[size_t(y + k) * n + x] = tile[threadIdx.x * PITCH + threadIdx.y + k];  // PLANT tiles
}
CASE(tiles, auto x = uniform(64 * M), o = zeros<float>(64 * M); return [=] { transpose_tiles<32><<<dim3(256, 256), dim3(32, 8)>>>(x, o, 8192); };);
CASE(tiles_fixed, auto x = uniform(64 * M), o = zeros<float>(64 * M); return [=] { transpose_tiles<33><<<dim3(256, 256), dim3(32, 8)>>>(x, o, 8192); };);

// ---- local memory
template <int THREADS, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) filter_bank(const float* x, float* out, int rounds) {
  float w[80];
  int t = blockIdx.x * blockDim.x + threadIdx.x;
#pragma unroll
  for (int k = 0; k < 80; ++k) w[k] = x[k * 1024 + (t & 1023)];
  for (int r = 0; r < rounds; ++r) {
    float v = x[(t + r) & 65535];
#pragma unroll
    for (int k = 79; k; --k) w[k] = w[k - 1] * 0.99f + v * w[(k * 29 + 11) % 80];  // PLANT filterbank
    w[0] = v;
  }
  float s = 0;
#pragma unroll
  for (int k = 0; k < 80; ++k) s += w[k];
  out[t] = s;
}
CASE(filterbank, auto x = uniform(M), o = zeros<float>(M); return [=] { filter_bank<512, 4><<<SM * 4, 512>>>(x, o, 50); };);
CASE(filterbank_fixed, auto x = uniform(M), o = zeros<float>(M); return [=] { filter_bank<512, 1><<<SM * 4, 512>>>(x, o, 50); };);
template <bool STATIC>
__global__ void smallest_16(const float* x, float* out, int per) {
  float best[16];
  int t = blockIdx.x * blockDim.x + threadIdx.x, total = gridDim.x * blockDim.x;
#pragma unroll
  for (int k = 0; k < 16; ++k) best[k] = 1e30f;
  for (int i = 0; i < per; ++i) {
    float v = x[t + size_t(i) * total];
    if (STATIC) {
#pragma unroll
      for (int k = 0; k < 16; ++k) { float low = fminf(best[k], v); v = fmaxf(best[k], v); best[k] = low; }
    } else {
      int k = 15;
      while (k > 0 && best[k - 1] > v) { best[k] = best[k - 1]; --k; }  // PLANT smallest
      if (best[k] > v) best[k] = v;
    }
  }
  float s = 0;
#pragma unroll
  for (int k = 0; k < 16; ++k) s += best[k] * (k + 1);
  out[t] = s;
}
CASE(smallest, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { smallest_16<false><<<SM * 8, 256>>>(x, o, 200); };);
CASE(smallest_fixed, auto x = uniform(64 * M), o = zeros<float>(M); return [=] { smallest_16<true><<<SM * 8, 256>>>(x, o, 200); };);
