// Cases of the technique and kernel pages: each runs the page's Hopper snippet and compares it with the same computation on the host.
#include "harness.cuh"
#include "snippets_technique.cuh"

CASE(technique, async_copy_depth, 1e-2) {
  Worst worst;
  for (int steps : {1, 3, 40}) {
    auto x = floats(steps * 4096);
    Device<float> in(x), out(128);
    for (int stages : {4, 12}) {
      size_t shared = stages * 4096 * 4 + 16 * stages;
      auto kernel = stages == 4 ? technique_async_copy_depth::depth4 : technique_async_copy_depth::depth12;
      allow_shared(kernel, shared);
      kernel<<<1, 160, shared>>>(in.data, out.data, steps);
      auto got = out.read();
      for (int t = 0; t < 128; ++t) {
        double sum = 0;
        for (size_t i = t; i < x.size(); i += 128) sum += x[i];
        worst.see(got[t], sum);
      }
    }
  }
  return worst.value;
}

CASE(technique, autotuning, 0) {
  Worst worst;
  int n = 1 << 20;
  Device<float> in(floats(size_t(n) * 4)), out(size_t(n) * 4);
  float us = -1;
  int best = technique_autotuning::tune(in.data, out.data, n, 4, 50, 0, &us);
  worst.differs(best < 0 || !(us > 0));
  return worst.value;
}

CASE(technique, cuda_graphs, 0) {
  Worst worst;
  int slots = 3, longest = 4, dim = 64;
  auto key = floats(slots * dim);
  Device<float> keys(key), cache(slots * longest * dim);
  Device<int> lengths(std::vector<int>{0, 2, -1});
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  cudaGraphExec_t graph;
  worst.differs(technique_cuda_graphs::capture(stream, &graph, keys.data, cache.data, lengths.data, slots, longest, dim) != cudaSuccess);
  for (int i = 0; i < 3; ++i) worst.differs(technique_cuda_graphs::replay(graph, stream) != cudaSuccess);
  cudaStreamSynchronize(stream);
  auto length = lengths.read();
  auto got = cache.read();
  worst.differs(length != std::vector<int>{3, 4, -1});
  for (int at = 0; at < 3; ++at)
    for (int i = 0; i < dim; ++i) worst.differs(got[at * dim + i] != key[i]);
  return worst.value;
}

CASE(technique, epilogue_fusion, 0.01) {
  Worst worst;
  int steps = 5;
  auto a = bf16_pairs(steps * 128), b = bf16_pairs(steps * 64);
  auto scale = floats(16);
  Device<uint32_t> left(a), right(b);
  Device<float> scales(scale);
  Device<uint16_t> out(64);
  technique_epilogue_fusion::swiglu_tile<<<1, 32>>>(left.data, right.data, scales.data, out.as<__nv_bfloat16>(), steps);
  auto got = out.read();
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 4; ++column) {
      double sums[2] = {0, 0};
      for (int half = 0; half < 2; ++half)
        for (int k = 0; k < steps * 16; ++k) sums[half] += double(a_fragment(a, k / 16, row, k % 16)) * b_fragment(b, k / 16, k % 16, 2 * column + half);
      double gate = sums[0] * scale[row], up = sums[1] * scale[row];
      worst.relative(from_bf16(got[row * 4 + column]), gate / (1 + std::exp(-gate)) * up, 0.05);
    }
  return worst.value;
}

CASE(technique, hang_debugging, 1e-4) {
  Worst worst;
  for (int steps : {1, 2, 9}) {
    auto x = floats(steps);
    Device<float> in(x), out(1);
    technique_hang_debugging::checked_ring<<<1, 64>>>(in.data, out.data, steps);
    double sum = 0;
    for (auto v : x) sum += v;
    worst.see(out.read()[0], sum);
  }
  return worst.value;
}

CASE(technique, launch_overhead_removal, 1e-4) {
  Worst worst;
  int rows = 7, n = 1000;
  auto x = floats(rows * n), w = floats(n);
  Device<float> in(x), weights(w), out(rows * n);
  worst.differs(technique_launch_overhead_removal::launch(in.data, weights.data, out.data, rows, n, 0) != cudaSuccess);
  auto got = out.read();
  for (int r = 0; r < rows; ++r) {
    double squares = 0;
    for (int c = 0; c < n; ++c) squares += double(x[r * n + c]) * x[r * n + c];
    double scale = 1 / std::sqrt(squares / n + 1e-6);
    for (int c = 0; c < n; ++c) worst.see(got[r * n + c], x[r * n + c] * scale * w[c]);
  }
  return worst.value;
}

CASE(technique, occupancy_tuning, 1e-5) {
  Worst worst;
  long quads = 10000;
  auto x = floats(quads * 4), y = floats(quads * 4);
  Device<float> in(x), out(y);
  technique_occupancy_tuning::axpy8<<<int((quads + 2047) / 2048), 256>>>(in.as<float4>(), out.as<float4>(), 2.f, quads);
  auto got = out.read();
  for (long i = 0; i < quads * 4; ++i) worst.see(got[i], 2.0 * x[i] + y[i]);
  worst.differs(technique_occupancy_tuning::blocks_per_sm(0) < 2);
  return worst.value;
}

CASE(technique, online_softmax_rescale, 1e-3) {
  Worst worst;
  for (float threshold : {0.f, 8.f})
    for (int keys : {1, 33, 200}) {
      auto s = floats(4 * keys, 20), v = floats(keys * 32);
      for (int i = 0; i < keys; ++i) s[keys + i] = -INFINITY;                         // a row that is masked out
      for (int i = 0; i < std::min(keys, 64); ++i) s[2 * keys + i] = -INFINITY;       // a row whose first keys are
      Device<float> scores(s), values(v), out(128), sums(4);
      technique_online_softmax_rescale::row_softmax_v<<<1, 128>>>(scores.data, values.data, out.data, sums.data, keys, 1.4426950408889634f, threshold);
      auto got = out.read(), logs = sums.read();
      for (int i = 0; i < 4; ++i) {
        double top = -1e300, total = 0;
        for (int k = 0; k < keys; ++k) top = std::max<double>(top, s[i * keys + k]);
        for (int k = 0; k < keys; ++k) total += std::isinf(top) ? 0 : std::exp(s[i * keys + k] - top);
        for (int c = 0; c < 32; ++c) {
          double mean = 0;
          for (int k = 0; k < keys && total > 0; ++k) mean += std::exp(s[i * keys + k] - top) / total * v[k * 32 + c];
          worst.see(got[i * 32 + c], mean);
        }
        if (total > 0) worst.see(logs[i], top + std::log(total));
      }
    }
  return worst.value;
}

CASE(technique, paged_gathers, 0) {
  Worst worst;
  int pages = 20, page = 16, length = 150, used = (length + page - 1) / page;
  auto cache = words(pages * page * 64);
  std::vector<int> table(2 * used);
  for (auto& entry : table) entry = random_bits()() % pages;
  Device<uint32_t> source(cache), out(2 * 192 * 64);
  Device<int> tables(table);
  technique_paged_gathers::gather_k<<<2, 128>>>(source.as<uint4>(), tables.data, out.as<uint4>(), length, 4, page * 16);
  auto got = out.read();
  for (int b = 0; b < 2; ++b)
    for (int t = 0; t < 192; ++t)
      for (int i = 0; i < 64; ++i) {
        uint32_t want = t < length ? cache[(size_t(table[b * used + t / page]) * page + t % page) * 64 + i] : 0;
        worst.differs(got[(size_t(b) * 192 + t) * 64 + i] != want);
      }
  return worst.value;
}

CASE(technique, persistent_scheduling, 1e-6) {
  Worst worst;
  for (int tiles : {1, 131, 1000}) {
    int elements = 300;
    auto x = floats(size_t(tiles) * elements);
    Device<float> in(x), out(x.size());
    Device<int> counter(1);
    technique_persistent_scheduling::persistent_tiles<<<132, 256>>>(in.data, out.data, tiles, elements, counter.data);
    auto got = out.read();
    for (size_t i = 0; i < x.size(); ++i) worst.see(got[i], double(x[i]) * x[i]);
  }
  return worst.value;
}

CASE(technique, ping_pong, 1e-3) {
  Worst worst;
  int per_group = 3, steps = 4, blocks = 2;
  size_t tiles = size_t(blocks) * per_group * 2;
  auto a = bf16_pairs(tiles * steps * 128 * 4), b = bf16_pairs(tiles * steps * 128 * 2);
  Device<uint32_t> left(a), right(b);
  auto residual = floats(tiles * 128 * 4);
  Device<float> added(residual), out(tiles * 128 * 4);
  technique_ping_pong::ping_pong<<<blocks, 256>>>(left.as<uint4>(), right.as<uint2>(), added.as<float4>(), out.as<float4>(), per_group, steps);
  auto got = out.read();
  for (size_t t = 0; t < tiles; ++t)
    for (int warp = 0; warp < 4; ++warp)
      for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 8; ++j) {
          double sum = 0;
          for (int k = 0; k < steps * 16; ++k) {
            size_t tile = (t * steps + k / 16) * 4 + warp;
            sum += double(a_fragment(a, tile, i, k % 16)) * b_fragment(b, tile, k % 16, j);
          }
          int lane = i % 8 * 4 + j / 2, word = i / 8 * 2 + j % 2;
          size_t at = (t * 128 + warp * 32 + lane) * 4 + word;
          worst.see(got[at], std::tanh(sum + residual[at]));
        }
  return worst.value;
}

CASE(technique, quantization_fusion, 1.05) {  // in units of one step of e4m3
  Worst worst;
  int tokens = 5, d = 256;
  auto x = bf16s(tokens * 2 * d, 4);
  Device<uint16_t> in(x);
  Device<uint32_t> packed(tokens * d / 4);
  Device<float> scales(tokens * 2);
  technique_quantization_fusion::silu_mul_quant<<<(tokens * 2 + 3) / 4, 128>>>(in.as<__nv_bfloat16>(), packed.data, scales.data, tokens, d);
  auto got = packed.read();
  auto scale = scales.read();
  for (int t = 0; t < tokens; ++t)
    for (int c = 0; c < d; ++c) {
      double gate = from_bf16(x[t * 2 * d + c]), up = from_bf16(x[t * 2 * d + d + c]), want = gate / (1 + std::exp(-gate)) * up;
      double value = from_e4m3(got[(t * d + c) / 4] >> (8 * (c % 4))) * scale[t * 2 + c / 128];
      worst.error(std::fabs(value - want) / (std::fabs(want) * 0.0625 + scale[t * 2 + c / 128] * 0.01));
    }
  return worst.value;
}

CASE(technique, radix_select_topk, 0) {
  Worst worst;
  for (int n : {300, 5000})
    for (int k : {1, 64, 256}) {
      auto x = floats(2 * n);
      for (int i = 0; i < n / 3; ++i) x[i * 2] = 0.25f;  // ties
      x[5] = INFINITY, x[7] = -INFINITY;
      Device<float> in(x);
      Device<int> out(2 * k);
      technique_radix_select_topk::topk_row<<<2, 256>>>(in.data, out.data, n, k);
      auto got = out.read();
      for (int row = 0; row < 2; ++row) {
        std::vector<float> all(x.begin() + row * n, x.begin() + (row + 1) * n), chosen;
        std::vector<int> ids(got.begin() + row * k, got.begin() + (row + 1) * k);
        for (int id : ids) chosen.push_back(id >= 0 && id < n ? all[id] : NAN);
        std::sort(ids.begin(), ids.end());
        worst.differs(std::adjacent_find(ids.begin(), ids.end()) != ids.end());
        std::sort(all.rbegin(), all.rend());
        std::sort(chosen.rbegin(), chosen.rend());
        for (int i = 0; i < k; ++i) worst.differs(all[i] != chosen[i]);
      }
    }
  return worst.value;
}

CASE(technique, register_reallocation, 1e-4) {
  Worst worst;
  int steps = 9;
  auto x = floats(steps * 256);
  Device<float> in(x), out(96 * 256);
  technique_register_reallocation::planned<<<1, 384>>>(in.data, out.data, steps);
  auto got = out.read();
  for (int i = 0; i < 96; ++i)
    for (int t = 0; t < 256; ++t) {
      double sum = 0;
      for (int s = 0; s < steps; ++s) sum += double(x[s * 256 + t]) * x[s * 256 + i];
      worst.see(got[i * 256 + t], sum);
    }
  return worst.value;
}

CASE(technique, shape_dispatch, 1e-4) {
  Worst worst;
  for (int m : {1, 2, 3, 4, 70}) {
    int n = 100, k = 130;
    auto w = floats(n * k), x = floats(m * k);
    Device<float> weights(w), in(x), out(m * n);
    worst.differs(technique_shape_dispatch::linear(weights.data, in.data, out.data, m, n, k, 0) != cudaSuccess);
    auto got = out.read();
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        double sum = 0;
        for (int q = 0; q < k; ++q) sum += double(w[j * k + q]) * x[i * k + q];
        worst.see(got[i * n + j], sum);
      }
  }
  return worst.value;
}

CASE(technique, software_pipelining, 1e-4) {
  Worst worst;
  int n = 128, k = 64;
  auto a = floats(k * n), b = floats(k * n);
  Device<float> left(a), right(b), out(n * n);
  technique_software_pipelining::sgemm<<<dim3(2, 2), 256>>>(left.as<float4>(), right.as<float4>(), out.data, n, k);
  auto got = out.read();
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int q = 0; q < k; ++q) sum += double(a[q * n + i]) * b[q * n + j];
      worst.see(got[i * n + j], sum);
    }
  return worst.value;
}

CASE(technique, split_k_split_kv, 1e-4) {
  Worst worst;
  int rows = 5, splits = 6, d = 100;
  auto o = floats(rows * splits * d), l = floats(rows * splits);
  for (int i = 0; i < splits; ++i) l[splits + i] = -INFINITY;  // a row without keys
  l[2] = -INFINITY;                                            // a split without keys
  Device<float> parts(o), logs(l), out(rows * d), out_log(rows);
  technique_split_k_split_kv::merge_splits<<<rows, 128>>>(parts.data, logs.data, out.data, out_log.data, splits, d);
  auto got = out.read(), got_log = out_log.read();
  for (int i = 0; i < rows; ++i) {
    double total = 0;
    for (int s = 0; s < splits; ++s) total += std::exp(l[i * splits + s]);
    for (int c = 0; c < d; ++c) {
      double mean = 0;
      for (int s = 0; s < splits && total > 0; ++s) mean += std::exp(l[i * splits + s]) / total * o[(i * splits + s) * d + c];
      worst.see(got[i * d + c], mean);
    }
    total > 0 ? worst.see(got_log[i], std::log(total)) : worst.differs(!std::isinf(got_log[i]));
  }
  return worst.value;
}

CASE(technique, stream_k, 1e-3) {
  Worst worst;
  for (int grid : {1, 7, 132})
    for (int rows : {3, 50, 140}) {
      int steps = 13;
      size_t wide = size_t(steps) * 256;
      auto a = floats(rows * wide), b = floats(rows * wide);
      Device<float> left(a), right(b), out(rows), partial(rows);
      Device<uint32_t> flags(rows);
      technique_stream_k::stream_k<<<grid, 256>>>(left.data, right.data, out.data, partial.data, flags.data, rows, steps);
      auto got = out.read();
      for (int i = 0; i < rows; ++i) {
        double sum = 0;
        for (size_t k = 0; k < wide; ++k) sum += double(a[i * wide + k]) * b[i * wide + k];
        worst.see(got[i], sum);
      }
    }
  return worst.value;
}

CASE(technique, swizzled_shared_memory, 0) {
  Worst worst;
  std::vector<uint16_t> x(64 * 64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = uint16_t(i);
  Device<uint16_t> in(x);
  Device<uint32_t> out(4 * 128 * 4);
  technique_swizzled_shared_memory::load_fragments<<<1, 128>>>(in.as<uint4>(), out.as<uint4>());
  auto got = out.read();
  for (int step = 0; step < 4; ++step)  // transposed 8 x 8 blocks: a lane holds rows 2 (lane % 4) and the next of column lane / 4
    for (int t = 0; t < 128; ++t)
      for (int q = 0; q < 4; ++q)
        for (int half = 0; half < 2; ++half) {
          int lane = t % 32, row = t / 32 * 16 + q % 2 * 8 + 2 * (lane % 4) + half, column = (2 * step + q / 2) * 8 + lane / 4;
          worst.differs(((got[(step * 128 + t) * 4 + q] >> (16 * half)) & 0xffff) != x[row * 64 + column]);
        }
  return worst.value;
}

CASE(technique, tile_rasterization_l2_reuse, 0) {
  Worst worst;
  int m = 10, n = 7;
  Device<uint32_t> out(m * n);
  technique_tile_rasterization_l2_reuse::plot_order<<<1, 32>>>(out.data, m, n, 4);
  auto got = out.read();
  std::sort(got.begin(), got.end());  // every tile once
  for (int i = 0; i < m * n; ++i) worst.differs(got[i] != uint32_t(i));
  return worst.value;
}

CASE(technique, warp_shuffle_reductions, 1e-6) {
  Worst worst;
  int n = 3000;
  auto x = floats(2 * n);
  for (auto& v : x) v -= 2;  // all negative: a maximum that starts at zero would show
  Device<float> in(x), sums(2), tops(2);
  technique_warp_shuffle_reductions::row_stats<<<2, 256>>>(in.data, sums.data, tops.data, n);
  auto sum = sums.read(), top = tops.read();
  for (int row = 0; row < 2; ++row) {
    double total = 0;
    for (int i = 0; i < n; ++i) total += x[row * n + i];
    worst.relative(sum[row], total, 1);
    worst.differs(top[row] != *std::max_element(x.begin() + row * n, x.begin() + (row + 1) * n));
  }
  return worst.value;
}

CASE(technique, warp_specialization, 1e-3) {
  Worst worst;
  for (int steps : {1, 4, 5, 23}) {
    auto x = floats(steps * 2048);
    Device<float> in(x), out(256);
    technique_warp_specialization::specialised<<<1, 384>>>(in.data, out.data, steps);
    auto got = out.read();
    for (int t = 0; t < 256; ++t) {
      double sum = 0;
      for (size_t i = t; i < x.size(); i += 256) sum += double(x[i]) * x[i];
      worst.see(got[t], sum);
    }
  }
  return worst.value;
}

CASE(kernel, rmsnorm_quantize, 1.1) {  // in units of one step of e4m3
  Worst worst;
  int rows = 3, columns = 2048;
  float inverse_scale = 16, epsilon = 1e-6f;
  auto x = bf16s(rows * columns), r = bf16s(rows * columns), w = bf16s(columns);
  Device<uint16_t> in(x), residual(r), weights(w);
  Device<uint8_t> out(rows * columns);
  kernel_rmsnorm_quantize::add_rmsnorm_fp8<<<rows, 256, columns * 2>>>(in.as<__nv_bfloat16>(), residual.as<__nv_bfloat16>(), weights.as<__nv_bfloat16>(),
                                                                       out.data, inverse_scale, epsilon, columns);
  auto got = out.read();
  auto left = residual.read();
  for (int row = 0; row < rows; ++row) {
    double squares = 0;
    for (int c = 0; c < columns; ++c) {
      int at = row * columns + c;
      worst.differs(left[at] != to_bf16(from_bf16(x[at]) + from_bf16(r[at])));
      squares += double(from_bf16(left[at])) * from_bf16(left[at]);
    }
    double scale = 1 / std::sqrt(squares / columns + epsilon);
    for (int c = 0; c < columns; ++c) {
      double want = from_bf16(left[row * columns + c]) * scale * from_bf16(w[c]) * inverse_scale;
      worst.error(std::fabs(from_e4m3(got[row * columns + c]) - want) / (std::fabs(want) * 0.0625 + 0.002));
    }
  }
  return worst.value;
}
