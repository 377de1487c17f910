// Cards described in YAML: what is read, and that every mistake is named with its place.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/config/card_file.h"
#include "io/config/problems.h"

namespace rankine::config {
namespace {

constexpr const char* kCard =
    "name: my card\n"
    "memory: 16GiB\n"
    "reserved_memory: 512MiB\n"
    "flops_per_second: 80e12\n"
    "bytes_per_second: 400e9\n"
    "link_bytes_per_second: 12.5e9\n"
    "file_bytes_per_second: 2e9\n"
    "launch_seconds: 3e-6\n"
    "peak_flops_per_second: 100e12\n"
    "source: a bench\n";

std::vector<ConfigProblem> problems_of(const std::string& yaml) {
  try {
    parse_card(yaml, "c.yaml");
  } catch (const InvalidRunConfig& e) {
    return e.problems();
  }
  return {};
}

// The card above with one line in place of another.
std::string with(const std::string& line, const std::string& other) {
  std::string text = kCard;
  const std::size_t at = text.find(line);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, line.size(), other);
}

TEST(CardFile, EveryFieldIsRead) {
  const CardSpec spec = parse_card(kCard, "c.yaml");
  EXPECT_EQ(spec.card.name, "my card");
  EXPECT_EQ(spec.card.kind, DeviceKind::cuda);
  EXPECT_EQ(spec.card.memory, std::size_t{16} << 30);
  EXPECT_EQ(spec.usable(), (std::size_t{16} << 30) - (std::size_t{512} << 20));
  EXPECT_EQ(spec.card.flops_per_second, 80e12);
  EXPECT_EQ(spec.card.bytes_per_second, 400e9);
  EXPECT_EQ(spec.card.link_bytes_per_second, 12.5e9);
  EXPECT_EQ(spec.card.file_bytes_per_second, 2e9);
  EXPECT_EQ(spec.card.launch_seconds, 3e-6);
  EXPECT_EQ(spec.peak_flops_per_second, 100e12);
  EXPECT_EQ(spec.peak_bytes_per_second, 400e9);  // not given: the sustained one
  EXPECT_EQ(spec.card.source, "a bench");
  EXPECT_EQ(parse_card(with("name: my card\n", "kind: cpu\n"), "dir/box.yaml").card.name, "box");
  EXPECT_EQ(parse_card(with("name: my card\n", "kind: cpu\n"), "c").card.kind, DeviceKind::cpu);
}

TEST(CardFile, AllProblemsComeAtOnceWithTheirPlaces) {
  const auto found = problems_of("memory: 24\nflops_per_secnd: 1e12\nbytes_per_second: -1\nkind: gpu\n");
  std::vector<std::string> wheres;
  for (const ConfigProblem& p : found) wheres.push_back(p.where + " " + p.key);
  const std::vector<std::string> expected{
      "c.yaml flops_per_second", "c.yaml link_bytes_per_second", "c.yaml file_bytes_per_second",
      "c.yaml:1:9 memory",       "c.yaml:2:1 flops_per_secnd",   "c.yaml:3:19 bytes_per_second",
      "c.yaml:4:7 kind"};
  EXPECT_EQ(wheres, expected);
  EXPECT_NE(found[4].message.find("did you mean flops_per_second"), std::string::npos) << found[4].message;
}

TEST(CardFile, NumbersThatCannotBeAreRefused) {
  EXPECT_EQ(problems_of(with("memory: 16GiB", "memory: auto")).size(), 1U);
  EXPECT_EQ(problems_of(with("memory: 16GiB", "memory:")).size(), 1U);
  EXPECT_EQ(problems_of(with("reserved_memory: 512MiB", "reserved_memory: 16GiB")).at(0).where, "c.yaml:3:1");
  EXPECT_EQ(problems_of(with("flops_per_second: 80e12", "flops_per_second: 0")).size(), 1U);
  EXPECT_EQ(problems_of(with("flops_per_second: 80e12", "flops_per_second: .inf")).size(), 1U);
  EXPECT_EQ(problems_of(with("launch_seconds: 3e-6", "launch_seconds: 2")).at(0).where, "c.yaml:8:17");
  EXPECT_EQ(problems_of(with("peak_flops_per_second: 100e12", "peak_flops_per_second: 10e12")).size(), 1U);
  EXPECT_EQ(problems_of("[1, 2]").at(0).where, "c.yaml");
  EXPECT_GE(problems_of("").size(), 5U);
}

TEST(CardFile, FilesAreNamed) {
  const auto folder = std::filesystem::path(testing::TempDir());
  std::ofstream(folder / "card_of_test.yaml") << with("name: my card\n", "");
  EXPECT_EQ(load_card(folder / "card_of_test.yaml").card.name, "card_of_test");
  EXPECT_THROW(load_card(folder / "no such.yaml"), IoError);
  EXPECT_THROW(load_card(folder), IoError);
}

}  // namespace
}  // namespace rankine::config
