// The weight gradient on tensor cores: rows are filters, columns their taps and channels, and the sum runs
// over the pixels of y. Long sums are split and added in the order of the splits.
#include "kernels/conv/conv_launch.cuh"
#include "kernels/conv/conv_mma.cuh"

namespace rankine::cuda {
namespace {

template <class T>
struct GradProduct {
  ConvOutput<float> out;
  const T* dy;
  const T* x;
  ConvGeometry g;
};

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) grad_kernel(GradProduct<T> p) {
  const auto map = ConvRows<false>::of(p.g, 0);
  const int col_tiles = (p.out.cols + Tile::kCols - 1) / Tile::kCols;
  const TilePlace place = tile_place(static_cast<int>(gridDim.x) / col_tiles, col_tiles);
  const int row = place.row * Tile::kRows, col = place.col * Tile::kCols;
  const StepRange steps = split_range((map.rows() + 31) / 32);
  Accumulators<Tile> acc;
  OutputColumns<T, Tile> a(p.dy, map, row, steps.begin);
  PixelColumns<T, Tile> b(p.x, map, col, steps.begin);
  multiply<Tile, T>(acc, a, b, steps.end - steps.begin);
  store_tile<Tile>(acc, [&](int r, int c, const Eight& e) {
    if (row + r < p.g.out) p.out.store(std::int64_t{row + r} * p.out.cols, col + c, e);
  });
}

template <class T, class Tile>
void run(const ConvLaunch& l, const GradProduct<T>& p) {
  launch(l.on_grid(Tile::kRows, Tile::kCols, Tile::kThreads, Tile::kSharedBytes), grad_kernel<T, Tile>, p);
}

void grad_product(const ConvLaunch& l, const CudaConvGradArgs& a, const ConvOutput<float>& out) {
  with_half_type(l.op, a.type, [&](auto type) {
    using T = decltype(type);
    const GradProduct<T> p{out, static_cast<const T*>(a.dy), static_cast<const T*>(a.x),
                           geometry_of(a.sizes)};
    switch (a.plan.tile) {
      case ConvTile::m128n128:
        run<T, MmaTile<128, 128, 64, 32, 2>>(l, p);
        break;
      case ConvTile::m128n64:
        run<T, MmaTile<128, 64, 32, 32, 2>>(l, p);
        break;
      default:
        run<T, MmaTile<64, 64, 32, 32, 4>>(l, p);
    }
    add_splits(l.op, l.stream, out, a.plan.splits);
  });
}

}  // namespace

void conv2d_weight_grad(CudaStream stream, const CudaConvGradArgs& a) {
  const ConvLaunch l{"conv2d_weight_grad", stream, ConvPass::weight_grad, a.sizes, a.plan};
  if (l.empty()) return;
  const ConvProduct p = l.product();
  const ConvOutput<float> out{a.dw,
                              a.plan.splits > 1 ? a.scratch : nullptr,
                              p.rows * p.cols,
                              {nullptr, DType::f32},
                              static_cast<int>(p.cols),
                              true,
                              aligned8<float>(a.dw, p.cols)};
  const bool by_scalars = a.plan.tile == ConvTile::scalar || !is_aligned16(a.dy) || !is_aligned16(a.x);
  by_scalars ? scalar_weight_grad(l, a, out) : grad_product(l, a, out);
}

}  // namespace rankine::cuda
