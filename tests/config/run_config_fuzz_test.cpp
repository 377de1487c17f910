// Broken run files: whatever the bytes, the reader returns or throws ConfigError, and nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "io/config/run_config.h"

namespace rankine::config {
namespace {

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> all = {
      "base_model: m\ntrain_data_dir: d\noutput_dir: o\nlearning_rate: 2e-4\nresolution: [768, 512]\n",
      "preset: sd15-style\nbase_model: &a ./m\nvae: *a\ntrain_data_dir: d\noutput_dir: o\nflip: true\n"
      "sample_prompts:\n  - a cat\n  - {prompt: \"b \\u00e9\", seed: 3}\n  - |\n    block\n    text\n",
      "method: full\nnew_model:\n  unet:\n    channel_mult: [1, 2]\n  vae: {channels: 64}\ntrain_data_dir: "
      "'d'\n"
      "output_dir: >-\n  folded\n  text\nmemory_budget: 1.5GiB\ndevice: cuda:0\nlr_warmup_steps: 0.1\n",
      "? base_model\n: m\n%YAML 1.2\n---\ntrain_data_dir: !!str d\n<<: *x\n...\n# comment\n\toutput_dir: o\n",
  };
  return all;
}

// Pieces that mean something to YAML or to the reader.
const std::vector<std::string>& pieces() {
  static const std::vector<std::string> all = {": ",
                                               "\n",
                                               "- ",
                                               "[",
                                               "]",
                                               "{",
                                               "}",
                                               "&a ",
                                               "*a ",
                                               "!!int ",
                                               "!",
                                               "|",
                                               ">",
                                               "|+9\n",
                                               "%YAML 9.9\n",
                                               "---\n",
                                               "...\n",
                                               "? ",
                                               "<<: ",
                                               "#",
                                               "'",
                                               "\"",
                                               "\\x",
                                               "\\U0010FFFF",
                                               "\t",
                                               "\r\n",
                                               "~",
                                               "null",
                                               "nan",
                                               ".inf",
                                               "1e999",
                                               "-1",
                                               "99999999999999999999",
                                               "true",
                                               "0x10",
                                               "lora_rank",
                                               "resolution: ",
                                               "sample_prompts: ",
                                               "new_model: ",
                                               "\xEF\xBB\xBF",
                                               "\xFF\xFE",
                                               "\xC3",
                                               "\xE2\x80\xA8",
                                               std::string(1, '\0'),
                                               "  ",
                                               "              ",
                                               ","};
  return all;
}

std::string mutate(std::string text, std::mt19937& random) {
  const auto below = [&random](std::size_t n) {
    return static_cast<std::size_t>(random() % std::max<std::size_t>(n, 1));
  };
  const std::size_t changes = 1 + below(6);
  for (std::size_t i = 0; i < changes; ++i) {
    const std::size_t at = below(text.size() + 1);
    switch (below(6)) {
      case 0:
        text.insert(at, pieces()[below(pieces().size())]);
        break;
      case 1:
        text.erase(at, 1 + below(8));
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random() & 0xFFU);
        break;
      case 3:
        text.resize(at);
        break;
      case 4:
        text.insert(at, text.substr(below(text.size()), below(40)));
        break;
      default: {
        const std::string& piece = pieces()[below(pieces().size())];
        for (std::size_t k = 1 + below(40); k > 0; --k) text.insert(at, piece);
      }
    }
  }
  return text;
}

TEST(RunConfigFuzzTest, OnlyConfigErrorsComeOut) {
  std::mt19937 random(20240229);
  int good = 0;
  int bad = 0;
  for (int round = 0; round < 8000; ++round) {
    const std::string text = mutate(seeds()[static_cast<std::size_t>(round) % seeds().size()], random);
    try {
      const RunConfig config = parse_run_config(text, "fuzz.yaml");
      parse_run_config(to_yaml(config), "echo.yaml");  // what was accepted can be echoed
      ++good;
    } catch (const ConfigError& e) {
      ++bad;
      EXPECT_STRNE(e.what(), "");
    } catch (const std::exception& e) {
      FAIL() << "round " << round << ": " << e.what() << "\n" << text;
    }
  }
  EXPECT_GT(good, 50);  // the mutations are not all hopeless
  EXPECT_GT(bad, 1000);
}

TEST(RunConfigFuzzTest, OverridesAreAsSafe) {
  std::mt19937 random(7);
  const std::vector<std::string> starts = {"lora_rank=8", "resolution=[512,512]",
                                           "sample_prompts=[a, {prompt: b}]",
                                           "new_model.unet.channel_mult=[1,2]", "caption_prefix=x"};
  for (int round = 0; round < 4000; ++round) {
    const std::string text = mutate(starts[static_cast<std::size_t>(round) % starts.size()], random);
    try {
      parse_run_config("base_model: m\ntrain_data_dir: d\noutput_dir: o\n", "fuzz.yaml", {text});
    } catch (const ConfigError&) {
    } catch (const std::exception& e) {
      FAIL() << "round " << round << ": " << e.what() << "\n" << text;
    }
  }
}

}  // namespace
}  // namespace rankine::config
