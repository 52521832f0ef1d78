#include <cuda_bf16.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

// One block of 256 threads per row of 4096: two 16-byte loads a thread, one pass over memory.
constexpr int kWidth = 4096, kThreads = 256, kPacks = kWidth / 8 / kThreads;

__global__ void norm(const uint4* __restrict__ hidden, const uint4* __restrict__ weight, uint4* __restrict__ out, float epsilon) {
  __shared__ float partial[kThreads / 32];
  const size_t row = size_t(blockIdx.x) * (kWidth / 8);
  uint4 packs[kPacks];
  float square = 0.f;
#pragma unroll
  for (int index = 0; index < kPacks; ++index) {
    packs[index] = hidden[row + index * kThreads + threadIdx.x];
    const __nv_bfloat162* pair = reinterpret_cast<const __nv_bfloat162*>(&packs[index]);
#pragma unroll
    for (int item = 0; item < 4; ++item) {
      const float2 value = __bfloat1622float2(pair[item]);
      square += value.x * value.x + value.y * value.y;
    }
  }
#pragma unroll
  for (int lane = 16; lane; lane >>= 1) square += __shfl_xor_sync(0xffffffff, square, lane);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = square;
  __syncthreads();
  float total = 0.f;
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) total += partial[warp];
  const float scale = rsqrtf(total / kWidth + epsilon);
#pragma unroll
  for (int index = 0; index < kPacks; ++index) {
    const uint4 gain = weight[index * kThreads + threadIdx.x];
    const __nv_bfloat162* factor = reinterpret_cast<const __nv_bfloat162*>(&gain);
    __nv_bfloat162* pair = reinterpret_cast<__nv_bfloat162*>(&packs[index]);
#pragma unroll
    for (int item = 0; item < 4; ++item) {
      const float2 value = __bfloat1622float2(pair[item]), by = __bfloat1622float2(factor[item]);
      pair[item] = __floats2bfloat162_rn(value.x * scale * by.x, value.y * scale * by.y);
    }
    out[row + index * kThreads + threadIdx.x] = packs[index];
  }
}

void run(tvm::ffi::TensorView hidden, tvm::ffi::TensorView weight, tvm::ffi::TensorView out) {
  const auto device = hidden.device();
  const auto stream = static_cast<cudaStream_t>(TVMFFIEnvGetStream(device.device_type, device.device_id));
  norm<<<static_cast<unsigned>(hidden.size(0)), kThreads, 0, stream>>>(
      static_cast<const uint4*>(hidden.data_ptr()), static_cast<const uint4*>(weight.data_ptr()), static_cast<uint4*>(out.data_ptr()), 1e-6f);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
