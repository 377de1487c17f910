// What a device implements for attention.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include <algorithm>

#include "kernels/common/checks.h"

namespace rankine {

struct AttentionSize {
  std::int64_t samples, queries, keys, heads, kv_heads, width;  // width: D, of one head
  bool causal;
  float scale;

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t q_pitch() const { return heads * width; }  // floats from one token of q to the next
  std::int64_t kv_pitch() const { return kv_heads * width; }
  // Where a query head (a lane: sample · heads + head) starts in q at token `row`, and its keys in k.
  std::int64_t q_offset(std::int64_t lane, std::int64_t row) const {
    return (lane / heads * queries + row) * q_pitch() + lane % heads * width;
  }
  std::int64_t kv_offset(std::int64_t lane) const {
    return lane / heads * keys * kv_pitch() + lane % heads / group() * width;
  }
  std::int64_t visible(std::int64_t row) const { return causal ? row + 1 + keys - queries : keys; }
  double visible_pairs() const {
    const double rows = double(queries);
    return causal ? rows * double(keys - queries) + rows * (rows + 1) / 2 : rows * double(keys);
  }
  double head_flops() const { return 2.0 * double(width) * visible_pairs(); }  // of one product over one head
};

// How the work is cut: into tasks of tiles of scores. Part p of the work has scratch of its own and does the
// tasks p, p + parts, ...; a task's arithmetic does not depend on its part.
struct AttentionTiles {
  static constexpr std::int64_t kQueries = 128, kKeys = 320;
  std::int64_t queries, keys;  // of one tile
  std::int64_t tasks, parts;

  std::int64_t scores() const { return queries * keys; }
  static AttentionTiles of(const AttentionSize& s, std::int64_t threads, bool split_queries) {
    const std::int64_t rows = std::min(s.queries, kQueries), cols = std::min(s.keys, kKeys);
    const std::int64_t row_tiles = rows == 0 ? 0 : (s.queries + rows - 1) / rows;
    const std::int64_t tasks = split_queries ? s.samples * s.heads * row_tiles : s.samples * s.kv_heads;
    return {rows, cols, tasks, std::min(tasks, threads)};
  }
};

struct AttentionForward {
  float* o;
  float* lse;
  const float* q;
  const float* k;
  const float* v;
  float* scratch;  // parts x attention_forward_scratch
  AttentionSize size;
  AttentionTiles tiles;
};

struct AttentionBackward {
  float* dq;
  float* dk;
  float* dv;
  const float* d_o;
  const float* q;
  const float* k;
  const float* v;
  const float* o;
  const float* lse;
  float* scratch;  // parts x attention_backward_scratch
  AttentionSize size;
  AttentionTiles tiles;
};

namespace cpu {
// One tile of scores of one head: rows of queries against `cols` keys, of which row r sees the first
// min(cols, visible + r) under a causal mask and all without.
struct ScoreTile {
  float* scores;  // rows x cols
  std::int64_t rows, cols, visible;
  bool causal;
  std::int64_t seen(std::int64_t r) const {
    return causal ? std::clamp<std::int64_t>(visible + r, 0, cols) : cols;
  }
};
// Rows of one head in a token-major tensor.
template <class T>
struct HeadRows {
  T* data;
  std::int64_t pitch, width;
  T* row(std::int64_t r) const { return data + r * pitch; }
  HeadRows<const T> in() const { return {data, pitch, width}; }
};

// Floats of scratch per part.
std::int64_t attention_forward_scratch(const AttentionTiles& tiles);
std::int64_t attention_backward_scratch(const AttentionTiles& tiles);
void attention_forward(ThreadPool& pool, const AttentionForward& args);
void attention_backward(ThreadPool& pool, const AttentionBackward& args);
}  // namespace cpu

}  // namespace rankine
