// Cases of the hardware pages: each runs the page's Hopper snippet and compares it with the same computation on the host.
#include "harness.cuh"
#include "snippets_hardware.cuh"

CASE(hardware, async_proxy_fences, 1e-6) {
  Worst worst;
  int rows = 33;
  auto x = floats(rows * 1024);
  Device<float> in(x), out(rows * 1024);
  hardware_async_proxy_fences::scale_rows<<<rows, 256>>>(in.as<float4>(), out.data, 3.f);
  auto got = out.read();
  for (size_t i = 0; i < got.size(); ++i) worst.see(got[i], 3 * x[i]);
  return worst.value;
}

CASE(hardware, clusters, 0) {
  Worst worst;
  auto in = words(8 * 128);
  Device<uint32_t> source(in), out(8), copy(8 * 128);
  hardware_clusters::gather_words<<<8, 128>>>(source.data, out.data, copy.data);
  auto got = out.read();
  for (int i = 0; i < 8; ++i) worst.differs(got[i] != in[i * 128]);
  worst.differs(copy.read() != in);
  return worst.value;
}

CASE(hardware, cp_async, 1e-3) {
  Worst worst;
  for (int rows : {1, 64, 200, 1000}) {
    auto x = floats(rows * 64);
    Device<float> in(x), out(64);
    allow_shared(hardware_cp_async::column_sums, 65536);
    hardware_cp_async::column_sums<<<1, 256, 65536>>>(in.data, rows, out.data);
    auto got = out.read();
    for (int c = 0; c < 64; ++c) {
      double sum = 0;
      for (int i = 0; i < rows; ++i) sum += x[i * 64 + c];
      worst.see(got[c], sum);
    }
  }
  return worst.value;
}

CASE(hardware, distributed_shared_memory, 1e-4) {
  Worst worst;
  int n = 4096, rows = 3;
  auto x = floats(n * rows);
  Device<float> in(x), out(n * rows);
  hardware_distributed_shared_memory::row_rms<<<rows * 4, 256>>>(in.data, out.data, n, 1e-6f);
  auto got = out.read();
  for (int r = 0; r < rows; ++r) {
    double squares = 0;
    for (int i = 0; i < n; ++i) squares += double(x[r * n + i]) * x[r * n + i];
    double scale = 1 / std::sqrt(squares / n + 1e-6);
    for (int i = 0; i < n; ++i) worst.see(got[r * n + i], x[r * n + i] * scale);
  }
  return worst.value;
}

CASE(hardware, l2_cache_control, 1e-3) {
  Worst worst;
  int rows = 1000, quads = 300;
  auto w = floats(rows * quads * 4), x = floats(quads * 4);
  Device<float> matrix(w), vector(x), out(rows);
  hardware_l2_cache_control::gemv<<<32, 256>>>(matrix.as<float4>(), vector.as<float4>(), out.data, rows, quads);
  auto got = out.read();
  for (int i = 0; i < rows; ++i) {
    double sum = 0;
    for (int k = 0; k < quads * 4; ++k) sum += double(w[size_t(i) * quads * 4 + k]) * x[k];
    worst.see(got[i], sum);
  }
  return worst.value;
}

CASE(hardware, mbarrier, 1e-3) {
  Worst worst;
  for (int steps : {1, 2, 3, 4, 29}) {
    auto x = floats(steps * 1024);
    Device<float> in(x), out(128);
    hardware_mbarrier::ring<<<1, 160>>>(in.data, out.data, steps);
    auto got = out.read();
    for (int t = 0; t < 128; ++t) {
      double sum = 0;
      for (size_t i = t; i < x.size(); i += 128) sum += x[i];
      worst.see(got[t], sum);
    }
  }
  return worst.value;
}

CASE(hardware, programmatic_dependent_launch, 1e-5) {
  Worst worst;
  int n = 100000;  // three launches in a row, each on what the one before wrote
  auto x = floats(n), w = floats(n);
  Device<float> a(x), weights(w), b(n), c(n), d(n);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  using hardware_programmatic_dependent_launch::launch;
  worst.differs(launch(a.data, weights.data, b.data, n, stream) != cudaSuccess);
  worst.differs(launch(b.data, weights.data, c.data, n, stream) != cudaSuccess);
  worst.differs(launch(c.data, weights.data, d.data, n, stream) != cudaSuccess);
  cudaStreamSynchronize(stream);
  auto got = d.read();
  for (int i = 0; i < n; ++i) worst.see(got[i], double(x[i]) * w[i] * w[i] * w[i]);
  return worst.value;
}

CASE(hardware, setmaxnreg, 1e-4) {
  Worst worst;
  int n = 1024;
  auto x = floats(2 * n);
  Device<float> in(x), out(256 * 64);
  hardware_setmaxnreg::roles<<<1, 384>>>(in.data, out.data, n);
  auto got = out.read();
  for (int g = 0; g < 2; ++g)
    for (int t = 0; t < 128; ++t)
      for (int i = 0; i < 64; ++i) {
        double sum = 0;
        for (int k = 0; k < 16; ++k) sum += double(x[g * n + k * 64 + t % 64]) * x[g * n + (k * 64 + i) % 1024];
        worst.see(got[(g * 128 + t) * 64 + i], sum);
      }
  return worst.value;
}

CASE(hardware, swizzle_modes, 0) {
  Worst worst;
  int n = 256;
  std::vector<uint16_t> x(n * n);
  for (auto& v : x) v = uint16_t(random_bits()());
  Device<uint16_t> in(x), out(n * n);
  auto map = tensor_map(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, in.data, n, n, 2, 64, 64, CU_TENSOR_MAP_SWIZZLE_128B);
  hardware_swizzle_modes::transpose_tile<<<dim3(4, 4), 256>>>(map, out.data, n);
  auto got = out.read();
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) worst.differs(got[j * n + i] != x[i * n + j]);
  return worst.value;
}

CASE(hardware, tma, 0) {
  Worst worst;
  int n = 256;
  auto x = floats(n * n);
  Device<float> in(x), out(n * n);
  auto from = tensor_map(CU_TENSOR_MAP_DATA_TYPE_FLOAT32, in.data, n, n, 4, 64, 64);
  auto to = tensor_map(CU_TENSOR_MAP_DATA_TYPE_FLOAT32, out.data, n, n, 4, 64, 64);
  hardware_tma::tma_tile<<<dim3(4, 4), 32>>>(from, to);
  auto got = out.read();
  for (size_t i = 0; i < got.size(); ++i) worst.differs(got[i] != 2 * x[i]);
  return worst.value;
}

CASE(hardware, tma_multicast, 1e-4) {
  Worst worst;
  int rows = 256;
  auto x = floats(rows * 64);
  Device<float> in(x), out(4 * 128);
  auto map = tensor_map(CU_TENSOR_MAP_DATA_TYPE_FLOAT32, in.data, 64, rows, 4, 64, 64);
  hardware_tma_multicast::shared_tile<<<4, 128>>>(map, out.data);
  auto got = out.read();
  for (int b = 0; b < 4; ++b)
    for (int t = 0; t < 128; ++t) {
      double sum = 0;
      for (int i = t; i < 128 * 64; i += 128) sum += x[(b / 2) * 128 * 64 + i];
      worst.see(got[b * 128 + t], sum);
    }
  return worst.value;
}

CASE(hardware, wgmma, 1e-3) {
  Worst worst;
  auto a = bf16s(64 * 64), b = bf16s(8 * 64);
  Device<uint16_t> left(a), right(b);
  Device<float> out(64 * 8);
  hardware_wgmma::tile_mma<<<1, 128>>>(left.as<uint4>(), right.as<uint4>(), out.data);
  auto got = out.read();
  for (int m = 0; m < 64; ++m)
    for (int n = 0; n < 8; ++n) {
      double sum = 0;
      for (int k = 0; k < 64; ++k) sum += double(from_bf16(a[m * 64 + k])) * from_bf16(b[n * 64 + k]);
      worst.see(got[m * 8 + n], sum);
    }
  return worst.value;
}
