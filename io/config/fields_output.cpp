#include "io/config/codec.h"

namespace rankine::config {

Table<RunConfig> output_fields() {
  constexpr auto in = &RunConfig::output;
  using S = OutputSection;
  return {
      field<RunConfig>({.key = "output_dir",
                        .doc = "Folder of the run: adapter, checkpoints, record and report.",
                        .known_as = "output out_dir",
                        .form = TextForm::path,
                        .required = true},
                       in, &S::output_dir),
      field<RunConfig>({.key = "save_steps",
                        .doc = "Write a checkpoint every so many steps; 0 only at the end.",
                        .unit = "optimizer steps",
                        .known_as = "save_every_n_steps checkpointing_steps save_every",
                        .min = 0,
                        .max = 1e9},
                       in, &S::save_steps),
      field<RunConfig>({.key = "keep_checkpoints",
                        .doc = "So many of the newest checkpoints stay; 0 keeps all.",
                        .known_as = "checkpoints_total_limit save_total_limit save_last_n_steps",
                        .min = 0,
                        .max = 1e6},
                       in, &S::keep_checkpoints),
      field<RunConfig>(
          {.key = "save_dtype", .doc = "Number format of the saved adapter.", .known_as = "save_precision"},
          in, &S::save_dtype),
      field<RunConfig>({.key = "save_name",
                        .doc = "File name of the adapter, without ending.",
                        .not_set = "adapter, or model with method: full",
                        .known_as = "output_name name",
                        .form = TextForm::name},
                       in, &S::save_name),
      field<RunConfig>(
          {.key = "sample_prompts",
           .doc = "Previews: a list of prompts, or of maps with prompt, negative, width, height, steps, "
                  "cfg, seed, sampler.",
           .known_as = "prompts validation_prompts validation_prompt"},
          in, &S::sample_prompts),
      field<RunConfig>({.key = "sample_steps",
                        .doc = "Make previews every so many steps; 0 only before and after training.",
                        .unit = "optimizer steps",
                        .known_as = "sample_every_n_steps",
                        .min = 0,
                        .max = 1e9},
                       in, &S::sample_steps),
      field<RunConfig>({.key = "sample_sampler", .doc = "Sampler of previews.", .of = KeyOf::picture_task},
                       in, &S::sample_sampler),
      field<RunConfig>({.key = "sample_cfg",
                        .doc = "Guidance scale of previews.",
                        .known_as = "guidance_scale sample_guidance",
                        .min = 1,
                        .max = 50,
                        .of = KeyOf::picture_task},
                       in, &S::sample_cfg),
      field<RunConfig>({.key = "sample_count_steps",
                        .doc = "How many denoising steps a preview takes.",
                        .unit = "denoising steps",
                        .known_as = "num_inference_steps sample_num_steps",
                        .min = 1,
                        .max = 1000,
                        .of = KeyOf::picture_task},
                       in, &S::sample_count_steps),
  };
}

Table<RunConfig> machine_fields() {
  constexpr auto in = &RunConfig::machine;
  using S = MachineSection;
  return {
      field<RunConfig>(
          {.key = "device",
           .doc = "Where to train. auto is the CPU, until the CUDA kernels have been proven on a card."},
          in, &S::device),
      field<RunConfig>({.key = "threads",
                        .doc = "CPU threads; 0 means one for every core.",
                        .known_as = "num_threads cpu_threads",
                        .min = 0,
                        .max = 1024},
                       in, &S::threads),
      field<RunConfig>({.key = "memory_budget",
                        .doc = "Memory the run may take on its device, never exceeded. auto is what is free "
                               "at the start.",
                        .known_as = "memory max_memory"},
                       in, &S::memory_budget),
      field<RunConfig>(
          {.key = "recompute",
           .doc = "Compute activations again in the backward pass: less memory, more time, equal bits. auto "
                  "does "
                  "it for as many layers as memory_budget asks for, where paging would cost more.",
           .known_as = "gradient_checkpointing activation_checkpointing"},
          in, &S::recompute),
      field<RunConfig>(
          {.key = "paging",
           .doc =
               "Move activations out of the device until the backward pass needs them: to memory of the host "
               "(CUDA), then to a file. auto does it for as many layers as memory_budget asks for.",
           .known_as = "activation_offloading cpu_offload_checkpointing offload"},
          in, &S::paging),
      field<RunConfig>({.key = "weight_streaming",
                        .doc = "Keep frozen weights off the device and bring each layer's when it runs. auto "
                               "does it when the "
                               "run does not fit memory_budget otherwise.",
                        .known_as = "blocks_to_swap layer_offloading"},
                       in, &S::weight_streaming),
      field<RunConfig>(
          {.key = "page_memory",
           .doc = "Page-locked memory of the host for pages and streamed weights of a CUDA device; "
                  "what is above goes to a file. auto is half of what is free.",
           .known_as = "pinned_memory"},
          in, &S::page_memory),
      field<RunConfig>({.key = "page_dir",
                        .doc = "Folder for page files, best on a fast disk. They are removed with the run.",
                        .not_set = "output_dir",
                        .known_as = "offload_dir offload_folder",
                        .form = TextForm::path},
                       in, &S::page_dir),
      field<RunConfig>({.key = "compute_dtype",
                        .doc = "Number format of activations. auto is fp32 on a CPU and fp16 on a GPU, where "
                               "SDXL's VAE, whose "
                               "numbers pass the range of fp16, computes in bf16.",
                        .known_as = "mixed_precision precision"},
                       in, &S::compute_dtype),
  };
}

template <>
const Table<SamplePrompt>& table_of() {
  using S = SamplePrompt;
  static const Table<SamplePrompt> table = {
      field<S>({.key = "prompt", .doc = "What to draw.", .required = true}, &S::prompt),
      field<S>({.key = "negative", .doc = "What not to draw.", .known_as = "negative_prompt neg"},
               &S::negative),
      field<S>({.key = "width",
                .doc = "Width of the picture.",
                .unit = "pixels",
                .not_set = "that of resolution",
                .min = 16,
                .max = 4096,
                .multiple_of = 8},
               &S::width),
      field<S>({.key = "height",
                .doc = "Height of the picture.",
                .unit = "pixels",
                .not_set = "that of resolution",
                .min = 16,
                .max = 4096,
                .multiple_of = 8},
               &S::height),
      field<S>(
          {.key = "steps", .doc = "Denoising steps.", .not_set = "sample_count_steps", .min = 1, .max = 1000},
          &S::steps),
      field<S>({.key = "cfg",
                .doc = "Guidance scale.",
                .not_set = "sample_cfg",
                .known_as = "guidance_scale scale",
                .min = 1,
                .max = 50},
               &S::cfg),
      field<S>({.key = "seed",
                .doc = "Seed of the starting noise.",
                .not_set = "seed",
                .min = 0,
                .max = 9007199254740991.0},
               &S::seed),
      field<S>({.key = "sampler", .doc = "Sampler.", .not_set = "sample_sampler"}, &S::sampler),
  };
  return table;
}

}  // namespace rankine::config
