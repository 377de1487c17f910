#include "models/tasks/text_runner.h"

#include <algorithm>
#include <numeric>

#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "engine/tape/weight_stream.h"
#include "kernels/attention/attention.h"
#include "kernels/embedding/embedding.h"

namespace rankine {
namespace {

template <class T>
Tensor upload_one(const Context& c, const std::vector<T>& values, Shape shape, const char* name) {
  Tensor t = c.empty(shape, name, dtype_of<T>);
  if constexpr (std::is_same_v<T, float>)
    set_floats(t, values);
  else
    set_ints(t, values);
  return t;
}

}  // namespace

// The samples of a micro-batch stand behind each other in one row: no padding but at its end, and nobody sees
// anybody else's.
TextBatch TextRunner::concatenated(const TextRows& rows, std::span<const TokenSequence> sequences,
                                   const TextShapes& shapes) const {
  TextRows one(1);
  for (const std::vector<std::size_t>& row : rows) one[0].insert(one[0].end(), row.begin(), row.end());
  std::int64_t tokens = 0;
  for (const std::size_t i : one[0]) tokens += static_cast<std::int64_t>(sequences[i].ids.size());
  const DecoderConfig& k = model_.config();
  TextBatchOptions o;
  o.pad_id = pad_id_;
  o.multiple = static_cast<int>(shapes.columns(tokens));  // of one row: its length
  o.window = static_cast<int>(k.sliding_window);
  o.block_positions = k.prefix_lm();
  return make_text_batch(sequences, one, o);
}

TextRunner::Batch TextRunner::upload(const Context& c, const TextBatch& b, float scale,
                                     const TextShapes& shapes) const {
  const Shape shape{b.rows, b.columns};
  Batch out;
  check_ids("token ids", b.ids, model_.config().vocab);  // targets are among them
  out.input.ids = upload_one(c, b.ids, shape, "token ids");
  out.input.positions = upload_one(c, b.positions, shape, "positions");
  if (!b.block_positions.empty())
    out.input.block_positions = upload_one(c, b.block_positions, shape, "block positions");
  check_visible(b.visible, {b.rows, b.columns, b.columns, !model_.config().prefix_lm()});
  out.input.visible = upload_one(c, b.visible, {b.rows, b.columns, 2}, "visible");
  std::vector<std::int32_t> rows, targets;
  std::vector<float> weights;
  const auto take = [&](std::size_t i) {
    rows.push_back(static_cast<std::int32_t>(i));
    targets.push_back(b.targets[i]);
    weights.push_back(b.weights[i] * scale);
  };
  for (std::size_t i = 0; i < b.weights.size(); ++i)
    if (b.weights[i] != 0) take(i);
  // Of weight 0, which adds nothing to loss and gradients; each row once, as the head's backward likes them.
  const auto wanted =
      static_cast<std::size_t>(shapes.targets(static_cast<std::int64_t>(rows.size()), b.columns));
  for (std::size_t i = 0; rows.size() < wanted; ++i)
    if (b.weights[i] == 0) take(i);
  const auto count = static_cast<std::int64_t>(rows.size());
  out.targets.rows = upload_one(c, rows, {count}, "rows with a target");
  out.targets.targets = upload_one(c, targets, {count}, "targets");
  out.targets.weights = upload_one(c, weights, {count}, "target weights");
  return out;
}

TextRunner::Batch TextRunner::prepare(const Context& c, const TextRows& rows,
                                      std::span<const TokenSequence> sequences, float scale,
                                      const TextShapes& shapes) const {
  return upload(c, concatenated(rows, sequences, shapes), scale * c.loss_scale, shapes);
}

std::vector<Tensor*> TextRunner::Batch::tensors() {
  return {&input.ids,    &input.positions, &input.block_positions, &input.visible,
          &targets.rows, &targets.targets, &targets.weights};
}

namespace {

// The largest matrix in blocks that is kept on the device and no head: one of those is larger than all
// others, and used once.
class LargestStored final : public ModelVisitor {
 public:
  explicit LargestStored(std::int64_t vocab) : vocab_(vocab) {}
  void linear(SharedLinear& layer) override {
    for (int i = 0; i < layer.outputs(); ++i) {
      const Tensor& w = layer.weight(i).value();
      if (w.defined() && is_block(w.dtype()) && layer.out_features(i) != vocab_)
        elements = std::max(elements, w.numel());
    }
  }
  std::int64_t elements = 0;

 private:
  std::int64_t vocab_;
};

}  // namespace

void TextRunner::decode_ahead(const Context& c) {
  if (!c.device().is_cuda() || ahead_) return;
  LargestStored largest(model_.config().vocab);
  model_.visit(largest);
  if (largest.elements > 0) ahead_.emplace(c.runtime(), largest.elements);
}

void TextRunner::train(const Context& c, Batch batch, Tensor& loss, bool recordable) {
  decode_ahead(c);
  graphs_.run(c, std::move(batch), recordable,
              [&](const Context& local, const Batch& b) { compute(local, b, loss); });
}

void TextRunner::compute(const Context& c, const Batch& batch, Tensor& loss) {
  const WeightPass pass(c);
  Tape tape(memory_);
  Context recording = c.with_tape(tape);
  recording.decode_ahead = ahead_ ? &*ahead_ : nullptr;
  c.phase("forward");
  const Tensor hidden = model_.forward(recording, batch.input);
  c.phase("head and loss");
  const Tensor dhidden = model_.head().train(recording, hidden, batch.targets, loss);
  c.phase("backward");
  model_.backward(recording, dhidden);
  c.phase("");
}

TextScore TextRunner::score(const Context& c, std::span<const TokenSequence> sequences, StopFlag stop) {
  TextScore score;
  const WeightPass pass(c);
  Context local = c;
  local.training = false;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    stop.throw_if_set();
    const TextBatch batch = concatenated({{i}}, sequences, {});
    if (batch.trained_tokens == 0) continue;
    const Batch on_device = upload(local, batch, 1.0F, {});
    const LmScore one =
        model_.head().score(local, model_.forward(local.without_tape(), on_device.input), on_device.targets);
    score.loss += one.loss;
    score.correct += one.correct;
    score.tokens += batch.trained_tokens;
  }
  if (score.tokens > 0) score.loss /= static_cast<double>(score.tokens);
  return score;
}

TextRunner::Batch TextRunner::made_up(const Context& c, std::int64_t tokens) const {
  const TextShapes exact;
  const auto count = static_cast<std::size_t>(exact.columns(tokens));
  TextBatch b;
  b.rows = 1;
  b.columns = static_cast<std::int32_t>(count);
  b.positions.resize(count);
  std::iota(b.positions.begin(), b.positions.end(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    b.ids.push_back(static_cast<std::int32_t>(i % static_cast<std::size_t>(model_.config().vocab)));
    b.visible.insert(b.visible.end(), {0, static_cast<std::int32_t>(i + 1)});
  }
  b.targets = b.ids;
  b.weights.assign(count, 1.0F);
  if (model_.config().prefix_lm()) b.block_positions.assign(count, 0);
  return upload(c, b, c.loss_scale / static_cast<float>(count), exact);
}

}  // namespace rankine
