// The end of a language model: final norm, output matrix and cross-entropy, in chunks of rows, so that the
// logits of a whole batch never exist.
//
//   loss = sum_r weight_r (logsumexp(W n_r) - (W n_r)[target_r]),  n_r = norm(h_r)
#pragma once

#include <functional>
#include <optional>
#include <variant>

#include "models/decoder/decoder_config.h"
#include "models/names/decoder_names.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace rankine {

// Rows of hidden states to predict from: row[i] of (N · T) predicts target[i] with weight[i].
struct LmTargets {
  Tensor rows, targets;  // (R) i32
  Tensor weights;        // (R) fp32
};

struct LmScore {
  double loss = 0;           // weighted sum
  std::int64_t correct = 0;  // rows whose largest logit is the target
};

class LmHead {
 public:
  // `embedding` is the output matrix of a tied head and must outlive this.
  LmHead(const DecoderConfig& config, const DecoderNames& names, Weight* embedding);

  // The final norm of rows (R, width); leaves a frame on the tape of `c`, if there is one.
  Tensor normed(const Context& c, const Tensor& rows);
  // Logits (R, V) of the given hidden rows (R, width); nothing is recorded.
  Tensor logits(const Context& c, const Tensor& hidden);
  // A training step's end, with a tape in `c`: adds the loss over the rows that `t` names of hidden
  // (N, T, width) to `loss` (1) fp32, adds the gradients of what is trained here, and returns d loss / d
  // hidden, which is 0 in rows not named. Leaves no frames; the device is not waited for.
  Tensor train(const Context& c, const Tensor& hidden, const LmTargets& t, Tensor& loss);
  // The loss alone, and how many targets were the first choice; waits for the device.
  LmScore score(const Context& c, const Tensor& hidden, const LmTargets& t);

  void visit(ModelVisitor& v);

 private:
  using Norm = std::variant<RmsNorm, LayerNorm>;
  Tensor project(const Context& c, const Tensor& n);
  Tensor project_backward(const Context& c, const Tensor& dlogits, const Tensor& n);
  // One chunk: its loss is added, drows overwritten.
  void train_chunk(const Context& c, const Tensor& rows, const LmTargets& t, Tensor& drows, Tensor& loss);

  std::int64_t vocab_, width_, chunk_;
  Norm norm_;
  Weight* embedding_;
  std::optional<Linear> head_;
};

}  // namespace rankine
