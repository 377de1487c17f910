#include "models/decoder/decoder.h"

#include <algorithm>

#include "engine/core/transfer.h"
#include "engine/tape/unit.h"
#include "kernels/embedding/embedding.h"
#include "models/nn/trained.h"

namespace rankine {

namespace {

Tensor upload_table(const Context& c, const std::vector<float>& values) {
  Tensor t(c.memory(), {static_cast<std::int64_t>(values.size())}, DType::f32, Account::weights,
           "inverse frequencies");
  set_floats(t, values);
  return t;
}

}  // namespace

Decoder::Decoder(const Context& c, const DecoderConfig& config, const DecoderNames& names)
    : config_(config),
      names_(names),
      tokens_(names.embed + ".weight", {config.vocab, config.width}, WeightKind::matrix),
      head_(config, names, &tokens_),
      inv_freq_(upload_table(c, rope_inv_freq(config.rope_theta, config.rotary_dims, config.scaling))) {
  for (int i = 0; i < config.layers; ++i) blocks_.push_back(make_decoder_block(config, names, i));
  attention_factor_ = rope_attention_factor(config.scaling);
}

void Decoder::visit(ModelVisitor& v) {
  v.weight(tokens_);
  for (auto& block : blocks_) block->visit(v);
  head_.visit(v);
}

Tensor Decoder::angles(const Context& c, const Tensor& positions) {
  Tensor table = c.empty({positions.numel(), 2 * inv_freq_.numel()}, "rotary angles", DType::f32);
  rope_table(c, table, positions.reshape({positions.numel()}), inv_freq_, attention_factor_);
  return table;
}

// Everything below the first trained weight runs without a tape and is not visited by backward.
int Decoder::first_trained() {
  if (tokens_.trained()) return 0;
  int i = 0;
  while (i < config_.layers && !has_trained(*blocks_[i])) ++i;
  return i;
}

namespace {

// A block with what its layers share as inputs: x, angles, block angles, visible.
constexpr std::size_t kBlockInputs = 4;
auto runner(DecoderBlock& block, int layer, KvCache* cache) {
  return [&block, layer, cache](const Context& c, const std::array<Tensor, kBlockInputs>& in) {
    return block.forward(c, in[0], {in[1], in[2], in[3], cache, layer});
  };
}

}  // namespace

Tensor Decoder::run_block(const Context& c, int layer, const Tensor& x, const DecoderSides& sides) {
  DecoderBlock& block = *blocks_[layer];
  return record_unit<kBlockInputs>(c, &block, block.path(),
                                   {x, sides.angles, sides.block_angles, sides.visible},
                                   runner(block, layer, sides.cache));
}

Tensor Decoder::run_block_backward(const Context& c, int layer, const Tensor& dy) {
  DecoderBlock& block = *blocks_[layer];
  enter_backward<kBlockInputs>(c, &block, block.path(), runner(block, layer, nullptr));
  return block.backward(c, dy);
}

Tensor Decoder::forward(const Context& c, const DecoderInput& in) {
  const std::int64_t n = in.ids.dim(0), t = in.ids.dim(1);
  require<ShapeError>(!in.cache || n == 1, "decoder: a key cache holds one sequence, got ", n);
  Tensor x = c.empty({n, t, config_.width}, "token embedding");
  embedding_forward(c, x, tokens_.value(), in.ids);
  if (tokens_.trained()) save(c, this, "token embedding", SavedIds{in.ids});
  DecoderSides sides;
  sides.angles = angles(c, in.positions);
  if (in.block_positions.defined()) sides.block_angles = angles(c, in.block_positions);
  sides.visible = in.visible;
  sides.cache = in.cache;
  const int first = first_trained();
  for (int i = 0; i < config_.layers; ++i) {
    sides.layer = i;
    x = run_block(i < first ? c.without_tape() : c, i, x, sides);
  }
  if (in.cache) in.cache->advance(t);
  return x;
}

void Decoder::backward(const Context& c, const Tensor& dhidden) {
  Tensor d = dhidden;
  const int first = first_trained();
  for (int i = config_.layers; i-- > first;) d = run_block_backward(c, i, d);
  if (!tokens_.trained()) return;
  const SavedIds s = restore<SavedIds>(c, this, "token embedding");
  embedding_weight_grad(c, tokens_.grad(), d, s.ids);
}

}  // namespace rankine
