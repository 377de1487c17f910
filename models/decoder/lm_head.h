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

struct LmLoss {
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
  // Loss over the rows that `t` names of hidden (N, T, width). With a tape in `c` also gradients: of what is
  // trained here, and *dhidden = d loss / d hidden (overwritten; rows not named get 0). Leaves no frames.
  LmLoss loss(const Context& c, const Tensor& hidden, const LmTargets& t, Tensor* dhidden);
  // Loss of every named row by itself (R).
  Tensor row_losses(const Context& c, const Tensor& hidden, const LmTargets& t);

  void visit(ModelVisitor& v);

 private:
  using Norm = std::variant<RmsNorm, LayerNorm>;
  Tensor project(const Context& c, const Tensor& n);
  Tensor project_backward(const Context& c, const Tensor& dlogits, const Tensor& n);
  // One chunk: its loss, and with a tape d rows.
  LmLoss chunk_loss(const Context& c, const Tensor& rows, const LmTargets& t, Tensor* drows);

  std::int64_t vocab_, width_, chunk_;
  Norm norm_;
  Weight* embedding_;
  std::optional<Linear> head_;
};

}  // namespace rankine
