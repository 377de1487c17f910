// Exact softmax attention by blocks with running maxima; the score matrix is never held whole
// (Rabe & Staats 2021; Dao et al., FlashAttention, 2022; Dao, FlashAttention-2, 2023).
//   q (N, Tq, H·D)  k, v (N, Tk, Hkv·D)  o (N, Tq, H·D)  lse (N, H, Tq) = log-sum-exp of the scaled scores,
//   fp32
// Heads are contiguous slices of the last dimension, of any size D. H must be a multiple of Hkv; query head h
// reads key head h / (H / Hkv) (grouped-query attention, Ainslie et al. 2023). A NaN in q, k or v reaches the
// output. Every sum runs in an order that follows from the sizes and ranges alone: the number of threads
// changes no bit. Scratch is one tile of scores per thread (two in backward), whatever Tq and Tk are.
//
// Forward with Tq <= 8 and Tk >= 64, as text is generated from a cache, reads every key and value once where
// it lies, split over threads by key heads and runs of 256 keys; scratch is then one o per row, head and run.
// The cache of one sample (N = 1) may be longer: k = cache.flat(0, {1, Tk, Hkv·D}). Caches of several samples
// are passed whole, with `visible` saying how far each is filled.
//
// On CUDA q, k, v, o and their gradients are f16, bf16 or f32, all of one type; lse is fp32. 16-bit heads of
// a multiple of 8 up to 256 (forward: 512) in memory aligned to 16 bytes run on tensor cores, with p and ds
// rounded to that type; all others in a plain kernel. Backward sums in an order that follows from the sizes,
// without atomics. Its scratch is 16 bytes per row and head, 8 per 32 rows where there are ranges, and where
// there are few keys (fewer than 256 blocks of 64, all heads) fp32 dk and dv of each run of rows; forward has
// none but for few queries, as above.
#pragma once

#include <span>

#include "kernels/common/checks.h"

namespace rankine {

struct AttentionSpec {
  int heads = 1;
  int kv_heads = 1;
  bool causal = false;  // row i sees columns 0..i + Tk - Tq; needs Tk >= Tq
  float scale = 0;      // 0 means 1/sqrt(D)
  // (N, Tq, 2) i32, or undefined: row i sees the keys [visible[i][0], visible[i][1]) and, under `causal`, of
  // these only the ones up to its own. 0 <= begin < end <= Tk is checked, and that a key is left. It says, in
  // one form:
  //   samples packed in one row of tokens   their first token, the token after them (with causal)
  //   a sliding window of W                 max(0, i + 1 - W), i + 1
  //   a prefix of P seen by all (ChatGLM)   0, max(P, i + 1)
  //   padding, caches of several lengths    the tokens that are there; a padded row may see any one key
  // Work grows with the ranges, not with Tq·Tk: scores are taken only of keys that a tile of up to 128 rows
  // sees. Keys no row sees are not read and get gradients of zero. Tiles do not span packed samples, so a
  // packed sample has the bits of the same sample alone. Costs count visible pairs; a plan, which cannot read
  // them, counts what `causal` allows.
  // On CUDA the ranges lie on the device, where nothing reads them before the kernels do: whoever makes them
  // calls check_visible first. Kernels stay within them and the tensors in any case: a range is cut to [0,
  // Tk) and to `causal`, and a row left without a key gets o = 0, lse = -inf and no gradients. Tiles there
  // are regular, so a packed sample agrees with the same sample alone to rounding, and a tile reads all keys
  // from the first to the last that its rows see. Costs count what `causal` allows.
  Tensor visible{};
};

// o_i = sum_j softmax_j(scale q_i·k_j) v_j. Overwrites o and lse, which must not share storage with the
// inputs. 4 D FLOPs per visible (row, column) pair and head. Throws ShapeError.
void attention_forward(const Context& c, Tensor& o, Tensor& lse, const Tensor& q, const Tensor& k,
                       const Tensor& v, const AttentionSpec& spec);

struct VisibleSize {
  std::int64_t samples, queries, keys;
  bool causal;
};
// Checks ranges in host memory, (samples, queries, 2), as attention does on the CPU. Throws ShapeError.
void check_visible(std::span<const std::int32_t> visible, const VisibleSize& size);

struct AttentionGrads {
  Tensor& dq;
  Tensor& dk;
  Tensor& dv;
};
struct AttentionSaved {  // the inputs and outputs of forward
  const Tensor& q;
  const Tensor& k;
  const Tensor& v;
  const Tensor& o;
  const Tensor& lse;
};
// With p_ij = exp(scale q_i·k_j - lse_i), recomputed by blocks, and delta_i = do_i·o_i:
//   dv_j = sum_i p_ij do_i     ds_ij = scale p_ij (do_i·v_j - delta_i)     dq_i = sum_j ds_ij k_j     dk_j =
//   sum_i ds_ij q_i
// p has the relative error of reading lse as fp32, 2^-24 |lse|. Overwrites dq, dk, dv, which must not share
// storage with the rest. 10 D FLOPs per visible pair and head. Parallel over samples and key heads. Throws
// ShapeError.
void attention_backward(const Context& c, AttentionGrads grads, const Tensor& d_o,
                        const AttentionSaved& saved, const AttentionSpec& spec);

}  // namespace rankine
