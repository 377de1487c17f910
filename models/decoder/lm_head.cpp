#include "models/decoder/lm_head.h"

#include <algorithm>

#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/loss/loss.h"
#include "kernels/matmul/matmul.h"
#include "kernels/reduce/reduce.h"

namespace rankine {
namespace {

// Logits held at once. Large enough for an efficient product, small beside the rest of a step.
constexpr std::int64_t kLogitsAtOnce = std::int64_t{1} << 23;
constexpr std::int64_t kRowMultiple = 16;

std::int64_t rows_at_once(std::int64_t vocab) {
  return std::max(kRowMultiple,
                  kLogitsAtOnce / std::max<std::int64_t>(1, vocab) / kRowMultiple * kRowMultiple);
}

LmTargets slice(const LmTargets& t, std::int64_t begin, std::int64_t end) {
  return {t.rows.slice(begin, end), t.targets.slice(begin, end), t.weights.slice(begin, end)};
}

}  // namespace

LmHead::LmHead(const DecoderConfig& k, const DecoderNames& names, Weight* embedding)
    : vocab_(k.vocab),
      width_(k.width),
      chunk_(rows_at_once(k.vocab)),
      norm_(k.prefix_lm() ? Norm(LayerNorm(names.final_norm, k.width, k.eps))
                          : Norm(RmsNorm(names.final_norm, k.width, k.eps))),
      embedding_(k.tied_head ? embedding : nullptr) {
  if (!k.tied_head) head_.emplace(names.head, k.width, k.vocab, false);
}

void LmHead::visit(ModelVisitor& v) {
  std::visit([&](auto& norm) { norm.visit(v); }, norm_);
  if (head_) head_->visit(v);
}

Tensor LmHead::normed(const Context& c, const Tensor& rows) {
  return std::visit([&](auto& norm) { return norm.forward(c, rows); }, norm_);
}

Tensor LmHead::project(const Context& c, const Tensor& n) {
  if (head_) return head_->forward(c, n);
  Tensor y = c.empty({n.rows(), vocab_}, "logits");
  linear_forward(c, y, n, embedding_->value(), Tensor());
  return y;
}

Tensor LmHead::project_backward(const Context& c, const Tensor& dlogits, const Tensor& n) {
  if (head_) return head_->backward(c, dlogits);
  if (embedding_->trained()) linear_weight_grad(c, embedding_->grad(), dlogits, n);
  Tensor dn = c.like(n, "d normed");
  linear_adjoint(c, dn, dlogits, embedding_->value(), Write::overwrite);
  return dn;
}

Tensor LmHead::logits(const Context& c, const Tensor& hidden) {
  const Context quiet = c.without_tape();
  return project(quiet, normed(quiet, hidden.reshape({hidden.rows(), width_})));
}

void LmHead::train_chunk(const Context& c, const Tensor& rows, const LmTargets& t, Tensor& drows,
                         Tensor& loss) {
  const Tensor n = normed(c, rows);
  Tensor logits = project(c, n), losses = c.empty({rows.dim(0)}, "token losses", DType::f32);
  cross_entropy(c, losses, logits, logits, t.targets, t.weights);
  add_sum(c, loss, losses);
  const Tensor dn = project_backward(c, logits, n);
  copy(c, drows, std::visit([&](auto& norm) { return norm.backward(c, dn); }, norm_));
}

Tensor LmHead::train(const Context& c, const Tensor& hidden, const LmTargets& t, Tensor& loss) {
  const std::int64_t count = t.rows.dim(0);
  Tensor rows = c.empty({count, width_}, "rows with a target"),
         drows = c.empty({count, width_}, "d rows with a target");
  embedding_forward(c, rows, hidden.reshape({hidden.rows(), width_}), t.rows);
  for (std::int64_t begin = 0; begin < count; begin += chunk_) {
    const std::int64_t end = std::min(count, begin + chunk_);
    Tensor d = drows.slice(begin, end);
    train_chunk(c, rows.slice(begin, end), slice(t, begin, end), d, loss);
  }
  Tensor dhidden = c.like(hidden, "d hidden"), flat = dhidden.reshape({hidden.rows(), width_});
  fill(c, flat, 0);
  embedding_weight_grad(c, flat, drows, t.rows);
  return dhidden;
}

LmScore LmHead::score(const Context& c, const Tensor& hidden, const LmTargets& t) {
  const Context quiet = c.without_tape();
  const std::int64_t count = t.rows.dim(0);
  Tensor rows = c.empty({count, width_}, "rows with a target"),
         losses = c.empty({count}, "token losses", DType::f32),
         correct = c.empty({count}, "correct", DType::i32), none;
  embedding_forward(quiet, rows, hidden.reshape({hidden.rows(), width_}), t.rows);
  for (std::int64_t begin = 0; begin < count; begin += chunk_) {
    const std::int64_t end = std::min(count, begin + chunk_);
    const LmTargets part = slice(t, begin, end);
    const Tensor logits = project(quiet, normed(quiet, rows.slice(begin, end)));
    Tensor loss = losses.slice(begin, end), hits = correct.slice(begin, end);
    cross_entropy(quiet, loss, none, logits, part.targets, part.weights, &hits);
  }
  LmScore sum;
  for (const float l : floats_of(losses)) sum.loss += static_cast<double>(l);
  for (const std::int32_t hit : ints_of(correct)) sum.correct += hit;
  return sum;
}

}  // namespace rankine
