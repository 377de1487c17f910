// The frequencies of rotary embeddings, and the ways of stretching them to texts longer than the model was
// trained on. Computed once on the host, in the fp32 steps that models are trained with.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace rankine {

// Names and meanings as in `rope_scaling` of a Hugging Face config.json.
struct RopeScaling {
  enum class Kind : std::uint8_t {
    none,     // f_i = theta^(-2i/R)
    linear,   // f_i / factor                                              (Chen et al. 2023)
    dynamic,  // theta (factor L/M - (factor - 1))^(R/(R-2)) for theta where the length L > M (NTK-aware,
              // 2023)
    yarn,     // f_i, f_i / factor and a ramp between, by turns in M tokens (Peng et al. 2023)
    llama3,   // the same idea by wavelength, Llama 3.1
  };
  Kind kind = Kind::none;
  double factor = 1;           // > 0
  double original_length = 0;  // M: original_max_position_embeddings; dynamic: max_position_embeddings
  double length = 0;           // L, of dynamic
  double beta_fast = 32, beta_slow = 1;              // yarn, in turns
  std::optional<float> attention_factor;             // yarn; else 0.1 ln(factor) + 1
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  std::vector<float>
      divisors{};  // (R/2) further divisors, as GGUF stores them (rope_freqs.weight); empty: none
};

// f_i for i = 0 .. R/2-1. With i running over pairs and clamp to [0, 1]:
//   yarn    r_i = clamp((i - low) / (high - low)), low = floor(d(beta_fast)) and high = ceil(d(beta_slow))
//   kept in
//           [0, R-1], d(b) = R ln(M / (2 pi b)) / (2 ln theta);  f_i (1 - r_i) + f_i / factor r_i
//   llama3  t_i = clamp((M f_i / (2 pi) - low_freq_factor) / (high_freq_factor - low_freq_factor));
//           f_i t_i + f_i / factor (1 - t_i)
// Throws ShapeError for an odd R, a wrong number of divisors or numbers outside their range.
std::vector<float> rope_inv_freq(double theta, std::int64_t rotary_dims, const RopeScaling& scaling = {});

// What cosines and sines are multiplied with: 1 but for yarn.
float rope_attention_factor(const RopeScaling& scaling);

}  // namespace rankine
