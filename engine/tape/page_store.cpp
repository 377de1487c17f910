#include "engine/tape/page_store.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"
#include "engine/tape/page_copies.h"

namespace rankine {
namespace {

// Pages of a file start where those of the system do: a write that covers whole ones reads nothing first.
constexpr std::size_t kFilePage = 4096;

std::size_t in_file_pages(std::size_t bytes) {
  return std::max<std::size_t>(1, (bytes + kFilePage - 1) / kFilePage) * kFilePage;
}

// Otherwise it is of a tape.
bool of_weights(const Block& block) {
  return block.account() == Account::weights || block.account() == Account::streamed;
}

}  // namespace

PageStore::PageStore(Runtime& runtime, const Limits& limits, FileCalls& calls)
    : runtime_(runtime), limits_(limits) {
  const Device device = runtime.device();
  if (!device.is_cuda()) limits_.host_bytes = 0;
  if (device.plan) return;
  if (limits_.host_bytes == kUnlimited || limits_.file_bytes == kUnlimited)
    throw std::logic_error("PageStore: the sizes of tiers on " + device.to_string() + " come from a plan");
  if (limits_.stage_bytes == 0) throw std::logic_error("PageStore: stages of no bytes");
  std::unique_ptr<PageFile> file;
  if (limits_.file_bytes > 0) file = std::make_unique<PageFile>(limits_.folder, limits_.file_bytes, calls);
  copies_ = std::make_unique<PageCopies>(runtime, limits_.host_bytes, limits_.stage_bytes, std::move(file));
}

PageStore::~PageStore() = default;

void PageStore::check_block(const std::shared_ptr<Block>& block, std::string_view call) const {
  if (!block || &block->memory() != &runtime_.memory() || block->account() == Account::mapped)
    throw std::logic_error(join("PageStore: ", call, " of what is no block of ",
                                runtime_.device().to_string(), " that can be changed"));
}

PageStore::PagePtr PageStore::place(const std::shared_ptr<Block>& from) {
  const std::size_t bytes = from->bytes();
  if (runtime_.device().is_cuda() && host_.end_after(bytes) <= limits_.host_bytes)
    return std::make_shared<Page>(*this, false, host_.allocate(bytes), bytes);
  if (file_.end_after(in_file_pages(bytes)) <= limits_.file_bytes)
    return std::make_shared<Page>(*this, true, file_.allocate(in_file_pages(bytes)), bytes);
  const auto used = [](const Tier& t) {
    return join(human_bytes(double(t.held)), " of ", human_bytes(double(t.limit)));
  };
  throw OutOfMemory(join("pages of the tape: no room for ", human_bytes(double(bytes)), " of \"",
                         from->name(), "\": in use are ", used(host()), " of the host's memory and ",
                         used(file()), " of the page file"));
}

PageStore::PagePtr PageStore::write(const std::shared_ptr<Block>& from) {
  check_block(from, "write");
  throw_if_failed();
  PagePtr page = place(from);
  page->work_ = runtime_.work();
  if (copies_)
    page->done_ = copies_->out({page->in_file_, page->offset_, page->bytes_}, from->data());
  else
    page->done_at_ = forecast(*page, Link::to_host, Link::to_file);
  page->block_ = from;
  page->state_ = Page::State::writing;
  ++counters_.pages_out;
  counters_.bytes_out += page->bytes_;
  if (!of_weights(*from)) runtime_.traffic().paged_out += page->bytes_;
  if (page->in_file_) counters_.file_bytes_out += page->bytes_;
  return page;
}

void PageStore::read(Page& page, const std::shared_ptr<Block>& to) {
  check_block(to, "read");
  if (&page.store_ != this || page.state_ != Page::State::kept || to->bytes() != page.bytes_)
    throw std::logic_error("PageStore: read of a page of another store or size, or with a copy under way");
  throw_if_failed();
  page.work_ = runtime_.work();
  if (copies_)
    page.done_ = copies_->in({page.in_file_, page.offset_, page.bytes_}, to->data());
  else
    page.done_at_ = forecast(page, Link::from_host, Link::from_file);
  page.block_ = to;
  page.state_ = Page::State::reading;
  ++counters_.pages_in;
  counters_.bytes_in += page.bytes_;
  (of_weights(*to) ? runtime_.traffic().streamed : runtime_.traffic().paged_in) += page.bytes_;
  if (page.in_file_) counters_.file_bytes_in += page.bytes_;
}

void PageStore::finish_write(Page& page) { finish(page, false); }
void PageStore::finish_read(Page& page) { finish(page, true); }

void PageStore::finish(Page& page, bool reading) {
  if (&page.store_ != this || page.state_ != (reading ? Page::State::reading : Page::State::writing))
    throw std::logic_error("PageStore: a copy is finished that is not under way");
  if (runtime_.device().is_cuda() && page.work_ != runtime_.work())
    throw std::logic_error("PageStore: a copy is finished in other work than it was begun in");
  const std::shared_ptr<Block> held = std::move(page.block_);  // until the copy is done
  page.state_ = Page::State::kept;
  const double before = counters_.seconds_waited;
  wait(page);
  Traffic& traffic = runtime_.traffic();
  (of_weights(*held) ? traffic.waited_for_weights : traffic.waited_for_pages) +=
      counters_.seconds_waited - before;
}

void PageStore::wait(Page& page) {
  const Event done = std::exchange(page.done_, {});
  if (PlanClock* clock = runtime_.clock(); clock && !copies_) {
    const double before = clock->waited();
    clock->wait_until(page.done_at_);
    note_wait(clock->waited() - before);
  }
  if (!copies_) return;
  if (runtime_.device().is_cuda() || done.reached()) return copies_->join(done);
  struct Watch {  // also when the copy failed
    PageStore& store;
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    ~Watch() {
      store.note_wait(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  } const watch{*this};
  copies_->join(done);
}

void PageStore::note_wait(double seconds) { counters_.seconds_waited += seconds; }

// When a copy that is queued now is done. One between a CUDA device and the file keeps both links busy at
// once.
double PageStore::forecast(const Page& page, Link link, Link disk) const {
  PlanClock* clock = runtime_.clock();
  if (!clock || page.bytes_ == 0) return 0;
  const double on_link = runtime_.device().is_cuda() ? clock->copy(link, page.bytes_) : 0;
  return std::max(on_link, page.in_file_ ? clock->copy(disk, page.bytes_) : 0);
}

void PageStore::release(Page& page) {
  const bool other_work = runtime_.device().is_cuda() && page.work_ != runtime_.work();
  try {
    if (page.state_ != Page::State::kept && !other_work) wait(page);
    if (page.state_ != Page::State::kept && other_work && copies_) copies_->drain();
  } catch (const std::exception&) {  // of a file, and throw_if_failed() has it; or of a device that is lost
    page.state_ = Page::State::kept;
  }
  (page.in_file_ ? file_ : host_).release(page.offset_);
}

void PageStore::throw_if_failed() const {
  if (copies_) copies_->throw_if_failed();
}

}  // namespace rankine
