#include "io/config/codec.h"

namespace rankine::config {
namespace {

using S = OptimSection;
constexpr auto kIn = &RunConfig::optim;

Table<RunConfig> length_fields() {
  return {
      field<RunConfig>({.key = "batch_size",
                        .doc = "Samples of one forward and backward pass.",
                        .known_as = "train_batch_size per_device_train_batch_size batch",
                        .min = 1,
                        .max = 1024},
                       kIn, &S::batch_size),
      field<RunConfig>({.key = "gradient_accumulation",
                        .doc = "Passes summed into one optimizer step.",
                        .known_as = "gradient_accumulation_steps grad_accum",
                        .min = 1,
                        .max = 4096},
                       kIn, &S::gradient_accumulation),
      field<RunConfig>({.key = "epochs",
                        .doc = "Passes over the data. Not together with max_steps.",
                        .not_set = "10, unless max_steps is set",
                        .known_as = "max_train_epochs num_train_epochs num_epochs",
                        .min = 1,
                        .max = 1e6},
                       kIn, &S::epochs),
      field<RunConfig>({.key = "max_steps",
                        .doc = "Length of the run. Not together with epochs.",
                        .unit = "optimizer steps",
                        .not_set = "given by epochs",
                        .known_as = "max_train_steps steps",
                        .min = 1,
                        .max = 1e9},
                       kIn, &S::max_steps),
      field<RunConfig>({.key = "seed",
                        .doc = "Seed of everything random in the run.",
                        .min = 0,
                        .max = 9007199254740991.0},
                       kIn, &S::seed),
  };
}

Table<RunConfig> optimizer_fields() {
  return {
      field<RunConfig>({.key = "learning_rate",
                        .doc = "Peak learning rate.",
                        .known_as = "lr unet_lr",
                        .min = 0,
                        .max = 1,
                        .above_min = true},
                       kIn, &S::learning_rate),
      field<RunConfig>({.key = "optimizer", .doc = "The optimizer.", .known_as = "optimizer_type"}, kIn,
                       &S::optimizer),
      field<RunConfig>({.key = "beta1",
                        .doc = "Decay of the mean of gradients.",
                        .known_as = "adam_beta1",
                        .min = 0,
                        .max = 1,
                        .below_max = true},
                       kIn, &S::beta1),
      field<RunConfig>({.key = "beta2",
                        .doc = "Decay of the mean of squared gradients.",
                        .known_as = "adam_beta2",
                        .min = 0,
                        .max = 1,
                        .below_max = true},
                       kIn, &S::beta2),
      field<RunConfig>({.key = "eps",
                        .doc = "Added to the denominator of the update.",
                        .known_as = "adam_epsilon epsilon",
                        .min = 0,
                        .max = 1,
                        .above_min = true},
                       kIn, &S::eps),
      field<RunConfig>({.key = "weight_decay",
                        .doc = "Decoupled weight decay.",
                        .known_as = "adam_weight_decay",
                        .min = 0,
                        .max = 10},
                       kIn, &S::weight_decay),
      field<RunConfig>({.key = "lr_scheduler",
                        .doc = "How the learning rate falls after the warm-up.",
                        .known_as = "scheduler lr_schedule lr_scheduler_type"},
                       kIn, &S::lr_scheduler),
      field<RunConfig>({.key = "lr_warmup_steps",
                        .doc = "Length of the linear rise to learning_rate.",
                        .unit = "optimizer steps, or a share of all of them",
                        .known_as = "warmup warmup_steps num_warmup_steps warmup_ratio"},
                       kIn, &S::lr_warmup_steps),
      field<RunConfig>({.key = "lr_cycles",
                        .doc = "Restarts of cosine_with_restarts.",
                        .known_as = "lr_scheduler_num_cycles",
                        .min = 1,
                        .max = 1000},
                       kIn, &S::lr_cycles),
      field<RunConfig>({.key = "lr_power",
                        .doc = "Exponent of polynomial.",
                        .known_as = "lr_scheduler_power",
                        .min = 0,
                        .max = 10,
                        .above_min = true},
                       kIn, &S::lr_power),
      field<RunConfig>({.key = "max_grad_norm",
                        .doc = "Gradients are scaled down to this norm; 0 turns it off.",
                        .known_as = "gradient_clipping clip_grad_norm",
                        .min = 0,
                        .max = 1e6},
                       kIn, &S::max_grad_norm),
      field<RunConfig>({.key = "ema_decay",
                        .doc = "Decay of a running mean of the weights, which is saved; 0 is off.",
                        .known_as = "ema",
                        .min = 0,
                        .max = 1,
                        .below_max = true},
                       kIn, &S::ema_decay),
  };
}

}  // namespace

Table<RunConfig> optim_fields() {
  Table<RunConfig> table = length_fields();
  const Table<RunConfig> rest = optimizer_fields();
  table.insert(table.end(), rest.begin(), rest.end());
  return table;
}

Table<RunConfig> objective_fields() {
  constexpr auto in = &RunConfig::objective;
  using S = ObjectiveSection;
  return {
      field<RunConfig>(
          {.key = "prediction_type",
           .doc = "What the base model predicts. auto decides by the model; set it for a model that does "
                  "not say.",
           .of = KeyOf::picture_task},
          in, &S::prediction_type),
      field<RunConfig>(
          {.key = "min_snr_gamma",
           .doc = "Weight of a timestep is min(SNR, gamma) / SNR (with v_prediction / (SNR + 1)). 5 is "
                  "usual, 0 is off.",
           .known_as = "snr_gamma",
           .min = 0,
           .max = 1000,
           .of = KeyOf::picture_task},
          in, &S::min_snr_gamma),
      field<RunConfig>(
          {.key = "noise_offset",
           .doc = "Adds so much noise that is constant over a channel, for darker and brighter pictures.",
           .min = 0,
           .max = 1,
           .of = KeyOf::picture_task},
          in, &S::noise_offset),
      field<RunConfig>({.key = "zero_terminal_snr",
                        .doc = "Rescale the noise schedule so that the last timestep is pure noise. Needs "
                               "v_prediction.",
                        .known_as = "rescale_betas_zero_snr",
                        .of = KeyOf::picture_task},
                       in, &S::zero_terminal_snr),
      field<RunConfig>({.key = "loss",
                        .doc = "Distance between prediction and target.",
                        .known_as = "loss_type",
                        .of = KeyOf::picture_task},
                       in, &S::loss),
      field<RunConfig>({.key = "huber_c",
                        .doc = "Where huber and smooth_l1 turn from square to line.",
                        .min = 0,
                        .max = 100,
                        .above_min = true,
                        .of = KeyOf::picture_task},
                       in, &S::huber_c),
      field<RunConfig>({.key = "kl_weight",
                        .doc = "Weight of the KL term of an autoencoder.",
                        .min = 0,
                        .max = 10,
                        .of = KeyOf::picture_task},
                       in, &S::kl_weight),
      field<RunConfig>({.key = "min_timestep",
                        .doc = "Smallest timestep trained on.",
                        .min = 0,
                        .max = 999,
                        .of = KeyOf::picture_task},
                       in, &S::min_timestep),
      field<RunConfig>({.key = "max_timestep",
                        .doc = "Timesteps trained on are smaller than this.",
                        .min = 1,
                        .max = 1000,
                        .of = KeyOf::picture_task},
                       in, &S::max_timestep),
  };
}

}  // namespace rankine::config
