// Cases of the pattern pages: each runs the page's Hopper snippet and compares it with the same computation on the host.
#include "harness.cuh"
#include "snippets_pattern.cuh"

CASE(pattern, async_copy_wait, 1e-3) {
  Worst worst;
  for (int tiles : {1, 2, 3, 4, 17}) {
    int blocks = 3;
    auto x = floats(size_t(blocks) * tiles * 512);
    Device<float> in(x), out(blocks * 128);
    pattern_async_copy_wait::ring<<<blocks, 128>>>(in.as<float4>(), out.data, tiles);
    auto got = out.read();
    for (int b = 0; b < blocks; ++b)
      for (int t = 0; t < 128; ++t) {
        double sum = 0;
        for (int tile = 0; tile < tiles; ++tile)
          for (int i = 0; i < 4; ++i) sum += x[(size_t(b) * tiles + tile) * 512 + (t + 1) % 128 * 4 + i];
        worst.see(got[b * 128 + t], sum);
      }
  }
  return worst.value;
}

CASE(pattern, atomic_contention, 0) {
  Worst worst;
  int quads = 10007;
  auto x = floats(quads * 4);
  Device<float> in(x);
  Device<unsigned> total(1);
  pattern_atomic_contention::count_above<<<20, 256>>>(in.as<float4>(), total.data, 0.25f, quads);
  worst.differs(total.read()[0] != unsigned(std::count_if(x.begin(), x.end(), [](float v) { return v > 0.25f; })));
  return worst.value;
}

CASE(pattern, barrier_stall, 0) {
  Worst worst;
  for (int columns : {1, 31, 256, 1000}) {
    int rows = 5;
    auto x = floats(rows * columns);
    for (auto& v : x) v -= 2;
    Device<float> in(x), out(rows);
    pattern_barrier_stall::block_max<<<rows, 256>>>(in.data, out.data, columns);
    auto got = out.read();
    for (int r = 0; r < rows; ++r) worst.differs(got[r] != *std::max_element(x.begin() + r * columns, x.begin() + (r + 1) * columns));
  }
  return worst.value;
}

CASE(pattern, dependency_latency, 1e-3) {
  Worst worst;
  int quads = 30011, threads = 8 * 256;
  auto a = floats(quads * 4), b = floats(quads * 4);
  Device<float> left(a), right(b), out(threads);
  pattern_dependency_latency::dot4<<<8, 256>>>(left.as<float4>(), right.as<float4>(), out.data, quads);
  double got = 0, want = 0;
  for (float v : out.read()) got += v;
  for (size_t i = 0; i < a.size(); ++i) want += double(a[i]) * b[i];
  worst.see(got, want);
  return worst.value;
}

CASE(pattern, dram_bandwidth_bound, 1.1) {  // in units of one step of e4m3
  Worst worst;
  int quads = 5003;
  auto g = floats(quads * 4, 4), u = floats(quads * 4, 4);
  Device<float> gate(g), up(u);
  Device<unsigned> out(quads);
  pattern_dram_bandwidth_bound::silu_mul_fp8<<<7, 256>>>(gate.as<float4>(), up.as<float4>(), out.data, 8.f, quads);
  auto got = out.read();
  for (int i = 0; i < quads * 4; ++i) {
    double want = double(g[i]) / (1 + std::exp(-double(g[i]))) * u[i] * 8;
    worst.error(std::fabs(from_e4m3(got[i / 4] >> (8 * (i % 4))) - want) / (std::fabs(want) * 0.0625 + 0.002));
  }
  return worst.value;
}

CASE(pattern, instruction_fetch, 1e-3) {
  Worst worst;
  int n = 10007;
  auto x = floats(n, 2e4);
  Device<float> in(x), out(n);
  pattern_instruction_fetch::small_code<<<4, 256>>>(in.data, out.data, n);
  auto got = out.read();
  for (int i = 0; i < n; ++i) {
    double want = x[i] * 1.5;
    if (std::fabs(x[i]) > 1e4f) {
      want = x[i];
      for (int k = 0; k < 24; ++k) want = want * 0.75 + x[i] / std::sqrt(want * want + 1);
    }
    worst.relative(got[i], want, 1e-3);
  }
  return worst.value;
}

CASE(pattern, integer_bound, 0) {
  Worst worst;
  for (unsigned page : {1u, 3u, 7u, 16u, 61u, 1000u}) {
    unsigned n = 20011, pages = n / page + 1, shift = 0;
    while ((1ull << shift) < page) ++shift;
    unsigned multiplier = unsigned((1ull << 32) * ((1ull << shift) - page) / page + 1);
    auto x = floats(n);
    std::vector<unsigned> table(pages);
    for (unsigned i = 0; i < pages; ++i) table[i] = pages - 1 - i;
    Device<float> in(x), out(size_t(pages) * page);
    Device<unsigned> tables(table);
    pattern_integer_bound::to_paged<<<9, 256>>>(in.data, out.data, tables.data, {page, multiplier, shift}, n);
    auto got = out.read();
    for (unsigned i = 0; i < n; ++i) worst.differs(got[size_t(table[i / page]) * page + i % page] != x[i]);
  }
  return worst.value;
}

CASE(pattern, issue_bound, 0.01) {
  Worst worst;
  int eights = 5003;
  auto x = bf16s(eights * 8);
  Device<uint16_t> in(x), out(eights * 8);
  pattern_issue_bound::fma_bf16x8<<<6, 256>>>(in.as<uint4>(), out.as<uint4>(), 1.5f, 0.25f, eights);
  auto got = out.read();
  for (size_t i = 0; i < x.size(); ++i) worst.relative(from_bf16(got[i]), from_bf16(x[i]) * 1.5 + 0.25, 0.01);
  return worst.value;
}

CASE(pattern, l1_bandwidth_bound, 1e-4) {
  Worst worst;
  int tiles = 3, k = tiles * 16;
  auto a = floats(k * 64), b = floats(k * 64);
  Device<float> left(a), right(b), out(64 * 64);
  pattern_l1_bandwidth_bound::tile4x4<<<1, 256>>>(left.as<float4>(), right.as<float4>(), out.as<float4>(), tiles);
  auto got = out.read();
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 64; ++j) {
      double sum = 0;
      for (int q = 0; q < k; ++q) sum += double(a[q * 64 + i]) * b[q * 64 + j];
      worst.see(got[i * 64 + j], sum);
    }
  return worst.value;
}

CASE(pattern, l2_bandwidth_bound, 0) {
  Worst worst;
  auto x = words(512 * 4);
  Device<uint32_t> in(x), out(8 * 512 * 4);
  pattern_l2_bandwidth_bound::multicast_tile<<<8, 128>>>(in.as<uint4>(), out.as<uint4>());
  auto got = out.read();
  for (size_t i = 0; i < got.size(); ++i) worst.differs(got[i] != x[i % x.size()]);
  return worst.value;
}

CASE(pattern, launch_bound, 1e-5) {
  Worst worst;
  int n = 100000;  // three launches in a row, each on what the one before wrote
  auto w = floats(n), x = floats(n);
  Device<float> weights(w), a(x), b(n), c(n), d(n);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3((n + 255) / 256);
  config.blockDim = dim3(256);
  config.attrs = &attribute;
  config.numAttrs = 1;
  const float* from = a.data;
  for (float* to : {b.data, c.data, d.data}) {
    worst.differs(cudaLaunchKernelEx(&config, pattern_launch_bound::scale_after, (const float*)weights.data, from, to, n) != cudaSuccess);
    from = to;
  }
  auto got = d.read();
  for (int i = 0; i < n; ++i) worst.see(got[i], double(x[i]) * w[i] * w[i] * w[i]);
  return worst.value;
}

CASE(pattern, load_imbalance, 1e-3) {
  Worst worst;
  int rows = 300;
  std::vector<int> start(rows + 1), order(rows);
  for (int r = 0; r < rows; ++r) start[r + 1] = start[r] + (r % 17 == 0 ? 3000 : r % 40);
  for (int r = 0; r < rows; ++r) order[r] = r;
  std::stable_sort(order.begin(), order.end(), [&](int l, int r) { return start[l + 1] - start[l] > start[r + 1] - start[r]; });
  auto x = floats(start[rows]);
  Device<float> in(x), out(rows);
  Device<int> starts(start), orders(order), next(1);
  pattern_load_imbalance::ragged_sum<<<10, 256>>>(in.data, starts.data, orders.data, out.data, next.data, rows);
  auto got = out.read();
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int i = start[r]; i < start[r + 1]; ++i) sum += x[i];
    worst.see(got[r], sum);
  }
  return worst.value;
}

CASE(pattern, memory_latency, 0.01) {
  Worst worst;
  for (int quads : {1, 5000, 70001}) {
    auto x = floats(size_t(quads) * 4);
    Device<float> in(x), out(8 * 256);
    pattern_memory_latency::sum4<<<8, 256>>>(in.as<float4>(), out.data, quads);
    double got = 0, want = 0;
    for (float v : out.read()) got += v;
    for (float v : x) want += v;
    worst.see(got, want);
  }
  return worst.value;
}

CASE(pattern, narrow_memory_access, 0) {
  Worst worst;
  for (int shift : {0, 1})  // aligned, and not
    for (int n : {7, 4096, 10005}) {
      auto x = bf16s(n + shift);
      Device<uint16_t> in(x), out(n + shift);
      pattern_narrow_memory_access::scale_bf16<<<5, 256>>>(in.as<__nv_bfloat16>() + shift, out.as<__nv_bfloat16>() + shift, 1.25f, n);
      auto got = out.read();
      for (int i = shift; i < n + shift; ++i) worst.differs(got[i] != to_bf16(from_bf16(x[i]) * 1.25f));
    }
  return worst.value;
}

CASE(pattern, occupancy_block_size, 1e-3) {
  Worst worst;
  int rows = 101, columns = 77;
  auto x = floats(rows * columns);
  Device<float> in(x), out(rows);
  pattern_occupancy_block_size::row_sum<<<(rows + 7) / 8, 256>>>(in.data, out.data, rows, columns);
  auto got = out.read();
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int c = 0; c < columns; ++c) sum += x[r * columns + c];
    worst.see(got[r], sum);
  }
  return worst.value;
}

CASE(pattern, occupancy_registers, 1e-5) {
  Worst worst;
  int quads = 10007, steps = 50;
  auto x = floats(quads * 4), y = floats(quads * 4);
  Device<float> a(x), b(y), c(quads * 4), roles(2 * 256);
  pattern_occupancy_registers::axpy4<<<6, 256>>>(a.as<float4>(), b.as<float4>(), c.as<float4>(), 2.f, quads);
  auto got = c.read();
  for (size_t i = 0; i < x.size(); ++i) worst.see(got[i], 2.0 * x[i] + y[i]);
  pattern_occupancy_registers::split_roles<<<2, 384>>>(roles.data, steps);
  auto role = roles.read();
  for (int t = 0; t < 512; ++t) {
    double value = t % 256 + 128;
    for (int i = 0; i < steps; ++i) value = value * 1.0009 + 0.5;
    worst.relative(role[t], value, 1);
  }
  return worst.value;
}

CASE(pattern, occupancy_shared_memory, 0) {
  Worst worst;
  int blocks = 3;
  auto x = floats(blocks * 4096);
  Device<float> in(x), out(blocks * 4096);
  pattern_occupancy_shared_memory::restage<<<blocks, 128>>>(in.data, out.data);
  auto got = out.read();
  for (int b = 0; b < blocks; ++b)
    for (int t = 0; t < 128; ++t)
      for (int i = 0; i < 32; ++i) worst.differs(got[(b * 128 + t) * 32 + i] != x[(b * 32 + i) * 128 + (t + 1) % 128]);
  return worst.value;
}

CASE(pattern, register_spill, 1e-4) {
  Worst worst;
  int n = 5003;
  auto x = floats(8 * n);
  for (auto& v : x) v = v * 0.4f + 1;
  std::vector<int> which(n);
  for (auto& w : which) w = random_bits()() % 8;
  Device<float> in(x), out(n);
  Device<int> choice(which);
  pattern_register_spill::pick<<<(n + 255) / 256, 256>>>(in.data, choice.data, out.data, n);
  auto got = out.read();
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (int k = 0; k < 8; ++k) sum += x[k * n + i];
    worst.see(got[i], x[which[i] * n + i] / sum);
  }
  return worst.value;
}

CASE(pattern, sfu_bound, 8e-4) {  // the relative error that the page states
  Worst worst;
  int quads = 1 << 14;
  std::vector<float> x(quads * 4);
  for (size_t i = 0; i < x.size(); ++i) x[i] = -120.f * i / x.size();
  Device<float> in(x), out(x.size());
  pattern_sfu_bound::exp2_mix<<<8, 256>>>(in.as<float4>(), out.as<float4>(), quads);
  auto got = out.read();
  for (size_t i = 0; i < x.size(); ++i) worst.relative(got[i], std::exp2(double(x[i])), 0);
  return worst.value;
}

CASE(pattern, shared_bank_conflict, 0) {
  Worst worst;
  int n = 96;
  auto x = floats(n * n);
  Device<float> in(x), out(n * n);
  pattern_shared_bank_conflict::transpose_swizzled<<<dim3(3, 3), 1024>>>(in.data, out.data, n);
  auto got = out.read();
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) worst.differs(got[j * n + i] != x[i * n + j]);
  return worst.value;
}

CASE(pattern, shared_latency, 1e-3) {
  Worst worst;
  int blocks = 2, steps = 600;
  auto c = floats(1024, 0.9f), x = floats(blocks * 128);
  Device<float> coefficients(c), in(x), out(blocks * 128);
  pattern_shared_latency::fir16<<<blocks, 128>>>(coefficients.as<float4>(), in.data, out.data, steps);
  auto got = out.read();
  for (int t = 0; t < blocks * 128; ++t) {
    double v = x[t], sum = 0;
    for (int s = 0; s < steps; ++s) {
      const float* now = &c[s % 256 * 4];
      sum += now[0] * v + now[1];
      v = v * now[2] + now[3];
    }
    worst.see(got[t], sum);
  }
  return worst.value;
}

CASE(pattern, small_grid, 1e-3) {
  Worst worst;
  int rows = 37, k = 1001, splits = 6;
  auto w = floats(rows * k), x = floats(k);
  Device<float> matrix(w), vector(x), parts(rows * splits), out(rows);
  pattern_small_grid::gemv_partial<<<dim3((rows + 3) / 4, splits), 128>>>(matrix.data, vector.data, parts.data, rows, k, splits);
  pattern_small_grid::gemv_reduce<<<1, 64>>>(parts.data, out.data, rows, splits);
  auto got = out.read();
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int i = 0; i < k; ++i) sum += double(w[r * k + i]) * x[i];
    worst.see(got[r], sum);
  }
  return worst.value;
}

CASE(pattern, tail_effect, 1e-3) {
  Worst worst;
  for (int grid : {1, 4, 132, 500}) {
    int tiles = 7, steps = 40;
    auto a = floats(size_t(tiles) * steps * 128);
    Device<float> in(a), out(tiles * 128);
    pattern_tail_effect::even_split<<<grid, 128>>>(in.data, out.data, tiles, steps);
    auto got = out.read();
    for (int tile = 0; tile < tiles; ++tile)
      for (int t = 0; t < 128; ++t) {
        double sum = 0;
        for (int s = 0; s < steps; ++s) sum += a[(size_t(tile) * steps + s) * 128 + t];
        worst.see(got[tile * 128 + t], sum);
      }
  }
  return worst.value;
}

CASE(pattern, tensor_core_starved, 1e-3) {
  Worst worst;
  int blocks = 2;
  auto a = bf16s(blocks * 2048), b = bf16s(blocks * 2048);
  Device<uint16_t> left(a), right(b);
  Device<float> out(blocks * 256);
  pattern_tensor_core_starved::warp_tile<<<blocks, 32>>>(left.as<uint4>(), right.as<uint4>(), out.data);
  auto got = out.read();
  for (int block = 0; block < blocks; ++block)
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 16; ++j) {
        double sum = 0;
        for (int k = 0; k < 128; ++k) {
          size_t step = size_t(block) * 2048 + k / 16 * 256;
          sum += double(from_bf16(a[step + i * 16 + k % 16])) * from_bf16(b[step + j * 16 + k % 16]);
        }
        worst.see(got[block * 256 + i * 16 + j], sum);
      }
  return worst.value;
}

CASE(pattern, tensor_core_unused, 1e-3) {
  Worst worst;
  int m = 32, n = 48, k = 80;
  auto a = bf16s(m * k), b = bf16s(n * k);
  Device<uint16_t> left(a), right(b);
  Device<float> out(m * n);
  pattern_tensor_core_unused::gemm16<<<dim3(n / 16, m / 16), 32>>>(left.as<__nv_bfloat16>(), right.as<__nv_bfloat16>(), out.data, n, k);
  auto got = out.read();
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int q = 0; q < k; ++q) sum += double(from_bf16(a[i * k + q])) * from_bf16(b[j * k + q]);
      worst.see(got[i * n + j], sum);
    }
  return worst.value;
}

CASE(pattern, thread_divergence, 1e-6) {
  Worst worst;
  int n = 10007;
  auto x = floats(n, 3);
  Device<float> in(x), out(n);
  pattern_thread_divergence::leaky_clip<<<5, 256>>>(in.data, out.data, 0.125f, 2.f, n);
  auto got = out.read();
  for (int i = 0; i < n; ++i) worst.see(got[i], std::min(2.0, x[i] > 0 ? x[i] : 0.125 * x[i]));
  return worst.value;
}

CASE(pattern, uncoalesced_global, 0) {
  Worst worst;
  int rows = 70, columns = 45;
  auto x = floats(rows * columns);
  Device<float> in(x), out(rows * columns);
  pattern_uncoalesced_global::transpose<<<dim3((columns + 31) / 32, (rows + 31) / 32), 256>>>(in.data, out.data, rows, columns);
  auto got = out.read();
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) worst.differs(got[j * rows + i] != x[i * columns + j]);
  return worst.value;
}
