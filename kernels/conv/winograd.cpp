#include "kernels/conv/winograd.h"

#include "kernels/conv/winograd_impl.h"

namespace rankine::cpu {
namespace {

Span64 part(std::int64_t n, std::int64_t i, std::int64_t count, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * i / count * unit), std::min(n, units * (i + 1) / count * unit)};
}

// Tiles [tiles) of one chunk times output channels [cols), of which there are at most winograd_columns().
struct Task {
  Span64 tiles, cols;
};

void run_task(const WinogradArgs& a, const WinogradChunk& chunk, const Task& task, float* scratch) {
  const WinogradSizes& s = a.sizes;
  const std::int64_t parts = a.adjoint ? s.parts() : 1;
  for (std::int64_t i = 0; i < s.k_blocks() * parts; ++i) {
    const Span64 block = winograd_k_block(s, i / parts), ks = part(block.size(), i % parts, parts, 1);
    const WinogradStep step{i / parts, {block.begin + ks.begin, block.begin + ks.end}};
    winograd_filter(a, scratch, step.ks, task.cols);
    winograd_multiply(a, chunk, step, task.tiles, task.cols, scratch);
  }
  const Span64 tiles{chunk.tiles.begin + task.tiles.begin, chunk.tiles.begin + task.tiles.end};
  winograd_output(a, scratch + kWinogradPlanes * s.filter_plane(), tiles, task.cols);
}

// How a chunk is cut into tasks: by output channels, several tasks per thread if they suffice for that, and
// by tiles, whose every part transforms the filters again, only where threads would be idle.
struct Cut {
  std::int64_t tiles, cols;
};
Cut cut_of(const WinogradArgs& a, std::int64_t tiles, std::int64_t threads) {
  const WinogradSizes& s = a.sizes;
  const auto parts_of = [](std::int64_t n, std::int64_t each) { return (n + each - 1) / each; };
  const std::int64_t most = parts_of(s.to, s.kColumns), least = parts_of(s.to, winograd_columns(a));
  const std::int64_t cols = threads == 1 ? least : std::clamp(4 * threads, least, most);
  return {std::clamp(threads / cols, std::int64_t{1}, parts_of(tiles, s.kTileUnit)), cols};
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
  for (std::int64_t first = 0; first < s.tiles(); first += s.chunk()) {
    const WinogradChunk chunk{a.scratch, {first, std::min(first + s.chunk(), s.tiles())}};
    const std::int64_t tiles = chunk.tiles.size();
    pool.parallel_for(winograd_input_items(a, chunk), 16, [&](std::int64_t begin, std::int64_t end) {
      winograd_input(a, chunk, {begin, end});
    });
    const Cut cut = cut_of(a, tiles, threads);
    const auto task = [&](std::int64_t i, int slot) {
      run_task(
          a, chunk,
          {part(tiles, i / cut.cols, cut.tiles, s.kTileUnit), part(s.to, i % cut.cols, cut.cols, s.kColumns)},
          threads_scratch + slot * s.thread_scratch());
    };
    if (threads > 1) {
      pool.parallel_tasks(cut.tiles * cut.cols, task);
    } else {
      for (std::int64_t i = 0; i < cut.cols; ++i) task(i, 0);
    }
  }
}

}  // namespace rankine::cpu
