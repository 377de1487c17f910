// Training, sampling and looking at what came of it, end to end on a model made for the test.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/formats/safetensors.h"
#include "io/image/decode.h"
#include "tests/apps/process.h"
#include "tests/apps/tiny_run.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using nlohmann::json;

class CliTrain : public testing::Test {
 protected:
  Finished run(const std::vector<std::string>& args) const { return rankine_run(args, tiny_.root()); }
  // The pictures of a folder that `sample` filled, in order.
  static std::vector<Image> drawn(const std::string& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<Image> images;
    for (const fs::path& file : files) images.push_back(decode_image(file));
    return images;
  }

  TinyRun tiny_{std::string("train_") + testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(CliTrain, ARunLeavesItsWholeRecord) {
  const Finished f = run({"train", tiny_.config(), "--json"});
  ASSERT_EQ(f.code, 0) << f.err;
  const json result = json::parse(f.out);
  EXPECT_EQ(result["outcome"], "finished");
  EXPECT_EQ(result["steps"], 4);
  EXPECT_EQ(result["planned_peak_bytes"], result["measured_peak_bytes"]) << "the forecast is the program";
  EXPECT_EQ(result["result"], (tiny_.out() / "model.safetensors").string());
  for (const char* part :
       {"model.safetensors", "config.yaml", "metrics.jsonl", "run.json", "report.html",
        "checkpoints/step-000004/commit.json", "samples/step-000000-1.png", "samples/step-000004-2.png"}) {
    EXPECT_TRUE(fs::exists(tiny_.out() / part)) << part;
  }
  const std::string metrics = file_text(tiny_.out() / "metrics.jsonl");
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 4);
  const Image grid = decode_image(tiny_.out() / "samples/grid.png");
  EXPECT_GT(grid.width, 3 * 192);  // prompt, before, after
  EXPECT_GT(grid.height, 2 * 192);
  const std::string report = file_text(tiny_.out() / "report.html");
  EXPECT_NE(report.find("a blue circle"), std::string::npos);
  EXPECT_NE(report.find("Peak memory"), std::string::npos);

  fs::remove(tiny_.out() / "report.html");
  EXPECT_EQ(run({"report", tiny_.out().string()}).code, 0);
  EXPECT_EQ(file_text(tiny_.out() / "report.html"), report) << "the same report from the files alone";

  EXPECT_EQ(run({"train", tiny_.config()}).code, 2) << "an earlier run is not overwritten unasked";
  EXPECT_EQ(run({"train", tiny_.config(), "--overwrite", "--set", "max_steps=1"}).code, 0);
  EXPECT_FALSE(fs::exists(tiny_.out() / "checkpoints/step-000004"));
}

TEST_F(CliTrain, TheForecastKnowsPicturesThatAreEncodedInSteps) {
  // Encoding is the peak of the first, a step with the next pictures beside it that of the second.
  for (const char* recompute : {"recompute=always", "recompute=never"}) {
    const Finished f = run({"train", tiny_.config(), "--json", "--overwrite", "--set", "cache_latents=false",
                            "--set", "random_crop=true", "--set", recompute});
    ASSERT_EQ(f.code, 0) << f.err;
    const json result = json::parse(f.out);
    EXPECT_EQ(result["planned_peak_bytes"], result["measured_peak_bytes"]) << recompute;
  }
}

TEST_F(CliTrain, AnAdapterIsTrainedInspectedAndSampled) {
  ASSERT_EQ(run({"train", tiny_.config(), "--set", "max_steps=1"}).code, 0);
  const fs::path base = tiny_.out() / "model.safetensors";
  const std::string config = tiny_.lora_config(base, 3);
  ASSERT_EQ(run({"cache", config}).code, 0);
  EXPECT_FALSE(fs::is_empty(tiny_.root() / "lora/cache"));
  const Finished trained = run({"train", config, "--set", "learning_rate=0.5"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string adapter = (tiny_.root() / "lora/adapter.safetensors").string();
  EXPECT_EQ(trained.out, adapter + "\n");

  const json file = json::parse(run({"inspect", adapter, "--json"}).out);
  EXPECT_EQ(file["kind"], "lora adapter");
  ASSERT_EQ(file["ranks"].size(), 1U);
  EXPECT_EQ(file["ranks"]["4"], file["unet_modules"]);
  EXPECT_EQ(file["metadata"]["ss_network_dim"], "4");
  const json model = json::parse(run({"inspect", base.string(), "--json"}).out);
  EXPECT_EQ(model["kind"], "stable diffusion model");
  EXPECT_EQ(model["components"]["vae"]["downscale"], 2);
  const json checkpoint =
      json::parse(run({"inspect", (tiny_.root() / "lora/checkpoints/step-000003").string(), "--json"}).out);
  EXPECT_EQ(checkpoint["step"], 3);

  const auto draw = [&](const std::string& folder, const std::vector<std::string>& more) {
    std::vector<std::string> args{"sample",  config, "--seed", "5",
                                  "--steps", "3",    "--out",  (tiny_.root() / folder).string()};
    args.insert(args.end(), more.begin(), more.end());
    const Finished f = run(args);
    EXPECT_EQ(f.code, 0) << f.err;
    return drawn((tiny_.root() / folder).string());
  };
  const auto with = draw("with", {"--grid", (tiny_.root() / "grid.png").string()});
  const auto without = draw("without", {"--lora", "none"});
  const auto at_zero = draw("zero", {"--lora", adapter, "--strength", "0"});
  ASSERT_EQ(with.size(), 2U);  // the run's own prompts
  EXPECT_NE(with[0].rgb, without[0].rgb);
  EXPECT_EQ(at_zero[0].rgb, without[0].rgb);
  EXPECT_EQ(at_zero[1].rgb, without[1].rgb);
  EXPECT_EQ(with[0].size(), (ImageSize{32, 32}));
  EXPECT_TRUE(fs::exists(tiny_.root() / "grid.png"));
  const std::string png = file_text(fs::directory_iterator(tiny_.root() / "with")->path());
  EXPECT_NE(png.find("Steps: 3, Sampler: Euler"), std::string::npos);
  EXPECT_NE(png.find("Lora: adapter.safetensors"), std::string::npos);
}

TEST_F(CliTrain, SamplesAreScoredAgainstTheirPrompts) {
  ASSERT_EQ(run({"train", tiny_.config(), "--set", "max_steps=1"}).code, 0);
  const std::string prompts = (tiny_.root() / "prompts.txt").string();
  std::ofstream(prompts) << "a red square\n\na blue circle\na green star\n";
  const std::string out = (tiny_.root() / "drawn").string();
  const Finished sampled =
      run({"sample", "--model", (tiny_.out() / "model.safetensors").string(), "--prompts", prompts, "--size",
           "32x64", "--steps", "1", "--out", out, "--json"});
  ASSERT_EQ(sampled.code, 0) << sampled.err;
  EXPECT_EQ(json::parse(sampled.out).size(), 3U);
  const json score = json::parse(run({"score", out, "--prompts", prompts, "--json"}).out);
  EXPECT_EQ(score["pictures"], 3);
  double sum = 0;
  for (const json& one : score["each"]) sum += one["style_probability"].get<double>();
  EXPECT_NEAR(score["mean_probability"], sum / 3, 1e-12);
  std::ofstream(prompts) << "only one\n";
  EXPECT_EQ(run({"score", out, "--prompts", prompts}).code, 3);
}

TEST_F(CliTrain, ANotFiniteModelDivergesWithItsOwnExitCode) {
  ASSERT_EQ(run({"train", tiny_.config(), "--set", "max_steps=1"}).code, 0);
  const fs::path base = tiny_.out() / "model.safetensors";
  std::string bytes = file_text(base);
  {
    const SafetensorsFile file(base);
    const TensorInfo& bias = file.at("model.diffusion_model.out.2.bias");
    const std::size_t at = static_cast<std::size_t>(bias.bytes.data() - file.payload().data()) +
                           bytes.size() - file.payload().size();
    std::memset(bytes.data() + at, 0xFF, bias.bytes.size());  // all ones: not a number
  }
  std::ofstream(base, std::ios::binary) << bytes;
  const Finished f = run({"train", tiny_.lora_config(base, 40)});
  EXPECT_EQ(f.code, 4) << f.err;
  EXPECT_NE(f.err.find("diverged at step 25"), std::string::npos) << f.err;
  EXPECT_EQ(json::parse(file_text(tiny_.root() / "lora/run.json"))["outcome"], "failed");
}

TEST_F(CliTrain, AnAutoencoderIsTrainedAsAModel) {
  const Finished f = run({"train", tiny_.config(), "--set", "task_type=autoencoder", "--set", "max_steps=2"});
  ASSERT_EQ(f.code, 0) << f.err;
  const json facts = json::parse(file_text(tiny_.out() / "run.json"));
  EXPECT_GT(facts["planned_peak_bytes"], 0);
  EXPECT_TRUE(fs::exists(tiny_.out() / "samples/step-000002-reconstructions.png"));
  EXPECT_EQ(
      json::parse(run({"inspect", (tiny_.out() / "model.safetensors").string(), "--json"}).out)["family"],
      "sd_v1");
}

}  // namespace
}  // namespace rankine
