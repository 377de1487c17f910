// The smallest run there is: four made-up pictures and a model that is trained from nothing.
#pragma once

#include <filesystem>
#include <string>

namespace rankine {

class TinyRun {
 public:
  // A fresh folder under the test's temporary directory with pictures/ and run.yaml; output goes to out/.
  explicit TinyRun(const std::string& name, int max_steps = 4);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path out() const { return root_ / "out"; }
  std::filesystem::path pictures() const { return root_ / "pictures"; }
  std::string config() const { return (root_ / "run.yaml").string(); }

  // A LoRA run on `base`, with the same pictures; output goes to lora/.
  std::string lora_config(const std::filesystem::path& base, int max_steps) const;

 private:
  std::filesystem::path root_;
};

}  // namespace rankine
