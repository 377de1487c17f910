#include "io/config/codec.h"
#include "io/config/presets.h"

namespace rankine::config {

Table<RunConfig> model_fields() {
  constexpr auto in = &RunConfig::model;
  using S = ModelSection;
  return {
      field<RunConfig>(
          {.key = "base_model",
           .doc = "The model to train on. Pictures: a single safetensors or ckpt file, or a diffusers "
                  "folder. Text: a "
                  "Hugging Face folder, a GGUF file, or a GGML file of 2023. Required unless new_model is "
                  "given.",
           .known_as = "model pretrained_model_name_or_path pretrained_model model_path checkpoint",
           .form = TextForm::path},
          in, &S::base_model),
      field<RunConfig>({.key = "vae",
                        .doc = "A VAE file to use instead of the one in base_model.",
                        .not_set = "the VAE of base_model",
                        .known_as = "vae_path",
                        .form = TextForm::path,
                        .of = KeyOf::picture_task},
                       in, &S::vae),
      field<RunConfig>(
          {.key = "tokenizer",
           .doc = "The vocabulary, when base_model does not bring it: CLIP's merges file; tokenizer.model, "
                  "tokenizer.json or their folder for a language model.",
           .not_set = "the model's own, or looked for beside base_model",
           .known_as = "tokenizer_path merges",
           .form = TextForm::path},
          in, &S::tokenizer),
      field<RunConfig>({.key = "task_type", .doc = "What the model learns.", .known_as = "task"}, in,
                       &S::task_type),
      field<RunConfig>({.key = "method",
                        .doc = "lora trains a small adapter beside frozen weights; full trains all weights.",
                        .known_as = "training_method finetuning_type"},
                       in, &S::method),
      field<RunConfig>({.key = "preset",
                        .doc = "A named set of values that stand below the keys of this file; see Presets.",
                        .not_set = "none",
                        .texts = preset_names()},
                       in, &S::preset),
      field<RunConfig>(
          {.key = "new_model",
           .doc = "Sizes of a model to train from nothing, instead of base_model. Needs method: full. "
                  "A key left out has its default; {} takes them all.",
           .not_set = "training starts from base_model"},
          in, &S::new_model),
      field<RunConfig>(
          {.key = "quantise_base",
           .doc = "Round the frozen matrices of a float model to blocks while loading; nf4 is that of "
                  "QLoRA, with double quantisation. Files that are quantised stay as they are.",
           .known_as = "load_in_4bit quantization quantize",
           .lora_only = true,
           .of = KeyOf::text_task},
          in, &S::quantise_base),
      field<RunConfig>({.key = "rope_theta",
                        .doc = "Base of the rotary embedding, where the file lacks it or is wrong.",
                        .not_set = "as the file says; 10000 for GGML files",
                        .known_as = "rope_freq_base",
                        .min = 1,
                        .max = 1e12,
                        .above_min = true,
                        .of = KeyOf::text_task},
                       in, &S::rope_theta),
      field<RunConfig>(
          {.key = "norm_eps",
           .doc = "Epsilon of the norms, where the file lacks it: LLaMA 1 has 1e-6, LLaMA 2 1e-5.",
           .not_set = "as the file says; 1e-5 for GGML files",
           .known_as = "rms_norm_eps",
           .min = 0,
           .max = 1,
           .above_min = true,
           .of = KeyOf::text_task},
          in, &S::norm_eps),
      field<RunConfig>({.key = "context_length",
                        .doc = "Longest text the model was made for, where the file lacks it.",
                        .unit = "tokens",
                        .not_set = "as the file says; 2048 for GGML files",
                        .min = 8,
                        .max = 16777216,
                        .of = KeyOf::text_task},
                       in, &S::context_length),
  };
}

template <>
const Table<NewModel>& table_of() {
  static const Table<NewModel> table = {
      field<NewModel>(
          {.key = "norm_groups",
           .doc = "Groups of every GroupNorm. Published models have 32; narrow ones need at least four "
                  "channels in a group, or the level of a plain picture cannot pass.",
           .min = 1,
           .max = 32},
          &NewModel::norm_groups),
      field<NewModel>({.key = "unet", .doc = "The denoising network."}, &NewModel::unet),
      field<NewModel>({.key = "vae", .doc = "The autoencoder."}, &NewModel::vae),
      field<NewModel>({.key = "text_encoder", .doc = "The CLIP text encoder."}, &NewModel::text_encoder),
      field<NewModel>({.key = "decoder", .doc = "A language model, for task_type: text-generation."},
                      &NewModel::decoder),
  };
  return table;
}

template <>
const Table<NewUnet>& table_of() {
  using S = NewUnet;
  static const Table<NewUnet> table = {
      field<S>({.key = "model_channels",
                .doc = "Channels of the first level.",
                .min = 32,
                .max = 1024,
                .multiple_of = 32},
               &S::model_channels),
      field<S>({.key = "channel_mult",
                .doc = "Channels of each level as a multiple of model_channels.",
                .min = 1,
                .max = 16},
               &S::channel_mult),
      field<S>({.key = "num_res_blocks", .doc = "Residual blocks of a level.", .min = 1, .max = 8},
               &S::num_res_blocks),
      field<S>(
          {.key = "attention_levels", .doc = "Levels with attention, counted from 0.", .min = 0, .max = 7},
          &S::attention_levels),
      field<S>({.key = "num_heads",
                .doc = "Attention heads; must divide the channels of every attention level.",
                .min = 1,
                .max = 64},
               &S::num_heads),
      field<S>({.key = "context_dim",
                .doc = "Width of the text embedding; must equal text_encoder.width.",
                .min = 8,
                .max = 4096,
                .multiple_of = 8},
               &S::context_dim),
  };
  return table;
}

template <>
const Table<NewVae>& table_of() {
  using S = NewVae;
  static const Table<NewVae> table = {
      field<S>({.key = "channels",
                .doc = "Channels of the first level.",
                .min = 32,
                .max = 512,
                .multiple_of = 32},
               &S::channels),
      field<S>(
          {.key = "channel_mult",
           .doc =
               "Channels of each level as a multiple of channels; every level but the last halves the sides.",
           .min = 1,
           .max = 16},
          &S::channel_mult),
      field<S>({.key = "num_res_blocks", .doc = "Residual blocks of a level.", .min = 1, .max = 8},
               &S::num_res_blocks),
      field<S>({.key = "latent_channels", .doc = "Channels of the latent.", .min = 1, .max = 64},
               &S::latent_channels),
  };
  return table;
}

template <>
const Table<NewTextEncoder>& table_of() {
  using S = NewTextEncoder;
  static const Table<NewTextEncoder> table = {
      field<S>({.key = "width", .doc = "Width of the embedding.", .min = 8, .max = 4096, .multiple_of = 8},
               &S::width),
      field<S>({.key = "layers", .doc = "Transformer layers.", .min = 1, .max = 64}, &S::layers),
      field<S>({.key = "heads", .doc = "Attention heads; must divide width.", .min = 1, .max = 64},
               &S::heads),
  };
  return table;
}

template <>
const Table<NewDecoder>& table_of() {
  using S = NewDecoder;
  static const Table<NewDecoder> table = {
      field<S>({.key = "vocab",
                .doc = "Rows of the embedding; at least those of the vocabulary.",
                .min = 3,
                .max = 1e6},
               &S::vocab),
      field<S>({.key = "width", .doc = "Hidden size.", .min = 8, .max = 16384, .multiple_of = 8}, &S::width),
      field<S>({.key = "mlp", .doc = "Intermediate size.", .min = 8, .max = 65536, .multiple_of = 8},
               &S::mlp),
      field<S>({.key = "layers", .doc = "Transformer layers.", .min = 1, .max = 256}, &S::layers),
      field<S>({.key = "heads", .doc = "Attention heads; must divide width.", .min = 1, .max = 256},
               &S::heads),
      field<S>({.key = "kv_heads", .doc = "Key heads; must divide heads.", .min = 1, .max = 256},
               &S::kv_heads),
      field<S>({.key = "context", .doc = "Longest text.", .unit = "tokens", .min = 8, .max = 1e6},
               &S::context),
      field<S>({.key = "rope_theta",
                .doc = "Base of the rotary embedding.",
                .min = 1,
                .max = 1e12,
                .above_min = true},
               &S::rope_theta),
      field<S>({.key = "tied_head", .doc = "Use the embedding as output matrix."}, &S::tied_head),
  };
  return table;
}

}  // namespace rankine::config
