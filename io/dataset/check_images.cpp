#include <algorithm>
#include <atomic>
#include <map>
#include <stdexcept>
#include <thread>

#include "engine/core/error.h"
#include "io/dataset/dataset.h"
#include "io/dataset/folder_scan.h"
#include "io/files/sha256.h"
#include "io/image/decode.h"

namespace rankine {

namespace {

struct Finding {
  ImageSize size;
  std::string sha256;  // empty unless fully decoded
  std::vector<Problem> fault;
};

Finding examine(const std::filesystem::path& path, bool full_decode) {
  Finding finding;
  try {
    if (full_decode) {
      const std::vector<std::byte> bytes = read_image_file(path);
      finding.size = decode_image(bytes, path.string()).size();
      finding.sha256 = sha256_hex(bytes);
    } else {
      finding.size = probe_image(path);
    }
  } catch (const std::exception& fault) {
    finding.fault.push_back(problem_of(fault, path.string()));
  }
  return finding;
}

}  // namespace

void check_images(Dataset& dataset, const CheckOptions& options) {
  require<std::invalid_argument>(options.threads >= 1, "check_images: threads ", options.threads);
  std::vector<Finding> findings(dataset.samples.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < findings.size(); i = next++) {
      findings[i] = examine(dataset.samples[i].image, options.full_decode);
    }
  };
  std::vector<std::thread> helpers;
  for (int t = 1; t < options.threads; ++t) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();

  std::vector<Sample> readable;
  std::map<std::string, std::string> first_with;  // hash -> id
  for (std::size_t i = 0; i < findings.size(); ++i) {
    Sample& sample = dataset.samples[i];
    const Finding& finding = findings[i];
    dataset.problems.insert(dataset.problems.end(), finding.fault.begin(), finding.fault.end());
    if (!finding.fault.empty()) continue;
    sample.size = finding.size;
    if (!finding.sha256.empty() && !sample.regularisation) {
      const auto [first, is_new] = first_with.emplace(finding.sha256, sample.id);
      if (!is_new) {
        dataset.problems.push_back({Severity::warning, sample.image.string(), 0,
                                    "is the same picture, byte for byte, as " + first->second});
      }
    }
    readable.push_back(std::move(sample));
  }
  dataset.samples = std::move(readable);
}

}  // namespace rankine
