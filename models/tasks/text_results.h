// What a text run leaves for users: adapters that PEFT and llama.cpp load, and models.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/config/enums.h"
#include "io/formats/adapter_weights.h"
#include "models/decoder/decoder_lora.h"
#include "models/tasks/decoder_setup.h"

namespace rankine {

class TextTask;

// The run's adapter as files have it: rows in Hugging Face's order.
std::vector<AdapterWeights> adapter_of(const DecoderLora& network, const DecoderCheckpoint& checkpoint);

// Reads a PEFT folder or a GGUF adapter, rows in Hugging Face's order; and in that of this model's weights.
std::vector<AdapterWeights> read_files_adapter(const std::filesystem::path& path,
                                               const DecoderCheckpoint& checkpoint);
std::vector<AdapterWeights> read_text_adapter(const std::filesystem::path& path,
                                              const DecoderCheckpoint& checkpoint);

// A PEFT folder; beside it FOLDER.gguf where llama.cpp knows the family and the adapter is plain LoRA.
void save_text_adapter(const std::filesystem::path& folder, TextTask& task,
                       const std::map<std::string, std::string>& facts);

// A folder as Hugging Face has them: config.json, model.safetensors, and the vocabulary's file.
void save_decoder_folder(const std::filesystem::path& folder, LoadedDecoder& model, config::SaveDtype dtype,
                         const std::map<std::string, std::string>& facts);

}  // namespace rankine
