#include "models/decoder/lm_head.h"

#include <algorithm>

#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/loss/loss.h"
#include "kernels/matmul/matmul.h"

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

LmLoss LmHead::chunk_loss(const Context& c, const Tensor& rows, const LmTargets& t, Tensor* drows) {
  const Tensor n = normed(c, rows);
  Tensor logits = project(c, n);
  const std::int64_t count = rows.dim(0);
  Tensor loss = c.empty({count}, "token loss", DType::f32), correct = c.empty({count}, "correct", DType::i32);
  Tensor dlogits = drows ? logits : Tensor();
  cross_entropy(c, loss, dlogits, logits, t.targets, t.weights, &correct);
  LmLoss sum;
  for (const float l : floats_of(loss)) sum.loss += static_cast<double>(l);
  for (const std::int32_t hit : ints_of(correct)) sum.correct += hit;
  if (!drows) return sum;
  const Tensor dn = project_backward(c, dlogits, n);
  const Tensor d = std::visit([&](auto& norm) { return norm.backward(c, dn); }, norm_);
  copy(c, *drows, d);
  return sum;
}

LmLoss LmHead::loss(const Context& c, const Tensor& hidden, const LmTargets& t, Tensor* dhidden) {
  const Tensor all = hidden.reshape({hidden.rows(), width_});
  const std::int64_t count = t.rows.dim(0);
  Tensor rows = c.empty({count, width_}, "rows with a target");
  embedding_forward(c, rows, all, t.rows);
  Tensor drows = dhidden ? c.empty({count, width_}, "d rows with a target") : Tensor();
  LmLoss sum;
  for (std::int64_t begin = 0; begin < count; begin += chunk_) {
    const std::int64_t end = std::min(count, begin + chunk_);
    Tensor d = dhidden ? drows.slice(begin, end) : Tensor();
    const LmLoss part = chunk_loss(c, rows.slice(begin, end), slice(t, begin, end), dhidden ? &d : nullptr);
    sum.loss += part.loss;
    sum.correct += part.correct;
  }
  if (dhidden) {
    Tensor flat = dhidden->reshape({hidden.rows(), width_});
    fill(c, flat, 0);
    embedding_weight_grad(c, flat, drows, t.rows);
  }
  return sum;
}

Tensor LmHead::row_losses(const Context& c, const Tensor& hidden, const LmTargets& t) {
  const Context quiet = c.without_tape();
  const std::int64_t count = t.rows.dim(0);
  Tensor rows = c.empty({count, width_}, "rows with a target"),
         losses = c.empty({count}, "token losses", DType::f32);
  embedding_forward(quiet, rows, hidden.reshape({hidden.rows(), width_}), t.rows);
  for (std::int64_t begin = 0; begin < count; begin += chunk_) {
    const std::int64_t end = std::min(count, begin + chunk_);
    const Tensor logits = project(quiet, normed(quiet, rows.slice(begin, end)));
    Tensor loss = losses.slice(begin, end), none;
    cross_entropy(quiet, loss, none, logits, t.targets.slice(begin, end), t.weights.slice(begin, end));
  }
  return losses;
}

}  // namespace rankine
