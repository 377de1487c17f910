#include "kernels/conv/winograd.h"

#include "kernels/conv/winograd_impl.h"

namespace rankine::cpu {
namespace {

// A thread's share of one chunk: tiles [tiles) of it times output channels [cols).
struct Share {
  Span64 tiles, cols;
};

Span64 part(std::int64_t n, std::int64_t i, std::int64_t count, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * i / count * unit), std::min(n, units * (i + 1) / count * unit)};
}

void run_share(const WinogradArgs& a, const WinogradChunk& chunk, const Share& share, float* scratch) {
  const WinogradSizes& s = a.sizes;
  const float* m = scratch + kWinogradPlanes * s.filter_plane();
  const Span64 tiles{chunk.tiles.begin + share.tiles.begin, chunk.tiles.begin + share.tiles.end};
  const std::int64_t columns = winograd_columns(a), parts = a.adjoint ? s.parts() : 1;
  for (std::int64_t n = share.cols.begin; n < share.cols.end; n += columns) {
    const Span64 cols{n, std::min(share.cols.end, n + columns)};
    for (std::int64_t i = 0; i < s.k_blocks() * parts; ++i) {
      const Span64 block = winograd_k_block(s, i / parts), ks = part(block.size(), i % parts, parts, 1);
      const WinogradStep step{i / parts, {block.begin + ks.begin, block.begin + ks.end}};
      winograd_filter(a, scratch, step.ks, cols);
      winograd_multiply(a, chunk, step, share.tiles, cols, scratch);
    }
    winograd_output(a, m, tiles, cols);
  }
}

}  // namespace

bool winograd_pays(const WinogradSizes& s, bool adjoint) {
  if (s.from < 16 || s.to < 16 || s.fitting() < s.kTileUnit) return false;
  // Multiply-adds per filter, with the transform of the filter as so many more. The forward map multiplies
  // whole vectors of tiles, however few there are.
  const std::int64_t pixels = s.images * s.out_height * s.out_width;
  return 16 * s.tiles() + (adjoint ? 60 : 300) < 9 * pixels;
}

void winograd(ThreadPool& pool, const WinogradArgs& a) {
  const WinogradSizes& s = a.sizes;
  float* threads_scratch = a.scratch + kWinogradPlanes * s.input_plane();
  const double flops = 32.0 * static_cast<double>(s.chunk() * s.from) * static_cast<double>(s.to);
  const std::int64_t threads = useful_threads(flops, pool.size());
  const std::int64_t col_parts = std::min(threads, (s.to + s.kColumns - 1) / s.kColumns);
  for (std::int64_t first = 0; first < s.tiles(); first += s.chunk()) {
    const WinogradChunk chunk{a.scratch, {first, std::min(first + s.chunk(), s.tiles())}};
    const std::int64_t tiles = chunk.tiles.size();
    pool.parallel_for(winograd_input_items(a, chunk), 16, [&](std::int64_t begin, std::int64_t end) {
      winograd_input(a, chunk, {begin, end});
    });
    const std::int64_t tile_parts = std::min(threads / col_parts, (tiles + s.kTileUnit - 1) / s.kTileUnit);
    pool.parallel_for(tile_parts * col_parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Share share{part(tiles, i / col_parts, tile_parts, s.kTileUnit),
                          part(s.to, i % col_parts, col_parts, s.kColumns)};
        run_share(a, chunk, share, threads_scratch + i * s.thread_scratch());
      }
    });
  }
}

}  // namespace rankine::cpu
