// Keys and values of the tokens a decoder has seen: what makes each further token cost one row.
#pragma once

#include <vector>

#include "engine/core/context.h"

namespace rankine {

// For one sequence. k, v of layer i: (1, capacity, kv_width), rotated keys, rows [0, length) filled.
class KvCache {
 public:
  KvCache(const Context& c, int layers, std::int64_t capacity, std::int64_t kv_width);

  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  void clear() { length_ = 0; }
  // Forgets everything after `length` tokens.
  void truncate(std::int64_t length);

  struct View {
    Tensor k, v;  // (1, length + new rows, kv_width)
  };
  // Writes the new rows k, v (1, T, kv_width) of a layer behind the old ones. Throws Error when they do not
  // fit.
  View append(const Context& c, int layer, const Tensor& k, const Tensor& v);
  // After all layers of a forward pass over T tokens.
  void advance(std::int64_t tokens) { length_ += tokens; }

 private:
  std::int64_t capacity_, width_, length_ = 0;
  std::vector<Tensor> k_, v_;
};

}  // namespace rankine
