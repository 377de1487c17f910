// A LoRA step of a language model in a published shape, on a GGUF file of random blocks.
#pragma once

#include <filesystem>
#include <string>

#include "bench/step_bench.h"
#include "models/decoder/decoder_config.h"

namespace rankine::bench {

bool is_decoder(const std::string& model);  // one of models/decoder/published_decoders.h

// Writes a GGUF file in this shape: matrices of random blocks or numbers of the size that training leaves,
// norms 1, a vocabulary of fillers. `base`: fp16, q4_0, q8_0.
void write_random_model(const std::filesystem::path& path, const DecoderConfig& config,
                        const std::string& base);

StepBenchResult run_decoder_bench(const StepBenchOptions& options);

}  // namespace rankine::bench
