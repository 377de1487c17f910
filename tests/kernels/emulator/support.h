// Running small kernels on the emulator and looking at what it reports.
#pragma once

#include <cuda_runtime.h>
#include <emulator.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace rankine::testing_support {

// An allocation of the emulated device, each with ground around it that kernels must not touch.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t n) : n_(n) {
    void* p = nullptr;
    if (cudaMalloc(&p, n * sizeof(T)) != cudaSuccess) throw std::bad_alloc();
    p_ = static_cast<T*>(p);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    std::memcpy(static_cast<void*>(p_), values.data(), values.size() * sizeof(T));
  }
  ~DeviceArray() { cudaFree(p_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return p_; }
  std::vector<T> values() const { return std::vector<T>(p_, p_ + n_); }

 private:
  T* p_ = nullptr;
  std::size_t n_;
};

struct Extent {
  dim3 grid = 1, block = 32;
  std::size_t shared_bytes = 0;
};

template <class Body>
void run(const char* name, const Extent& e, Body&& body, const char* file = __builtin_FILE(),
         int line = __builtin_LINE()) {
  emulator::launch({name, nullptr, file, line, e.grid, e.block, e.shared_bytes}, body);
}

// Whether loads and stores of this build's kernels are seen.
inline bool accesses_are_seen() {
  DeviceArray<int> x(1);
  int* p = x.data();
  run("probe", {1, 1}, [p] { *static_cast<volatile int*>(p) = 1; });
  return emulator::instrumented();
}

// What the emulator says of the kernel, "" if nothing.
template <class Launch>
std::string fault_of(Launch&& launch) {
  try {
    launch();
  } catch (const emulator::Fault& fault) {
    cudaGetLastError();
    return fault.what();
  }
  return {};
}

// "file.cu:41" of the line of the test's source that ends with the comment "// <mark>".
inline std::string line_marked(std::string_view mark, const char* file = __builtin_FILE()) {
  const std::string path = file, ending = "// " + std::string(mark);
  std::ifstream source(std::string(RANKINE_SOURCE_DIR "/") + path.substr(path.rfind("tests/kernels/")));
  std::string text;
  for (int line = 1; std::getline(source, text); ++line) {
    if (text.ends_with(ending)) return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
  }
  ADD_FAILURE() << "no line of " << file << " is marked " << mark;
  return "?";
}

// Seeds of the orders in which tests run their kernels; 0 is the natural one.
inline constexpr std::uint64_t kSeeds[] = {0, 1, 2, 3, 4, 5, 6, 7};

// `launch` is reported under every order, as `kind` (what the message begins with) and naming all `marks`.
template <class Launch>
void expect_fault(std::string_view kind, std::vector<std::string_view> marks, Launch&& launch,
                  const char* file = __builtin_FILE()) {
  for (const std::uint64_t seed : kSeeds) {
    emulator::set_seed(seed);
    const std::string fault = fault_of(launch);
    EXPECT_TRUE(fault.starts_with(kind))
        << "expected " << kind << " under seed " << seed << ", got: " << fault;
    for (const std::string_view mark : marks) {
      const std::string line = line_marked(mark, file);
      const std::size_t at = fault.find(line);
      const bool whole =
          at != std::string::npos && !std::isdigit(static_cast<unsigned char>(fault[at + line.size()]));
      EXPECT_TRUE(whole) << "seed " << seed << ", not named: " << line << " (" << mark << ") in: " << fault;
    }
  }
  emulator::set_seed(1);
}
template <class Launch>
void expect_none(Launch&& launch) {
  for (const std::uint64_t seed : kSeeds) {
    emulator::set_seed(seed);
    EXPECT_EQ(fault_of(launch), "") << "seed " << seed;
  }
  emulator::set_seed(1);
}

// For tests of what only instrumented builds can see.
#define RANKINE_REQUIRE_ACCESSES()                    \
  if (!rankine::testing_support::accesses_are_seen()) \
  GTEST_SKIP() << "NOT CHECKED: this build does not report loads and stores; the sanitizers preset does"

}  // namespace rankine::testing_support
