#include "engine/tape/storages.h"

#include <algorithm>
#include <stdexcept>

#include "engine/core/error.h"

namespace rankine {

using Where = Storages::Storage::Where;

// Of a storage that no frame holds any more.
void Storages::forget(Storage& s) {
  if (s.derived()) return;
  (s.where == Where::out ? paged_ : resident_) -= s.bytes;
  if (s.where == Where::arriving) --ahead_;
  if (s.block && s.block->account() == Account::tape) s.block->move_to(Account::activations);
}

void Storages::note_peaks() {
  const auto note = [&](TapeStats& stats) {
    stats.resident_peak = std::max(stats.resident_peak, resident_);
    stats.paged_peak = std::max(stats.paged_peak, paged_);
  };
  note(peaks_);
  if (memory_) note(memory_->tape);
}

// ---- derived storages ----

void Storages::derive(const Tensor& y, const std::vector<Tensor>& from, Make make) {
  Derivation d{y.shared_storage(), y, {}, std::move(make), y.storage()->writes()};
  d.shape.take_storage();
  for (const Tensor& t : from) d.from.emplace_back(t);
  derivations_.insert_or_assign(y.storage(), std::move(d));
}

Storages::Derivation* Storages::derivation_of(const std::shared_ptr<Block>& block) {
  const auto it = derivations_.find(block.get());
  return it != derivations_.end() && it->second.y.lock() == block ? &it->second : nullptr;
}

void Storages::derive_in_place(const Tensor& y, const std::vector<Tensor>& from, Make make) {
  Derivation* d = derivation_of(y.shared_storage());
  if (!d) return;  // y is no derived storage: it is kept as it will be
  const std::size_t before = d->from.size();
  for (const Tensor& t : from) d->from.emplace_back(t);
  d->make = [first = std::move(d->make), then = std::move(make), before, shape = y.shape()](
                const Context& c, Tensor& out, const std::vector<Tensor>& all) {
    const auto border = all.begin() + static_cast<std::ptrdiff_t>(before);
    first(c, out, {all.begin(), border});
    Tensor as_then = out.reshape(shape);
    then(c, as_then, {border, all.end()});
  };
  d->checked = false;
}

// False when something that it is made of is gone.
bool Storages::make_derived(Storage& s, const std::shared_ptr<Block>& block) {
  Derivation* d = derivation_of(block);
  if (!d) return false;
  if (d->checked && d->writes != block->writes()) {
    throw std::logic_error(join("tape: \"", block->name(),
                                "\" can be made again, but was changed since; who changes it must say how"));
  }
  std::vector<Tensor> from;
  for (const Loose& loose : d->from) {
    from.push_back(loose.shape);
    from.back().put_storage(loose.block.lock());
    if (!from.back().defined()) return false;
  }
  for (Tensor& t : from) {
    Held held = hold(t);
    s.from.emplace_back(std::move(t), std::move(held));
  }
  s.where = Where::derived;
  s.shape = d->shape;
  s.make = d->make;
  s.again = block;
  return true;
}

// ---- hold and give ----

Storages::Held Storages::hold(Tensor& t) {
  std::shared_ptr<Block> block = t.take_storage();
  if (!block) return nullptr;
  Known& known = known_[block.get()];
  if (known.block.lock() == block) {
    if (Held held = known.storage.lock()) return held;
  }
  auto s = std::make_shared<Storage>(*this, block->bytes());
  known = {block, s};  // before what it is derived from: a map keeps its references
  if (make_derived(*s, block)) return s;
  if (block->account() == Account::activations) block->move_to(Account::tape);
  s->block = std::move(block);
  resident_ += s->bytes;
  note_peaks();
  return s;
}

std::shared_ptr<Block> Storages::made_again(const Context& c, Storage& s) {
  if (auto block = s.again.lock()) return block;
  std::vector<Tensor> from;
  for (const auto& [shape, held] : s.from) {
    from.push_back(shape);
    give(c, from.back(), held);
  }
  Tensor y = s.shape;
  y.put_storage(c.memory().allocate(s.bytes, Account::activations, "made again"));
  s.make(c.without_tape(), y, from);
  s.again = y.shared_storage();
  return y.take_storage();
}

std::shared_ptr<Block> Storages::resident(const Context& c, Storage& s) {
  if (s.derived()) return made_again(c, s);
  if (s.where == Where::leaving) finish_leaving(s);
  if (s.where == Where::out) start_back(c, s);
  if (s.where == Where::arriving) {
    memory_->pages->finish_read(*s.page);
    s.page.reset();
    s.where = Where::resident;
    --ahead_;
  }
  return s.block;
}

void Storages::give(const Context& c, Tensor& t, const Held& held) {
  if (held) t.put_storage(resident(c, *held));
}

// ---- pages ----

void Storages::may_leave(const Held& held) {
  if (!held || held->bytes < kSmallestPage) {
    return;
  }
  if (held->derived()) {
    for (const auto& [shape, from] : held->from) may_leave(from);
  } else if (held->where == Where::resident && held->block->account() == Account::tape &&
             std::find(candidates_.begin(), candidates_.end(), held) == candidates_.end()) {
    candidates_.push_back(held);
  }
}

void Storages::move_out() {
  std::erase_if(candidates_, [&](const Held& s) {
    if (s->block.use_count() > 1) return false;
    s->page = memory_->pages->write(s->block);
    s->where = Where::leaving;
    leaving_.push_back(s);
    return true;
  });
  while (leaving_.size() > kLeaving) finish_one_leaving();
}

void Storages::finish_leaving(Storage& s) {
  memory_->pages->finish_write(*s.page);
  std::erase_if(leaving_, [&](const Held& one) { return one.get() == &s; });
  s.where = Where::resident;
}

void Storages::finish_one_leaving() {
  if (leaving_.empty()) return;
  const Held s = leaving_.front();
  finish_leaving(*s);
  s->block.reset();
  s->where = Where::out;
  resident_ -= s->bytes;
  paged_ += s->bytes;
  note_peaks();
}

void Storages::stay() { candidates_.clear(); }

void Storages::start_back(const Context& c, Storage& s) {
  s.block = c.memory().allocate(s.bytes, Account::tape, "paged in");
  memory_->pages->read(*s.page, s.block);
  s.where = Where::arriving;
  ++ahead_;
  paged_ -= s.bytes;
  resident_ += s.bytes;
  note_peaks();
}

bool Storages::bring_back(const Context& c, const Held& held) {
  if (!held) return true;
  if (held->derived()) {
    for (const auto& [shape, from] : held->from) {
      if (!bring_back(c, from)) return false;
    }
    return true;
  }
  if (held->where != Where::out) return true;
  if (ahead_ >= kAhead) return false;
  start_back(c, *held);
  return true;
}

void Storages::visit(const Held& held, const std::function<void(const Storage&)>& visitor) {
  if (!held) return;
  if (!held->derived()) return visitor(*held);
  for (const auto& [shape, from] : held->from) visit(from, visitor);
}

}  // namespace rankine
