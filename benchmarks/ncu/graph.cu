// Three small kernels captured into one CUDA graph and launched together, for reports with a graph result.
#include <cstdio>
__global__ void scale(float* x, float a) { x[blockIdx.x * blockDim.x + threadIdx.x] *= a; }
__global__ void shift(float* x, float a) { x[blockIdx.x * blockDim.x + threadIdx.x] += a; }
int main() {
  float* x;
  cudaMalloc(&x, 4 << 20);
  cudaStream_t s;
  cudaStreamCreate(&s);
  cudaGraph_t g;
  cudaGraphExec_t e;
  cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
  scale<<<4096, 256, 0, s>>>(x, 2.f);
  shift<<<4096, 256, 0, s>>>(x, 1.f);
  scale<<<4096, 256, 0, s>>>(x, .5f);
  cudaStreamEndCapture(s, &g);
  cudaGraphInstantiate(&e, g, 0);
  cudaGraphLaunch(e, s);
  cudaStreamSynchronize(s);
  std::printf("%s\n", cudaGetErrorString(cudaGetLastError()));
}
