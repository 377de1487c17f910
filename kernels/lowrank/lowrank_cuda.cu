#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/lowrank/dropped_cuda.cuh"

namespace rankine::cuda {

// Defined by dropped_f16_cuda.cu and dropped_bf16_cuda.cu.
extern template void launch_dropped<__half>(Dropped what, const GemmLaunch& l, GemmParams& p,
                                            const SampleMask& mask);
extern template void launch_dropped<__nv_bfloat16>(Dropped what, const GemmLaunch& l, GemmParams& p,
                                                   const SampleMask& mask);

namespace {

// Rows of `width` elements out of rows of `pitch`, filled up with zeros to `padded`.
template <class T>
struct Pack {
  T* to;
  const T* from;
  std::int64_t pitch, width, padded;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / padded, column = i % padded;
    to[i] = column < width ? from[row * pitch + column] : from_float<T>(0.0F);
  }
};
struct Packing {
  std::string_view op;
  CudaStream stream;
  DType type;
  std::byte* at;

  const void* rows(const void* from, std::int64_t count, std::int64_t pitch, std::int64_t width,
                   std::int64_t padded) {
    with_half_type(op, type, [&](auto t) {
      using T = decltype(t);
      for_each(op, stream, count * padded,
               Pack<T>{reinterpret_cast<T*>(at), static_cast<const T*>(from), pitch, width, padded});
    });
    const void* packed = at;
    at += count * padded * 2;
    return packed;
  }
};

// A term as a segment of the product whose N is `features`.
GemmSegment segment_of(const LowRankArgs& t, Packing& packing, const Gemm& g) {
  const bool forward = g.b == Major::k;
  if (!t.pack) return {t.middle, t.pitch, t.factor, forward ? t.rank : g.n, t.rank, t.scale};
  const std::int64_t rank = whole_chunks(t.rank);
  const void* middle = packing.rows(t.middle, g.m, t.pitch, t.rank, rank);
  const void* factor = forward ? packing.rows(t.factor, g.n, t.rank, t.rank, rank)
                               : packing.rows(t.factor, 1, 0, t.rank * g.n, rank * g.n);
  return {middle, rank, factor, forward ? rank : g.n, rank, t.scale};
}

// The terms and the base in one product; terms that do not fit follow, four at a time.
void lowrank_product(CudaStream stream, std::string_view op, const LowRankLinearArgs& a, Gemm g,
                     const GemmSegment* base) {
  Packing packing{op, stream, g.type, static_cast<std::byte*>(a.packed)};
  std::span<const LowRankArgs> left = a.terms;
  while (base || !left.empty()) {
    const std::span<const LowRankArgs> now = left.first(std::min(left.size(), terms_beside(base != nullptr)));
    left = left.subspan(now.size());
    g.count = 0;
    for (const LowRankArgs& t : now) g.segments[g.count++] = segment_of(t, packing, g);
    if (base) g.segments[g.count++] = *base;
    gemm(stream, op, g);
    base = nullptr;
    g.bias = {};
    g.partial = nullptr;
    g.out.accumulate = true;
  }
}

// g, of one segment, with a mask on the x or the C of `cols` columns.
void dropped_product(CudaStream stream, std::string_view op, Dropped what, Gemm g, const DropArgs& dropout) {
  if (g.m == 0 || g.n == 0) return;
  g.segments[0].scale /= 1.0F - dropout.p;
  GemmParams p = gemm_params(g);
  const std::int64_t cols = what == Dropped::middle ? g.segments[0].k : g.n;
  const GemmLaunch l{op, stream, {}, g.a, g.b, !operands_aligned(g), g.sum, 1};
  with_half_type(op, g.type,
                 [&](auto t) { launch_dropped<decltype(t)>(what, l, p, sample_mask(dropout, cols)); });
  if (p.partial) add_splits(stream, op, g, p);
}

// Both dropouts of an element of S.
template <class T>
struct DropMiddle {
  T* s;
  SampleMask element, column;
  bool elements, columns;
  float scale;
  __device__ void operator()(std::int64_t i) const {
    const auto row = static_cast<int>(i / element.cols), col = static_cast<int>(i % element.cols);
    bool keep = true;
    if (elements) keep = element.template kept<1, false>(row, col) != 0;
    if (columns) keep = keep && column.template kept<1, false>(row / element.rows_each, col) != 0;
    s[i] = from_float<T>(keep ? to_float(s[i]) * scale : 0.0F);
  }
};

}  // namespace

void lowrank_middle(CudaStream stream, const LinearArgs& a, const DropArgs& dropout) {
  constexpr std::string_view kName = "lowrank_middle";
  const Gemm g{.type = a.w.type,
               .a = Major::k,
               .b = Major::k,
               .m = a.rows,
               .n = a.w.out,
               .segments = {{{a.from, a.w.in, a.w.data, a.w.in, a.w.in}}},
               .count = 1,
               .out = {a.to, a.w.type, a.w.out},
               .partial = a.partial};
  if (dropout.p == 0) return gemm(stream, kName, g);
  dropped_product(stream, kName, Dropped::middle, g, dropout);
}

void lowrank_drop_middle(CudaStream stream, const DropMiddleArgs& a) {
  constexpr std::string_view kName = "lowrank_drop_middle";
  const float scale = 1.0F / (1.0F - a.element.p) * (1.0F / (1.0F - a.column.p));
  with_half_type(kName, a.type, [&](auto t) {
    using T = decltype(t);
    for_each(kName, stream, a.rows * a.rank,
             DropMiddle<T>{static_cast<T*>(a.s), sample_mask(a.element, a.rank),
                           sample_mask(a.column, a.rank), a.element.p > 0, a.column.p > 0, scale});
  });
}

void lowrank_linear_forward(CudaStream stream, const LowRankLinearArgs& a) {
  const std::int64_t in = a.w.in, out = a.w.out;
  const Gemm g{.type = a.w.type,
               .a = Major::k,
               .b = Major::k,
               .m = a.rows,
               .n = out,
               .segments = {},
               .count = 0,
               .out = {a.to, a.w.type, out, a.accumulate},
               .bias = a.bias,
               .partial = a.partial};
  if (!a.w.data) return lowrank_product(stream, "lowrank_up_add", a, g, nullptr);
  const GemmSegment base{a.from, in, read_weight(stream, a.w), in, in};
  lowrank_product(stream, "lowrank_linear_forward", a, g, &base);
}

void lowrank_linear_adjoint(CudaStream stream, const LowRankLinearArgs& a) {
  const std::int64_t in = a.w.in, out = a.w.out;
  const Gemm g{.type = a.w.type,
               .a = Major::k,
               .b = Major::mn,
               .m = a.rows,
               .n = in,
               .segments = {},
               .count = 0,
               .out = {a.to, a.w.type, in, a.accumulate},
               .partial = a.partial};
  const GemmSegment base{a.from, out, read_weight(stream, a.w), in, out};
  lowrank_product(stream, "lowrank_linear_adjoint", a, g, &base);
}

void lowrank_dropped_adjoint(CudaStream stream, const LowRankLinearArgs& a, const DropArgs& dropout) {
  constexpr std::string_view kName = "lowrank_linear_adjoint";
  Gemm g{.type = a.w.type,
         .a = Major::k,
         .b = Major::mn,
         .m = a.rows,
         .n = a.w.in,
         .segments = {},
         .count = 1,
         .out = {a.to, a.w.type, a.w.in, true}};
  Packing packing{kName, stream, g.type, static_cast<std::byte*>(a.packed)};
  g.segments[0] = segment_of(a.terms.front(), packing, g);
  dropped_product(stream, kName, Dropped::adjoint, g, dropout);
}

void lowrank_up_backward(CudaStream stream, const UpGradArgs& a) {
  constexpr std::string_view kName = "lowrank_up_backward";
  const UpGradPlan& plan = a.plan;
  if (plan.rows == 0) return;
  if (plan.one_pass()) return up_backward_in_one_pass(stream, a);
  gemm(stream, kName,
       {.type = a.type,
        .a = Major::k,
        .b = Major::mn,
        .m = plan.rows,
        .n = plan.rank,
        .segments = {{{a.dy, plan.out, a.up, plan.rank, plan.out, a.scale}}},
        .count = 1,
        .out = {a.ds, a.type, a.pitch}});
  gemm(stream, kName,
       {.type = a.type,
        .a = Major::mn,
        .b = Major::mn,
        .m = plan.out,
        .n = plan.rank,
        .segments = {{{a.dy, plan.out, a.s, a.pitch, plan.rows, a.scale}}},
        .count = 1,
        .out = {a.dup, DType::f32, plan.rank, true}});
}

void lowrank_down_grad(CudaStream stream, const DownGradArgs& a) {
  constexpr std::string_view kName = "lowrank_down_grad";
  const void* ds = a.ds;
  std::int64_t pitch = a.rank;
  if (a.packed) {
    Packing packing{kName, stream, a.type, static_cast<std::byte*>(a.packed)};
    pitch = whole_chunks(a.rank);
    ds = packing.rows(a.ds, a.rows, a.rank, a.rank, pitch);
  }
  const Gemm g{.type = a.type,
               .a = Major::mn,
               .b = Major::mn,
               .m = a.rank,
               .n = a.in,
               .segments = {{{ds, pitch, a.x, a.in, a.rows}}},
               .count = 1,
               .out = {a.ddown, DType::f32, a.in, true},
               .partial = a.partial};
  if (a.dropout.p == 0) return gemm(stream, kName, g);
  dropped_product(stream, kName, Dropped::down_grad, g, a.dropout);
}

}  // namespace rankine::cuda
