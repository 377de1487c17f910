#include "io/config/run_config.h"

#include "fuzz/fuzz.h"

void rankine::fuzz::read(Bytes input) {
  const RunConfig config = parse_run_config(text_of(input), "f");
  const RunConfig again = parse_run_config(config::to_yaml(config), "g");
  RunConfig expected = config;
  expected.model.preset = again.model.preset;  // written as a comment
  expect(again == expected, "another configuration after writing and reading");
}

std::vector<std::string> rankine::fuzz::seeds() {
  return {"base_model: m\ntrain_data_dir: d\noutput_dir: o\nlearning_rate: 2e-4\nresolution: [768, 512]\n",
          "preset: sd15-style\nbase_model: &a ./m\nvae: *a\ntrain_data_dir: d\noutput_dir: o\nflip: true\n"
          "sample_prompts:\n  - a cat\n  - {prompt: \"b \\u00e9\", seed: 3}\n  - |\n    block\n    text\n",
          "method: full\nnew_model:\n  unet:\n    channel_mult: [1, 2]\n  vae: {channels: "
          "64}\ntrain_data_dir: 'd'\n"
          "output_dir: >-\n  folded\n  text\nmemory_budget: 1.5GiB\ndevice: cuda:0\nlr_warmup_steps: 0.1\n",
          "? base_model\n: m\n%YAML 1.2\n---\ntrain_data_dir: !!str d\n<<: *x\n...\n# comment\n\toutput_dir: "
          "o\n"};
}
