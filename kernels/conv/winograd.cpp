#include "kernels/conv/winograd.h"

#include "kernels/conv/winograd_impl.h"

namespace rankine::cpu {
namespace {

constexpr std::int64_t kColumnUnit = 32;

// A thread's share of one chunk: tiles [tiles) of it times output channels [cols).
struct Share {
  Span64 tiles, cols;
};

Span64 part(std::int64_t n, std::int64_t i, std::int64_t count, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * i / count * unit), std::min(n, units * (i + 1) / count * unit)};
}

// Channels [ks) of the input times the filters of output channels [cols), for all 16 planes.
void multiply_planes(const WinogradArgs& a, const float* v, std::int64_t block, const Share& share,
                     Span64 cols, float* scratch) {
  const WinogradSizes& s = a.sizes;
  const Span64 ks = winograd_k_block(s, block);
  float* u = scratch;
  float* m = u + kWinogradPlanes * s.filter_plane();
  float* gemm_scratch = m + kWinogradPlanes * s.product_plane();
  // The filter's inner dimension stays contiguous: U (K, N) for the adjoint, its transpose for the forward
  // map.
  const std::int64_t pitch = a.adjoint ? s.kColumns + 16 : kBlockDepth + 16;
  winograd_filter(a, u, pitch, a.adjoint ? ks : cols, a.adjoint ? cols : ks);
  const float* rows = v + (block * s.chunk() + share.tiles.begin) * kStripPitch;
  for (int plane = 0; plane < kWinogradPlanes; ++plane) {
    const float* up = u + plane * s.filter_plane();
    const Gather gather =
        Gather::plain(rows + plane * s.input_plane(), share.tiles.size(), ks.size(), kStripPitch);
    const Term term{
        {gather, false, true},
        a.adjoint ? Right::by_row(DType::f32, up, pitch) : Right::by_column(DType::f32, up, pitch),
        ks.size()};
    gemm_inline({share.tiles.size(),
                 cols.size(),
                 {&term, 1},
                 {m + plane * s.product_plane(), s.kColumns},
                 nullptr,
                 block > 0},
                gemm_scratch);
  }
}

// Tiles [share.tiles) of the chunk that starts at `first_tile`.
void run_share(const WinogradArgs& a, const float* v, std::int64_t first_tile, const Share& share,
               float* scratch) {
  const WinogradSizes& s = a.sizes;
  for (std::int64_t n = share.cols.begin; n < share.cols.end; n += s.kColumns) {
    const Span64 cols{n, std::min(share.cols.end, n + s.kColumns)};
    for (std::int64_t block = 0; block < s.k_blocks(); ++block)
      multiply_planes(a, v, block, share, cols, scratch);
    winograd_output(a, scratch + kWinogradPlanes * s.filter_plane(),
                    {first_tile + share.tiles.begin, first_tile + share.tiles.end}, cols);
  }
}

}  // namespace

bool winograd_pays(const WinogradSizes& s) {
  if (s.from < 16 || s.to < 16) return false;
  // Multiply-adds per filter, with the transform of the filter as so many more.
  const std::int64_t pixels = s.images * s.out_height * s.out_width;
  return 16 * s.tiles() + 300 < 9 * pixels;
}

void winograd(ThreadPool& pool, const WinogradArgs& a) {
  const WinogradSizes& s = a.sizes;
  float* v = a.scratch;
  float* threads_scratch = v + kWinogradPlanes * s.input_plane();
  const double flops = 32.0 * static_cast<double>(s.chunk() * s.from) * static_cast<double>(s.to);
  const std::int64_t threads = useful_threads(flops, pool.size());
  const std::int64_t col_parts = std::min(threads, (s.to + kColumnUnit - 1) / kColumnUnit);
  for (std::int64_t first = 0; first < s.tiles(); first += s.chunk()) {
    const std::int64_t tiles = std::min(s.chunk(), s.tiles() - first);
    pool.parallel_for(tiles, 1 + 4096 / s.from, [&](std::int64_t begin, std::int64_t end) {
      winograd_input(a, v, first, {first + begin, first + end});
    });
    const std::int64_t tile_parts = std::min(threads / col_parts, tiles);
    pool.parallel_for(tile_parts * col_parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Share share{part(tiles, i / col_parts, tile_parts, 1),
                          part(s.to, i % col_parts, col_parts, kColumnUnit)};
        run_share(a, v, first, share, threads_scratch + i * s.thread_scratch());
      }
    });
  }
}

}  // namespace rankine::cpu
