// Checkpoints whose matrices were stored quantised by bitsandbytes (NF4, as "...-bnb-4bit" repositories have
// them) or by THUDM (ChatGLM in 4 and 8 bits), seen as one with plain tensors.
//
// NF4, for a matrix X.weight: X.weight u8, two codes a byte, flat; .absmax, one for each 64 numbers, f32, or
// u8 with .nested_absmax (f32, one for 256 of them) and .nested_quant_map (256 f32); .quant_map (16 f32);
// .quant_state.bitsandbytes__nf4, JSON: shape, blocksize, nested_blocksize, nested_offset.
//   value = quant_map[code] absmax,  absmax = nested_quant_map[u8] nested_absmax + nested_offset
// THUDM, for X.weight: i8 (out, in), or (out, in / 2) with the even column in the high half, and
// X.weight_scale (out): value = code scale.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "io/formats/tensor_source.h"

namespace rankine {

// How a stored matrix is handed out.
struct QuantizedMatrix;

// Wraps a source; its other tensors pass through. X.weight appears in its real shape, made by load() with
// exactly the stored values, as the first of these that its shape allows:
//   nf4_dq  rows of whole 256, nested_quant_map the standard one (engine/core/nf4.h) bit for bit
//   nf4     rows of whole 64, quant_map the standard one
//   f32     everything else, and THUDM's
// The helper tensors are not listed. Throws DataError naming source and tensor for helpers that are missing
// or have another size than the shape says, FP4, block sizes other than 64 and 256, and JSON that is not such
// a state.
class DequantizedSource final : public TensorSource {
 public:
  // `thudm_bits`: quantization_bit of config.json, 4 or 8; the tensors do not say it themselves.
  explicit DequantizedSource(std::shared_ptr<const TensorSource> inner, int thudm_bits = 0);
  ~DequantizedSource() override;
  std::string describe() const override { return inner_->describe(); }
  const std::map<std::string, TensorInfo, std::less<>>& tensors() const override { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const override {
    return inner_->metadata();
  }
  TensorBytes load(std::string_view name) const override;

 private:
  std::shared_ptr<const TensorSource> inner_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::map<std::string, std::unique_ptr<const QuantizedMatrix>, std::less<>> matrices_;
};

// The source itself, or wrapped when it has such matrices.
std::shared_ptr<const TensorSource> dequantized(std::shared_ptr<const TensorSource> source,
                                                int thudm_bits = 0);

}  // namespace rankine
