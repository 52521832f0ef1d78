// Cases about arithmetic: special functions, double precision, integers, FP32, instruction fetch; and kernels whose activity over time has a known shape.
#include "runner.cuh"

// ---- special functions
__global__ void soft_rows(const float* x, float* out, int cols, int rounds) {
  float m = 0, s = 0;
  const float* row = x + size_t(blockIdx.x) * cols;
  for (int r = 0; r < rounds; ++r)
    for (int c = threadIdx.x; c < cols; c += blockDim.x) { s += __expf(row[c] - m) + __expf(m - row[c]); m += 1e-6f; }  // PLANT softrows
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
CASE(softrows, auto x = uniform(2 * M), o = zeros<float>(M); return [=] { soft_rows<<<SM * 7, 256>>>(x, o, 2048, 100); };);
__global__ void rotate_angles(const float* angle, float2* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float a = angle[i], c = 0, s = 0;
  for (int r = 0; r < rounds; ++r) { float u, v; __sincosf(a + r, &u, &v); c += u; s += v; }  // PLANT angles
  if (i < n) out[i] = make_float2(c, s);
}
CASE(angles, auto a = uniform(4 * M); auto o = zeros<float2>(4 * M); return [=] { rotate_angles<<<4 * M / 256, 256>>>(a, o, 4 * M, 80); };);

// ---- double precision
__global__ void gamma_double(const float* x, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i];
  for (int r = 0; r < rounds; ++r) v = 1.0 / (1.0 + v * v) + 0.5 * v;  // PLANT gammadouble
  out[i] = v;
}
__global__ void gamma_single(const float* x, float* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i];
  for (int r = 0; r < rounds; ++r) v = 1.0f / (1.0f + v * v) + 0.5f * v;
  out[i] = v;
}
CASE(gammadouble, auto x = uniform(2 * M), o = zeros<float>(2 * M); return [=] { gamma_double<<<2 * M / 256, 256>>>(x, o, 2 * M, 40); };);
CASE(gammadouble_fixed, auto x = uniform(2 * M), o = zeros<float>(2 * M); return [=] { gamma_single<<<2 * M / 256, 256>>>(x, o, 2 * M, 40); };);
__global__ void lennard_double(const double3* at, double* energy, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  double3 p = at[i];
  double e = 0;
  for (int j = 0; j < n; ++j) {
    double3 q = at[j];
    double x = p.x - q.x, y = p.y - q.y, z = p.z - q.z, r = x * x + y * y + z * z + 0.01;
    e += r * r * r - 2.0 * r * r + 0.3 * r;  // PLANT lennard
  }
  energy[i] = e;
}
CASE(lennard, auto p = zeros<double3>(SM * 1024); auto e = zeros<double>(SM * 1024); return [=] { lennard_double<<<SM * 4, 256>>>(p, e, 2000); };);

// ---- integers
__global__ void hash_stream(const uint4* x, unsigned* out, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint4 v = x[i];
  for (int r = 0; r < rounds; ++r) {
    v.x ^= v.x >> 16; v.x *= 0x85ebca6bu; v.y ^= (v.x << 13) | (v.x >> 19); v.y *= 0xc2b2ae35u; v.z += v.y ^ (v.z >> 11); v.w = (v.w << 5 | v.w >> 27) + v.z; v.x += v.w;  // PLANT hashing
  }
  out[i] = v.x ^ v.y ^ v.z ^ v.w;
}
CASE(hashing, auto x = (uint4*)below(8 * M, 0); auto o = zeros<unsigned>(2 * M); return [=] { hash_stream<<<2 * M / 256, 256>>>(x, o, 2 * M, 120); };);
template <bool POWER_OF_TWO>
__global__ void ring_index(const float* x, float* out, int n, int ring, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float s = 0;
  int at = i;
  for (int r = 0; r < rounds; ++r) {
    at = POWER_OF_TWO ? (at + 12345) & 4095 : (at + 12345) % ring;  // PLANT ring
    s += at;
  }
  if (i < n) out[i] = s + x[at];
}
CASE(ring, auto x = uniform(8192), o = zeros<float>(2 * M); return [=] { ring_index<false><<<2 * M / 256, 256>>>(x, o, 2 * M, 4095, 150); };);
CASE(ring_fixed, auto x = uniform(8192), o = zeros<float>(2 * M); return [=] { ring_index<true><<<2 * M / 256, 256>>>(x, o, 2 * M, 4096, 150); };);
__global__ void crc_bits(const unsigned* x, unsigned* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned c = ~0u;
  for (int w = 0; w < 8; ++w) {
    c ^= x[i + w];
#pragma unroll 1
    for (int k = 0; k < 32; ++k) c = (c >> 1) ^ (0xedb88320u & -(c & 1));  // PLANT crc
  }
  out[i] = ~c;
}
CASE(crc, auto x = (unsigned*)below(2 * M + 8, 0); auto o = zeros<unsigned>(2 * M); return [=] { crc_bits<<<2 * M / 256, 256>>>(x, o, 2 * M); };);

// ---- FP32
__global__ void gravity(const float4* body, float4* force, int n) {
  __shared__ float4 tile[256];
  int i = blockIdx.x * 256 + threadIdx.x;
  float4 p = body[i];
  float x = 0, y = 0, z = 0;
  for (int b = 0; b < n; b += 256) {
    tile[threadIdx.x] = body[b + threadIdx.x];
    __syncthreads();
#pragma unroll 16
    for (int k = 0; k < 256; ++k) {
      float4 q = tile[k];
      float dx = q.x - p.x, dy = q.y - p.y, dz = q.z - p.z, r = dx * dx + dy * dy + dz * dz + 0.01f;
      float w = q.w * (1.5f - r * (0.7f - r * (0.21f - r * 0.03f)));
      x += dx * w; y += dy * w; z += dz * w;  // PLANT gravity
    }
    __syncthreads();
  }
  force[i] = make_float4(x, y, z, 0);
}
CASE(gravity, auto b = (float4*)uniform(SM * 16 * 1024); auto f = zeros<float4>(SM * 4096); return [=] { gravity<<<SM * 8, 256>>>(b, f, 16384); };);
__global__ void horner(const float4* x, float4* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float4 v = x[i], s = v;
#pragma unroll 4
  for (int k = 0; k < 400; ++k) { s.x = s.x * v.x + 0.5f; s.y = s.y * v.y + 0.25f; s.z = s.z * v.z + 0.75f; s.w = s.w * v.w + 0.125f; }  // PLANT horner
  out[i] = s;
}
CASE(horner, auto x = (float4*)uniform(4 * M); auto o = zeros<float4>(M); return [=] { horner<<<M / 256, 256>>>(x, o, M); };);

// ---- instruction fetch
template <int K> __device__ __noinline__ float stage_of(float v) {
#pragma unroll
  for (int k = 0; k < 330; ++k) v = fmaf(v, 1.0f + (K * 330 + k) * 1e-7f, (K * 330 + k) * 1e-4f);  // PLANT manystages
  return v;
}
__global__ void many_stages(float* out, int rounds) {
  float v = threadIdx.x;
  int way = (blockIdx.x * 8 + threadIdx.x / 32) * 5;
  for (int r = 0; r < rounds; ++r, ++way) {
    switch (way & 31) {
#define W(k) case k: v = stage_of<k>(v); break;
      W(0) W(1) W(2) W(3) W(4) W(5) W(6) W(7) W(8) W(9) W(10) W(11) W(12) W(13) W(14) W(15)
      W(16) W(17) W(18) W(19) W(20) W(21) W(22) W(23) W(24) W(25) W(26) W(27) W(28) W(29) W(30) W(31)
    }
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void one_stage(float* out, int rounds) {
  float v = threadIdx.x;
  for (int r = 0; r < rounds; ++r) v = stage_of<0>(v);
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
CASE(manystages, auto o = zeros<float>(M); return [=] { many_stages<<<SM * 4, 256>>>(o, 200); };);
CASE(manystages_fixed, auto o = zeros<float>(M); return [=] { one_stage<<<SM * 4, 256>>>(o, 200); };);

// ---- activity over time: each lasts some hundred microseconds
__device__ __forceinline__ float burn(float a, int rounds) {
  float b = a + 1, c = a + 2, d = a + 3;
#pragma unroll 4
  for (int r = 0; r < rounds; ++r) { a = fmaf(a, 0.999f, 0.1f); b = fmaf(b, 0.998f, 0.2f); c = fmaf(c, 0.997f, 0.3f); d = fmaf(d, 0.996f, 0.4f); }
  return a + b + c + d;
}
__global__ void even_blocks(float* out, int rounds) { out[blockIdx.x * blockDim.x + threadIdx.x] = burn(threadIdx.x, rounds); }
CASE(shape_flat, auto o = zeros<float>(M); return [=] { even_blocks<<<SM * 2, 1024>>>(o, 8000); };);
CASE(shape_tail, auto o = zeros<float>(M); return [=] { even_blocks<<<SM * 2 + 13, 1024>>>(o, 6000); };);
__global__ void uneven_blocks(float* out, int rounds) { out[blockIdx.x * blockDim.x + threadIdx.x] = burn(threadIdx.x, blockIdx.x % 11 == 5 ? rounds * 6 : rounds); }
CASE(shape_imbalance, auto o = zeros<float>(M); return [=] { uneven_blocks<<<SM, 1024>>>(o, 5000); };);
__global__ void growing_blocks(float* out, int rounds) { out[blockIdx.x * blockDim.x + threadIdx.x] = burn(threadIdx.x, rounds * (blockIdx.x + 1)); }
CASE(shape_ramp, auto o = zeros<float>(M); return [=] { growing_blocks<<<SM, 1024>>>(o, 200); };);
__device__ void everyone(unsigned* arrived, unsigned wanted) {
  __syncthreads();
  if (!threadIdx.x) { __threadfence(); atomicAdd(arrived, 1u); while (*reinterpret_cast<volatile unsigned*>(arrived) < wanted) __nanosleep(100); }
  __syncthreads();
}
__global__ void phases(const float4* x, float* out, unsigned* arrived, int count, int quads, int rounds) {
  float s = 0;
  unsigned start = threadIdx.x ? 0 : *reinterpret_cast<volatile unsigned*>(arrived) / gridDim.x * gridDim.x;
  for (int p = 0; p < count; ++p) {
    const float4* mine = x + size_t(p) * gridDim.x * blockDim.x * quads + blockIdx.x * blockDim.x + threadIdx.x;
#pragma unroll 4
    for (int k = 0; k < quads; ++k) { float4 v = mine[size_t(k) * gridDim.x * blockDim.x]; s += v.x + v.y + v.z + v.w; }
    everyone(arrived, start + (2 * p + 1) * gridDim.x);
    s += burn(s, rounds);
    everyone(arrived, start + (2 * p + 2) * gridDim.x);
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
CASE(shape_sawtooth, auto x = uniform(192 * M), o = zeros<float>(M); auto a = zeros<unsigned>(4); return [=] { phases<<<SM, 1024>>>((float4*)x, o, a, 6, 48, 3000); };);
