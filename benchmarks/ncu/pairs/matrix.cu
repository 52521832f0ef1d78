// Cases about matrix products: ordinary pipes, the old warp-wide path, wgmma, and tensor cores that wait.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
#include "runner.cuh"

// ---- ordinary pipes
__global__ void __launch_bounds__(256) sgemm_tiles(const float* A, const float* B, float* C, int n) {
  __shared__ float a[8][64], b[8][64];
  int t = threadIdx.x, row = t / 16 * 4, col = t % 16 * 4;
  float c[4][4] = {};
  const float *from_a = A + size_t(blockIdx.y * 64) * n, *from_b = B + blockIdx.x * 64;
  for (int k = 0; k < n; k += 8) {
    for (int e = t; e < 512; e += 256) { a[e % 8][e / 8] = from_a[size_t(e / 8) * n + k + e % 8]; b[e / 64][e % 64] = from_b[size_t(k + e / 64) * n + e % 64]; }
    __syncthreads();
#pragma unroll
    for (int p = 0; p < 8; ++p)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) c[i][j] += a[p][row + i] * b[p][col + j];  // PLANT sgemm
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) for (int j = 0; j < 4; ++j) C[size_t(blockIdx.y * 64 + row + i) * n + blockIdx.x * 64 + col + j] = c[i][j];
}
CASE(sgemm, auto a = uniform(4 * M), b = uniform(4 * M), c = zeros<float>(4 * M); return [=] { sgemm_tiles<<<dim3(32, 32), 256>>>(a, b, c, 2048); };);
__global__ void scores_by_dot(const __half2* q, const __half2* k, float* s, int n, int width) {
  int i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
  __half2 sum = __float2half2_rn(0.f);
  for (int d = 0; d < width; ++d) sum = __hfma2(q[i * width + d], k[d * n + j], sum);  // PLANT scores
  s[size_t(i) * n + j] = __low2float(sum) + __high2float(sum);
}
CASE(scores, auto q = zeros<__half2>(M), k = zeros<__half2>(M); auto s = zeros<float>(16 * M); return [=] { scores_by_dot<<<dim3(4096 / 32, 4096 / 8), dim3(32, 8)>>>(q, k, s, 4096, 128); };);
__global__ void convolve_3x3(const float* x, const float* w, float* y, int channels, int side) {
  int col = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 8 + threadIdx.y, filter = blockIdx.z * 4;
  float s[4] = {};
  for (int c = 0; c < channels; ++c)
    for (int i = 0; i < 3; ++i)
#pragma unroll
      for (int j = 0; j < 3; ++j) {
        float v = x[(size_t(c) * (side + 2) + row + i) * (side + 2) + col + j];
#pragma unroll
        for (int f = 0; f < 4; ++f) s[f] += v * w[((filter + f) * channels + c) * 9 + i * 3 + j];  // PLANT convolve
      }
  for (int f = 0; f < 4; ++f) y[(size_t(filter + f) * side + row) * side + col] = s[f];
}
CASE(convolve, auto x = uniform(2 * M), w = uniform(M), y = zeros<float>(4 * M); return [=] { convolve_3x3<<<dim3(4, 16, 16), dim3(32, 8)>>>(x, w, y, 64, 128); };);

// ---- the old warp-wide path
__device__ __forceinline__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__global__ void __launch_bounds__(256) product_mma(const unsigned* A, float* C, int rounds) {
  extern __shared__ uint4 tile[];
  int t = threadIdx.x;
  for (int i = t; i < 2048; i += 256) tile[i] = reinterpret_cast<const uint4*>(A)[i];
  __syncthreads();
  float c[8][4] = {};
  const unsigned* words = reinterpret_cast<const unsigned*>(tile);
  for (int r = 0; r < rounds; ++r) {
    unsigned a[4], b[2];
    uint4 v = tile[(t + r * 32) & 2047];
    a[0] = v.x; a[1] = v.y; a[2] = v.z; a[3] = v.w;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      b[0] = words[(t + k * 32 + r) & 8191]; b[1] = a[k & 3] ^ 0x00010001u;
      mma_bf16(c[k], a, b);  // PLANT oldpath
    }
  }
  float s = 0;
  for (int k = 0; k < 8; ++k) s += c[k][0] + c[k][1] + c[k][2] + c[k][3];
  C[blockIdx.x * 256 + t] = s;
}
CASE(oldpath, auto a = (unsigned*)below(M, 0); auto c = zeros<float>(M); return [=] { product_mma<<<SM * 4, 256, 32768>>>(a, c, 2000); };);
__global__ void product_int8(const int* A, int* C, int rounds) {
  int a[4], b[2], c[6][4] = {};
  for (int k = 0; k < 4; ++k) a[k] = A[threadIdx.x * 4 + k];
  for (int k = 0; k < 2; ++k) b[k] = A[threadIdx.x * 2 + k];
  for (int r = 0; r < rounds; ++r)
#pragma unroll
    for (int k = 0; k < 6; ++k)
      asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"  // PLANT oldint8
                   : "+r"(c[k][0]), "+r"(c[k][1]), "+r"(c[k][2]), "+r"(c[k][3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));  // PLANT oldint8
  int s = 0;
  for (int k = 0; k < 6; ++k) s += c[k][0] + c[k][3];
  C[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
CASE(oldint8, auto a = below(4096, 0); auto c = zeros<int>(M); return [=] { product_int8<<<SM * 4, 256>>>(a, c, 3000); };);

// ---- tensor cores that wait
__global__ void product_one_stage(const __half* A, const __half* B, float* C, int n) {
  using namespace nvcuda::wmma;
  __shared__ __half a[64][72], b[64][72];
  int t = threadIdx.x, warp = t / 32, row = warp / 2 * 32, col = warp % 2 * 32;
  fragment<accumulator, 16, 16, 16, float> c[2][2];
  for (int i = 0; i < 2; ++i) for (int j = 0; j < 2; ++j) fill_fragment(c[i][j], 0.f);
  for (int k = 0; k < n; k += 64) {
    for (int e = t; e < 512; e += 128) {
      *reinterpret_cast<uint4*>(&a[e / 8][e % 8 * 8]) = *reinterpret_cast<const uint4*>(&A[size_t(blockIdx.y * 64 + e / 8) * n + k + e % 8 * 8]);  // PLANT onestage
      *reinterpret_cast<uint4*>(&b[e / 8][e % 8 * 8]) = *reinterpret_cast<const uint4*>(&B[size_t(k + e / 8) * n + blockIdx.x * 64 + e % 8 * 8]);  // PLANT onestage
    }
    __syncthreads();  // PLANT onestage
#pragma unroll
    for (int p = 0; p < 64; p += 16) {
      fragment<matrix_a, 16, 16, 16, __half, row_major> x[2];
      fragment<matrix_b, 16, 16, 16, __half, row_major> y[2];
      for (int i = 0; i < 2; ++i) { load_matrix_sync(x[i], &a[row + i * 16][p], 72); load_matrix_sync(y[i], &b[p][col + i * 16], 72); }
      for (int i = 0; i < 2; ++i) for (int j = 0; j < 2; ++j) mma_sync(c[i][j], x[i], y[j], c[i][j]);
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; ++i) for (int j = 0; j < 2; ++j) store_matrix_sync(&C[size_t(blockIdx.y * 64 + row + i * 16) * n + blockIdx.x * 64 + col + j * 16], c[i][j], n, mem_row_major);
}
CASE(onestage, auto a = zeros<__half>(16 * M), b = zeros<__half>(16 * M); auto c = zeros<float>(16 * M); return [=] { product_one_stage<<<dim3(64, 64), 128>>>(a, b, c, 4096); };);

// ---- wgmma at its roof: operands stay in shared memory (their content does not matter)
__global__ void __launch_bounds__(128) product_wgmma(float* C, int rounds) {
  extern __shared__ __align__(1024) uint4 operands[];
  for (int i = threadIdx.x; i < 3072; i += 128) operands[i] = make_uint4(i, i, i, i);
  __syncthreads();
  uint64_t base = (uint64_t(__cvta_generic_to_shared(operands)) & 0x3FFFF) >> 4;
  uint64_t a = base | (uint64_t(1) << 16) | (uint64_t(64) << 32) | (uint64_t(1) << 62), b = a + 1024;
  float c[64] = {};
  asm volatile("fence.proxy.async.shared::cta;\nwgmma.fence.sync.aligned;" ::: "memory");
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      asm volatile("{\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, %64, %65, 1, 1, 1, 0, 0;\n}"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]), "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), "+f"(c[15]),
          "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), "+f"(c[22]), "+f"(c[23]), "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), "+f"(c[29]), "+f"(c[30]), "+f"(c[31]),
          "+f"(c[32]), "+f"(c[33]), "+f"(c[34]), "+f"(c[35]), "+f"(c[36]), "+f"(c[37]), "+f"(c[38]), "+f"(c[39]), "+f"(c[40]), "+f"(c[41]), "+f"(c[42]), "+f"(c[43]), "+f"(c[44]), "+f"(c[45]), "+f"(c[46]), "+f"(c[47]),
          "+f"(c[48]), "+f"(c[49]), "+f"(c[50]), "+f"(c[51]), "+f"(c[52]), "+f"(c[53]), "+f"(c[54]), "+f"(c[55]), "+f"(c[56]), "+f"(c[57]), "+f"(c[58]), "+f"(c[59]), "+f"(c[60]), "+f"(c[61]), "+f"(c[62]), "+f"(c[63])
        : "l"(a + k * 2), "l"(b + k * 2));
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
  }
  float s = 0;
#pragma unroll
  for (int k = 0; k < 64; ++k) s += c[k];
  C[blockIdx.x * 128 + threadIdx.x] = s;
}
CASE(wgmma, auto c = zeros<float>(M); dynamic(product_wgmma, 49152); return [=] { product_wgmma<<<SM * 4 * 4, 128, 49152>>>(c, 400); };);
