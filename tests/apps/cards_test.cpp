// The table of cards, and what is measured of this machine.
#include "apps/rankine/cards.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "apps/rankine/disk_rate.h"
#include "engine/core/error.h"

namespace rankine::app {
namespace {
namespace fs = std::filesystem;

TEST(Cards, TheTableIsWholeAndNothingBeatsItsDataSheet) {
  ASSERT_EQ(cards().size(), 3U);
  for (const CardSpec& spec : cards()) {
    const Card& card = spec.card;
    EXPECT_EQ(card.kind, DeviceKind::cuda) << card.name;
    EXPECT_GE(spec.usable(), std::size_t{22} << 30) << card.name;
    EXPECT_LT(spec.usable(), card.memory) << card.name;
    EXPECT_GT(card.flops_per_second, 0.7 * spec.peak_flops_per_second) << card.name;
    EXPECT_LT(card.flops_per_second, spec.peak_flops_per_second) << card.name;
    EXPECT_GT(card.bytes_per_second, 0.7 * spec.peak_bytes_per_second) << card.name;
    EXPECT_LT(card.bytes_per_second, spec.peak_bytes_per_second) << card.name;
    EXPECT_GT(card.link_bytes_per_second, card.file_bytes_per_second) << card.name;
    EXPECT_GT(card.launch_seconds, 0) << card.name;
    EXPECT_FALSE(card.source.empty()) << card.name;
    EXPECT_EQ(card_for(card.name).card.memory, card.memory);
  }
}

TEST(Cards, ADriversNameFindsItsCardAndNoOther) {
  ASSERT_NE(card_called("NVIDIA GeForce RTX 4090"), nullptr);
  EXPECT_EQ(card_called("NVIDIA GeForce RTX 4090")->card.name, "rtx4090");
  EXPECT_EQ(card_called("NVIDIA H200")->card.name, "h200");
  EXPECT_EQ(card_called("NVIDIA GeForce RTX 4090 Laptop GPU"), nullptr);
  EXPECT_EQ(card_called("NVIDIA GeForce RTX 3090 Ti"), nullptr);
}

TEST(Cards, AFileStandsForACard) {
  const fs::path file = fs::path(testing::TempDir()) / "rankine_cards_test.yaml";
  std::ofstream(file) << "memory: 8GiB\nflops_per_second: 1e13\nbytes_per_second: 2e11\n"
                         "link_bytes_per_second: 1e10\nfile_bytes_per_second: 1e9\n";
  EXPECT_EQ(card_for(file.string()).card.memory, std::size_t{8} << 30);
  EXPECT_THROW(card_for("./no_such_card.yaml"), IoError);
  try {
    card_for("rtx409");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean rtx4090"), std::string::npos) << e.what();
  }
}

TEST(Cards, TheDiskIsMeasuredWhereARunWouldWriteAndNothingStays) {
  const fs::path folder = fs::path(testing::TempDir()) / "rankine_disk_test";
  fs::remove_all(folder);
  fs::create_directories(folder);
  EXPECT_GT(disk_rate(folder / "not" / "there" / "yet"), 1e3);
  EXPECT_TRUE(fs::is_empty(folder));
  fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
  std::ofstream probe(folder / "probe");
  if (!probe.good()) EXPECT_THROW(disk_rate(folder), IoError);  // root may write all the same
  fs::permissions(folder, fs::perms::owner_all);
}

TEST(Cards, ThisMachineIsMeasured) {
  const CardSpec spec = measure_cpu(2, testing::TempDir());
  EXPECT_EQ(spec.card.kind, DeviceKind::cpu);
  EXPECT_GT(spec.card.flops_per_second, 1e6);
  EXPECT_GT(spec.card.bytes_per_second, 1e6);
  EXPECT_GT(spec.card.file_bytes_per_second, 1e3);
  EXPECT_EQ(spec.peak_flops_per_second, spec.card.flops_per_second);
  EXPECT_GT(spec.usable(), 0U);
  EXPECT_LT(spec.usable(), spec.card.memory);
}

}  // namespace
}  // namespace rankine::app
