// What the launches of conv's kernels share: grids, outputs, and the filter in the activations' type.
#pragma once

#include "kernels/conv/conv_store.cuh"

namespace rankine::cuda {

struct ConvLaunch {
  std::string_view op;
  CudaStream stream;
  ConvPass pass;
  ConvSizes sizes;
  ConvPlan plan;

  ConvProduct product() const { return ConvProduct::of(pass, sizes); }
  bool empty() const { return product().rows == 0 || product().cols == 0; }
  // x: tiles, y: splits of the sum, z: phases.
  Launch on_grid(std::int64_t rows, std::int64_t cols, int threads, std::size_t shared_bytes) const {
    const ConvProduct p = product();
    const auto tiles = ((p.rows + rows - 1) / rows) * ((p.cols + cols - 1) / cols);
    return {.op = op,
            .grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(plan.splits),
                         static_cast<unsigned>(p.phases)),
            .block = static_cast<unsigned>(threads),
            .stream = stream,
            .shared_bytes = shared_bytes,
            .sizes = {p.rows, p.cols, p.depth, p.phases}};
  }
};

inline bool is_aligned16(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }

template <class T>
ConvOutput<T> output_of(const ConvLaunch& l, const CudaConvArgs& a) {
  const ConvSizes& s = l.sizes;
  const bool forward = l.pass == ConvPass::forward;
  const std::int64_t cols = forward ? s.out : s.in;
  float* partial = l.plan.splits > 1 ? a.scratch + l.plan.filter_floats : nullptr;
  return {static_cast<T*>(a.to),
          partial,
          (forward ? s.y_rows() : s.x_rows()) * cols,
          {a.bias, a.bias_type},
          static_cast<int>(cols),
          a.accumulate,
          aligned8<T>(a.to, cols)};
}

template <class T>
struct ConvertFilter {
  T* to;
  AnyFloat from;
  __device__ void operator()(std::int64_t i) const { to[i] = from_float<T>(from[i]); }
};

// The filter where it is, or its copy in scratch.
template <class T>
const T* filter_of(const ConvLaunch& l, const CudaConvArgs& a) {
  if (l.plan.filter_floats == 0) return static_cast<const T*>(a.w);
  T* copy = reinterpret_cast<T*>(a.scratch);
  const std::int64_t size = l.sizes.out * l.sizes.taps() * l.sizes.in;
  for_each(l.op, l.stream, size, ConvertFilter<T>{copy, {a.w, a.w_type}});
  return copy;
}

// Sizes, types and addresses that tensor cores do not take: conv_scalar_cuda.cu.
void scalar_forward(const ConvLaunch& l, const CudaConvArgs& a);
void scalar_adjoint(const ConvLaunch& l, const CudaConvArgs& a);
void scalar_weight_grad(const ConvLaunch& l, const CudaConvGradArgs& a, const ConvOutput<float>& out);

}  // namespace rankine::cuda
