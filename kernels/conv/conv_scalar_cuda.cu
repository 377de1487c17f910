// Convolutions that tensor-core tiles do not take: channels that are not a multiple of 8, fp32 activations,
// addresses off 16 bytes. The same implicit product, read number by number, computed in fp32 registers.
#include "kernels/conv/conv_geometry.cuh"
#include "kernels/conv/conv_launch.cuh"

namespace rankine::cuda {
namespace {

constexpr int kSide = 64, kDepth = 16, kMicro = 4;  // a block's 64 x 64, a thread's 4 x 4

// The products that a pass is: a(row, k), b(k, col) and where a row of the result begins.
template <class T, bool kAdjoint>
struct ScalarMap {
  const T* from;
  const T* w;
  ConvGeometry g;
  ConvRows<kAdjoint> map;

  __device__ void start() { map = ConvRows<kAdjoint>::of(g, static_cast<int>(blockIdx.z)); }
  __device__ int rows() const { return map.rows(); }
  __device__ int depth() const { return map.depth(); }
  __device__ std::int64_t to(int row) const { return map.to(row); }
  __device__ float a(int row, int k) const {
    const ConvDepth d = ConvDepth::at(k, map.channels, map.x.taps);
    const ConvPixel p = map.pixel(row);
    return map.inside(p, d.ty, d.tx) ? to_float(from[map.at(p, d.ty, d.tx, d.c)]) : 0;
  }
  __device__ float b(int k, int col) const {
    const int filter = g.size * g.size * g.in;
    if constexpr (!kAdjoint) return to_float(w[std::int64_t{col} * filter + k]);
    const ConvDepth d = ConvDepth::at(k, map.channels, map.x.taps);
    return to_float(w[std::int64_t{d.c} * filter + map.filter_tap(d.ty, d.tx, g.size) * g.in + col]);
  }
};

template <class T>
struct ScalarGrad {
  const T* dy;
  const T* x;
  ConvGeometry g;
  ConvRows<false> map;

  __device__ void start() { map = ConvRows<false>::of(g, 0); }
  __device__ int rows() const { return g.out; }
  __device__ int depth() const { return map.rows(); }
  __device__ std::int64_t to(int row) const { return std::int64_t{row} * map.depth(); }
  __device__ float a(int row, int k) const { return to_float(dy[std::int64_t{k} * g.out + row]); }
  __device__ float b(int k, int col) const {
    const ConvDepth d = ConvDepth::at(col, map.channels, map.x.taps);
    const ConvPixel p = map.pixel(k);
    return map.inside(p, d.ty, d.tx) ? to_float(x[map.at(p, d.ty, d.tx, d.c)]) : 0;
  }
};

// acc += the step's products: `a` is kDepth x kSide, `b` too, one column of results per thread's neighbour.
__device__ inline void multiply_scalars(float (&acc)[kMicro][kMicro], const float (&a)[kDepth][kSide + 1],
                                        const float (&b)[kDepth][kSide + 1]) {
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
#pragma unroll
  for (int k = 0; k < kDepth; ++k) {
#pragma unroll
    for (int i = 0; i < kMicro; ++i) {
#pragma unroll
      for (int j = 0; j < kMicro; ++j) acc[i][j] += a[k][y + 16 * i] * b[k][x + 16 * j];
    }
  }
}

template <class Product, class T>
__global__ void __launch_bounds__(kThreads) scalar_kernel(Product p, ConvOutput<T> out) {
  __shared__ float a[kDepth][kSide + 1], b[kDepth][kSide + 1];
  p.start();
  const int col_tiles = (out.cols + kSide - 1) / kSide, rows = p.rows(), depth = p.depth();
  const TilePlace place = tile_place(static_cast<int>(gridDim.x) / col_tiles, col_tiles);
  const int row = place.row * kSide, col = place.col * kSide;
  if (row >= rows) return;
  const StepRange steps = split_range((depth + kDepth - 1) / kDepth);
  const int thread = static_cast<int>(threadIdx.x);
  float acc[kMicro][kMicro] = {};
  for (int step = steps.begin; step < steps.end; ++step) {
#pragma unroll
    for (int i = 0; i < kMicro; ++i) {
      const int k = thread % kDepth, r = thread / kDepth + 16 * i, ak = step * kDepth + k;
      a[k][r] = row + r < rows && ak < depth ? p.a(row + r, ak) : 0;
      const int c = thread % kSide, bk = step * kDepth + thread / kSide + 4 * i;
      b[bk % kDepth][c] = col + c < out.cols && bk < depth ? p.b(bk, col + c) : 0;
    }
    __syncthreads();
    multiply_scalars(acc, a, b);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kMicro; ++i) {
    const int r = row + thread / 16 + 16 * i;
    if (r >= rows) break;
    const std::int64_t to = p.to(r);
#pragma unroll
    for (int j = 0; j < kMicro; ++j) {
      const int c = col + thread % 16 + 16 * j;
      if (c < out.cols) out.store(to, c, acc[i][j]);
    }
  }
}

template <class Product, class T>
void run(const ConvLaunch& l, const Product& p, const ConvOutput<T>& out) {
  launch(l.on_grid(kSide, kSide, kThreads, 0), scalar_kernel<Product, T>, p, out);
  add_splits(l.op, l.stream, out, l.plan.splits);
}

template <bool kAdjoint>
void scalar_map(const ConvLaunch& l, const CudaConvArgs& a) {
  with_float_type(l.op, a.type, [&](auto type) {
    using T = decltype(type);
    const T* w = filter_of<T>(l, a);
    run(l, ScalarMap<T, kAdjoint>{static_cast<const T*>(a.from), w, geometry_of(l.sizes), {}},
        output_of<T>(l, a));
  });
}

}  // namespace

void scalar_forward(const ConvLaunch& l, const CudaConvArgs& a) { scalar_map<false>(l, a); }
void scalar_adjoint(const ConvLaunch& l, const CudaConvArgs& a) { scalar_map<true>(l, a); }

void scalar_weight_grad(const ConvLaunch& l, const CudaConvGradArgs& a, const ConvOutput<float>& out) {
  with_float_type(l.op, a.type, [&](auto type) {
    using T = decltype(type);
    run(l, ScalarGrad<T>{static_cast<const T*>(a.dy), static_cast<const T*>(a.x), geometry_of(l.sizes), {}},
        out);
  });
}

}  // namespace rankine::cuda
