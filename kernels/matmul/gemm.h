// The product engine of the CPU kernels: one blocked, packed, multithreaded fp32 product
//
//   C (M, N) = or +=  [A_1 | A_2 | ...] · [B_1 ; B_2 ; ...]  + bias (N)
//
// whose operands are described, not materialised: a term's left side may be plain rows, transposed rows, or
// windows of channels-last maps (a convolution without an im2col buffer); its right side may be stored either
// way round and in fp32, fp16, bf16 or quantised blocks. Each block is copied once into cache in the order
// the inner loop reads it, and decoding, transposing, scaling and gathering happen in that copy. Several
// terms give one longer product: a low-rank adapter is extra columns of A and extra rows of B, with no second
// pass over C.
//
// Blocks: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 2008.
// Bits: every element of C is one sum over K in an order that depends on K alone; the number of threads
// changes no bit, nor does the type of a weight that holds the same values. A product of few rows (kFewRows)
// with a weight may take another path, which reads the weight once without copying it: its order of
// summation is another, but again depends on K alone, not on the number of rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/core/dtype.h"
#include "engine/core/parallel.h"

namespace rankine::cpu {

// Block sizes: up to kBlockM rows of A are copied once for a block of K and, with a block of B, stay in the
// second-level cache (1.2 MB); a strip of A stays in the first while it meets the block of B. A block has
// about kBlockK rows of B; up to kBlockSlack more, so that the extra columns of an adapter do not open
// another block. It has kBlockN columns, so that rows of a weight are read in runs, or more, up to
// kMaxBlockN, where K is short.
inline constexpr std::int64_t kBlockM = 512, kBlockK = 320, kBlockSlack = 64;
inline constexpr std::int64_t kBlockN = 320, kMaxBlockN = 1024;
inline constexpr std::int64_t kBlockDepth = kBlockK + kBlockSlack;
// Borders of blocks are multiples of this: whole groups of a quantised weight (kernels/common/row_decoder.h).
inline constexpr std::int64_t kBlockUnit = 32;
// Floats from row to row where a block of K of A lies in rows (narrow strips, scores that products read in
// place, Winograd's tiles and filters): an odd number of cache lines, so that rows do not share cache sets.
inline constexpr std::int64_t kStripPitch = kBlockDepth + 16;

// One spatial axis of a gather: grid point g and tap t read source coordinate g * step + first + t * delta;
// a coordinate outside [0, extent) reads zeros.
struct Axis {
  std::int64_t extent = 1, grid = 1, step = 1, first = 0, delta = 1, taps = 1;
};

// A matrix read from channels-last maps: row = (image, grid y, grid x), column = (tap y, tap x, channel).
// fp32.
struct Gather {
  const float* data = nullptr;
  std::int64_t pitch = 0;     // floats from one pixel to the next
  std::int64_t channels = 0;  // columns per tap
  Axis y, x;

  // The plain matrix (rows, cols) with `pitch` floats from row to row.
  static Gather plain(const float* data, std::int64_t rows, std::int64_t cols, std::int64_t pitch) {
    return {data, pitch, cols, {}, {rows, rows, 1, 0, 1, 1}};
  }
  std::int64_t cols() const { return y.taps * x.taps * channels; }
  bool is_plain() const {
    return y.grid * y.taps * x.taps == 1 && y.first == 0 && x.first == 0 && x.step == 1 && x.grid == x.extent;
  }
};

// Left side of a term: A (M, K).
struct Left {
  Gather rows;              // A = the gathered matrix, or
  bool transposed = false;  // A (M, K) = rows (K, M)ᵀ, of a plain matrix
};

// Right side of a term: B (K, N), times `scale`. In a quantised weight offsets and pitches are whole blocks,
// all but the window of rows or columns that a product reads.
struct Right {
  enum class Order : std::uint8_t {
    by_column,  // element (k, n) at n * pitch + k: a weight (N, K)
    by_row,   // element (k, n) at tap(k) + (k % tap_rows) * pitch + n, where tap(k) = first + y * tap_y + x *
              // tap_x
    gathered  // rows of `gather`
  };
  Order order = Order::by_column;
  DType dtype = DType::f32;
  const void* data = nullptr;
  std::int64_t pitch = 0;
  float scale = 1;
  std::int64_t tap_rows = INT64_MAX, taps_x = 1, first = 0, tap_y = 0,
               tap_x = 0;  // by_row: a filter's taps as rows
  Gather gather{};

  static Right by_column(DType dtype, const void* data, std::int64_t pitch, float scale = 1) {
    return {Order::by_column, dtype, data, pitch, scale};
  }
  static Right by_row(DType dtype, const void* data, std::int64_t pitch, float scale = 1) {
    return {Order::by_row, dtype, data, pitch, scale};
  }
  static Right gathered(const Gather& gather) { return {.order = Order::gathered, .gather = gather}; }
};

struct Term {
  Left a;
  Right b;
  std::int64_t k = 0;  // columns of A = rows of B
};

// Where C goes: row (image, grid y, grid x) starts at data + image * image_pitch + y * line_pitch + x *
// pitch.
struct Target {
  float* data = nullptr;
  std::int64_t pitch = 0;
  std::int64_t width = INT64_MAX, height = 1;  // of the grid; a plain matrix is one line
  std::int64_t line_pitch = 0, image_pitch = 0;

  float* row(std::int64_t m) const {
    // The first line without divisions, which take longer than a row of a small product.
    if (m < width) return data + m * pitch;
    const std::int64_t line = m / width;
    return data + (line / height) * image_pitch + (line % height) * line_pitch + (m % width) * pitch;
  }
};

struct Gemm {
  std::int64_t m = 0, n = 0;
  std::span<const Term> terms;
  Target c;
  const float* bias = nullptr;  // of C's columns; may be null
  bool accumulate = false;      // C += instead of C =

  std::int64_t k() const {
    std::int64_t sum = 0;
    for (const Term& t : terms) sum += t.k;
    return sum;
  }
};

// Floats of a block of B, copied in panels that lie a line further apart than they are long: their starts
// would be multiples of 4 KB apart, all in one set of the first-level cache.
inline constexpr std::int64_t kPanelGap = 1;
inline constexpr std::int64_t kPanelScratch = (kBlockDepth + kPanelGap) * kBlockN;
// Floats of so many rows of A as lines of whole vectors; tiles of 6 rows leave a quarter unused.
constexpr std::int64_t strip_scratch(std::int64_t rows, std::int64_t depth = kBlockDepth) {
  return (rows + rows / 3 + 16) * depth;
}
// Floats of scratch that one thread needs for a product with m rows, whatever its other sizes.
constexpr std::int64_t gemm_scratch(std::int64_t m) {
  return kPanelScratch + kMaxBlockN + strip_scratch(std::min(m, kBlockM));
}

// How many of `threads` are worth waking for a product of that many FLOPs.
std::int64_t useful_threads(double flops, std::int64_t threads);

// Rows of C up to which a product with a weight is bound by reading the weight.
inline constexpr std::int64_t kFewRows = 8;

// Splits C over the pool. `scratch` has pool.size() * gemm_scratch(m) floats, aligned to 64 bytes.
void gemm(ThreadPool& pool, const Gemm& g, float* scratch);
// The same; few rows of plain terms whose right sides are by_column take the path that packs nothing.
void gemm_with_weight(ThreadPool& pool, const Gemm& g, float* scratch);
// As gemm() on the calling thread alone: for kernels that split their work themselves.
void gemm_inline(const Gemm& g, float* scratch);

}  // namespace rankine::cpu
