// What works on rows of tokens or pixels: attention, positions, look-ups, losses.
#include "bench/operations.h"
#include "kernels/attention/attention.h"
#include "kernels/embedding/embedding.h"
#include "kernels/loss/loss.h"
#include "kernels/rope/rope.h"

namespace rankine::bench {
namespace {

struct AttentionOperands {
  Tensor q, k, v, o, lse;
  AttentionSpec spec;
};
AttentionOperands attention_of(Operands& o, const Sizes& n) {
  const Shape rows{n[0], n[1], n[3] * n[5]}, keys{n[0], n[2], n[4] * n[5]};
  AttentionOperands k{o.activations(rows), o.activations(keys),          o.activations(keys),
                      o.activations(rows), o.floats({n[0], n[3], n[1]}), {}};
  k.spec = {.heads = static_cast<int>(n[3]), .kv_heads = static_cast<int>(n[4]), .causal = n[6] != 0};
  return k;
}
Call attention(Operands& o, const Sizes& n) {
  return [c = o.context(), k = attention_of(o, n)]() mutable {
    attention_forward(c, k.o, k.lse, k.q, k.k, k.v, k.spec);
  };
}
Call attention_back(Operands& o, const Sizes& n) {
  AttentionOperands k = attention_of(o, n);
  attention_forward(o.context(), k.o, k.lse, k.q, k.k, k.v, k.spec);  // backward needs a true lse
  return [c = o.context(), k, d_o = o.activations(k.q.shape()), dq = o.activations(k.q.shape()),
          dk = o.activations(k.k.shape()), dv = o.activations(k.k.shape())]() mutable {
    attention_backward(c, {dq, dk, dv}, d_o, {k.q, k.k, k.v, k.o, k.lse}, k.spec);
  };
}
bool has_backward(const Sizes& n) { return n[1] > 1; }

RopeSpec rope_spec(const Sizes& n) {
  return {.heads = static_cast<int>(n[1]),
          .head_dim = n[2],
          .first = 0,
          .rotary_dims = n[3],
          .pairing = RopeSpec::interleaved};
}
Call rope(Operands& o, const Sizes& n) {
  Tensor x = o.activations({n[0], n[1] * n[2]});
  const Tensor table = o.floats({n[0], n[3]});
  return [c = o.context(), x, table, spec = rope_spec(n)]() mutable { rope_forward(c, x, x, table, spec); };
}
Call rope_back(Operands& o, const Sizes& n) {
  Tensor x = o.activations({n[0], n[1] * n[2]});
  const Tensor table = o.floats({n[0], n[3]});
  return [c = o.context(), x, table, spec = rope_spec(n)]() mutable { rope_backward(c, x, x, table, spec); };
}
Call rope_angles(Operands& o, const Sizes& n) {
  const Tensor positions = o.ids({n[0]}, n[0]), frequencies = o.floats({n[3] / 2});
  Tensor table = o.floats({n[0], n[3]});
  return [c = o.context(), table, positions, frequencies]() mutable {
    rope_table(c, table, positions, frequencies);
  };
}

Call embedding(Operands& o, const Sizes& n) {
  const Tensor table = o.weight({n[1], n[2]}), ids = o.ids({n[0]}, n[1]);
  Tensor y = o.activations({n[0], n[2]});
  return [c = o.context(), y, table, ids]() mutable { embedding_forward(c, y, table, ids); };
}
Call embedding_grad(Operands& o, const Sizes& n) {
  const Tensor dy = o.activations({n[0], n[2]}), ids = o.ids({n[0]}, n[1]);
  Tensor dtable = o.floats({n[1], n[2]});
  return [c = o.context(), dtable, dy, ids]() mutable { embedding_weight_grad(c, dtable, dy, ids); };
}
Call timesteps(Operands& o, const Sizes& n) {
  const Tensor t = o.floats({n[0]});
  Tensor y = o.activations({n[0], n[1]});
  return [c = o.context(), y, t]() mutable { timestep_embedding(c, y, t); };
}

Call entropy(Operands& o, const Sizes& n) {
  Tensor logits = o.activations({n[0], n[1]}), loss = o.floats({n[0]}), correct = o.ids({n[0]}, 2);
  const Tensor targets = o.ids({n[0]}, n[1]), weights = o.floats({n[0]});
  return [c = o.context(), logits, loss, correct, targets, weights]() mutable {
    cross_entropy(c, loss, logits, logits, targets, weights, &correct);
  };
}

Call regression(Operands& o, const Sizes& n) {
  const Shape latent{n[0], n[1], n[1], n[2]};
  const Tensor target = o.activations(latent), weights = o.floats({n[0]});
  Tensor loss = o.floats({n[0]}), pred = o.activations(latent), dpred = o.activations(latent);
  return [c = o.context(), loss, dpred, pred, target, weights]() mutable {
    regression_loss(c, loss, dpred, pred, target, weights, {});
  };
}
Call kl_normal(Operands& o, const Sizes& n) {
  const Shape moments{n[0], n[1], n[1], 2 * n[2]};
  const Tensor x = o.activations(moments), weights = o.floats({n[0]});
  Tensor loss = o.floats({n[0]}), dx = o.activations(moments);
  return [c = o.context(), loss, dx, x, weights]() mutable { kl_normal_loss(c, loss, dx, x, weights); };
}
Call posterior(Operands& o, const Sizes& n) {
  const Shape latent{n[0], n[1], n[1], n[2]};
  const Tensor moments = o.activations(latent.with_dim(-1, 2 * n[2])), eps = o.activations(latent);
  Tensor z = o.activations(latent);
  return [c = o.context(), z, moments, eps]() mutable { sample_posterior(c, z, moments, eps); };
}
Call posterior_back(Operands& o, const Sizes& n) {
  const Shape latent{n[0], n[1], n[1], n[2]};
  const Tensor moments = o.activations(latent.with_dim(-1, 2 * n[2])), eps = o.activations(latent),
               dz = o.activations(latent);
  Tensor dmoments = o.activations(moments.shape());
  return [c = o.context(), dmoments, dz, moments, eps]() mutable {
    sample_posterior_backward(c, dmoments, dz, moments, eps);
  };
}

}  // namespace

std::span<const Operation> sequence_operations() {
  static const Operation table[] = {
      {"attention_forward", Family::attention, 7, attention},
      {"attention_backward", Family::attention, 7, attention_back, has_backward},
      {"rope_forward", Family::rope, 4, rope},
      {"rope_backward", Family::rope, 4, rope_back},
      {"rope_table", Family::rope, 4, rope_angles},
      {"embedding_forward", Family::embedding, 3, embedding},
      {"embedding_weight_grad", Family::embedding, 3, embedding_grad},
      {"timestep_embedding", Family::timesteps, 2, timesteps},
  };
  return table;
}

std::span<const Operation> loss_operations() {
  static const Operation table[] = {
      {"cross_entropy", Family::cross_entropy, 2, entropy},
      {"regression_loss", Family::latent, 3, regression},
      {"kl_normal_loss", Family::latent, 3, kl_normal},
      {"sample_posterior", Family::latent, 3, posterior},
      {"sample_posterior_backward", Family::latent, 3, posterior_back},
  };
  return table;
}

}  // namespace rankine::bench
