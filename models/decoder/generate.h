// Writing text with a decoder: one pass over the prompt, then one row per token on a key cache.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/core/stop_flag.h"
#include "models/decoder/decoder.h"

namespace rankine {

// How the next token is drawn from its logits.
struct SamplingOptions {
  double temperature = 0;  // divides the logits; 0: the likeliest token, the first among equals
  std::int64_t top_k = 0;  // only so many of the likeliest; 0: all
  double top_p = 1;        // only the likeliest that together hold this probability (Holtzman et al. 2020)
  std::uint64_t seed = 42;
};
// `number` counts the draws of one answer: equal (seed, number, logits) give equal tokens.
std::int32_t sample_token(std::span<const float> logits, const SamplingOptions& options,
                          std::uint32_t number);

struct GenerateRequest {
  std::vector<std::int32_t> prompt;  // not empty
  std::int32_t prefix = 0;           // ChatGLM-6B: tokens before <sop>, which see each other both ways
  std::vector<std::int32_t> stops;   // end the answer; not part of it
  std::int64_t max_new_tokens = 128;
  SamplingOptions sampling;
  StopFlag stop;  // asked before each token; Interrupted when it is set
};
enum class StopReason : std::uint8_t { stop_token, length, cancelled };
struct Generated {
  std::vector<std::int32_t> ids;  // of the answer alone
  StopReason reason = StopReason::length;
};
// `on_token` gets each token as it is made; returning false ends the answer. Throws DataError for a prompt
// that is empty or longer than the model's context.
Generated generate(const Context& c, Decoder& model, const GenerateRequest& request,
                   const std::function<bool(std::int32_t)>& on_token = {});

// Logits (T, V) of every row of one sequence, for tests and comparisons.
Tensor sequence_logits(const Context& c, Decoder& model, std::span<const std::int32_t> ids,
                       std::int32_t prefix = 0);

// The input of rows [begin, end) of one sequence: positions, and ranges where plain causal is not what the
// family sees.
DecoderInput sequence_input(const Context& c, const DecoderConfig& config, std::span<const std::int32_t> ids,
                            std::int32_t prefix, std::int64_t begin);

}  // namespace rankine
