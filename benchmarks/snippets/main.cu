// main: lists the cases, or runs one and prints what it gave as a JSON line. One process a case: a fault of one must not reach the next.
#include "harness.cuh"

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

CUtensorMap tensor_map(CUtensorMapDataType type, void* data, int columns, int rows, int element_bytes, int box_columns, int box_rows,
                       CUtensorMapSwizzle swizzle) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static Encode encode = nullptr;
  cudaDriverEntryPointQueryResult found;
  if (!encode) cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", reinterpret_cast<void**>(&encode), cudaEnableDefault, &found);
  CUtensorMap map{};
  cuuint64_t size[2] = {cuuint64_t(columns), cuuint64_t(rows)}, stride[1] = {cuuint64_t(columns) * element_bytes};
  cuuint32_t box[2] = {cuuint32_t(box_columns), cuuint32_t(box_rows)}, step[2] = {1, 1};
  encode(&map, type, 2, data, size, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
         CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return map;
}

int main(int count, char** words) {
  if (count < 2) {
    for (auto& one : cases()) std::printf("%s\n", one.page.c_str());
    return 0;
  }
  for (auto& one : cases()) {
    if (one.page != words[1]) continue;
    double worst = one.run();
    cudaError_t status = cudaDeviceSynchronize();
    if (status == cudaSuccess) status = cudaGetLastError();
    bool ok = status == cudaSuccess && worst <= one.limit;
    std::printf("{\"case\": \"%s\", \"ok\": %s, \"worst\": %.3g, \"limit\": %.3g, \"cuda\": \"%s\"}\n", one.page.c_str(), ok ? "true" : "false",
                std::isfinite(worst) ? worst : 1e300, one.limit, cudaGetErrorString(status));
    return ok ? 0 : 1;
  }
  std::fprintf(stderr, "no such case: %s\n", words[1]);
  return 2;
}
