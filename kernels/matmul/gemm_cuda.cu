#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/matmul/cublaslt.h"
#include "kernels/matmul/gemm_cuda.cuh"

namespace rankine::cuda {

// Defined by gemm_f16_cuda.cu and gemm_bf16_cuda.cu.
extern template void launch_gemm<__half>(const GemmLaunch& l, GemmParams& p);
extern template void launch_gemm<__nv_bfloat16>(const GemmLaunch& l, GemmParams& p);

namespace {

int attribute(cudaDeviceAttr what) {
  int device = 0, value = 0;
  require<Error>(
      cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&value, what, device) == cudaSuccess,
      "gemm: cannot ask the CUDA device for its properties");
  return value;
}
int architecture() {
  return 10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
}

// Extents are 32 bit in the kernel: one multiplication gives a row's address.
int as_int(std::int64_t extent) {
  require<ShapeError>(extent < std::int64_t{1} << 31, "gemm: an extent of ", extent, " is beyond 2^31");
  return static_cast<int>(extent);
}

bool aligned(const void* p, std::int64_t pitch, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && pitch % 8 == 0 && stride % 8 == 0;
}

bool out_aligned(const Gemm& g) {
  return g.n % 8 == 0 && aligned(g.out.data, g.out.pitch, g.batch.out_stride) && aligned(g.bias.data, 0, 0) &&
         aligned(g.partial, 0, 0);
}

// Segments that add nothing are left out.
void set_segments(GemmParams& p, const Gemm& g, bool gather) {
  int count = 0;
  for (int i = 0; i < g.count; ++i) {
    const GemmSegment& s = g.segments[i];
    const int steps = static_cast<int>(gemm_depth(s.k) / kGemmDepth);
    if (steps == 0 || s.scale == 0) continue;
    GemmParams::Segment& to = p.segments[count];
    to = {s.a,         s.b,     as_int(s.a_pitch), as_int(s.b_pitch), 1, 1,
          as_int(s.k), p.steps, p.steps + steps,   s.scale,           1};
    if (gather && g.a == Major::mn) std::swap(to.a_pitch, to.a_step);
    if (gather && g.b == Major::mn) std::swap(to.b_pitch, to.b_step);
    if (count > 0) p.segments[count - 1].ratio = p.segments[count - 1].scale / s.scale;
    p.steps += steps;
    ++count;
  }
}

GemmTile choose_tile(const Gemm& g, int splits) {
  using enum GemmTile;
  if (g.tile) return *g.tile;
  constexpr GemmTile kForward[] = {m128n128, m128n64, m64n64, m128n32};
  constexpr GemmTile kAdjoint[] = {m128n128, m128n64, m64n64};
  constexpr GemmTile kGradient[] = {m128n128, m64n64, m32n128};
  const std::span<const GemmTile> allowed = g.a == Major::mn   ? std::span<const GemmTile>(kGradient)
                                            : g.b == Major::mn ? std::span<const GemmTile>(kAdjoint)
                                                               : std::span<const GemmTile>(kForward);
  return gemm_tile(g.sizes(), splits, std::max(1, attribute(cudaDevAttrMultiProcessorCount)), allowed);
}

// C from the partial sums of a split K, in the order of the parts.
template <class T, class Out>
struct AddSplits {
  GemmParams p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t each = std::int64_t{p.m} * p.n, batch = i / each, row = i % each / p.n,
                       column = i % p.n;
    const float* from = p.partial + batch * p.splits * each + i % each;
    float sum = 0;
    for (int s = 0; s < p.splits; ++s) sum += from[s * each];
    if (p.bias) {
      sum += p.bias_f32 ? static_cast<const float*>(p.bias)[column]
                        : to_float(static_cast<const T*>(p.bias)[column]);
    }
    Out& to = static_cast<Out*>(p.out)[batch * p.out_stride + row * p.out_pitch + column];
    if (p.accumulate) sum += to_float(to);
    to = from_float<Out>(sum);
  }
};

void launch_batches(CudaStream stream, std::string_view op, const Gemm& g, GemmParams& p) {
  constexpr std::int64_t kMostBatches = 65535;  // of a grid's third extent
  GemmLaunch l{op, stream, choose_tile(g, p.splits), g.a, g.b, !operands_aligned(g), g.sum, 0};
  const auto size = static_cast<std::int64_t>(size_of(g.type)),
             out_size = static_cast<std::int64_t>(size_of(g.out.type));
  GemmParams part = p;
  for (std::int64_t first = 0; first < g.batch.count; first += kMostBatches) {
    l.batch = static_cast<unsigned>(std::min(kMostBatches, g.batch.count - first));
    for (int i = 0; i < kGemmSegments; ++i) {
      part.segments[i].a = static_cast<const std::byte*>(p.segments[i].a) + first * g.batch.a_stride * size;
      part.segments[i].b = static_cast<const std::byte*>(p.segments[i].b) + first * g.batch.b_stride * size;
    }
    part.out = static_cast<std::byte*>(p.out) + first * g.batch.out_stride * out_size;
    if (p.partial) part.partial = p.partial + first * p.splits * g.m * g.n;
    with_half_type(op, g.type, [&](auto t) { launch_gemm<decltype(t)>(l, part); });
  }
}

}  // namespace

// Whether every operand can be copied in chunks of 16 bytes: a chunk may hold numbers beyond M or N, which
// end in sums that are not stored, but none beyond K. There is no such instance for a product of two
// transposed operands.
bool operands_aligned(const Gemm& g) {
  if (g.a == Major::mn && g.b == Major::k) return false;
  const bool by_k = g.a == Major::mn && g.b == Major::mn;
  for (int i = 0; i < g.count; ++i) {
    const GemmSegment& s = g.segments[i];
    if (!by_k && s.k % 8 != 0) return false;
    if (!aligned(s.a, s.a_pitch, g.batch.a_stride) || !aligned(s.b, s.b_pitch, g.batch.b_stride))
      return false;
  }
  return true;
}

GemmParams gemm_params(const Gemm& g) {
  GemmParams p{};
  set_segments(p, g, !operands_aligned(g));
  p.m = as_int(g.m), p.n = as_int(g.n);
  p.a_stride = g.batch.a_stride, p.b_stride = g.batch.b_stride, p.out_stride = g.batch.out_stride;
  p.out = g.out.data, p.out_pitch = as_int(g.out.pitch);
  p.out_f32 = g.out.type == DType::f32, p.accumulate = g.out.accumulate;
  p.bias = g.bias.data, p.bias_f32 = g.bias.type == DType::f32;
  p.splits = g.partial ? gemm_splits(g.sizes()) : 1;
  p.partial = p.splits > 1 ? g.partial : nullptr;
  p.whole_chunks = out_aligned(g);
  return p;
}

void add_splits(CudaStream stream, std::string_view op, const Gemm& g, const GemmParams& p) {
  const std::int64_t n = g.batch.count * g.m * g.n;
  with_half_type(op, g.type, [&](auto t) {
    using T = decltype(t);
    if (p.out_f32) {
      for_each(op, stream, n, AddSplits<T, float>{p});
    } else {
      for_each(op, stream, n, AddSplits<T, T>{p});
    }
  });
}

void gemm(CudaStream stream, std::string_view op, const Gemm& g) {
  if (g.m == 0 || g.n == 0 || g.batch.count == 0) return;
  const bool library =
      g.by == GemmBy::cublaslt || (g.by == GemmBy::table && cublaslt_is_faster(architecture(), g.sizes()));
  if (library && operands_aligned(g) && cublaslt_gemm(stream, op, g)) return;
  GemmParams p = gemm_params(g);
  launch_batches(stream, op, g, p);
  if (p.partial) add_splits(stream, op, g, p);
}

}  // namespace rankine::cuda
