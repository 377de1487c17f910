#include "kernels/emulator/shadow_page.h"

#include <cstring>

namespace rankine::emulator::shadow {

Page& PageTable::add(std::uintptr_t number) {
  if (free_.empty()) {
    owned_.push_back(std::make_unique<Page>());
    free_.push_back(owned_.back().get());
  }
  Page* page = free_.back();
  free_.pop_back();
  std::memset(static_cast<void*>(page), 0, sizeof(Page));
  pages_[number] = page;
  recent_[number % kRecent] = {number, page};
  return *page;
}

void PageTable::clear() {
  for (const auto& [number, page] : pages_) free_.push_back(page);
  pages_.clear();
  for (Recent& r : recent_) r = {};
}

}  // namespace rankine::emulator::shadow
