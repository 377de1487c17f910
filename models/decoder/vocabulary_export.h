// A SentencePiece vocabulary and a decoder's sizes in the terms of each container.
#pragma once

#include <string>
#include <vector>

#include "io/formats/ggml_legacy.h"
#include "io/formats/gguf.h"
#include "io/text/spm_model.h"
#include "models/decoder/decoder_config.h"

namespace rankine {

// tokenizer.* keys; the vocabulary is filled up to `rows` tokens, as many as the embedding has rows.
std::vector<GgufEntry> gguf_keys_of(const SpmModel& spm, std::int64_t rows);
// general.* and the architecture's own keys.
std::vector<GgufEntry> gguf_model_keys(const DecoderConfig& config, const std::string& architecture,
                                       FileDType dtype);

GgmlVocab ggml_vocab_of(const SpmModel& spm, std::int64_t rows);
SpmModel spm_from(const GgmlVocab& vocab);
SpmModel spm_from(const GgufVocab& vocab);

// n_mult of a legacy header whose formula gives this size: header and tensors must agree for llama.cpp.
// Throws DataError when there is none.
std::uint32_t feed_forward_multiple(const GgmlHyperparameters& sizes, std::int64_t mlp);

// tokenizer_config.json of a LlamaTokenizer.
std::string tokenizer_config_json(const SpmModel& spm);

}  // namespace rankine
