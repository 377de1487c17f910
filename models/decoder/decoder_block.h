// The parts of one decoder layer, and the two ways of joining them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/decoder/decoder_config.h"
#include "models/decoder/kv_cache.h"
#include "models/names/decoder_names.h"
#include "models/nn/leaves.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/nn/rotary.h"

namespace rankine {

// What all layers of one forward pass share.
struct DecoderSides {
  Tensor angles;        // (N · T, rotary dims) cosines and sines of the positions
  Tensor block_angles;  // ChatGLM-6B: of the block positions; else undefined
  Tensor visible;       // (N, T, 2) i32, or undefined: causal
  KvCache* cache = nullptr;
  int layer = 0;
};

// q, k, v -> [norm of each head] -> rotary -> attention -> out. x (N, T, width).
class SelfAttention {
 public:
  SelfAttention(const DecoderConfig& config, const DecoderNames& names, int layer);
  MiddleRequest wants(const Context& c) { return qkv_.wants(c); }
  Tensor forward(const Context& c, const LinearInput& x, const DecoderSides& sides);
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  struct Qkv {
    Tensor q, k, v;
  };
  Qkv project(const Context& c, const LinearInput& x);
  Tensor project_backward(const Context& c, const Qkv& d);
  Qkv split(const Context& c, const Tensor& qkv) const;
  Tensor join(const Context& c, const Qkv& d) const;
  void rotate(const Context& c, Qkv& p, const DecoderSides& sides);
  void rotate_backward(const Context& c, Qkv& d);

  bool fused_, per_head_;  // per_head_: the fused matrix holds q, k, v of head 0, then of head 1, ...
  std::int64_t q_width_, kv_width_, head_dim_;
  SharedLinear qkv_;
  std::optional<RmsNorm> q_norm_, k_norm_;
  Rotary q_rotary_, k_rotary_;
  std::optional<Rotary> q_block_rotary_, k_block_rotary_;
  AttentionCore attention_;
  Linear out_;
};

// down(silu(gate x) * up x)
class SwigluMlp {
 public:
  SwigluMlp(const DecoderConfig& config, const DecoderNames& names, int layer);
  MiddleRequest wants(const Context& c) { return gate_up_.wants(c); }
  Tensor forward(const Context& c, const LinearInput& x);
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  bool fused_;
  SharedLinear gate_up_;
  Swiglu swiglu_;
  FusedSwiglu fused_swiglu_;
  Linear down_;
};

class DecoderBlock {
 public:
  explicit DecoderBlock(int layer) : path_("layers." + std::to_string(layer)) {}
  virtual ~DecoderBlock() = default;
  virtual Tensor forward(const Context& c, const Tensor& x, const DecoderSides& sides) = 0;
  virtual Tensor backward(const Context& c, const Tensor& dy) = 0;
  void visit(ModelVisitor& v);
  const std::string& path() const { return path_; }

 private:
  virtual void visit_layers(ModelVisitor& v) = 0;
  std::string path_;
};
std::unique_ptr<DecoderBlock> make_decoder_block(const DecoderConfig& config, const DecoderNames& names,
                                                 int layer);

}  // namespace rankine
