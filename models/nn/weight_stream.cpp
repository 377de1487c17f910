#include "models/nn/weight_stream.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"
#include "engine/tape/step_memory.h"

namespace rankine {
namespace {

// The value of a weight with another storage, or none.
void put_storage(Weight& w, std::shared_ptr<Block> block) {
  Tensor value = w.value();
  value.put_storage(std::move(block));
  w.set_value(std::move(value));
}

}  // namespace

// Units, and which one each matrix belongs to.
class PagedWeightStream::Lister final : public ModelVisitor {
 public:
  explicit Lister(PagedWeightStream& stream) : stream_(stream) {}
  void begin_unit(const void* owner, const std::string& path) override {
    inside_ = true;
    stream_.unit_of_[owner] = static_cast<int>(stream_.units_.size());
    stream_.units_.push_back({path, false, {}});
  }
  void end_unit() override { inside_ = false; }
  void weight(Weight& w) override {
    if (inside_ && w.kind() == WeightKind::matrix)
      stream_.unit_of_[&w] = static_cast<int>(stream_.units_.size()) - 1;
  }

 private:
  PagedWeightStream& stream_;
  bool inside_ = false;
};

PagedWeightStream::PagedWeightStream(Runtime& runtime, const std::function<void(ModelVisitor&)>& visit,
                                     const WeightStreaming& streaming)
    : runtime_(runtime) {
  Lister lister(*this);
  visit(lister);
  const auto all = static_cast<int>(units_.size());
  require<ConfigError>(streaming.units >= 0 && streaming.units <= all, "weight streaming: the model has ",
                       all, " units, of which ", streaming.units, " cannot be streamed");
  if (streaming.units == 0) return;
  if (runtime.weight_stream())
    throw std::logic_error("weight streaming: this runtime streams the weights of another model");
  for (int i = 0; i < all; ++i) units_[i].streamed = is_streamed(i, all, streaming.units);
  pages_ = std::make_shared<PageStore>(runtime, streaming.limits, *streaming.calls);
  runtime.stream_weights(this);
}

PagedWeightStream::~PagedWeightStream() {
  if (runtime_.weight_stream() == this) runtime_.stream_weights(nullptr);
}

void PagedWeightStream::loaded(Weight& w) {
  const auto found = unit_of_.find(&w);
  if (found == unit_of_.end() || w.trained() || w.value().storage()->account() != Account::weights) return;
  any_streamable_ = true;
  Unit& unit = units_[found->second];
  if (!unit.streamed) return;
  std::erase_if(unit.pages, [&](const Page& p) { return p.weight == &w; });  // loaded once more
  PageStore::PagePtr page = pages_->write(w.value().shared_storage());
  pages_->finish_write(*page);
  put_storage(w, nullptr);
  unit.pages.push_back({&w, std::move(page), nullptr});
}

int PagedWeightStream::neighbour(int unit, Direction direction) const {
  const int step = direction == Direction::forward ? 1 : -1;
  for (int i = unit + step; i >= 0 && i < static_cast<int>(units_.size()); i += step) {
    if (!units_[i].pages.empty()) return i;
  }
  return -1;
}

void PagedWeightStream::need(const void* reader, Direction direction) {
  const auto found = unit_of_.find(reader);
  if (found == unit_of_.end() || units_[found->second].pages.empty()) return;
  const int unit = found->second, next = neighbour(unit, direction);
  if (passes_ == 0)
    throw std::logic_error("weight streaming: " + units_[unit].path + " runs outside a WeightPass");
  std::erase_if(here_, [&](int other) {
    if (other == unit || other == next) return false;
    drop(other);
    return true;
  });
  start(unit);
  arrive(unit);
  if (next >= 0) start(next);
}

void PagedWeightStream::start(int unit) {
  if (std::find(here_.begin(), here_.end(), unit) != here_.end()) return;
  here_.push_back(unit);
  for (Page& p : units_[unit].pages) {
    p.arriving = runtime_.memory().allocate(p.page->bytes(), Account::streamed, p.weight->path());
    pages_->read(*p.page, p.arriving);
  }
}

void PagedWeightStream::arrive(int unit) {
  for (Page& p : units_[unit].pages) {
    if (!p.arriving) continue;
    const std::shared_ptr<Block> block = std::move(p.arriving);
    pages_->finish_read(*p.page);
    put_storage(*p.weight, block);
  }
}

// An error of a read that nobody came to need is nobody's; on CUDA the store keeps it.
void PagedWeightStream::drop(int unit) noexcept {
  for (Page& p : units_[unit].pages) {
    put_storage(*p.weight, nullptr);
    if (!std::exchange(p.arriving, nullptr)) continue;
    try {
      pages_->finish_read(*p.page);
    } catch (const std::exception&) {
      continue;
    }
  }
}

void PagedWeightStream::end_pass() noexcept {
  if (--passes_ > 0) return;
  for (const int unit : here_) drop(unit);
  here_.clear();
}

}  // namespace rankine
