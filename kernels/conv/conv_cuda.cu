// Forward and adjoint convolutions on tensor cores as one implicit matrix product: rows are pixels of the
// output, columns its channels, and the sum runs over taps and channels, gathered tile by tile.
#include "kernels/conv/conv_launch.cuh"
#include "kernels/conv/conv_mma.cuh"
#include "kernels/conv/cudnn.h"

namespace rankine::cuda {
namespace {

template <class T>
struct MapProduct {
  ConvOutput<T> out;
  const T* from;
  const T* w;
  ConvGeometry g;
};

template <class T, class Tile, bool kAdjoint>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) map_kernel(MapProduct<T> p) {
  const auto map = ConvRows<kAdjoint>::of(p.g, static_cast<int>(blockIdx.z));
  const int cols = map.to_channels, col_tiles = (cols + Tile::kCols - 1) / Tile::kCols;
  const TilePlace place = tile_place(static_cast<int>(gridDim.x) / col_tiles, col_tiles);
  const int row = place.row * Tile::kRows, col = place.col * Tile::kCols, rows = map.rows();
  if (row >= rows) return;  // the phases of an odd map differ in size
  const StepRange steps = split_range((map.depth() + 31) / 32);
  Accumulators<Tile> acc;
  PixelRows<T, Tile, kAdjoint> a(p.from, map, row, steps.begin);
  if constexpr (kAdjoint) {
    FilterColumns<T, Tile> b(p.w, map, p.g, col, steps.begin);
    multiply<Tile, T>(acc, a, b, steps.end - steps.begin);
  } else {
    FilterRows<T, Tile> b(p.w, p.g, col, steps.begin);
    multiply<Tile, T>(acc, a, b, steps.end - steps.begin);
  }
  store_tile<Tile>(acc, [&](int r, int c, const Eight& e) {
    if (row + r < rows) p.out.store(map.to(row + r), col + c, e);
  });
}

template <class T, class Tile, bool kAdjoint>
void run(const ConvLaunch& l, const MapProduct<T>& p) {
  launch(l.on_grid(Tile::kRows, Tile::kCols, Tile::kThreads, Tile::kSharedBytes),
         map_kernel<T, Tile, kAdjoint>, p);
}

template <class T>
struct AddBias {
  T* y;
  AnyFloat bias;
  int cols;
  __device__ void operator()(std::int64_t i) const {
    y[i] = from_float<T>(to_float(y[i]) + bias[static_cast<int>(i % cols)]);
  }
};

template <class T>
bool by_cudnn(const ConvLaunch& l, const CudaConvArgs& a, const MapProduct<T>& p) {
  if (!a.plan.cudnn || !cudnn_convolution(l.stream, l.pass, a, p.w)) return false;
  if (a.bias != nullptr) for_each(l.op, l.stream, p.out.size, AddBias<T>{p.out.to, p.out.bias, p.out.cols});
  return true;
}

template <bool kAdjoint>
void map_product(const ConvLaunch& l, const CudaConvArgs& a) {
  with_half_type(l.op, a.type, [&](auto type) {
    using T = decltype(type);
    const MapProduct<T> p{output_of<T>(l, a), static_cast<const T*>(a.from), filter_of<T>(l, a),
                          geometry_of(a.sizes)};
    if (by_cudnn(l, a, p)) return;
    switch (a.plan.tile) {
      case ConvTile::m128n128:
        run<T, MmaTile<128, 128, 64, 32, 2>, kAdjoint>(l, p);
        break;
      case ConvTile::m128n64:
        run<T, MmaTile<128, 64, 32, 32, 2>, kAdjoint>(l, p);
        break;
      default:
        run<T, MmaTile<64, 64, 32, 32, 4>, kAdjoint>(l, p);
    }
    add_splits(l.op, l.stream, p.out, a.plan.splits);
  });
}

// Tensors that begin off 16 bytes, views of odd rows say, cannot be copied by cp.async.
bool by_scalars(const CudaConvArgs& a) {
  const bool aligned = is_aligned16(a.from) && (is_aligned16(a.w) || a.w_type != a.type);
  return a.plan.tile == ConvTile::scalar || !aligned;
}

}  // namespace

void conv2d_forward(CudaStream stream, const CudaConvArgs& a) {
  const ConvLaunch l{"conv2d_forward", stream, ConvPass::forward, a.sizes, a.plan};
  if (l.empty()) return;
  by_scalars(a) ? scalar_forward(l, a) : map_product<false>(l, a);
}

void conv2d_adjoint(CudaStream stream, const CudaConvArgs& a) {
  const ConvLaunch l{"conv2d_adjoint", stream, ConvPass::adjoint, a.sizes, a.plan};
  if (l.empty()) return;
  by_scalars(a) ? scalar_adjoint(l, a) : map_product<true>(l, a);
}

}  // namespace rankine::cuda
