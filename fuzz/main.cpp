// The frame around each target: libFuzzer calls the function below, and `--write-seeds FOLDER` writes the
// seeds.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc != 3 || std::strcmp((*argv)[1], "--write-seeds") != 0) return 0;
  const std::filesystem::path folder = (*argv)[2];
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const std::string& seed : rankine::fuzz::seeds()) {
    std::ofstream out(folder / ("seed-" + std::to_string(number++)), std::ios::binary);
    if (!(out << seed)) {
      std::cerr << folder << ": cannot be written\n";
      std::exit(1);
    }
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    rankine::fuzz::read(std::as_bytes(std::span(data, size)));
  } catch (const rankine::DataError&) {
  } catch (const rankine::ConfigError&) {
  }
  return 0;
}
