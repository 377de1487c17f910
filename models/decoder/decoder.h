// A decoder-only language model: embedding, blocks, head. Layers carry the names of the family's published
// checkpoints, whatever file the weights came from.
#pragma once

#include <memory>
#include <vector>

#include "models/decoder/decoder_block.h"
#include "models/decoder/lm_head.h"

namespace rankine {

// One batch of token rows. All (N, T) i32 on the device.
struct DecoderInput {
  Tensor ids;
  Tensor positions;
  Tensor block_positions;    // ChatGLM-6B only
  Tensor visible;            // (N, T, 2): row i sees columns [begin, end); undefined: all before and itself
  KvCache* cache = nullptr;  // N = 1; positions go on behind it
};

class Decoder {
 public:
  // Builds the modules and uploads the constant tables; weights come from models/nn/load.h.
  Decoder(const Context& c, const DecoderConfig& config, const DecoderNames& names);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Hidden states (N, T, width) before the final norm, which belongs to the head.
  Tensor forward(const Context& c, const DecoderInput& in);
  // Pops what forward pushed.
  void backward(const Context& c, const Tensor& dhidden);

  LmHead& head() { return head_; }
  const DecoderConfig& config() const { return config_; }
  const DecoderNames& names() const { return names_; }
  void visit(ModelVisitor& v);
  KvCache make_cache(const Context& c, std::int64_t capacity) const {
    return {c, config_.layers, capacity, config_.kv_width()};
  }

 private:
  struct SavedIds {
    Tensor ids;
  };
  Tensor angles(const Context& c, const Tensor& positions);
  Tensor run_block(const Context& c, int layer, const Tensor& x, const DecoderSides& sides);
  Tensor run_block_backward(const Context& c, int layer, const Tensor& dy);
  int first_trained();

  DecoderConfig config_;
  DecoderNames names_;
  Weight tokens_;
  std::vector<std::unique_ptr<DecoderBlock>> blocks_;
  LmHead head_;
  Tensor inv_freq_;  // of the rotary embedding, (rotary_dims / 2) fp32
  float attention_factor_ = 1;
};

}  // namespace rankine
